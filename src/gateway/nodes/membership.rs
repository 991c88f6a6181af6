//! The heartbeat of this node, what it knows of the others, and the broadcasts it holds.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use fleet::{
    Adopted, ClaimError, Epoch, Fleet, MemoryRegistry, NodeId, NodeReport, Orphan, Registry,
    RegistryError, Times,
};
use pipelines::Permit;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::{Holding, JoinError, Profile};
use crate::{admission::Admission, clock::now};

/// How often a node tells that it lives: three times within what it is remembered for.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// A process alone is never forgotten by itself, however long it stands still.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Why a broadcast cannot be held here.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ClaimRefusal {
    /// It lives on another node.
    #[error("the broadcast lives on node '{}'", .0.id)]
    Elsewhere(Box<NodeReport>),
    /// Its node is dead, and another is about to take it over.
    #[error("the broadcast is being taken over by another node")]
    Orphaned,
    /// The registry.
    #[error(transparent)]
    Registry(RegistryError),
}

/// Where a broadcast is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// Nobody has it.
    Nowhere,
    /// This node holds it.
    Here,
    /// Another node holds it.
    Elsewhere(Box<NodeReport>),
    /// Its node is dead, and another is about to take it over.
    Orphaned,
}

/// What is known of the fleet.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) fleet: Fleet,
    /// When the registry told it.
    pub(crate) at: Instant,
    /// Whether the registry answered when it was asked last.
    pub(crate) reachable: bool,
}

/// This node's place in the fleet. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Membership {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Arc<dyn Registry>,
    profile: Profile,
    admission: Admission,
    permit: Permit,
    epoch: Mutex<Epoch>,
    draining: AtomicBool,
    view: watch::Sender<Arc<View>>,
    /// A lock is held for a look-up and never over an await.
    holdings: Mutex<BTreeMap<String, Holding>>,
}

impl Membership {
    /// Of a process that knows no others.
    pub(crate) async fn alone(profile: Profile, admission: Admission) -> Result<Self, JoinError> {
        let times = Times {
            node: NEVER,
            ..Times::default()
        };
        let registry = Arc::new(MemoryRegistry::new(times));
        Self::join(registry, profile, admission, Permit::unlimited()).await
    }

