//! All rooms of this process: makes them, finds them, and outlives them.

use std::{
    collections::{BTreeMap, HashMap},
    panic::AssertUnwindSafe,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use broadcast::{BroadcastId, Method};
use futures_util::FutureExt as _;
use peers::Peers;
use rooms::{EgressOrder, NewRoom, Room, RoomError, RoomFigures, RoomLimits, TransportId};
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    egress::EgressLane,
    events::TransportEvents,
    handle::{JOBS_LIMIT, RoomHandle},
    task::{RoomTask, TransportIndex, wall},
    words::{of_claim, of_guard},
};
use crate::{
    admission::Cost,
    broadcasts::Broadcasts,
    clock::now,
    guard::DestinationGuard,
    metrics::Metrics,
    nodes::{ClaimRefusal, Holding, Membership, Whereabouts},
};

/// What rooms need of this process.
#[derive(Debug, Clone)]
pub struct RoomSettings {
    /// The media workers.
    pub peers: Peers,
    /// The broadcasts, for what goes out.
    pub broadcasts: Broadcasts,
    /// Where destinations may point.
    pub guard: DestinationGuard,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Method of what goes out.
    pub method: Method,
    /// This node's place among others.
    pub(crate) membership: Membership,
    /// The most rooms at a time.
    pub rooms_limit: usize,
    /// The most participants of a room at a time.
    pub participants_limit: usize,
}

/// What a room's members need beside the room.
#[derive(Debug)]
pub(super) struct Outside {
    guard: DestinationGuard,
}

impl Outside {
    /// Refuses what could never go out: no destination, or one that may not be connected to.
    pub(super) fn check_egress(&self, order: EgressOrder) -> Result<EgressOrder, RoomError> {
        if order.destinations.is_empty() {
            return Err(RoomError::Egress("no destination is named".to_owned()));
        }
        for destination in &order.destinations {
            let spec = &destination.spec;
            for endpoint in std::iter::once(&spec.endpoint).chain(&spec.backup) {
                self.guard
                    .check(endpoint)
                    .map_err(|failure| of_guard(&failure))?;
            }
        }
        Ok(order)
    }
}

