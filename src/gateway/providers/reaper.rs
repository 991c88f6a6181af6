//! Removes at hosted providers what nobody carries any more: what an earlier process left behind, and what could not be
//! removed when it was to be.

use std::{sync::Arc, time::Duration};

use egress_providers::hosted::Hosted;
use tokio::time::{MissedTickBehavior, interval};

use super::Providers;

/// How often. What is left costs money, and each round costs a request or two of a rate that shows need more.
const ROUND: Duration = Duration::from_mins(1);

/// Goes round, beginning now, until it is dropped.
pub(crate) async fn reap(providers: Arc<Providers>) {
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let hosted = providers.hosted();
        let round = hosted.map(|hosting| reap_one(&hosting.provider));
        futures_util::future::join_all(round).await;
    }
}

async fn reap_one(hosted: &Hosted) {
    let provider = hosted.provider();
    match hosted.reap().await {
        Ok(reaped) if reaped.failed > 0 => {
            tracing::warn!(
                %provider,
                stopped = reaped.stopped,
                failed = reaped.failed,
                "some of what was left behind at a provider could not be removed"
            );
        }
        Ok(reaped) if reaped.stopped > 0 => {
            let stopped = reaped.stopped;
            tracing::info!(%provider, stopped, "removed what was left behind at a provider");
        }
        Ok(_) => {}
        Err(error) => {
            tracing::warn!(%provider, %error, "cannot tell what was left behind at a provider");
        }
    }
}
