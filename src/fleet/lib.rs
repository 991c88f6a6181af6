//! Many nodes: who is there, who takes what, and who may publish. Decisions are pure; the registry is behind a ledger of rules.

mod assign;
mod board;
mod cores;
mod ends;
mod guard;
mod ledger;
mod memory;
mod node;
mod pace;
mod places;
mod redis;
mod registry;
mod rendezvous;
mod terms;

pub use assign::{Candidate, NoNode, Why, Wish, candidates};
pub use board::{Board, MemoryBoard};
pub use cores::Cores;
pub use guard::{Guard, Peer, Standing};
pub use ledger::Ledger;
pub use memory::MemoryRegistry;
pub use node::{NodeId, NodeIdError, NodeReport};
pub use pace::Pace;
pub use redis::RedisRegistry;
pub use registry::{Fleet, Registry, RegistryError};
pub use rendezvous::rendezvous;
pub use terms::{
    Adopted, Claim, ClaimError, Epoch, Fence, KeyError, Known, LedgerError, Orphan, Reservation,
    Times,
};

#[cfg(test)]
mod contract;