/// The rooms of this process. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Rooms {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: RoomSettings,
    outside: Arc<Outside>,
    index: TransportIndex,
    draining: AtomicBool,
    /// Only the handles; a lock is held for a look-up and never over an await.
    handles: RwLock<BTreeMap<BroadcastId, RoomHandle>>,
    /// Rooms are opened one after the other.
    opening: tokio::sync::Mutex<()>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Rooms {
    /// No rooms yet.
    pub fn new(settings: RoomSettings) -> Self {
        let outside = Arc::new(Outside {
            guard: settings.guard.clone(),
        });
        Self {
            inner: Arc::new(Inner {
                settings,
                outside,
                index: TransportIndex::default(),
                draining: AtomicBool::new(false),
                handles: RwLock::default(),
                opening: tokio::sync::Mutex::default(),
                tasks: TaskTracker::new(),
                stop: CancellationToken::new(),
            }),
        }
    }

    /// How many rooms there are at most.
    pub fn limit(&self) -> usize {
        self.inner.settings.rooms_limit
    }

    /// Whether there is a room of this name.
    pub fn has(&self, id: &BroadcastId) -> bool {
        self.find(id).is_some()
    }

    /// How much is in each room.
    pub fn figures(&self) -> HashMap<BroadcastId, RoomFigures> {
        self.list()
            .into_iter()
            .map(|handle| ((*handle.id).clone(), *handle.figures.borrow()))
            .collect()
    }

    /// Takes no more rooms from now on.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
    }

    /// Ends all rooms, and returns when the last one is gone.
    pub async fn shutdown(&self) {
        self.drain();
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// Why a room is not here: it is elsewhere, or nowhere.
    pub(super) async fn why_absent(&self, id: &BroadcastId) -> RoomError {
        match self.inner.settings.membership.locate(id.as_str()).await {
            Ok(Whereabouts::Nowhere | Whereabouts::Here) => RoomError::NoSuchRoom,
            Ok(Whereabouts::Elsewhere(node)) => RoomError::Elsewhere(node.url),
            Ok(Whereabouts::Orphaned) => of_claim(ClaimRefusal::Orphaned),
            Err(error) => of_claim(ClaimRefusal::Registry(error)),
        }
    }

    pub(super) fn outside(&self) -> Arc<Outside> {
        Arc::clone(&self.inner.outside)
    }

    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.inner.tasks
    }

    pub(super) fn find(&self, id: &BroadcastId) -> Option<RoomHandle> {
        let handles = self.inner.read();
        handles.get(id).filter(|handle| handle.is_alive()).cloned()
    }

    pub(super) fn find_by_transport(&self, transport: &TransportId) -> Option<RoomHandle> {
        self.find(&*self.inner.index.find(transport)?)
    }

    /// All rooms, by name.
    pub(super) fn list(&self) -> Vec<RoomHandle> {
        let handles = self.inner.read();
        let alive = handles.values().filter(|handle| handle.is_alive());
        alive.cloned().collect()
    }

    /// Finds a room, or makes it. Whether it is new.
    pub(super) async fn open(&self, id: &BroadcastId) -> Result<(RoomHandle, bool), RoomError> {
        if let Some(handle) = self.find(id) {
            return Ok((handle, false));
        }
        let _turn = self.inner.opening.lock().await;
        if let Some(handle) = self.find(id) {
            return Ok((handle, false));
        }
        self.check_new()?;
        let reservation = self
            .inner
            .settings
            .broadcasts
            .admission()
            .try_reserve(Cost::NONE)
            .map_err(|no_room| RoomError::NodeFull(no_room.to_string()))?;
        let claim = self.inner.settings.membership.claim(id.as_str()).await;
        let holding = claim.map_err(of_claim)?;
        let router = self.inner.settings.peers.open_router(id.as_str()).await;
        let id = Arc::new(id.clone());
        let (egress, lane) = EgressLane::new(
            Arc::clone(&id),
            self.inner.settings.broadcasts.clone(),
            self.inner.settings.method,
        );
        let (jobs, job_queue) = mpsc::channel(JOBS_LIMIT);
        let (figures, figures_reader) = watch::channel(RoomFigures::default());
        let task = RoomTask {
            id: Arc::clone(&id),
            room: self.blank(&id),
            peers: self.inner.settings.peers.clone(),
            router,
            jobs: job_queue,
            sessions: HashMap::new(),
            events: TransportEvents::default(),
            outlets: HashMap::new(),
            index: self.inner.index.clone(),
            reservation,
            figures,
            egress,
            previews: HashMap::new(),
            stop: self.inner.stop.child_token(),
            closing: None,
        };
        let handle = RoomHandle {
            id: Arc::clone(&id),
            jobs,
            figures: figures_reader,
        };
        self.inner.write().insert((*id).clone(), handle.clone());
        self.inner.settings.metrics.room_opened();
        self.inner.tasks.spawn(lane);
        let supervising = self.clone().supervise(handle.clone(), task, holding);
        self.inner.tasks.spawn(supervising);
        Ok((handle, true))
    }

    fn check_new(&self) -> Result<(), RoomError> {
        if self.inner.draining.load(Ordering::Relaxed) {
            return Err(RoomError::NodeFull("it is shutting down".to_owned()));
        }
        let limit = self.limit();
        if self.list().len() >= limit {
            return Err(RoomError::NodeFull(format!(
                "it has {limit} rooms, which is the most"
            )));
        }
        Ok(())
    }

    fn blank(&self, id: &BroadcastId) -> Room {
        let new = NewRoom {
            id: id.clone(),
            capabilities: ortc::router_capabilities(),
            limits: RoomLimits {
                participants: self.inner.settings.participants_limit,
                ..RoomLimits::default()
            },
            created: wall(),
            first_ssrc: rand::random(),
        };
        Room::new(new, now())
    }

    /// Outlives a room's task: frees what it had, also when it panicked. Ends it when another node has taken its name.
    async fn supervise(self, handle: RoomHandle, task: RoomTask, holding: Holding) {
        let (peers, router) = (task.peers.clone(), task.router);
        let (stop, mut lost) = (task.stop.clone(), holding.lost());
        let mut running = Box::pin(AssertUnwindSafe(task.run()).catch_unwind());
        let ended = tokio::select! {
            ended = &mut running => ended,
            // The holding lives as long as this, and with it the sender.
            () = async { drop(lost.wait_for(|is_lost| *is_lost).await) } => {
                tracing::warn!(room = %handle.id, "another node has taken the room's name");
                stop.cancel();
                running.await
            }
        };
        if ended.is_err() {
            tracing::error!(room = %handle.id, fault = "gateway", "room broke");
            self.inner.settings.metrics.panicked();
            self.inner.index.forget_room(&handle.id);
            peers.close_router(router).await;
        }
        self.forget(&handle);
        self.inner.settings.membership.release(&holding).await;
    }

    fn forget(&self, handle: &RoomHandle) {
        let mut handles = self.inner.write();
        // The name may belong to a new room by now.
        if handles
            .get(&*handle.id)
            .is_some_and(|known| known.jobs.same_channel(&handle.jobs))
        {
            handles.remove(&*handle.id);
        }
    }
}

impl Inner {
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<BroadcastId, RoomHandle>> {
        self.handles.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<BroadcastId, RoomHandle>> {
        self.handles.write().unwrap_or_else(PoisonError::into_inner)
    }
}
