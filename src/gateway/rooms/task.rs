//! The task of one room: what happens goes into the room, its effects come out and are performed.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use broadcast::BroadcastId;
use peers::{
    Peers, SessionId,
    router::{RouterError, RouterId, TransportEvent, TransportProgress},
};
use rooms::{
    ConsumerId, Effect, JoinOrder, ParticipantId, Place, ProducerId, Room, RoomError, RoomEvent,
    RoomFigures, RoomView, TransportId, TransportState, TransportStates,
};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    egress::{EgressLane, EgressNews},
    events::TransportEvents,
    handle::Job,
    pass::Pass,
    preview::Preview,
    words::of_router,
};
use crate::{
    admission::{Cost, Reservation},
    clock::now,
};

/// How long the media workers may take for an answer; this only unblocks a broken one.
const WORKER_TIMEOUT: Duration = Duration::from_secs(5);

/// How many events may wait for a participant; one that is further behind is put out. Who comes into a room of 50 that all
/// show camera and screen is told of 250 tracks within a second.
pub(super) const EVENTS_LIMIT: usize = 1024;

/// Which room a transport is in, of all rooms.
#[derive(Debug, Clone, Default)]
pub(super) struct TransportIndex {
    rooms: Arc<RwLock<HashMap<TransportId, Arc<BroadcastId>>>>,
}

impl TransportIndex {
    pub(super) fn find(&self, transport: &TransportId) -> Option<Arc<BroadcastId>> {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        rooms.get(transport).cloned()
    }

    fn add(&self, transport: TransportId, room: Arc<BroadcastId>) {
        let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        rooms.insert(transport, room);
    }

    fn remove(&self, transport: &TransportId) {
        let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        rooms.remove(transport);
    }

    /// What a room that broke has left behind.
    pub(super) fn forget_room(&self, broken: &Arc<BroadcastId>) {
        let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        // There may be a new room of the same name by now.
        rooms.retain(|_, room| !Arc::ptr_eq(room, broken));
    }
}

/// Somebody has a place, and is told what happens.
pub(super) struct Entered {
    pub(super) place: Place,
    pub(super) participant: ParticipantId,
    pub(super) resumed: bool,
    pub(super) events: mpsc::Receiver<RoomEvent>,
    pub(super) view: RoomView,
}

/// Everything that one room owns.
pub(super) struct RoomTask {
    pub(super) id: Arc<BroadcastId>,
    pub(super) room: Room,
    pub(super) peers: Peers,
    pub(super) router: RouterId,
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) sessions: HashMap<TransportId, SessionId>,
    pub(super) events: TransportEvents,
    pub(super) outlets: HashMap<Place, mpsc::Sender<RoomEvent>>,
    pub(super) index: TransportIndex,
    pub(super) reservation: Reservation,
    pub(super) figures: watch::Sender<RoomFigures>,
    pub(super) egress: EgressLane,
    /// What viewers of single tracks hang on; at most one for each track.
    pub(super) previews: HashMap<ProducerId, Preview>,
    pub(super) stop: CancellationToken,
    /// Why the room ends, once it does.
    pub(super) closing: Option<&'static str>,
}

impl RoomTask {
    /// Runs until the room has ended.
    pub(super) async fn run(mut self) {
        tracing::info!(room = %self.id, "room opened");
        while self.closing.is_none() && !self.room.is_over(now()) {
            let due = self.room.poll_timeout(now());
            // Every arm is cancel-safe: channels, a token, clocks.
            tokio::select! {
                job = self.jobs.recv() => match job {
                    Some(job) => job(&mut self).await,
                    None => self.closing = Some("the room has ended"),
                },
                (transport, event) = self.events.next() => self.handle_transport(&transport, event),
                news = self.egress.next_news() => self.handle_egress(news),
                () = sleep_until(due.unwrap_or_else(now).into()), if due.is_some() => {
                    self.room.handle_timeout(now());
                }
                () = self.stop.cancelled() => self.closing = Some("the node is shutting down"),
            }
            self.settle().await;
        }
        // Whoever comes now finds no room, and makes another.
        self.jobs.close();
        while let Ok(job) = self.jobs.try_recv() {
            drop(job);
        }
        self.egress.close();
        self.room
            .close(self.closing.unwrap_or("the room has ended"), now());
        self.settle().await;
        self.peers.close_router(self.router).await;
        tracing::info!(room = %self.id, "room closed");
    }

    /// Gives somebody a place.
    pub(super) fn join(
        &mut self,
        pass: &Pass,
        name: &ParticipantId,
        order: JoinOrder,
    ) -> Result<Entered, RoomError> {
        let participants = self.room.figures().participants;
        let cost = Cost::participants(participants + 1);
        let no_room = |error: crate::admission::NoRoom| RoomError::NodeFull(error.to_string());
        self.reservation.try_change(cost).map_err(no_room)?;
        let arrival = self.room.join(name, order, pass.subject(), now())?;
        Ok(self.enter(arrival))
    }

    /// Gives somebody their place back.
    pub(super) fn resume(
        &mut self,
        pass: &Pass,
        transport: &TransportId,
    ) -> Result<Entered, RoomError> {
        let arrival = self.room.resume(transport, pass.subject())?;
        Ok(self.enter(arrival))
    }

