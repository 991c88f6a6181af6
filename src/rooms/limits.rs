//! How much there may be in a room, and how long it waits for whom.

use std::time::Duration;

/// How many participants a room takes unless something else is configured.
///
/// The seeds' servers stop there, too; 50 who all show themselves are 2450 forwarded pictures.
pub const PARTICIPANTS_LIMIT: usize = 50;

/// How many transports a participant may have. Most clients need two, and hold their old ones for a while when they begin
/// anew; those of `MeetLite`'s second generation receive each of 49 others on a transport of its own.
pub const TRANSPORTS_LIMIT: usize = 64;

/// How many tracks a participant may send: camera, microphone, screen and its sound, composite and its sound, and as many
/// again while a client replaces them.
pub const PRODUCERS_LIMIT: usize = 16;

/// How many tracks a participant may receive: in a room of 50, picture and sound of the others are 98.
pub const CONSUMERS_LIMIT: usize = 128;

/// How large what only the application understands may be, as JSON, in bytes; real ones stay below 300.
pub const APPLICATION_BYTES_LIMIT: usize = 4 * 1024;

/// How long the name of a participant may be, in bytes. UUIDs have 36, addresses of mail at most 254 but mostly below 64.
pub const PARTICIPANT_NAME_BYTES_LIMIT: usize = 128;

/// How long what others are to read may be, in bytes.
pub const DISPLAY_NAME_BYTES_LIMIT: usize = 256;

/// How long a room without participants is kept, so that who reloads the only page finds it again.
pub const EMPTY_ROOM_PATIENCE: Duration = Duration::from_mins(1);

/// How long a place is kept whose connection broke, unless media shows that its client is still there. Socket.IO's client tries again after 1 s, 2 s, 4 s and then every 5 s.
pub const RECONNECT_PATIENCE: Duration = Duration::from_secs(15);

/// What one room may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomLimits {
    /// Participants, those included whose connection broke a moment ago.
    pub participants: usize,
    /// Transports of each.
    pub transports: usize,
    /// Tracks that each sends.
    pub producers: usize,
    /// Tracks that each receives.
    pub consumers: usize,
}

impl Default for RoomLimits {
    fn default() -> Self {
        Self {
            participants: PARTICIPANTS_LIMIT,
            transports: TRANSPORTS_LIMIT,
            producers: PRODUCERS_LIMIT,
            consumers: CONSUMERS_LIMIT,
        }
    }
}
