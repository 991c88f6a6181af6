//! What is written down of a broadcast, so that another node can go on with it.

mod wire;

use broadcast::{BroadcastSpec, DestinationSpec, Method, StreamKey, VideoSpec};
use jiff::Timestamp;
use zeroize::Zeroizing;

/// A broadcast as another node needs it to go on.
///
/// Uploaded slates are not in it: the default card with the broadcast's title stands in for them. Neither is what comes and
/// goes by plain RTP, which names sockets of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptBroadcast {
    /// What it was created from.
    pub(crate) asked: BroadcastSpec,
    /// How it is carried now.
    pub(crate) method: Method,
    /// What picture it sends now.
    pub(crate) video: VideoSpec,
    /// Where it goes now, keys and all.
    pub(crate) destinations: Vec<DestinationSpec>,
    /// Whether destinations are to be open when there is something to show.
    pub(crate) started: bool,
    /// When it was created.
    pub(crate) created_at: Timestamp,
    /// What is on air; `None` before anything was.
    pub(crate) show: Option<KeptShow>,
    /// Whoever shows one of these may take the studio's seat; oldest first.
    pub(crate) resume_tokens: Vec<StreamKey>,
}

/// What is known of a show that is on air.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeptShow {
    /// Where its timeline is 0 on the wall clock.
    pub(crate) zero: Timestamp,
    /// When the studio's media first came.
    pub(crate) first_live: Option<Timestamp>,
    /// Its picture; `None`: sound alone.
    pub(crate) picture: Option<KeptPicture>,
}

/// The shape of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeptPicture {
    /// In pixels.
    pub(crate) width: u32,
    /// In pixels.
    pub(crate) height: u32,
    /// As the studio meant them; `None` while that was not known.
    pub(crate) frames_per_second: Option<u32>,
}

/// Why what was written down is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what was written down of the broadcast makes no sense: {0}")]
pub(crate) struct StateError(String);

impl KeptBroadcast {
    /// As bytes, which hold keys.
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        wire::write(self)
    }

    /// Of what [`to_bytes`](Self::to_bytes) made, also in an older version of this program.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        wire::read(bytes)
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
