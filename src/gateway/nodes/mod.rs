//! This node among others: what it tells of itself, what it knows of them, and which broadcasts it holds.

mod adopter;
mod holding;
mod joining;
mod membership;
mod profile;
mod seal;
mod state;

pub(crate) use adopter::adopt_orphans;
pub(crate) use holding::Holding;
pub use joining::JoinError;
pub(crate) use joining::join;
pub(crate) use membership::{ClaimRefusal, Membership, Whereabouts};
pub(crate) use profile::Profile;
pub(crate) use seal::Sealer;
pub(crate) use state::{KeptBroadcast, KeptPicture, KeptShow};
