//! A broadcast that this node holds: by which number, and what is written down of it for whoever takes over.

use std::sync::Arc;

use fleet::{ClaimError, Fence, Registry, RegistryError};
use tokio::sync::watch;

/// The right to run a broadcast. Cloning shares it; it lasts until it is released.
#[derive(Debug, Clone)]
pub(crate) struct Holding {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Arc<dyn Registry>,
    broadcast: String,
    fence: Fence,
    /// What another node would need to go on; empty: nothing was written down yet.
    state: watch::Sender<Vec<u8>>,
    /// Whether somebody else holds it by now.
    lost: watch::Sender<bool>,
}

impl Holding {
    pub(super) fn new(
        registry: Arc<dyn Registry>,
        broadcast: String,
        fence: Fence,
        state: Vec<u8>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                registry,
                broadcast,
                fence,
                state: watch::Sender::new(state),
                lost: watch::Sender::new(false),
            }),
        }
    }

    /// Which broadcast.
    pub(crate) fn broadcast(&self) -> &str {
        &self.inner.broadcast
    }

    /// By which number.
    pub(crate) fn fence(&self) -> Fence {
        self.inner.fence
    }

    /// What was last written down.
    pub(crate) fn state(&self) -> Vec<u8> {
        self.inner.state.borrow().clone()
    }

    /// Writes down what another node would need to go on.
    ///
    /// # Errors
    /// When the registry does not answer, which keeps the state for when it is told again, or when somebody else holds the
    /// broadcast by now.
    pub(crate) async fn save(&self, state: Vec<u8>) -> Result<(), RegistryError> {
        let inner = &self.inner;
        inner.state.send_replace(state.clone());
        let saved = inner
            .registry
            .save(&inner.broadcast, inner.fence, state)
            .await;
        if matches!(saved, Err(RegistryError::Claim(ClaimError::Fenced))) {
            self.lose();
        }
        saved
    }

    /// Somebody else holds it: it must end here, and its destinations must be closed at once.
    pub(crate) fn lose(&self) {
        self.inner.lost.send_replace(true);
    }

    /// Whether somebody else holds it by now, and from when on.
    pub(crate) fn lost(&self) -> watch::Receiver<bool> {
        self.inner.lost.subscribe()
    }

    /// The broadcast has ended.
    pub(crate) async fn release(&self) -> Result<(), RegistryError> {
        let inner = &self.inner;
        inner.registry.release(&inner.broadcast, inner.fence).await
    }
}
