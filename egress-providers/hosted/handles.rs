//! Where handles are written down, so that what a process left behind is found by the next.

mod directory;

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use broadcast::Provider;

pub use self::directory::DirectoryHandles;
use super::Handle;

/// The store cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("handles cannot be kept ({0})")]
pub struct HandleStoreError(#[from] pub io::Error);

/// Keeps one handle for each provider, owner and broadcast.
#[async_trait]
pub trait HandleStore: Send + Sync + fmt::Debug + 'static {
    /// Writes a handle down, in place of the one of the same provider, owner and broadcast. It is safe on return.
    async fn put(&self, provider: Provider, handle: &Handle) -> Result<(), HandleStoreError>;

    /// Forgets what is known by the handle's owner and broadcast.
    async fn remove(&self, provider: Provider, handle: &Handle) -> Result<(), HandleStoreError>;

    /// All of a provider.
    async fn list(&self, provider: Provider) -> Result<Vec<Handle>, HandleStoreError>;
}

/// Keeps handles for as long as the process lives.
#[derive(Debug, Default)]
pub struct MemoryHandles(Mutex<BTreeMap<(Provider, String, String), Handle>>);

impl MemoryHandles {
    fn handles(&self) -> MutexGuard<'_, BTreeMap<(Provider, String, String), Handle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(provider: Provider, handle: &Handle) -> (Provider, String, String) {
    (provider, handle.owner.clone(), handle.broadcast.clone())
}

#[async_trait]
impl HandleStore for MemoryHandles {
    async fn put(&self, provider: Provider, handle: &Handle) -> Result<(), HandleStoreError> {
        self.handles().insert(key(provider, handle), handle.clone());
        Ok(())
    }

    async fn remove(&self, provider: Provider, handle: &Handle) -> Result<(), HandleStoreError> {
        self.handles().remove(&key(provider, handle));
        Ok(())
    }

    async fn list(&self, provider: Provider) -> Result<Vec<Handle>, HandleStoreError> {
        let handles = self.handles();
        let of_provider = handles.iter().filter(|((of, ..), _)| *of == provider);
        Ok(of_provider.map(|(_, handle)| handle.clone()).collect())
    }
}
