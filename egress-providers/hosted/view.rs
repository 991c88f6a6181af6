//! What can be seen of a session from outside.

use std::{collections::BTreeMap, time::Duration};

use broadcast::{BroadcastId, StreamKey};
use url::Url;

use super::ContributionState;
use crate::{ContributionKind, Meter};

/// Where a broadcast is on its way through a hosted provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// It waits for destinations.
    Waiting,
    /// What it needs is being made.
    Preparing,
    /// The show is on its way there.
    Contributing,
    /// The show is there, no destination is live yet.
    Starting,
    /// It goes out.
    Live,
    /// The show has lost its way there, and looks for it.
    Interrupted,
    /// What was made is being removed.
    Stopping,
}

impl SessionState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Preparing,
        Self::Contributing,
        Self::Starting,
        Self::Live,
        Self::Interrupted,
        Self::Stopping,
    ];

    /// The word of the public contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Preparing => "preparing",
            Self::Contributing => "contributing",
            Self::Starting => "starting",
            Self::Live => "live",
            Self::Interrupted => "interrupted",
            Self::Stopping => "stopping",
        }
    }
}

/// Where the studio itself is to go, for providers that it speaks to directly.
#[derive(Debug, Clone)]
pub struct DirectJoin {
    /// Where to.
    pub url: Url,
    /// Who it is; for those only who may publish the broadcast.
    pub token: StreamKey,
}

/// How a broadcast is carried by a hosted provider.
#[derive(Debug, Clone)]
pub struct SessionView {
    /// Which.
    pub broadcast: BroadcastId,
    /// Where it is.
    pub state: SessionState,
    /// For how long.
    pub since: Duration,
    /// How the show gets there.
    pub contribution: ContributionKind,
    /// Whether it does, as the provider says.
    pub arrival: ContributionState,
    /// How many destinations are live.
    pub live: usize,
    /// What has been used so far: units times duration, over all its sessions since the broadcast first had one.
    pub used: BTreeMap<Meter, Duration>,
    /// What is being used now, in units.
    pub using: BTreeMap<Meter, u32>,
    /// Bytes brought to the provider so far.
    pub bytes_sent: u64,
    /// Where the studio is to go, if it goes there itself.
    pub join: Option<DirectJoin>,
}
