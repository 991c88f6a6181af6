//! This node among others: what it tells of itself, what it knows of them, and which broadcasts it holds.

mod adopter;
mod heartbeat;
mod holding;
mod holdings;
mod joining;
mod membership;
mod others;
mod placing;
mod profile;
mod seal;
mod standing;
mod state;

pub(crate) use adopter::adopt_orphans;
pub(crate) use holding::Holding;
pub use joining::JoinError;
pub(crate) use joining::join;
pub(crate) use membership::{ClaimRefusal, Membership, View, Whereabouts};
pub(crate) use placing::Assignment;
pub(crate) use profile::{Profile, cores};
pub(crate) use seal::Sealer;
pub(crate) use state::{KeptBroadcast, KeptPicture, KeptShow};
