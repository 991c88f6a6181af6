//! Many nodes: who is there, who takes what, and who may publish. Decisions are pure; the registry is behind a ledger of rules.

mod assign;
mod cores;
mod guard;
mod ledger;
mod memory;
mod node;
mod places;
mod redis;
mod registry;
mod rendezvous;

pub use assign::{Candidate, NoNode, Why, Wish, candidates};
pub use cores::Cores;
pub use guard::{Guard, Peer, Standing};
pub use ledger::{
    Adopted, Claim, ClaimError, Epoch, Fence, Ledger, LedgerError, Orphan, Reservation, Times,
};
pub use memory::MemoryRegistry;
pub use node::{NodeId, NodeIdError, NodeReport};
pub use redis::RedisRegistry;
pub use registry::{Fleet, Registry, RegistryError};
pub use rendezvous::rendezvous;

#[cfg(test)]
mod contract;
