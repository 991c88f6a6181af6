//! Hosted providers as providers of a broadcast: one session for each broadcast, whatever its destinations are.

use std::{sync::Arc, time::SystemTime};

use async_trait::async_trait;
use broadcast::{BroadcastId, Failure, Provider, Reason};

use super::{
    Contribute, HandleStore, HostedApi, Observer, Owner, ProviderError, SessionView, WebhookError,
    WebhookEvent, WebhookHeaders,
};
use crate::{Capabilities, DestinationOrder, EgressProvider, OpenDestination};

/// What a hosted provider is made of.
#[derive(Debug, Clone)]
pub struct HostedParts {
    /// Its control plane.
    pub api: Arc<dyn HostedApi>,
    /// How shows get there; not asked where the studio goes there itself.
    pub contribute: Arc<dyn Contribute>,
    /// Whose things at the provider are.
    pub owner: Owner,
    /// Where what was made there is written down.
    pub store: Arc<dyn HandleStore>,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
}

/// What a round of the reaper has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Things of broadcasts that nobody carries any more, and that are gone now.
    pub stopped: usize,
    /// Those that could not be removed; the next round tries again.
    pub failed: usize,
}

/// A hosted provider.
#[derive(Debug)]
pub struct Hosted {
    parts: HostedParts,
}

impl Hosted {
    /// A provider without sessions.
    pub fn new(parts: HostedParts) -> Self {
        Self { parts }
    }

    /// Which.
    pub fn provider(&self) -> Provider {
        self.parts.api.provider()
    }

    /// What it can do.
    pub fn capabilities(&self) -> &Capabilities {
        self.parts.api.capabilities()
    }

    /// Whether it can be used.
    pub async fn health(&self) -> Result<(), ProviderError> {
        self.parts.api.health().await
    }

    /// Verifies a webhook; what it tells is for [`wake`](Self::wake), unless it was told before.
    pub fn webhook(
        &self,
        headers: &WebhookHeaders,
        body: &[u8],
        now: SystemTime,
    ) -> Result<WebhookEvent, WebhookError> {
        self.parts.api.webhook(headers, body, now)
    }

    /// Something has happened at the provider: has the sessions that it is about ask how they are.
    pub fn wake(&self, _event: &WebhookEvent) {}

    /// How a broadcast is carried; `None` when it is not.
    pub fn view(&self, _broadcast: &BroadcastId) -> Option<SessionView> {
        None
    }

    /// How all broadcasts are carried, by name.
    pub fn sessions(&self) -> Vec<SessionView> {
        Vec::new()
    }

    /// Removes what is at the provider of this owner's broadcasts that nobody carries. To be called at the start and
    /// once a minute.
    pub async fn reap(&self) -> Result<Reaped, ProviderError> {
        Ok(Reaped::default())
    }
}

#[async_trait]
impl EgressProvider for Hosted {
    fn name(&self) -> &'static str {
        self.provider().as_str()
    }

    async fn open(&self, _order: DestinationOrder) -> Result<OpenDestination, Failure> {
        let words = format!("{} is not built in yet", self.provider());
        Err(Failure::new(Reason::EngineFailed, words))
    }

    async fn shutdown(&self) {}
}
