//! The words of the ledger: what it gives, and why it refuses.

use std::time::Duration;

use crate::{NodeId, Why};

/// How long things last that nobody renews.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// A node, after its last heartbeat. 3 s: three heartbeats, and a failover within 5 s.
    pub node: Duration,
    /// A reservation, after it was made. 15 s: what a studio may take from its assignment to its offer.
    pub reservation: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            node: Duration::from_secs(3),
            reservation: Duration::from_secs(15),
        }
    }
}

/// One life of a node: a process that registered. A later one has a larger number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// One holding of a broadcast. Whoever shows a smaller number than the newest is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

/// Why a node is not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Another process has this name, and is alive.
    #[error("another node is called '{0}' and is alive; give each its own SERVER_ID")]
    NameTaken(NodeId),
    /// Another process registered under this name since.
    #[error("another node has registered as '{0}' since")]
    Superseded(NodeId),
    /// None of the nodes that were named has room.
    #[error("none of the nodes has room any more")]
    Full,
}

/// Why a broadcast cannot be held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// Another node holds it, and is alive.
    #[error("the broadcast lives on node '{0}'")]
    Held(NodeId),
    /// Its node is dead: it is to be adopted, not begun anew.
    #[error("the broadcast waits for a node to adopt it")]
    Orphaned,
    /// Somebody else holds it by now.
    #[error("the broadcast was taken over meanwhile")]
    Fenced,
    /// Whoever asks is not registered.
    #[error("the node is not registered")]
    NotRegistered,
    /// The registry lost its memory of it: whoever holds it tells it again.
    #[error("the registry does not know the broadcast any more")]
    Forgotten,
}

/// Why a broadcast does not get a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Who asks does not hold the broadcast.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// Another broadcast publishes with it.
    #[error("another broadcast, '{0}', publishes with this key")]
    Held(String),
    /// The registry's memory is younger than [`Times::node`]: others may not have told yet which keys they have.
    #[error("the registry is being told which keys are in use; ask again in a moment")]
    Retelling,
}

/// What the registry knew of a node that told that it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Whether it was known to be alive. If not, what it holds is to be told again, or may be another's by now.
    pub was_alive: bool,
    /// How many broadcasts it holds. A number that is not the node's own means that the registry lost something, or brought
    /// back what is over.
    pub held: usize,
}

/// A place that is kept for a broadcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Where.
    pub node: NodeId,
    /// Why there.
    pub why: Why,
}

/// A broadcast that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// To be shown with everything that is done to it.
    pub fence: Fence,
}

/// A broadcast whose node is dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// Its name.
    pub broadcast: String,
    /// Whose it was.
    pub node: NodeId,
    /// By which number.
    pub fence: Fence,
}

/// A broadcast that was taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The new number.
    pub fence: Fence,
    /// What its node last wrote down of it.
    pub state: Vec<u8>,
}
