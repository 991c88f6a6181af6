//! Removes what processes before this one, or calls that were cut short, have left at a provider.

use std::{collections::BTreeMap, sync::Arc};

use super::{Handle, ProviderError, hosted::Shared};

/// What a round of the reaper has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Broadcasts that nobody carries any more, of which nothing is left now.
    pub stopped: usize,
    /// Those of which something could not be removed; the next round tries again.
    pub failed: usize,
}

/// Only what is of this owner is touched: what another one makes may be a second old.
pub(super) async fn reap(shared: &Arc<Shared>) -> Result<Reaped, ProviderError> {
    let parts = &shared.parts;
    let provider = parts.api.provider();
    let written = parts.store.list(provider).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "what is written down of the provider cannot be read");
        Vec::new()
    });
    let found = parts.api.owned(&parts.owner).await;
    let error = found.as_ref().err().cloned();
    let mut by_broadcast: BTreeMap<String, Vec<Handle>> = BTreeMap::new();
    for handle in written.into_iter().chain(found.unwrap_or_default()) {
        if handle.owner != parts.owner.as_str() {
            continue;
        }
        let handles = by_broadcast.entry(handle.broadcast.clone()).or_default();
        if !handles.contains(&handle) {
            handles.push(handle);
        }
    }
    let mut reaped = Reaped::default();
    for (broadcast, handles) in by_broadcast {
        if shared.is_kept(&broadcast) {
            continue;
        }
        let Some(_reaping) = shared.begin_reaping(&broadcast) else {
            continue;
        };
        let mut is_gone = true;
        for handle in handles {
            is_gone &= remove(shared, &handle).await;
        }
        if is_gone {
            reaped.stopped += 1;
            parts.observer.reaped(provider);
        } else {
            reaped.failed += 1;
        }
    }
    error.map_or(Ok(reaped), Err)
}

/// Removes what is written down of one broadcast, unless a session carries it.
pub(super) async fn remove_written(shared: &Arc<Shared>, broadcast: &str) {
    let Some(_reaping) = shared.begin_reaping(broadcast) else {
        return;
    };
    let parts = &shared.parts;
    let written = parts.store.list(parts.api.provider()).await;
    for handle in written.unwrap_or_default() {
        if handle.broadcast == broadcast && handle.owner == parts.owner.as_str() {
            // What fails is left to the next round.
            remove(shared, &handle).await;
        }
    }
}

async fn remove(shared: &Shared, handle: &Handle) -> bool {
    let parts = &shared.parts;
    let provider = parts.api.provider();
    let broadcast = &handle.broadcast;
    match parts.api.stop(handle).await {
        Ok(()) | Err(ProviderError::NotFound(_)) => {}
        Err(error) => {
            tracing::warn!(%provider, %broadcast, %error, "what was left there was not removed");
            return false;
        }
    }
    if let Err(error) = parts.store.remove(provider, handle).await {
        tracing::warn!(%error, "a handle was not forgotten");
    }
    tracing::info!(%provider, %broadcast, "what was left there was removed");
    true
}
