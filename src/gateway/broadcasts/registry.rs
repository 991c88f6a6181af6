//! All broadcasts of this process: creates them, finds them, and outlives them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use broadcast::{BroadcastId, BroadcastSpec, BroadcastState};
use peers::Peers;
use pipelines::{Permit, engine::Engines, transcoder::Transcoders};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    carriers::Outside, handle::BroadcastHandle, path::PathSettings, renditions::Workshop,
    room::Room, supervisor::Beginning,
};
use crate::{
    admission::{Admission, Cost, Methods, NoRoom},
    clock::WallClock,
    guard::DestinationGuard,
    metrics::Metrics,
    nodes::{ClaimRefusal, Holding, KeptBroadcast, Membership, Sealer},
    providers::Providers,
    slates::Slates,
};

/// What every broadcast needs from this process.
pub struct Surroundings {
    /// The media workers.
    pub peers: Peers,
    /// Where destinations may point.
    pub guard: DestinationGuard,
    /// Who carries to destinations.
    pub providers: Arc<Providers>,
    /// Who codes slates.
    pub slates: Slates,
    /// How the media path is set up.
    pub path: PathSettings,
    /// Who makes pictures.
    pub engines: Engines,
    /// Who makes renditions.
    pub transcoders: Transcoders,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The most broadcasts at a time.
    pub limit: usize,
    /// The room of this node.
    pub admission: Admission,
    /// Which methods this node can run.
    pub methods: Methods,
    /// This node's place among others.
    pub(crate) membership: Membership,
    /// Who seals what is written down for other nodes; `None`: there are none.
    pub(crate) sealer: Option<Sealer>,
}

/// What became of a wish for a broadcast.
#[derive(Debug)]
pub enum Created {
    /// It is new.
    New(BroadcastHandle),
    /// The same wish was granted before.
    Same(BroadcastHandle),
}

/// Why a broadcast is not created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The id belongs to another broadcast; 409.
    #[error("there is another broadcast of this id")]
    Different,
    /// As many broadcasts as this node takes; 503.
    #[error("this node takes no more broadcasts")]
    Full,
    /// This broadcast costs more than what is free; 503.
    #[error("this node is full: {0}")]
    NoRoom(#[from] NoRoom),
    /// The node is shutting down; 503.
    #[error("this node is shutting down")]
    Draining,
    /// It lives on another node, which goes by this URL; 307.
    #[error("the broadcast lives on another node: {0}")]
    Elsewhere(String),
    /// The node on which it lived is dead, and another is about to take it over; 503.
    #[error("the broadcast is being taken over by another node")]
    Orphaned,
    /// Nobody knows whether another node has it; 503.
    #[error("the registry is not available")]
    RegistryUnavailable,
}

