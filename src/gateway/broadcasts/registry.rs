//! All broadcasts of this process: creates them, finds them, and outlives them.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use broadcast::{BroadcastId, BroadcastSpec, BroadcastState, Machine};
use egress_providers::MediaHints;
use futures_util::FutureExt as _;
use peers::{Peers, SinkId};
use pipelines::{engine::Engines, path::Showing, transcoder::Transcoders};
use tokio::sync::{broadcast as fan, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    carriers::{Carriers, Outside},
    handle::{BroadcastHandle, CHANGES_LIMIT, COMMANDS_LIMIT},
    lookout::Lookout,
    path::{NewPath, PathSettings, plan_of},
    plain::PlainBook,
    renditions::{Renditions, Workshop},
    room::Room,
    runner::{Outlets, Runner},
    snapshot::Snapshot,
    stand_in::SlatePlace,
    studio::Studios,
    thumbnails::Thumbnails,
    vigil::Vigil,
};
use crate::{
    admission::{Admission, Cost, Methods, NoRoom},
    clock::{WallClock, now},
    guard::DestinationGuard,
    metrics::Metrics,
    nodes::{ClaimRefusal, Holding, Membership},
    providers::Providers,
    slates::{Slate, Slates},
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
struct Inner {
    peers: Peers,
    outside: Arc<Outside>,
    slates: Slates,
    path: PathSettings,
    engines: Engines,
    workshop: Workshop,
    metrics: Arc<Metrics>,
    limit: usize,
    admission: Admission,
    methods: Methods,
    membership: Membership,
    clock: WallClock,
    draining: AtomicBool,
    /// Only the handles; a lock is held for a look-up and never over an await.
    handles: RwLock<BTreeMap<BroadcastId, BroadcastHandle>>,
    tasks: TaskTracker,
    stop: CancellationToken,
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

    /// Creates a broadcast, or finds the one that was created by the same wish.
    pub async fn create(&self, spec: BroadcastSpec) -> Result<Created, CreateError> {
        if let Some(existing) = self.find(spec.id()) {
            return existing.same(&spec);
        }
        if self.inner.draining.load(Ordering::Relaxed) {
            return Err(CreateError::Draining);
        }
        let holding = self.inner.membership.claim(spec.id().as_str()).await?;
        let id = spec.id().clone();
        let created = self.create_held(spec, &holding);
        if created.is_err() && self.find(&id).is_none() {
            self.inner.membership.release(&holding).await;
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
        let handle = self.spawn(spec, room, holding.clone());
        handles.insert(handle.id().clone(), handle.clone());
        self.inner.metrics.broadcast_created();
        Ok(Created::New(handle))
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

    fn spawn(&self, spec: BroadcastSpec, room: Room, holding: Holding) -> BroadcastHandle {
        let inner = &self.inner;
        let created = now();
        let spec = Arc::new(spec);
        let machine = Machine::new(&spec, rand::random(), created);
        let slate = Slate::new(&inner.slates, spec.slate().title(), spec.slate().enabled());
        let (slate_place, coded) = SlatePlace::new(spec.id().clone(), slate.clone());
        let plan = plan_of(spec.method(), spec.video());
        let path = NewPath::new(inner.path_of(&spec), coded, inner.engines.clone(), plan);
        let inspector = inner.slates.inspector();
        let thumbnails =
            Thumbnails::new(inspector.clone(), path.subscriber.clone(), rand::random());
        let lookout = Lookout::new(inspector.clone(), thumbnails.clone());
        let hints = MediaHints::default();
        let renditions = Renditions::new(
            spec.id().clone(),
            inner.workshop.clone(),
            path.subscriber.clone(),
            slate.clone(),
            path.status.clone(),
        );
        let carriers = Carriers::new(
            Arc::clone(&spec),
            Arc::clone(&inner.outside),
            (path.subscriber, path.opus),
            renditions,
            hints,
            Arc::clone(&inner.metrics),
        );
        let (commands, command_queue) = mpsc::channel(COMMANDS_LIMIT);
        let (changes, _) = fan::channel(CHANGES_LIMIT);
        let blank = Snapshot::blank(&spec, slate.describe(), inner.clock.at(created));
        let (snapshot, snapshot_reader) = watch::channel(Arc::new(blank));
        let outlets = Outlets { snapshot, changes };
        let runner = Runner {
            spec: Arc::clone(&spec),
            machine,
            clock: inner.clock,
            created,
            peers: inner.peers.clone(),
            path: path.status.clone(),
            method: spec.method(),
            video: *spec.video(),
            steps_down: inner.admission.steps_down(),
            room,
            plan: path.plan,
            carriers,
            commands: command_queue,
            outlets: outlets.clone(),
            metrics: Arc::clone(&inner.metrics),
            stop: inner.stop.child_token(),
            studios: Studios::default(),
            plain: PlainBook::default(),
            vigil: Vigil::default(),
            lookout,
            slate: slate_place,
            shown: Showing::default(),
            sink: None,
        };
        runner.show(0);
        let path_status = path.status;
        let handle = BroadcastHandle {
            spec,
            slate,
            thumbnails,
            path: path_status,
            sink: Arc::default(),
            commands,
            snapshot: snapshot_reader,
            changes: outlets.changes.downgrade(),
        };
        let supervisor = Supervisor {
            broadcasts: self.clone(),
            handle: handle.clone(),
            holding,
            outlets,
        };
        inner.tasks.spawn(supervisor.run(runner, path.sink));
        handle
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
    fn path_of(&self, spec: &BroadcastSpec) -> PathSettings {
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

/// Whoever outlives a broadcast's task: frees what it had, also when it panicked.
struct Supervisor {
    broadcasts: Broadcasts,
    handle: BroadcastHandle,
    holding: Holding,
    outlets: Outlets,
}

impl Supervisor {
    async fn run(self, runner: Runner, sink: Box<dyn media::MediaSink>) {
        let inner = &self.broadcasts.inner;
        let id = self.handle.id().clone();
        let sink: SinkId = inner.peers.attach(id.as_str(), sink).await;
        let _ = self.handle.sink.set(sink);
        let running = runner.run(sink);
        if Box::pin(AssertUnwindSafe(running).catch_unwind())
            .await
            .is_err()
        {
            tracing::error!(broadcast = %id, fault = "gateway", "broadcast broke");
            inner.metrics.panicked();
            self.outlets.tell_broken(&inner.clock);
        }
        inner.peers.detach(sink).await;
        self.forget();
        inner.membership.release(&self.holding).await;
        inner.metrics.broadcast_ended();
    }
    fn forget(&self) {
        let id = self.handle.id();
        let mut handles = self.broadcasts.inner.write();
        // The id may belong to a new broadcast by now.
        if handles
            .get(id)
            .is_some_and(|handle| handle.commands.same_channel(&self.handle.commands))
        {
            handles.remove(id);
        }
    }
}
