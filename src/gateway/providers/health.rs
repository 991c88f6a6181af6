//! Whether hosted providers can be used, asked no more often than their rates can bear.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use broadcast::Provider;
use egress_providers::hosted::ProviderError;
use tokio::sync::Mutex;

use super::Hosting;
use crate::clock::now;

/// How long an answer holds. Whoever looks at a dashboard sees no difference, and shows need the rate more.
const ANSWER_HOLDS: Duration = Duration::from_secs(15);

/// What a provider said of itself, and when.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    pub(crate) asked: Instant,
    pub(crate) answer: Result<(), ProviderError>,
}

/// The latest answer of each provider.
#[derive(Debug)]
pub(crate) struct HealthBook(BTreeMap<Provider, Mutex<Option<Health>>>);

impl HealthBook {
    pub(super) fn new(providers: impl IntoIterator<Item = Provider>) -> Self {
        let empty = |provider| (provider, Mutex::default());
        Self(providers.into_iter().map(empty).collect())
    }

    /// Asks a provider, or tells what it said a moment ago. Whoever asks at the same time waits for the same answer.
    pub(super) async fn ask(&self, hosting: &Hosting) -> Option<Health> {
        let mut known = self.0.get(&hosting.provider.provider())?.lock().await;
        if let Some(health) = known.as_ref()
            && now().saturating_duration_since(health.asked) < ANSWER_HOLDS
        {
            return Some(health.clone());
        }
        let health = Health {
            answer: hosting.provider.health().await,
            asked: now(),
        };
        *known = Some(health.clone());
        Some(health)
    }
}
