//! The heartbeat: tells that this node lives, looks after what it holds, and follows how it stands.

use std::{pin::pin, sync::atomic::Ordering, time::Duration};

use fleet::{ClaimError, LedgerError, RegistryError, Standing};
use futures_util::future::{Either, pending};
use tokio::time::{MissedTickBehavior, interval};

use super::{Holding, Membership, membership::View, standing::Change};
use crate::clock::now;

/// How often a node tells that it lives: three times within what it is remembered for.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// How often a node looks how it stands: the permit ends by itself, and what is late is only its renewal.
const STANDING_INTERVAL: Duration = Duration::from_millis(250);

impl Membership {
    /// Tells that this node lives, again and again, and renews or ends the permit to publish. Never returns.
    pub(crate) async fn keep(self) {
        tokio::join!(self.beat_on(), self.watch_standing());
    }

    async fn beat_on(&self) {
        let mut ticks = interval(HEARTBEAT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looked_at = String::new();
        loop {
            ticks.tick().await;
            match self.beat(&mut looked_at).await {
                Ok(()) => {}
                Err(RegistryError::Ledger(LedgerError::Superseded(_))) => {
                    self.give_up();
                    return;
                }
                Err(error) => self.handle_silence(&error),
            }
        }
    }

    /// One heartbeat. What this node holds is looked after before it counts: if it was taken over meanwhile, that is known
    /// before media may leave again.
    async fn beat(&self, looked_at: &mut String) -> Result<(), RegistryError> {
        let inner = self.inner();
        let sent = now();
        let was_late = inner.post.is_late(sent);
        let epoch = self.epoch();
        inner.registry.heartbeat(&self.report(), epoch).await?;
        if was_late {
            self.tell_all_again().await?;
        } else {
            self.look_after_one(looked_at).await?;
        }
        let fleet = inner.registry.fleet().await?;
        inner.post.handle_heartbeat(sent, fleet.size);
        self.follow_standing();
        if let Some(others) = &inner.others {
            others.meet(&inner.profile.id, &fleet.alive, now());
        }
        let was_reachable = self.view().reachable;
        self.see(View {
            fleet,
            at: now(),
            reachable: true,
        });
        if !was_reachable {
            tracing::info!("the registry answers again");
        }
        Ok(())
    }

    fn handle_silence(&self, error: &RegistryError) {
        if self.view().reachable {
            tracing::warn!(%error, "the registry does not answer");
        } else {
            tracing::debug!(%error, "the registry still does not answer");
        }
        self.lose_sight();
    }

    /// A registry that forgot one holding has forgotten others: it lost its memory. One is looked at with each heartbeat.
    async fn look_after_one(&self, looked_at: &mut String) -> Result<(), RegistryError> {
        let inner = self.inner();
        let Some(holding) = inner.holdings.after(looked_at) else {
            return Ok(());
        };
        holding.broadcast().clone_into(looked_at);
        let holder = inner.registry.holder(holding.broadcast()).await?;
        match holder {
            Some((_, fence)) if fence == holding.fence() => Ok(()),
            // It ended while the registry was asked.
            _ if !inner.holdings.has(&holding) => Ok(()),
            Some(_) => self.tell_again(&holding).await,
            None => {
                tracing::warn!("the registry has lost its memory and is told again");
                self.tell_all_again().await
            }
        }
    }

    async fn tell_all_again(&self) -> Result<(), RegistryError> {
        for holding in self.inner().holdings.all() {
            self.tell_again(&holding).await?;
        }
        Ok(())
    }

    /// Tells the registry of a holding; somebody else may have it by now.
    async fn tell_again(&self, holding: &Holding) -> Result<(), RegistryError> {
        let inner = self.inner();
        let _turn = inner.holdings.turn(holding.broadcast()).await;
        if !inner.holdings.has(holding) {
            return Ok(());
        }
        let (name, fence) = (holding.broadcast(), holding.fence());
        let told = inner
            .registry
            .reclaim(
                name,
                &inner.profile.id,
                self.epoch(),
                fence,
                holding.state(),
            )
            .await;
        match told {
            Err(RegistryError::Claim(ClaimError::Fenced)) => {
                tracing::warn!(broadcast = name, "another node has taken it over");
                holding.lose();
                Ok(())
            }
            told => told,
        }
    }

    /// Another process has this node's name: whatever this one held is the other's to take over.
    fn give_up(&self) {
        let inner = self.inner();
        let node = &inner.profile.id;
        tracing::error!(%node, fault = "gateway", "another process has registered under this node's SERVER_ID; this one gives up");
        inner.post.handle_end();
        self.drain();
        for holding in inner.holdings.all() {
            holding.lose();
        }
        self.lose_sight();
    }

    async fn watch_standing(&self) {
        let Some(others) = &self.inner().others else {
            return pending().await;
        };
        let mut ticks = interval(STANDING_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.inner().post.begin_asking(now()) {
                let mut asking = pin!(others.ask());
                // The permit must be looked after while the others take their time.
                let answers = loop {
                    let tick = pin!(ticks.tick());
                    match futures_util::future::select(asking.as_mut(), tick).await {
                        Either::Left((answers, _)) => break answers,
                        Either::Right(_) => self.follow_standing(),
                    }
                };
                self.inner().post.handle_peers(answers, now());
            }
            self.follow_standing();
        }
    }

    fn follow_standing(&self) {
        let post = &self.inner().post;
        let Some(Change { before, after }) = post.follow(now()) else {
            return;
        };
        match after {
            Standing::Known => tracing::info!("this node is known to the registry again"),
            Standing::Trusted => {
                tracing::warn!("most nodes do not reach the registry; broadcasts go on without it");
            }
            Standing::Cut => {
                self.inner().fenced.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    ?before,
                    "this node may have been taken over; nothing leaves it"
                );
            }
        }
    }
}
