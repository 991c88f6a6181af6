//! What keeps the ledger: one process alone, or Redis for many.

use async_trait::async_trait;

use crate::{
    Adopted, Claim, ClaimError, Epoch, Fence, KeyError, Known, LedgerError, NodeId, NodeReport,
    Orphan, Reservation, Wish,
};

/// Why the registry does not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// It does not answer, or not in time. What it was asked for may or may not have been done.
    #[error("the registry is not available: {0}")]
    Unavailable(String),
    /// It answers, and cannot be used; told at the start.
    #[error("the registry cannot be used: {0}")]
    Unusable(String),
    /// A node or a place.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A broadcast.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The fleet as the registry knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fleet {
    /// Those that are alive, with what is kept for others counted as taken.
    pub alive: Vec<NodeReport>,
    /// How many there are with those that died within the last minute.
    pub size: usize,
}

/// Keeps the ledger. Each method is one step of [`Ledger`](crate::Ledger), which says what it means.
#[async_trait]
pub trait Registry: Send + Sync + std::fmt::Debug {
    /// See [`Ledger::register`](crate::Ledger::register).
    async fn register(&self, report: &NodeReport) -> Result<Epoch, RegistryError>;

    /// See [`Ledger::heartbeat`](crate::Ledger::heartbeat).
    async fn heartbeat(&self, report: &NodeReport, epoch: Epoch) -> Result<Known, RegistryError>;

    /// See [`Ledger::held_by`](crate::Ledger::held_by).
    async fn held_by(&self, node: &NodeId, epoch: Epoch) -> Result<Vec<String>, RegistryError>;

    /// See [`Ledger::leave`](crate::Ledger::leave).
    async fn leave(&self, node: &NodeId, epoch: Epoch) -> Result<(), RegistryError>;

    /// See [`Ledger::fleet`](crate::Ledger::fleet).
    async fn fleet(&self) -> Result<Fleet, RegistryError>;

    /// See [`Ledger::reserve`](crate::Ledger::reserve).
    async fn reserve(
        &self,
        wish: &Wish,
        candidates: &[NodeId],
    ) -> Result<Reservation, RegistryError>;

    /// See [`Ledger::claim`](crate::Ledger::claim).
    async fn claim(
        &self,
        broadcast: &str,
        node: &NodeId,
        epoch: Epoch,
    ) -> Result<Claim, RegistryError>;

    /// See [`Ledger::reclaim`](crate::Ledger::reclaim).
    async fn reclaim(
        &self,
        broadcast: &str,
        node: &NodeId,
        epoch: Epoch,
        fence: Fence,
        state: Vec<u8>,
    ) -> Result<(), RegistryError>;

    /// See [`Ledger::save`](crate::Ledger::save).
    async fn save(
        &self,
        broadcast: &str,
        fence: Fence,
        state: Vec<u8>,
    ) -> Result<(), RegistryError>;

    /// See [`Ledger::release`](crate::Ledger::release).
    async fn release(&self, broadcast: &str, fence: Fence) -> Result<(), RegistryError>;

    /// See [`Ledger::holder`](crate::Ledger::holder).
    async fn holder(&self, broadcast: &str) -> Result<Option<(NodeId, Fence)>, RegistryError>;

    /// See [`Ledger::orphans`](crate::Ledger::orphans).
    async fn orphans(&self) -> Result<Vec<Orphan>, RegistryError>;

    /// See [`Ledger::adopt`](crate::Ledger::adopt).
    async fn adopt(
        &self,
        orphan: &Orphan,
        node: &NodeId,
        epoch: Epoch,
    ) -> Result<Adopted, RegistryError>;

    /// See [`Ledger::hand_over`](crate::Ledger::hand_over).
    async fn hand_over(
        &self,
        broadcast: &str,
        fence: Fence,
        to: &NodeId,
    ) -> Result<Adopted, RegistryError>;

    /// See [`Ledger::take_key`](crate::Ledger::take_key).
    async fn take_key(
        &self,
        key: [u8; 32],
        broadcast: &str,
        fence: Fence,
    ) -> Result<(), RegistryError>;

    /// See [`Ledger::retell_key`](crate::Ledger::retell_key).
    async fn retell_key(
        &self,
        key: [u8; 32],
        broadcast: &str,
        fence: Fence,
    ) -> Result<(), RegistryError>;

    /// See [`Ledger::give_back_key`](crate::Ledger::give_back_key).
    async fn give_back_key(
        &self,
        key: [u8; 32],
        broadcast: &str,
        fence: Fence,
    ) -> Result<(), RegistryError>;
}
