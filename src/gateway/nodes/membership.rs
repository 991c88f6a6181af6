//! This node's place in the fleet: what it tells of itself, what it knows of the others, and what it holds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use fleet::{
    Adopted, ClaimError, Epoch, Fence, Fleet, MemoryRegistry, NodeId, NodeReport, Orphan, Registry,
    RegistryError, Standing, Times,
};
use pipelines::Permit;
use tokio::sync::watch;

use super::{Holding, JoinError, Profile, holdings::Holdings, others::Others, standing::Post};
use crate::{admission::Admission, clock::now, metrics::FleetFigures};

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

/// What a node says of its registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// There is none: the process is alone.
    Alone,
    /// It answers.
    Reachable,
    /// It has not answered for half of the time that it remembers a node.
    Unreachable,
}

impl Sight {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Reachable => "reachable",
            Self::Unreachable => "unreachable",
        }
    }
}

/// This node's place in the fleet. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Membership {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) registry: Arc<dyn Registry>,
    pub(super) profile: Profile,
    admission: Admission,
    pub(super) post: Post,
    epoch: Epoch,
    draining: AtomicBool,
    view: watch::Sender<Arc<View>>,
    pub(super) holdings: Holdings,
    /// `None`: there are none to be asked, the process is alone.
    pub(super) others: Option<Others>,
    /// How often this node was cut off.
    pub(super) fenced: AtomicU64,
    /// How many broadcasts it has taken over from dead nodes.
    adopted: AtomicU64,
}

impl Membership {
    /// Of a process that knows no others.
    pub(crate) async fn alone(profile: Profile, admission: Admission) -> Result<Self, JoinError> {
        let times = Times {
            node: NEVER,
            ..Times::default()
        };
        let registry = Arc::new(MemoryRegistry::new(times));
        let post = Post::new(times, Permit::unlimited());
        Self::enter(registry, profile, admission, post, None).await
    }

    /// Registers this node among others; the registry goes by these times.
    ///
    /// # Errors
    /// When another process of this name is alive, or the registry cannot be used.
    pub(crate) async fn join(
        registry: Arc<dyn Registry>,
        profile: Profile,
        admission: Admission,
        permit: Permit,
    ) -> Result<Self, JoinError> {
        let post = Post::new(Times::default(), permit);
        let others = Others::new()?;
        Self::enter(registry, profile, admission, post, Some(others)).await
    }

    async fn enter(
        registry: Arc<dyn Registry>,
        profile: Profile,
        admission: Admission,
        post: Post,
        others: Option<Others>,
    ) -> Result<Self, JoinError> {
        let report = profile.report(&admission, 0, false);
        let sent = now();
        let epoch = registry.register(&report).await?;
        let fleet = registry.fleet().await?;
        post.handle_heartbeat(sent, fleet.size);
        post.follow(now());
        let view = View {
            fleet,
            at: now(),
            reachable: true,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                registry,
                profile,
                admission,
                post,
                epoch,
                draining: AtomicBool::new(false),
                view: watch::Sender::new(Arc::new(view)),
                holdings: Holdings::default(),
                others,
                fenced: AtomicU64::new(0),
                adopted: AtomicU64::new(0),
            }),
        })
    }

    /// What this node tells of itself now.
    pub(crate) fn report(&self) -> NodeReport {
        let inner = &self.inner;
        let count = inner.holdings.count();
        inner
            .profile
            .report(&inner.admission, count, self.is_draining())
    }

    /// Whether there are no others.
    pub(crate) fn is_alone(&self) -> bool {
        self.inner.others.is_none()
    }

    /// What this node says of its registry.
    pub(crate) fn sight(&self) -> Sight {
        if self.is_alone() {
            Sight::Alone
        } else if self.inner.post.is_blind(now()) {
            Sight::Unreachable
        } else {
            Sight::Reachable
        }
    }

    /// How this node stands.
    pub(crate) fn standing(&self) -> Standing {
        self.inner.post.standing()
    }

    /// What is counted of the nodes.
    pub(crate) fn figures(&self) -> FleetFigures {
        let view = self.view();
        let Fleet { alive, size } = &view.fleet;
        let draining = alive.iter().filter(|node| node.draining).count();
        FleetFigures {
            open: alive.len() - draining,
            draining,
            dead: size.saturating_sub(alive.len()),
            reachable: view.reachable,
            fenced: self.inner.fenced.load(Ordering::Relaxed),
            adopted: self.inner.adopted.load(Ordering::Relaxed),
        }
    }

    /// What is known of the fleet.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.inner.view.borrow())
    }

    /// Whether media may leave this process.
    pub(crate) fn permit(&self) -> &Permit {
        self.inner.post.permit()
    }

    /// From now on it is told that this node takes no more broadcasts.
    pub(crate) fn drain(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
    }

    /// Whether it takes no more.
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
        let adopted = inner
            .registry
            .adopt(orphan, &inner.profile.id, inner.epoch)
            .await;
        let Adopted { fence, state } = adopted?;
        let holding = self.hold(&orphan.broadcast, fence, state.clone());
        // A room's name comes without a state, and is only freed.
        if !state.is_empty() {
            inner.adopted.fetch_add(1, Ordering::Relaxed);
        }
        Ok((holding, state))
    }

    /// Has this node hold a broadcast or a room. Claiming what it holds already gives the same number, and whoever claimed
    /// releases: the last one gives it back.
    pub(crate) async fn claim(&self, broadcast: &str) -> Result<Holding, ClaimRefusal> {
        let inner = &self.inner;
        let _turn = inner.holdings.turn(broadcast).await;
        if let Some(holding) = inner.holdings.join(broadcast) {
            return Ok(holding);
        }
        let claim = inner
            .registry
            .claim(broadcast, &inner.profile.id, self.epoch())
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
        let inner = &self.inner;
        let is_here = || inner.holdings.find(broadcast).is_some();
        if is_here() {
            return Ok(Whereabouts::Here);
        }
        let Some((node, _)) = inner.registry.holder(broadcast).await? else {
            return Ok(Whereabouts::Nowhere);
        };
        if node == inner.profile.id {
            // An earlier process of this name held it, unless it has just come.
            return Ok(if is_here() {
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
    pub(crate) fn hold(&self, broadcast: &str, fence: Fence, state: Vec<u8>) -> Holding {
        let registry = Arc::clone(&self.inner.registry);
        let holding = Holding::new(registry, broadcast.to_owned(), fence, state);
        self.inner.holdings.add(holding)
    }

    /// The broadcast or the room has ended, or is another node's.
    pub(crate) async fn release(&self, holding: &Holding) {
        let holdings = &self.inner.holdings;
        let _turn = holdings.turn(holding.broadcast()).await;
        if holdings.remove(holding)
            && let Err(error) = holding.release().await
        {
            tracing::warn!(broadcast = holding.broadcast(), %error, "the registry was not told of an end");
        }
    }

    /// Leaves the fleet; what is still held is anybody's at once.
    pub(crate) async fn leave(&self) {
        let inner = &self.inner;
        let left = inner.registry.leave(&inner.profile.id, self.epoch()).await;
        if let Err(error) = left {
            tracing::warn!(%error, "the registry was not told that this node goes");
        }
    }

    /// By which number this process is registered.
    pub(crate) fn epoch(&self) -> Epoch {
        self.inner.epoch
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(super) fn see(&self, view: View) {
        self.inner.view.send_replace(Arc::new(view));
    }

    /// The registry did not answer; what it told before still stands.
    pub(super) fn lose_sight(&self) {
        self.inner.view.send_modify(|view| {
            Arc::make_mut(view).reachable = false;
        });
    }
}
