//! Many nodes: who is there, who takes what, and who may publish. Decisions are pure; the registry is behind a ledger of rules.

mod assign;
mod cores;
mod guard;
mod ledger;
mod node;
mod places;
mod rendezvous;

pub use assign::{Candidate, NoNode, Why, Wish, candidates};
pub use cores::Cores;
pub use guard::{Guard, Peer, Standing};
pub use ledger::{
    Adopted, Claim, ClaimError, Epoch, Fence, Ledger, LedgerError, Orphan, Reservation, Times,
};
pub use node::{NodeId, NodeIdError, NodeReport};
pub use rendezvous::rendezvous;