    fn enter(&mut self, arrival: rooms::Arrival) -> Entered {
        let (outlet, events) = mpsc::channel(EVENTS_LIMIT);
        self.outlets.insert(arrival.place, outlet);
        tracing::info!(room = %self.id, resumed = arrival.resumed, "participant joined");
        Entered {
            place: arrival.place,
            participant: arrival.participant,
            resumed: arrival.resumed,
            events,
            view: self.room.view(),
        }
    }

    /// Asks a media worker, but not forever.
    pub(super) async fn within<T>(
        asking: impl Future<Output = Result<T, RouterError>>,
    ) -> Result<T, RoomError> {
        let answered = timeout(WORKER_TIMEOUT, asking).await;
        answered.map_err(|_| RoomError::Timeout)?.map_err(of_router)
    }

    /// The worker's name of a transport.
    pub(super) fn session(&self, transport: &TransportId) -> Result<SessionId, RoomError> {
        let session = self.sessions.get(transport).cloned();
        session.ok_or(RoomError::NoSuchTransport)
    }

    /// Notes a transport that the worker has opened.
    pub(super) fn keep_transport(&mut self, id: &TransportId, session: SessionId) {
        self.sessions.insert(id.clone(), session);
        self.index.add(id.clone(), Arc::clone(&self.id));
    }

    fn handle_transport(&mut self, id: &TransportId, event: TransportEvent) {
        match event {
            TransportEvent::Progress(progress) => {
                self.room.handle_transport_states(id, states_of(progress));
            }
            TransportEvent::AudioLevel(producer, level) => {
                self.room
                    .handle_audio_level(&ProducerId::new(producer), level, now());
            }
            TransportEvent::LayersChanged(consumer, spatial) => {
                self.room.handle_layers(&ConsumerId::new(consumer), spatial);
            }
            TransportEvent::Ended(reason) => {
                if self.sessions.remove(id).is_some() {
                    tracing::debug!(room = %self.id, reason, "transport ended");
                    self.index.remove(id);
                    self.room.handle_transport_ended(id, &reason, now());
                }
            }
            TransportEvent::MediaArrived(_) | TransportEvent::Bandwidth(_) | _ => {}
        }
    }

    fn handle_egress(&mut self, news: EgressNews) {
        match news {
            EgressNews::Began => self.room.set_egress(true, now()),
            EgressNews::Live(label) => self.room.tell_all(&RoomEvent::DestinationLive(label)),
            EgressNews::Ended(reason) => {
                self.room.set_egress(false, now());
                self.room.tell_all(&RoomEvent::EgressEnded(reason));
            }
        }
    }

    /// Performs what the room asks for, then shows what has become of it.
    async fn settle(&mut self) {
        while let Some(effect) = self.room.poll_effect() {
            match effect {
                Effect::Tell(place, event) => self.tell(place, event),
                Effect::Dismiss(place, reason) => {
                    let outlet = self.outlets.remove(&place);
                    if let (Some(outlet), Some(reason)) = (outlet, reason) {
                        // Who does not read any more does not want to know.
                        drop(outlet.try_send(RoomEvent::Closed(reason)));
                    }
                }
                Effect::CloseTransport(transport) => {
                    self.index.remove(&transport);
                    if let Some(session) = self.sessions.remove(&transport) {
                        let closing = self.peers.close_transport(&session);
                        Self::perform(closing).await;
                    }
                }
                Effect::CloseProducer(transport, producer) => {
                    if let Ok(session) = self.session(&transport) {
                        let closing = self.peers.close_producer(&session, producer.as_str());
                        Self::perform(closing).await;
                    }
                }
                Effect::CloseConsumer(transport, consumer) => {
                    if let Ok(session) = self.session(&transport) {
                        let closing = self.peers.close_consumer(&session, consumer.as_str());
                        Self::perform(closing).await;
                    }
                }
            }
        }
        if !self.previews.is_empty() {
            self.end_lost_previews().await;
        }
        let figures = self.room.figures();
        // Less is always granted, and more is asked for before somebody comes in.
        let _ = self
            .reservation
            .try_change(Cost::participants(figures.participants));
        self.figures.send_if_modified(|known| {
            let is_news = *known != figures;
            *known = figures;
            is_news
        });
    }

    /// Ending what has ended already is no error, and what cannot be ended is the worker's to end.
    async fn perform<T>(ending: impl Future<Output = T>) {
        if timeout(WORKER_TIMEOUT, ending).await.is_err() {
            tracing::error!(fault = "gateway", "a media worker does not answer");
        }
    }

    fn tell(&mut self, place: Place, event: RoomEvent) {
        let Some(outlet) = self.outlets.get(&place) else {
            return;
        };
        match outlet.try_send(event) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => self.room.detach(place, now()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                tracing::warn!(room = %self.id, "participant does not read, and is put out");
                self.room.leave(place, now());
            }
        }
    }
}

/// How far a transport is, in the words of ORTC.
fn states_of(progress: TransportProgress) -> TransportStates {
    let (ice, dtls) = match progress {
        TransportProgress::New => (TransportState::New, TransportState::New),
        TransportProgress::Reachable => (TransportState::Connected, TransportState::New),
        TransportProgress::Handshaking => (TransportState::Connected, TransportState::Connecting),
        TransportProgress::Connected => (TransportState::Connected, TransportState::Connected),
    };
    TransportStates { ice, dtls }
}

/// The present on the wall.
pub(super) fn wall() -> SystemTime {
    SystemTime::now()
}
