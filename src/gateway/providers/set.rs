//! All providers of this node, by name.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use broadcast::{BroadcastId, DESTINATIONS_LIMIT, Method, Provider};
use egress_providers::{
    Capabilities, ContributionKind, EgressProvider, Hot, Leases, Prices,
    hosted::{BreakerState, Hosted, SessionView},
    hybrid::Policy,
};
use futures_util::future::join_all;

use super::{Deliveries, Health, health::HealthBook};
use crate::clock::now;

/// What our own publisher can do.
const OWN: Capabilities = Capabilities {
    contribution: ContributionKind::InProcess,
    hot_add: Hot::Yes,
    hot_remove: Hot::Yes,
    destination_status: true,
    destination_pause: true,
    renditions: true,
    destinations_limit: DESTINATIONS_LIMIT,
    longest_show: None,
    // A connection ends with its process at the latest.
    forgets_after: Duration::ZERO,
    start_limit: Duration::from_secs(10),
    webhooks: false,
    meters: &[],
};

/// A hosted provider, and what it costs.
#[derive(Debug, Clone)]
pub(crate) struct Hosting {
    pub(crate) provider: Arc<Hosted>,
    pub(crate) prices: Prices,
}

/// All providers of this node.
pub struct Providers {
    own: Arc<dyn EgressProvider>,
    hosted: BTreeMap<Provider, Hosting>,
    policy: Policy,
    leases: Arc<dyn Leases>,
    health: HealthBook,
    deliveries: Mutex<Deliveries>,
}

impl Providers {
    pub(super) fn new(
        own: Arc<dyn EgressProvider>,
        hosted: impl IntoIterator<Item = Hosting>,
        policy: Policy,
        leases: Arc<dyn Leases>,
    ) -> Self {
        let named = |hosting: Hosting| (hosting.provider.provider(), hosting);
        let hosted: BTreeMap<_, _> = hosted.into_iter().map(named).collect();
        Self {
            health: HealthBook::new(hosted.keys().copied()),
            own,
            hosted,
            policy,
            leases,
            deliveries: Mutex::default(),
        }
    }

    /// The provider of this name, if it is configured.
    pub(crate) fn find(&self, provider: Provider) -> Option<Arc<dyn EgressProvider>> {
        if provider == Provider::Own {
            return Some(Arc::clone(&self.own));
        }
        let hosting = self.hosted.get(&provider)?;
        Some(Arc::clone(&hosting.provider) as Arc<dyn EgressProvider>)
    }

    /// What the provider of this name can do, if it is configured.
    pub(crate) fn capabilities(&self, provider: Provider) -> Option<&Capabilities> {
        if provider == Provider::Own {
            return Some(&OWN);
        }
        Some(self.hosted.get(&provider)?.provider.capabilities())
    }

    /// How shows get to the provider that a method names; `None` where a rule chooses.
    pub(crate) fn contribution(&self, method: Method) -> Option<ContributionKind> {
        Some(self.capabilities(method.provider()?)?.contribution)
    }

    /// What it costs; our own publisher costs nothing beside the node.
    pub(crate) fn prices(&self, provider: Provider) -> Option<&Prices> {
        self.hosted.get(&provider).map(|hosting| &hosting.prices)
    }

    /// Those on other machines, by name.
    pub(crate) fn hosted(&self) -> impl Iterator<Item = &Hosting> {
        self.hosted.values()
    }

    /// The one of this name, if it is on another machine and configured.
    pub(crate) fn find_hosted(&self, provider: Provider) -> Option<&Hosting> {
        self.hosted.get(&provider)
    }

    /// Whether a provider failed so often that it is not asked at the moment.
    pub(crate) fn is_left_alone(&self, provider: Provider) -> bool {
        self.hosted
            .get(&provider)
            .is_some_and(|hosting| hosting.provider.breaker() == BreakerState::Open)
    }

    /// Whether each of the hosted ones is asked.
    pub(crate) fn breakers(&self) -> Vec<(Provider, BreakerState)> {
        let breaker =
            |(provider, hosting): (&Provider, &Hosting)| (*provider, hosting.provider.breaker());
        self.hosted.iter().map(breaker).collect()
    }

    /// How hybrid broadcasts choose.
    pub(crate) const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What a provider says of itself, a few seconds old at most; `None` when it is not on another machine.
    pub(crate) async fn health(&self, provider: Provider) -> Option<Health> {
        self.health.ask(self.hosted.get(&provider)?).await
    }

    /// Notes a verified webhook; returns whether it is new.
    pub(crate) fn note_delivery(&self, provider: Provider, id: &str) -> bool {
        let mut deliveries = self
            .deliveries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        deliveries.note(provider, id, now())
    }

    /// Who may publish with which key.
    pub(crate) const fn leases(&self) -> &Arc<dyn Leases> {
        &self.leases
    }

    /// How a broadcast is carried at each of the hosted providers that carry it.
    pub(crate) fn views(&self, broadcast: &BroadcastId) -> Vec<(Provider, SessionView)> {
        let view = |(provider, hosting): (&Provider, &Hosting)| {
            Some((*provider, hosting.provider.view(broadcast)?))
        };
        self.hosted.iter().filter_map(view).collect()
    }

    /// Ends all destinations in order, and returns when they have ended.
    pub(crate) async fn shutdown(&self) {
        let hosted = self.hosted.values();
        let ending = join_all(hosted.map(|hosting| hosting.provider.shutdown()));
        tokio::join!(self.own.shutdown(), ending);
    }
}

impl fmt::Debug for Providers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Providers")
            .field("hosted", &self.hosted.keys())
            .finish_non_exhaustive()
    }
}
