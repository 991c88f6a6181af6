//! A room's way to platforms: one lane beside the room's task, so that a platform that takes its time holds nobody up.

use std::{collections::HashSet, sync::Arc, time::Duration};

use broadcast::{
    BroadcastId, BroadcastSpec, BroadcastState, Change, DestinationId, DestinationSpec,
    DestinationState, Endpoint, Method, Platform,
};
use futures_util::future::BoxFuture;
use ortc::MediaKind;
use rooms::{EgressOrder, EgressView, Place, ProducerId, RoomDestination, RoomError};
use tokio::{
    sync::{broadcast as fan, mpsc, oneshot},
    time::timeout,
};

use super::{
    codec::video_codec,
    pass::Pass,
    task::RoomTask,
    words::{of_command, of_create, of_publish, of_spec},
};
use crate::broadcasts::{
    BroadcastHandle, Broadcasts, CompositeOrder, Created, DatedChange, StudioIdentity,
};

/// How many orders may wait for a lane; they come from people who press a button.
const ORDERS_LIMIT: usize = 8;

/// How much news may wait for the room's task, which reads at once.
const NEWS_LIMIT: usize = 64;

/// How long a start or a stop may take. Clients give up after 10 s.
const EGRESS_TIMEOUT: Duration = Duration::from_secs(8);

/// What becomes of a room's programme.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EgressNews {
    /// It goes out.
    Began,
    /// A destination works, by its label.
    Live(String),
    /// It goes out no more, for the reason in words.
    Ended(String),
}

enum LaneOrder {
    Start(Box<Wish>, oneshot::Sender<Result<EgressView, RoomError>>),
    Stop(oneshot::Sender<()>),
}

struct Wish {
    destinations: Vec<RoomDestination>,
    composite: CompositeOrder,
}

/// The room's end of its lane.
pub(super) struct EgressLane {
    orders: Option<mpsc::Sender<LaneOrder>>,
    news: mpsc::Receiver<EgressNews>,
}

impl EgressLane {
    /// A lane, and what runs it until the room lets go of it.
    pub(super) fn new(
        room: Arc<BroadcastId>,
        broadcasts: Broadcasts,
        method: Method,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (orders, order_queue) = mpsc::channel(ORDERS_LIMIT);
        let (news, news_queue) = mpsc::channel(NEWS_LIMIT);
        let lane = Lane {
            room,
            broadcasts,
            method,
            orders: order_queue,
            news,
            show: None,
        };
        let near = Self {
            orders: Some(orders),
            news: news_queue,
        };
        (near, lane.run())
    }

    /// The next news; never comes once the lane has ended. Cancel-safe.
    pub(super) async fn next_news(&mut self) -> EgressNews {
        match self.news.recv().await {
            Some(news) => news,
            None => std::future::pending().await,
        }
    }

    /// Ends the programme, if it goes out, without waiting for that.
    pub(super) fn close(&mut self) {
        self.orders = None;
        self.news.close();
    }

    /// Gives an order; `LimitReached` when too many wait.
    fn order(&self, order: LaneOrder) -> Result<(), RoomError> {
        let Some(orders) = &self.orders else {
            return Err(RoomError::NoSuchRoom);
        };
        orders.try_send(order).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                RoomError::LimitReached(format!("{ORDERS_LIMIT} waiting orders of a programme"))
            }
            mpsc::error::TrySendError::Closed(_) => RoomError::NoSuchRoom,
        })
    }
}

