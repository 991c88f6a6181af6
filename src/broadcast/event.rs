//! What a machine is told, what it asks for, and what it tells whoever watches.

use crate::{AlarmChange, Attempt, DestinationId, DestinationState, Endpoint, Failure, LineName};

/// Where a broadcast stands, as the public contract names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BroadcastState {
    /// No media from the studio.
    Waiting,
    /// The studio's media goes out.
    Live,
    /// A stand-in picture goes out while the studio is away.
    Slate,
    /// Over, for good.
    Ended,
}

impl BroadcastState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Live, Self::Slate, Self::Ended];

    /// The word of the public contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Live => "live",
            Self::Slate => "slate",
            Self::Ended => "ended",
        }
    }
}

/// Why something changed, as a stable word for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The studio's session is up.
    StudioConnected,
    /// The studio's session is over.
    StudioLost,
    /// The studio stayed away for [`STUDIO_GRACE`](crate::STUDIO_GRACE), and there is no slate.
    StudioAbsent,
    /// The studio is connected and sends nothing.
    MediaStopped,
    /// The studio's media goes out again.
    MediaReturned,
    /// The studio stayed away for as long as the slate may last.
    SlateOver,
    /// The studio's first media came.
    MediaArrived,
    /// Somebody said start.
    Started,
    /// Somebody said stop.
    Stopped,
    /// Somebody edited the destination.
    Edited,
    /// Somebody added the destination.
    Added,
    /// Somebody removed the destination.
    Removed,
    /// The destination takes media.
    Accepted,
    /// The destination was lost.
    Lost,
    /// The pause before another try is over.
    PauseOver,
    /// The broadcast ended.
    Ended,
    /// The broadcast's own task or its media path broke.
    Broken,
    /// The broadcast goes on here: its node was lost, or gave it away.
    Adopted,
    /// Another node goes on with the broadcast.
    TakenOver,
}

impl Cause {
    /// The word as clients see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StudioConnected => "studio_connected",
            Self::StudioLost => "studio_lost",
            Self::StudioAbsent => "studio_absent",
            Self::MediaStopped => "media_stopped",
            Self::MediaReturned => "media_returned",
            Self::SlateOver => "slate_over",
            Self::MediaArrived => "media_arrived",
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Edited => "edited",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Accepted => "accepted",
            Self::Lost => "lost",
            Self::PauseOver => "pause_over",
            Self::Ended => "ended",
            Self::Broken => "broken",
            Self::Adopted => "adopted",
            Self::TakenOver => "taken_over",
        }
    }
}

/// One change of state, for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The broadcast's own state.
    Broadcast {
        /// Where it now stands.
        state: BroadcastState,
        /// Why.
        cause: Cause,
    },
    /// A destination's state.
    Destination {
        /// Which one.
        id: DestinationId,
        /// Which of its connections.
        line: LineName,
        /// Where it now stands; `None` when it was removed.
        state: Option<DestinationState>,
        /// Why.
        cause: Cause,
        /// The loss, when the cause is [`Cause::Lost`].
        failure: Option<Failure>,
    },
    /// An alarm was raised or cleared; no machine says so.
    Alarm(AlarmChange),
}

/// What the owner of a [`Machine`](crate::Machine) has to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Open a destination. An earlier attempt of the same destination has been closed or lost.
    Open {
        /// Which one.
        destination: DestinationId,
        /// Which of its connections.
        line: LineName,
        /// By this name it reports.
        attempt: Attempt,
        /// Where to.
        endpoint: Endpoint,
    },
    /// Close what was opened by this attempt; nothing it still reports matters.
    Close {
        /// Which one.
        destination: DestinationId,
        /// The attempt that opened it.
        attempt: Attempt,
    },
    /// Ask the studio for a keyframe.
    RequestKeyframe,
    /// End the studio's session.
    EndStudio,
    /// Tell whoever watches.
    Changed(Change),
}

/// What an open destination reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DestinationEvent {
    /// It takes media.
    Live,
    /// It is over, for this reason. Nothing follows.
    Lost(Failure),
}
