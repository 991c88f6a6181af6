//! What a provider can do, as it really is: the contract suite holds each provider to what it says here.

use std::time::Duration;

/// How a show gets to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContributionKind {
    /// It stays in this process.
    InProcess,
    /// One RTMP(S) connection with the show as our own destinations get it.
    Push,
    /// WHIP (RFC 9725): the show's H.264, and the studio's Opus as it came.
    Whip,
    /// A process beside this one is handed whole pictures and sound.
    Sidecar,
    /// The studio goes to the provider itself, with a token that we make.
    Direct,
}

impl ContributionKind {
    /// The word of the public contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProcess => "inProcess",
            Self::Push => "push",
            Self::Whip => "whip",
            Self::Sidecar => "sidecar",
            Self::Direct => "direct",
        }
    }
}

/// Whether something can be changed while the show is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hot {
    /// Yes, and the other destinations notice nothing.
    Yes,
    /// Only while nothing is live: [`ProviderError::RestartRequired`](crate::hosted::ProviderError::RestartRequired) otherwise.
    RestartRequired,
}

/// What an account is billed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Meter {
    /// A minute of one participant in a call.
    Participant,
    /// A minute of the show, however many destinations it has.
    Show,
    /// A minute of one destination.
    Output,
}

impl Meter {
    /// The word of metrics and prices.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Participant => "participant",
            Self::Show => "show",
            Self::Output => "output",
        }
    }
}

/// What a provider can do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that have nothing to do with each other"
)]
pub struct Capabilities {
    /// How shows get to it.
    pub contribution: ContributionKind,
    /// Whether destinations can be added while the show is on.
    pub hot_add: Hot,
    /// Whether destinations can be removed while the show is on, but for the last one.
    pub hot_remove: Hot,
    /// Whether it tells how each destination is. If not, a destination counts as live once the provider has the show
    /// and the destination's address.
    pub destination_status: bool,
    /// Whether a destination can be sent a stand-in while others get the show.
    pub destination_pause: bool,
    /// Whether a destination can have a picture of its own shape.
    pub renditions: bool,
    /// The most destinations of one broadcast.
    pub destinations_limit: usize,
    /// How long one show may last; `None`: no limit is known.
    pub longest_show: Option<Duration>,
    /// How long after the last sign of the show it is sure to have let go of all destinations, even if it cannot be asked.
    pub forgets_after: Duration,
    /// How long it may take from the first media to its first sign of them.
    pub start_limit: Duration,
    /// Whether it calls us back.
    pub webhooks: bool,
    /// What is billed, with how many units a minute a show without destinations has; [`Meter::Output`] counts each
    /// destination.
    pub meters: &'static [(Meter, u32)],
}
