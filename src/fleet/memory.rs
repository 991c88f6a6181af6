//! The registry of a process alone, and of tests.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::time::Instant;

use crate::{
    Adopted, Claim, Epoch, Fence, Fleet, Known, Ledger, NodeId, NodeReport, Orphan, Registry,
    RegistryError, Reservation, Times, Wish,
};

/// A ledger in this process's memory.
#[derive(Debug)]
pub struct MemoryRegistry {
    ledger: Mutex<Ledger>,
    start: Instant,
}

impl MemoryRegistry {
    /// An empty one.
    pub fn new(times: Times) -> Self {
        Self {
            ledger: Mutex::new(Ledger::new(times)),
            start: Instant::now(),
        }
    }

    fn now(&self) -> std::time::Duration {
        self.start.elapsed()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Registry for MemoryRegistry {
    async fn register(&self, report: &NodeReport) -> Result<Epoch, RegistryError> {
        Ok(self.ledger().register(report.clone(), self.now())?)
    }

    async fn heartbeat(&self, report: &NodeReport, epoch: Epoch) -> Result<Known, RegistryError> {
        Ok(self.ledger().heartbeat(report.clone(), epoch, self.now())?)
    }

    async fn held_by(&self, node: &NodeId, epoch: Epoch) -> Result<Vec<String>, RegistryError> {
        Ok(self.ledger().held_by(node, epoch))
    }

    async fn leave(&self, node: &NodeId, epoch: Epoch) -> Result<(), RegistryError> {
        self.ledger().leave(node, epoch);
        Ok(())
    }

    async fn fleet(&self) -> Result<Fleet, RegistryError> {
        Ok(self.ledger().fleet(self.now()))
    }

    async fn reserve(
        &self,
        wish: &Wish,
        candidates: &[NodeId],
    ) -> Result<Reservation, RegistryError> {
        Ok(self.ledger().reserve(wish, candidates, self.now())?)
    }

    async fn claim(
        &self,
        broadcast: &str,
        node: &NodeId,
        epoch: Epoch,
    ) -> Result<Claim, RegistryError> {
        Ok(self.ledger().claim(broadcast, node, epoch, self.now())?)
    }

    async fn reclaim(
        &self,
        broadcast: &str,
        node: &NodeId,
        epoch: Epoch,
        fence: Fence,
        state: Vec<u8>,
    ) -> Result<(), RegistryError> {
        Ok(self
            .ledger()
            .reclaim(broadcast, node, epoch, fence, state)?)
    }

    async fn save(
        &self,
        broadcast: &str,
        fence: Fence,
        state: Vec<u8>,
    ) -> Result<(), RegistryError> {
        Ok(self.ledger().save(broadcast, fence, state)?)
    }

    async fn release(&self, broadcast: &str, fence: Fence) -> Result<(), RegistryError> {
        self.ledger().release(broadcast, fence, self.now());
        Ok(())
    }

    async fn holder(&self, broadcast: &str) -> Result<Option<(NodeId, Fence)>, RegistryError> {
        let ledger = self.ledger();
        Ok(ledger
            .holder(broadcast)
            .map(|(node, fence)| (node.clone(), fence)))
    }

    async fn orphans(&self) -> Result<Vec<Orphan>, RegistryError> {
        Ok(self.ledger().orphans(self.now()))
    }

    async fn adopt(
        &self,
        orphan: &Orphan,
        node: &NodeId,
        epoch: Epoch,
    ) -> Result<Adopted, RegistryError> {
        Ok(self.ledger().adopt(orphan, node, epoch, self.now())?)
    }

    async fn hand_over(
        &self,
        broadcast: &str,
        fence: Fence,
        to: &NodeId,
    ) -> Result<Adopted, RegistryError> {
        Ok(self.ledger().hand_over(broadcast, fence, to, self.now())?)
    }

    async fn take_key(
        &self,
        key: [u8; 32],
        broadcast: &str,
        fence: Fence,
    ) -> Result<(), RegistryError> {
        Ok(self.ledger().take_key(key, broadcast, fence, self.now())?)
    }

    async fn retell_key(
        &self,
        key: [u8; 32],
        broadcast: &str,
        fence: Fence,
    ) -> Result<(), RegistryError> {
        Ok(self.ledger().retell_key(key, broadcast, fence)?)
    }

    async fn give_back_key(
        &self,
        key: [u8; 32],
        broadcast: &str,
        fence: Fence,
    ) -> Result<(), RegistryError> {
        self.ledger().give_back_key(&key, broadcast, fence);
        Ok(())
    }
}
