//! What brings a room's programme to platforms: it finds or makes the broadcast of the room's name, and follows it.

use std::{collections::HashSet, sync::Arc};

use broadcast::{
    BroadcastId, BroadcastSpec, BroadcastState, Change, DestinationId, DestinationSpec,
    DestinationState, Endpoint, Method, Platform,
};
use rooms::{EgressView, RoomDestination, RoomError};
use tokio::sync::{broadcast as fan, mpsc};

use super::{
    egress::{EgressNews, LaneOrder, Wish},
    words::{of_command, of_create, of_publish, of_spec},
};
use crate::broadcasts::{BroadcastHandle, Broadcasts, CompositeOrder, Created, DatedChange};

/// The far end of a lane.
pub(super) struct Lane {
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
    /// Nothing goes out yet.
    pub(super) const fn new(
        room: Arc<BroadcastId>,
        broadcasts: Broadcasts,
        method: Method,
        orders: mpsc::Receiver<LaneOrder>,
        news: mpsc::Sender<EgressNews>,
    ) -> Self {
        Self {
            room,
            broadcasts,
            method,
            orders,
            news,
            show: None,
        }
    }

    /// Runs until the room lets go of it, and has ended what went out then.
    pub(super) async fn run(mut self) {
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
            None => self.open(&destinations).await?,
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
    async fn open(&self, destinations: &[RoomDestination]) -> Result<Show, RoomError> {
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
        match self
            .broadcasts
            .create(spec)
            .await
            .map_err(|error| of_create(&error))?
        {
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
        self.handle
            .start()
            .await
            .map_err(|error| of_command(&error))?;
        self.compose(composite).await
    }

    async fn add(&mut self, label: &str, spec: &DestinationSpec) -> Result<(), RoomError> {
        let snapshot = self.handle.snapshot();
        let id = free_id(&spec.id, |id| snapshot.destination(id.as_str()).is_some());
        let spec = DestinationSpec { id, ..spec.clone() };
        let adding = self.handle.add_destination(spec.clone());
        adding.await.map_err(|error| of_command(&error))?;
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
            .map_err(|error| of_publish(&error))?;
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
