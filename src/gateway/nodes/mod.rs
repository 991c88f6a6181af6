//! This node among others: what it tells of itself, what it knows of them, and which broadcasts it holds.

mod holding;
mod membership;
mod profile;

pub(crate) use holding::Holding;
pub use membership::JoinError;
pub(crate) use membership::{ClaimRefusal, Membership, View};
pub(crate) use profile::Profile;
