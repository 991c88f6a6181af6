//! Contribution by RTMP(S): what our own destinations get, once, to the provider.

use std::sync::Arc;

use async_trait::async_trait;
use broadcast::{AfterCut, Endpoint, Failure, Reason};
use pipelines::rtmp::{self, Limits, Place, Programme, Target, Trust};
use tokio::{net::lookup_host, sync::watch, time::timeout};

use super::{Contribute, Contribution, ContributionOrder, ProviderError};

/// Brings shows to providers that take RTMP(S).
#[derive(Debug, Clone)]
pub struct Push {
    trust: Trust,
    limits: Limits,
}

impl Push {
    /// Trusts `trust` and keeps `limits`.
    pub const fn new(trust: Trust, limits: Limits) -> Self {
        Self { trust, limits }
    }

    async fn resolve(&self, endpoint: &Endpoint) -> Result<Vec<std::net::SocketAddr>, Failure> {
        let failed = |words: String| Failure::new(Reason::DnsFailed, words);
        let looked_up = lookup_host((endpoint.host(), endpoint.port()));
        match timeout(self.limits.connect, looked_up).await {
            Ok(Ok(addresses)) => Ok(addresses.collect()),
            Ok(Err(error)) => Err(failed(format!("the name has no address ({error})"))),
            Err(_) => Err(failed("the name was not resolved in time".to_owned())),
        }
    }
}

#[async_trait]
impl Contribute for Push {
    async fn carry(&self, order: ContributionOrder) -> Result<(), ProviderError> {
        let Contribution::Push(endpoint) = order.contribution else {
            return Err(ProviderError::Protocol(
                "a contribution that is not RTMP".to_owned(),
            ));
        };
        let publishing = async {
            let addresses = self.resolve(&endpoint).await?;
            let target = Target {
                endpoint,
                addresses,
                trust: self.trust.clone(),
                limits: self.limits,
            };
            let programme = Programme {
                media: order.show.media,
                hints: order.hints,
                counters: order.counters,
                // What the provider missed is older than what its destinations still wait for.
                after_cut: AfterCut::Jump,
                place: Arc::new(Place::default()),
                curtain: watch::channel(None).1,
                black_box: order.black_box,
            };
            let on_live = || order.flowing.notify_one();
            rtmp::publish(&target, &programme, on_live, order.stop.cancelled()).await
        };
        publishing.await.map_err(ProviderError::Contribution)
    }
}
