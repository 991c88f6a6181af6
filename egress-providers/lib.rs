//! Who carries a broadcast to its destinations: one trait, and our own publisher behind it.

mod open_destination;
mod own;
mod provider;

pub use open_destination::{DestinationEvent, OpenDestination};
pub use own::Own;
pub use pipelines::rtmp::{
    BlackBox, BlackBoxView, Counters, Curtain, Limits, MediaHints, Place, Sample, Target, Trust,
    What, probe,
};
pub use provider::{DestinationOrder, EgressProvider};
