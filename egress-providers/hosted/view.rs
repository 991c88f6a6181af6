//! What can be seen of a session from outside.

use std::{collections::BTreeMap, time::Duration};

use broadcast::{BroadcastId, StreamKey};
use pipelines::rtmp::Counters;
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

/// What was brought to a provider, as far as it is known: who brings a show itself counts nothing here, and a sidecar's
/// SDK does not tell how much it makes of the pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Brought {
    /// Bytes so far.
    pub bytes: Option<u64>,
    /// Pictures so far.
    pub pictures: Option<u64>,
    /// Over the last second or so.
    pub bits_per_second: Option<u64>,
}

impl Brought {
    /// What the counters of the way there say.
    pub(super) fn of(way: ContributionKind, counters: &Counters) -> Self {
        let is_ours = matches!(way, ContributionKind::Push | ContributionKind::Whip);
        let is_counted = is_ours || way == ContributionKind::Sidecar;
        Self {
            bytes: is_ours.then(|| counters.bytes_sent()),
            pictures: is_counted.then(|| counters.frames_sent()),
            bits_per_second: is_ours.then(|| counters.bits_per_second()),
        }
    }
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
    /// What was brought to the provider.
    pub brought: Brought,
    /// Where the studio is to go, if it goes there itself.
    pub join: Option<DirectJoin>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_counts_is_not_told_as_nothing() {
        let counters = Counters::default();
        counters.add_bytes(1_000);
        counters.add_frame();

        let ways = [
            ContributionKind::Push,
            ContributionKind::Whip,
            ContributionKind::Sidecar,
            ContributionKind::Direct,
        ];
        let brought = ways.map(|way| {
            let brought = Brought::of(way, &counters);
            (
                way,
                brought.bytes,
                brought.pictures,
                brought.bits_per_second,
            )
        });

        assert_eq!(
            brought,
            [
                (ContributionKind::Push, Some(1_000), Some(1), Some(0)),
                (ContributionKind::Whip, Some(1_000), Some(1), Some(0)),
                (ContributionKind::Sidecar, None, Some(1), None),
                (ContributionKind::Direct, None, None, None),
            ]
        );
    }
}