    /// Registers this node.
    ///
    /// # Errors
    /// When another process of this name is alive, or the registry cannot be used.
    pub(crate) async fn join(
        registry: Arc<dyn Registry>,
        profile: Profile,
        admission: Admission,
        permit: Permit,
    ) -> Result<Self, JoinError> {
        let report = profile.report(&admission, 0, false);
        let epoch = registry.register(&report).await?;
        let view = View {
            fleet: registry.fleet().await?,
            at: now(),
            reachable: true,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                registry,
                profile,
                admission,
                permit,
                epoch: Mutex::new(epoch),
                draining: AtomicBool::new(false),
                view: watch::Sender::new(Arc::new(view)),
                holdings: Mutex::default(),
            }),
        })
    }

    /// What this node tells of itself now.
    pub(crate) fn report(&self) -> NodeReport {
        let inner = &self.inner;
        let draining = inner.draining.load(Ordering::Relaxed);
        let count = self.holdings().len();
        inner.profile.report(&inner.admission, count, draining)
    }

    /// What is known of the fleet.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.inner.view.borrow())
    }

    /// Whether media may leave this process.
    pub(crate) fn permit(&self) -> &Permit {
        &self.inner.permit
    }

    /// From now on it is told that this node takes no more broadcasts.
    pub(crate) fn drain(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
    }

    /// Whether it is told that this node takes no more broadcasts.
    pub(crate) fn is_draining(&self) -> bool {
        self.inner.draining.load(Ordering::Relaxed)
    }

    /// This node's name.
    pub(crate) fn id(&self) -> &NodeId {
        &self.inner.profile.id
    }

    /// What keeps the ledger.
    pub(crate) fn registry(&self) -> &dyn Registry {
        &*self.inner.registry
    }

    /// Takes over a broadcast whose node is dead; returns what that had written down of it, as it was sealed.
    pub(crate) async fn adopt(&self, orphan: &Orphan) -> Result<(Holding, Vec<u8>), RegistryError> {
        let inner = &self.inner;
        let epoch = *inner.epoch();
        let adopted = inner.registry.adopt(orphan, &inner.profile.id, epoch);
        let Adopted { fence, state } = adopted.await?;
        let holding = self.hold(&orphan.broadcast, fence, state.clone());
        Ok((holding, state))
    }

    /// Has this node hold a broadcast. Claiming what it holds already gives the same number.
    pub(crate) async fn claim(&self, broadcast: &str) -> Result<Holding, ClaimRefusal> {
        let inner = &self.inner;
        let epoch = *inner.epoch();
        let claim = inner
            .registry
            .claim(broadcast, &inner.profile.id, epoch)
            .await;
        match claim {
            Ok(claim) => Ok(self.hold(broadcast, claim.fence, Vec::new())),
            Err(RegistryError::Claim(ClaimError::Held(node))) => {
                let fleet = inner.registry.fleet().await;
                let fleet = fleet.map_err(ClaimRefusal::Registry)?;
                let holder = fleet.alive.into_iter().find(|report| report.id == node);
                holder.map_or(Err(ClaimRefusal::Orphaned), |report| {
                    Err(ClaimRefusal::Elsewhere(Box::new(report)))
                })
            }
            Err(RegistryError::Claim(ClaimError::Orphaned)) => Err(ClaimRefusal::Orphaned),
            Err(error) => Err(ClaimRefusal::Registry(error)),
        }
    }

    /// Finds out where a broadcast is.
    pub(crate) async fn locate(&self, broadcast: &str) -> Result<Whereabouts, RegistryError> {
        if self.holdings().contains_key(broadcast) {
            return Ok(Whereabouts::Here);
        }
        let inner = &self.inner;
        let Some((node, _)) = inner.registry.holder(broadcast).await? else {
            return Ok(Whereabouts::Nowhere);
        };
        if node == inner.profile.id {
            // An earlier process of this name held it, unless it has just come.
            let is_here = self.holdings().contains_key(broadcast);
            return Ok(if is_here {
                Whereabouts::Here
            } else {
                Whereabouts::Orphaned
            });
        }
        let fleet = inner.registry.fleet().await?;
        let holder = fleet.alive.into_iter().find(|report| report.id == node);
        Ok(holder.map_or(Whereabouts::Orphaned, |report| {
            Whereabouts::Elsewhere(Box::new(report))
        }))
    }

    /// Notes that this node holds a broadcast by this number.
    pub(crate) fn hold(&self, broadcast: &str, fence: fleet::Fence, state: Vec<u8>) -> Holding {
        let mut holdings = self.holdings();
        if let Some(known) = holdings.get(broadcast)
            && known.fence() == fence
        {
            return known.clone();
        }
        let registry = Arc::clone(&self.inner.registry);
        let holding = Holding::new(registry, broadcast.to_owned(), fence, state);
        holdings.insert(broadcast.to_owned(), holding.clone());
        holding
    }

    /// The broadcast has ended, or is another node's.
    pub(crate) async fn release(&self, holding: &Holding) {
        self.forget(holding);
        if let Err(error) = holding.release().await {
            tracing::warn!(broadcast = holding.broadcast(), %error, "the registry was not told of an end");
        }
    }

    /// Tells that this node lives, again and again. Never returns.
    pub(crate) async fn keep(self) {
        let mut ticks = interval(HEARTBEAT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.beat().await {
                tracing::warn!(%error, "the registry does not answer");
                self.inner.view.send_modify(|view| {
                    Arc::make_mut(view).reachable = false;
                });
            }
        }
    }

    async fn beat(&self) -> Result<(), RegistryError> {
        let inner = &self.inner;
        let epoch = *inner.epoch();
        inner.registry.heartbeat(&self.report(), epoch).await?;
        let view = View {
            fleet: inner.registry.fleet().await?,
            at: now(),
            reachable: true,
        };
        inner.view.send_replace(Arc::new(view));
        Ok(())
    }

    /// Leaves the fleet; what is still held is anybody's at once.
    pub(crate) async fn leave(&self) {
        let inner = &self.inner;
        let epoch = *inner.epoch();
        if let Err(error) = inner.registry.leave(&inner.profile.id, epoch).await {
            tracing::warn!(%error, "the registry was not told that this node goes");
        }
    }

    fn forget(&self, holding: &Holding) {
        let mut holdings = self.holdings();
        let newest = holdings.get(holding.broadcast());
        if newest.is_some_and(|newest| newest.fence() == holding.fence()) {
            holdings.remove(holding.broadcast());
        }
    }

    fn holdings(&self) -> MutexGuard<'_, BTreeMap<String, Holding>> {
        let holdings = self.inner.holdings.lock();
        holdings.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn epoch(&self) -> MutexGuard<'_, Epoch> {
        self.epoch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
