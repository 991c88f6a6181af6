//! How a show gets to a provider: one trait, with RTMP(S), WHIP and a sidecar behind it.

use std::sync::Arc;

use async_trait::async_trait;
use broadcast::BroadcastId;
use pipelines::rtmp::{BlackBox, Counters, MediaHints};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Contribution, ProviderError};
use crate::Show;

/// One attempt to bring a show to a provider.
#[derive(Debug, Clone)]
pub struct ContributionOrder {
    /// Whose show.
    pub broadcast: BroadcastId,
    /// Where to and how.
    pub contribution: Contribution,
    /// The show.
    pub show: Show,
    /// What is known of it.
    pub hints: MediaHints,
    /// Where to count what goes there; the same for all attempts.
    pub counters: Arc<Counters>,
    /// What is told of the way there; the same for all attempts.
    pub black_box: Arc<BlackBox>,
    /// To be notified (`notify_one`) once the provider takes media.
    pub flowing: Arc<Notify>,
    /// Cancelled when the show is to be taken away: say goodbye, and return.
    pub stop: CancellationToken,
}

/// Brings shows to a provider.
#[async_trait]
pub trait Contribute: Send + Sync + std::fmt::Debug + 'static {
    /// Brings one there until it is asked to stop or the media end (`Ok`), or until it fails. The caller tries again.
    ///
    /// An error whose [`retry`](ProviderError::retry) is `Never` ends the session. After `stop` it returns within three
    /// seconds, or is dropped.
    async fn carry(&self, order: ContributionOrder) -> Result<(), ProviderError>;
}