impl RoomTask {
    /// Checks what the room knows, and gives the order. The answer is waited for elsewhere.
    pub(super) fn plan_egress(
        &mut self,
        place: Place,
        order: EgressOrder,
        pass: &Pass,
    ) -> Result<BoxFuture<'static, Result<EgressView, RoomError>>, RoomError> {
        self.room.check_place(place)?;
        if order.video.is_none() && order.audio.is_none() {
            return Err(RoomError::Egress(
                "neither a composed picture nor a mixed sound is named".to_owned(),
            ));
        }
        let video = match &order.video {
            Some(producer) => {
                let id = self.composite(producer, MediaKind::Video)?;
                let codec = video_codec(self.room.consumable(producer)?);
                let codec = codec.ok_or_else(|| {
                    RoomError::Unsupported("the codec of the composed picture".to_owned())
                })?;
                Some((id, codec))
            }
            None => None,
        };
        let audio = match &order.audio {
            Some(producer) => Some(self.composite(producer, MediaKind::Audio)?),
            None => None,
        };
        let wish = Wish {
            destinations: order.destinations,
            composite: CompositeOrder {
                router: self.router,
                video,
                audio,
                studio: StudioIdentity {
                    subject: pass.subject().map(str::to_owned),
                    operator: pass.may_take_over(),
                    resume_token: None,
                },
            },
        };
        let (reply, answer) = oneshot::channel();
        self.egress.order(LaneOrder::Start(Box::new(wish), reply))?;
        Ok(Box::pin(async move {
            match timeout(EGRESS_TIMEOUT, answer).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(RoomError::NoSuchRoom),
                Err(_) => Err(RoomError::Timeout),
            }
        }))
    }

    /// Has the programme end. That goes on also when it takes longer than anybody waits.
    pub(super) fn plan_stop(
        &mut self,
        place: Place,
    ) -> Result<BoxFuture<'static, Result<(), RoomError>>, RoomError> {
        self.room.check_place(place)?;
        let (reply, answer) = oneshot::channel();
        self.egress.order(LaneOrder::Stop(reply))?;
        Ok(Box::pin(async move {
            let _ = timeout(EGRESS_TIMEOUT, answer).await;
            Ok(())
        }))
    }

    fn composite(&self, producer: &ProducerId, kind: MediaKind) -> Result<String, RoomError> {
        let (view, _) = self.room.producer(producer).map_err(|_| {
            RoomError::Egress("what is to go out is not sent in this room".to_owned())
        })?;
        if view.kind != kind {
            return Err(RoomError::Egress(
                "the picture must be a picture and the sound a sound".to_owned(),
            ));
        }
        Ok(producer.as_str().to_owned())
    }
}

/// The far end of a lane.
struct Lane {
    room: Arc<BroadcastId>,
    broadcasts: Broadcasts,
    method: Method,
    orders: mpsc::Receiver<LaneOrder>,
    news: mpsc::Sender<EgressNews>,
    show: Option<Show>,
}

/// A programme that goes out.
struct Show {
    handle: BroadcastHandle,
    changes: fan::Receiver<Arc<DatedChange>>,
    /// Whether the broadcast was made for it, and ends with it.
    is_ours: bool,
    destinations: Vec<Known>,
    /// What was told as live.
    live: HashSet<DestinationId>,
    composite: Option<Composite>,
}

struct Known {
    id: DestinationId,
    platform: Platform,
    endpoint: Endpoint,
    /// What the client calls it.
    label: Option<String>,
}

struct Composite {
    session: String,
    video: Option<String>,
    audio: Option<String>,
}

enum Happened {
    Order(Option<LaneOrder>),
    Change(Result<Arc<DatedChange>, fan::error::RecvError>),
}

impl Lane {
    async fn run(mut self) {
        loop {
            // Both arms are cancel-safe: channels.
            let happened = tokio::select! {
                order = self.orders.recv() => Happened::Order(order),
                change = next_change(&mut self.show) => Happened::Change(change),
            };
            match happened {
                Happened::Order(Some(LaneOrder::Start(wish, reply))) => {
                    let outcome = self.start(*wish).await;
                    drop(reply.send(outcome));
                }
                Happened::Order(Some(LaneOrder::Stop(reply))) => {
                    self.stop("stopped").await;
                    // Whoever asked may have gone away.
                    let _ = reply.send(());
                }
                Happened::Order(None) => {
                    self.stop("the room has ended").await;
                    return;
                }
                Happened::Change(Ok(change)) => self.follow(&change).await,
                Happened::Change(Err(fan::error::RecvError::Lagged(_))) => {
                    self.forget_if_ended("ended").await;
                }
                Happened::Change(Err(fan::error::RecvError::Closed)) => {
                    self.forget("ended").await;
                }
            }
        }
    }