/// The broadcasts of this process. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Broadcasts {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) peers: Peers,
    pub(super) outside: Arc<Outside>,
    pub(super) slates: Slates,
    path: PathSettings,
    pub(super) engines: Engines,
    pub(super) workshop: Workshop,
    pub(super) metrics: Arc<Metrics>,
    limit: usize,
    pub(super) admission: Admission,
    methods: Methods,
    pub(super) membership: Membership,
    pub(super) sealer: Option<Sealer>,
    pub(super) clock: WallClock,
    draining: AtomicBool,
    /// Only the handles; a lock is held for a look-up and never over an await.
    handles: RwLock<BTreeMap<BroadcastId, BroadcastHandle>>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Broadcasts {
    /// No broadcasts yet.
    pub fn new(surroundings: Surroundings) -> Self {
        let Surroundings {
            peers,
            guard,
            providers,
            slates,
            path,
            engines,
            transcoders,
            metrics,
            limit,
            admission,
            methods,
            membership,
            sealer,
        } = surroundings;
        let workshop = Workshop {
            transcoders,
            metrics: Arc::clone(&metrics),
        };
        let outside = Outside {
            guard,
            providers,
            admission: admission.clone(),
        };
        Self {
            inner: Arc::new(Inner {
                peers,
                outside: Arc::new(outside),
                slates,
                path,
                engines,
                workshop,
                metrics,
                limit,
                admission,
                methods,
                membership,
                sealer,
                clock: WallClock::start(),
                draining: AtomicBool::new(false),
                handles: RwLock::default(),
                tasks: TaskTracker::new(),
                stop: CancellationToken::new(),
            }),
        }
    }

    /// Finds a broadcast that has not ended.
    pub fn find(&self, id: &BroadcastId) -> Option<BroadcastHandle> {
        self.inner
            .read()
            .get(id)
            .filter(|handle| is_alive(handle))
            .cloned()
    }

    /// All broadcasts that have not ended, by id.
    pub fn list(&self) -> Vec<BroadcastHandle> {
        self.inner
            .read()
            .values()
            .filter(|handle| is_alive(handle))
            .cloned()
            .collect()
    }

    /// How many broadcasts there are.
    pub fn count(&self) -> usize {
        self.inner.read().len()
    }

    /// Whether a new broadcast would be taken.
    pub fn readiness(&self) -> Result<(), CreateError> {
        if self.inner.draining.load(Ordering::Relaxed) {
            Err(CreateError::Draining)
        } else if self.count() >= self.inner.limit {
            Err(CreateError::Full)
        } else {
            Ok(self.inner.admission.check(Cost::passthrough(1))?)
        }
    }

    /// The room of this node.
    pub fn admission(&self) -> &Admission {
        &self.inner.admission
    }

    /// Which methods this node can run.
    pub fn methods(&self) -> &Methods {
        &self.inner.methods
    }

    /// Who seals what is written down for other nodes; `None`: there are none.
    pub(crate) fn sealer(&self) -> Option<&Sealer> {
        self.inner.sealer.as_ref()
    }

    /// Creates a broadcast, or finds the one that was created by the same wish.
    pub async fn create(&self, spec: BroadcastSpec) -> Result<Created, CreateError> {
        if let Some(existing) = self.find(spec.id()) {
            return existing.same(&spec);
        }
        if self.inner.draining.load(Ordering::Relaxed) {
            return Err(CreateError::Draining);
        }
        let holding = self.inner.membership.claim(spec.id().as_str()).await?;
        let created = self.create_held(spec, &holding);
        // Each claim counts, and only a new broadcast keeps its own until it ends.
        match &created {
            // Whoever is told of it may rely on it, also when this node dies the moment after.
            Ok(Created::New(handle)) => handle.written().await,
            _ => self.inner.membership.release(&holding).await,
        }
        created
    }

    fn create_held(&self, spec: BroadcastSpec, holding: &Holding) -> Result<Created, CreateError> {
        let mut handles = self.inner.write();
        if let Some(existing) = handles.get(spec.id()).filter(|handle| is_alive(handle)) {
            return existing.same(&spec);
        }
        if self.inner.draining.load(Ordering::Relaxed) {
            return Err(CreateError::Draining);
        }
        if handles.len() >= self.inner.limit {
            return Err(CreateError::Full);
        }
        let contribution = self.inner.outside.providers.contribution(spec.method());
        let (admission, engines) = (&self.inner.admission, &self.inner.engines);
        let room = Room::take(admission, engines, &spec, contribution)?;
        let permit = self.inner.membership.permit().of_one();
        let handle = self.spawn(Beginning::new(spec), room, holding.clone(), permit);
        handles.insert(handle.id().clone(), handle.clone());
        self.inner.metrics.broadcast_created();
        Ok(Created::New(handle))
    }

    /// Goes on with a broadcast that another node ran, and that this one holds by now. What stands in for its studio goes out
    /// at once, on the timeline of before, and destinations open.
    ///
    /// It is let in however full this node is: the studio's picture may be refused later, the slate never is. Nothing leaves
    /// this process without `permit`, which is of this broadcast alone.
    ///
    /// # Errors
    /// When there is a broadcast of this name here, or this node takes no more.
    pub(crate) fn restore(
        &self,
        kept: KeptBroadcast,
        holding: Holding,
        permit: Permit,
    ) -> Result<BroadcastHandle, CreateError> {
        let inner = &self.inner;
        let beginning = Beginning::of_kept(kept).map_err(|_| CreateError::Different)?;
        let spec = beginning.current();
        let mut handles = inner.write();
        if handles.get(spec.id()).is_some_and(is_alive) {
            return Err(CreateError::Different);
        }
        if inner.draining.load(Ordering::Relaxed) {
            return Err(CreateError::Draining);
        }
        let contribution = inner.outside.providers.contribution(spec.method());
        let room = Room::take_what_is_left(&inner.admission, &inner.engines, spec, contribution);
        let handle = self.spawn(beginning, room, holding, permit);
        handles.insert(handle.id().clone(), handle.clone());
        inner.metrics.broadcast_created();
        Ok(handle)
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Forgets a broadcast that has ended.
    pub(super) fn forget(&self, ended: &BroadcastHandle) {
        let id = ended.id();
        let mut handles = self.inner.write();
        // The id may belong to a new broadcast by now.
        if handles
            .get(id)
            .is_some_and(|handle| handle.commands.same_channel(&ended.commands))
        {
            handles.remove(id);
        }
    }

    /// Ends a broadcast and returns when its destinations are closed. Ending none is no error.
    pub async fn end(&self, id: &BroadcastId) {
        let handle = self.inner.read().get(id).cloned();
        if let Some(handle) = handle {
            handle.end().await;
        }
    }

    /// Takes no more broadcasts from now on.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
    }

    /// Ends all broadcasts and returns when the last one is gone.
    pub async fn shutdown(&self) {
        self.drain();
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

impl BroadcastHandle {
    /// Itself, if it was created by the same wish.
    fn same(&self, spec: &BroadcastSpec) -> Result<Created, CreateError> {
        if *self.spec() == *spec {
            Ok(Created::Same(self.clone()))
        } else {
            Err(CreateError::Different)
        }
    }
}

impl From<ClaimRefusal> for CreateError {
    fn from(refusal: ClaimRefusal) -> Self {
        match refusal {
            ClaimRefusal::Elsewhere(node) => Self::Elsewhere(node.url),
            ClaimRefusal::Orphaned => Self::Orphaned,
            ClaimRefusal::Registry(error) => {
                tracing::warn!(%error, "a broadcast could not be claimed");
                Self::RegistryUnavailable
            }
        }
    }
}

impl Inner {
    pub(super) fn path_of(&self, spec: &BroadcastSpec) -> PathSettings {
        PathSettings {
            slate_after: spec.slate().enabled().then(|| spec.slate().after()),
            ..self.path
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<BroadcastId, BroadcastHandle>> {
        self.handles.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<BroadcastId, BroadcastHandle>> {
        self.handles.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_alive(handle: &BroadcastHandle) -> bool {
    !handle.commands.is_closed() && handle.snapshot.borrow().state != BroadcastState::Ended
}
