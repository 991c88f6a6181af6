//! Who carries a broadcast to its destinations: one trait, our own publisher and hosted providers behind it.

mod capabilities;
pub mod cloudflare;
#[cfg(test)]
mod contract;
pub mod daily;
pub mod hosted;
pub mod hybrid;
mod lease;
pub mod livekit;
pub mod mux;
mod open_destination;
mod own;
mod prices;
mod provider;
pub mod restream;

pub use capabilities::{Capabilities, ContributionKind, Hot, Meter};
pub use lease::{Holder, Lease, LeaseKeeper, LeaseKey, Leases, ProcessLeases};
pub use open_destination::{DestinationEvent, LetGo, OpenDestination};
pub use own::Own;
pub use pipelines::rtmp::{
    BlackBox, BlackBoxView, Counters, Curtain, Limits, MediaHints, Place, Sample, Target, Trust,
    What, probe,
};
pub use prices::{Money, PriceError, Prices};
pub use provider::{DestinationOrder, EgressProvider, Show};