    async fn start(&mut self, wish: Wish) -> Result<EgressView, RoomError> {
        self.forget_if_ended("ended").await;
        let destinations = each_once(wish.destinations);
        let already = self.show.is_some();
        let mut show = match self.show.take() {
            Some(show) => show,
            None => self.open(&destinations)?,
        };
        let outcome = show.go(&destinations, wish.composite).await;
        let is_over = outcome.is_err() && !already;
        if is_over {
            show.end().await;
        } else {
            self.show = Some(show);
        }
        outcome?;
        if !already {
            tracing::info!(room = %self.room, destinations = destinations.len(), "programme began");
            self.tell(EgressNews::Began).await;
        }
        let labels = destinations.into_iter().map(|known| known.label);
        Ok(EgressView {
            already,
            destinations: labels.collect(),
        })
    }

    /// Finds the broadcast of the room's name, or makes it.
    fn open(&self, destinations: &[RoomDestination]) -> Result<Show, RoomError> {
        if let Some(handle) = self.broadcasts.find(&self.room) {
            return Show::new(handle, false);
        }
        let mut specs: Vec<DestinationSpec> = Vec::new();
        for RoomDestination { spec, .. } in destinations {
            let id = free_id(&spec.id, |id| specs.iter().any(|spec| spec.id == *id));
            specs.push(DestinationSpec { id, ..spec.clone() });
        }
        let method = self.method;
        let methods = self.broadcasts.methods();
        methods
            .check(method)
            .map_err(|error| RoomError::Egress(error.to_string()))?;
        let spec = BroadcastSpec::new((*self.room).clone(), method, true, specs)
            .map_err(|error| of_spec(&error))?;
        match self.broadcasts.create(spec).map_err(of_create)? {
            Created::New(handle) => Show::new(handle, true),
            Created::Same(handle) => Show::new(handle, false),
        }
    }

    async fn follow(&mut self, change: &DatedChange) {
        match &change.change {
            Change::Destination {
                id,
                state: Some(DestinationState::Live),
                ..
            } => {
                let label = self.show.as_mut().and_then(|show| show.label_of_new(id));
                if let Some(label) = label {
                    self.tell(EgressNews::Live(label)).await;
                }
            }
            Change::Broadcast {
                state: BroadcastState::Ended,
                cause,
            } => self.forget(cause.as_str()).await,
            Change::Broadcast { .. } | Change::Destination { .. } | Change::Alarm(_) => {}
        }
    }

    async fn stop(&mut self, reason: &str) {
        if let Some(show) = self.show.take() {
            show.end().await;
            tracing::info!(room = %self.room, reason, "programme ended");
            self.tell(EgressNews::Ended(reason.to_owned())).await;
        }
    }

    async fn forget_if_ended(&mut self, reason: &str) {
        let is_over = self
            .show
            .as_ref()
            .is_some_and(|show| show.handle.snapshot().state == BroadcastState::Ended);
        if is_over {
            self.forget(reason).await;
        }
    }

    async fn forget(&mut self, reason: &str) {
        if self.show.take().is_some() {
            tracing::info!(room = %self.room, reason, "programme ended");
            self.tell(EgressNews::Ended(reason.to_owned())).await;
        }
    }

    async fn tell(&self, news: EgressNews) {
        // A room that has ended does not want to know.
        let _ = self.news.send(news).await;
    }
}

impl Show {
    fn new(handle: BroadcastHandle, is_ours: bool) -> Result<Self, RoomError> {
        let gone = || RoomError::Egress("the broadcast has just ended".to_owned());
        let changes = handle.changes().ok_or_else(gone)?;
        let snapshot = handle.snapshot();
        let destinations = handle
            .spec()
            .destinations()
            .iter()
            .filter(|spec| is_ours || snapshot.destination(spec.id.as_str()).is_some())
            .map(|spec| Known {
                id: spec.id.clone(),
                platform: spec.platform.clone(),
                endpoint: spec.endpoint.clone(),
                label: None,
            });
        Ok(Self {
            destinations: destinations.collect(),
            handle,
            changes,
            is_ours,
            live: HashSet::new(),
            composite: None,
        })
    }

