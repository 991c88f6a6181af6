//! How a broadcast is at hosted providers, also after it was there: what it has cost stays to be told.

use std::{collections::BTreeMap, time::Instant};

use broadcast::{BroadcastId, Provider};
use egress_providers::hosted::SessionView;

use super::snapshot::{Expense, HostedSnapshot};
use crate::{
    clock::{WallClock, now},
    providers::Providers,
};

/// The latest that was seen of a broadcast at each hosted provider.
#[derive(Debug, Default)]
pub(super) struct HostingBook(BTreeMap<Provider, Page>);

#[derive(Debug)]
struct Page {
    view: SessionView,
    seen: Instant,
}

impl HostingBook {
    /// Looks at how it is now.
    pub(super) fn look(&mut self, providers: &Providers, broadcast: &BroadcastId) {
        let seen = now();
        for (provider, view) in providers.views(broadcast) {
            self.0.insert(provider, Page { view, seen });
        }
    }

    /// What there is and was, by provider.
    pub(super) fn show(
        &self,
        providers: &Providers,
        broadcast: &BroadcastId,
        clock: &WallClock,
    ) -> Vec<HostedSnapshot> {
        let seen = now();
        let views: BTreeMap<Provider, SessionView> =
            providers.views(broadcast).into_iter().collect();
        let running = views.iter().map(|(provider, view)| {
            let since = seen.checked_sub(view.since).unwrap_or(seen);
            let snapshot = snapshot(*provider, view, providers);
            (
                *provider,
                HostedSnapshot {
                    since: clock.at(since),
                    ..snapshot
                },
            )
        });
        let ended = self
            .0
            .iter()
            .filter(|(provider, _)| !views.contains_key(provider));
        let ended = ended.map(|(provider, page)| {
            let view = SessionView {
                using: BTreeMap::new(),
                ..page.view.clone()
            };
            let snapshot = HostedSnapshot {
                state: None,
                since: clock.at(page.seen),
                ..snapshot(*provider, &view, providers)
            };
            (*provider, snapshot)
        });
        let all: BTreeMap<_, _> = ended.chain(running).collect();
        all.into_values().collect()
    }
}

fn snapshot(provider: Provider, view: &SessionView, providers: &Providers) -> HostedSnapshot {
    let prices = providers
        .prices(provider)
        .filter(|prices| prices.are_known());
    HostedSnapshot {
        provider,
        state: Some(view.state),
        since: jiff::Timestamp::UNIX_EPOCH,
        contribution: view.contribution,
        arrival: view.arrival,
        brought: view.brought,
        cost: prices.map(|prices| Expense {
            per_hour: prices.for_units(&view.using).times(60),
            so_far: prices.for_use(&view.used),
        }),
    }
}
