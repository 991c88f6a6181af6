//! This node among others: what it tells of itself, what it knows of them, and which broadcasts it holds.

mod adopter;
mod holding;
mod membership;
mod profile;
mod seal;
mod state;

pub(crate) use adopter::adopt_orphans;
pub(crate) use holding::Holding;
pub use membership::JoinError;
pub(crate) use membership::{ClaimRefusal, Membership, View};
pub(crate) use profile::Profile;
pub(crate) use seal::Sealer;
pub(crate) use state::{KeptBroadcast, KeptPicture, KeptShow};