    /// Adds what is missing, and brings the producers to it.
    async fn go(
        &mut self,
        destinations: &[RoomDestination],
        composite: CompositeOrder,
    ) -> Result<(), RoomError> {
        for RoomDestination { label, spec } in destinations {
            let known = self
                .destinations
                .iter_mut()
                .find(|known| known.endpoint == spec.endpoint && known.platform == spec.platform);
            match known {
                Some(known) => known.label = Some(label.clone()),
                None => self.add(label, spec).await?,
            }
        }
        self.handle.start().await.map_err(of_command)?;
        self.compose(composite).await
    }

    async fn add(&mut self, label: &str, spec: &DestinationSpec) -> Result<(), RoomError> {
        let snapshot = self.handle.snapshot();
        let id = free_id(&spec.id, |id| snapshot.destination(id.as_str()).is_some());
        let spec = DestinationSpec { id, ..spec.clone() };
        let adding = self.handle.add_destination(spec.clone());
        adding.await.map_err(of_command)?;
        self.destinations.push(Known {
            id: spec.id,
            platform: spec.platform,
            endpoint: spec.endpoint,
            label: Some(label.to_owned()),
        });
        Ok(())
    }

    /// Nothing changes while the same producers are on air.
    async fn compose(&mut self, order: CompositeOrder) -> Result<(), RoomError> {
        let video = order.video.as_ref().map(|(producer, _)| producer.clone());
        let audio = order.audio.clone();
        let snapshot = self.handle.snapshot();
        let is_on_air = self.composite.as_ref().is_some_and(|composite| {
            composite.video == video
                && composite.audio == audio
                && snapshot.session(&composite.session).is_some()
        });
        if is_on_air {
            return Ok(());
        }
        let session = self
            .handle
            .publish_composite(order)
            .await
            .map_err(of_publish)?;
        self.composite = Some(Composite {
            session,
            video,
            audio,
        });
        Ok(())
    }

    /// Ends the broadcast, or leaves somebody else's as it was found, but stopped.
    async fn end(self) {
        if self.is_ours {
            self.handle.end().await;
            return;
        }
        // What has ended already needs no end.
        let _ = self.handle.stop().await;
        if let Some(composite) = self.composite {
            let _ = self.handle.close_session(&composite.session).await;
        }
    }

    /// What the client calls a destination that is live for the first time.
    fn label_of_new(&mut self, id: &DestinationId) -> Option<String> {
        let known = self.destinations.iter().find(|known| known.id == *id)?;
        let label = known.label.clone()?;
        self.live.insert(id.clone()).then_some(label)
    }
}

async fn next_change(show: &mut Option<Show>) -> Result<Arc<DatedChange>, fan::error::RecvError> {
    match show {
        Some(show) => show.changes.recv().await,
        None => std::future::pending().await,
    }
}

/// Of destinations on the same platform with the same address and key the first.
fn each_once(destinations: Vec<RoomDestination>) -> Vec<RoomDestination> {
    let mut kept: Vec<RoomDestination> = Vec::new();
    for destination in destinations {
        let is_known = kept.iter().any(|known| {
            known.spec.platform == destination.spec.platform
                && known.spec.endpoint == destination.spec.endpoint
        });
        if !is_known {
            kept.push(destination);
        }
    }
    kept
}

/// The wanted name, or one that nobody has.
fn free_id(wanted: &DestinationId, is_taken: impl Fn(&DestinationId) -> bool) -> DestinationId {
    if !is_taken(wanted) {
        return wanted.clone();
    }
    (1..=u16::MAX)
        .filter_map(|number| DestinationId::new(format!("d{number}")).ok())
        .find(|id| !is_taken(id))
        .unwrap_or_else(|| wanted.clone())
}
