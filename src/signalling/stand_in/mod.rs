//! Rooms in memory, for tests of dialects: no media, names in the order of their making, and errors on demand.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ::rooms::{
    ConsumerId, ConsumerView, Direction, JoinOrder, ParticipantId, ParticipantView, ProducerId,
    ProducerView, RoomError, RoomEvent, RoomView, TransportId,
};
use async_trait::async_trait;
use broadcast::BroadcastId;
use ortc::{DtlsParameters, MediaKind, ProducerMapping, RtpCapabilities, RtpParameters};
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    Bearer, IceServer,
    rooms::{Guest, Membership, Rooms},
};

mod member;

use member::StandInMember;

/// How many events a participant may leave unread.
const UNREAD_LIMIT: usize = 64;

/// Rooms in memory. The token `bad` is refused; any other is its own subject.
#[derive(Clone, Default)]
pub(crate) struct StandInRooms(Arc<Mutex<State>>);

#[derive(Default)]
pub(super) struct State {
    rooms_by_id: BTreeMap<BroadcastId, Room>,
    made: u32,
    /// What a command ends with, after so many that do not.
    failure: Option<(usize, RoomError)>,
    /// What was ordered that has no other trace, in words.
    orders: Vec<String>,
    wants_token: bool,
    negotiates: bool,
    /// Whether joining never ends.
    hangs: bool,
}

#[derive(Default)]
struct Room {
    participants: Vec<Participant>,
    producers: Vec<ProducerView>,
    consumers: Vec<(ParticipantId, ConsumerView)>,
    /// How producers can be received, of those that the rooms can carry.
    consumable_by_producer: BTreeMap<ProducerId, RtpParameters>,
    egress: bool,
}

struct Participant {
    view: ParticipantView,
    subject: Option<String>,
    events: Option<mpsc::Sender<RoomEvent>>,
    transports: Vec<Transport>,
}

struct Transport {
    id: TransportId,
    direction: Direction,
    dtls: Option<DtlsParameters>,
}

impl StandInRooms {
    /// Rooms that let nobody in without a token.
    pub(crate) fn with_tokens() -> Self {
        let rooms = Self::default();
        rooms.lock().wants_token = true;
        rooms
    }

    /// Makes joining take for ever.
    pub(crate) fn hang(&self) {
        self.lock().hangs = true;
    }

    /// Lets consumers get what [`ortc`] makes of capabilities, and not just a name.
    pub(crate) fn negotiate(&self) {
        self.lock().negotiates = true;
    }

    /// Makes the next command fail.
    pub(crate) fn fail_next(&self, error: RoomError) {
        self.fail_after(0, error);
    }

    /// Makes a command fail, after so many that do not.
    pub(crate) fn fail_after(&self, commands: usize, error: RoomError) {
        self.lock().failure = Some((commands, error));
    }

    /// Tells all participants of a room something, or one of them.
    pub(crate) fn tell(&self, room: &str, to: Option<&str>, event: &RoomEvent) {
        let mut state = self.lock();
        let room = state.room(&BroadcastId::new(room).expect("a name"));
        for participant in &room.participants {
            if to.is_none_or(|to| participant.view.id.as_str() == to) {
                participant.tell(event.clone());
            }
        }
    }

    /// Ends a transport without a word.
    pub(crate) fn lose_transport(&self, room: &str, transport: &str) {
        let mut state = self.lock();
        let room = state.room(&BroadcastId::new(room).expect("a name"));
        for participant in &mut room.participants {
            participant
                .transports
                .retain(|each| each.id.as_str() != transport);
        }
    }

    /// What was ordered since the last call.
    pub(crate) fn orders(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().orders)
    }

    /// Who is in a room, and whether they are connected.
    pub(crate) fn participants(&self, room: &str) -> Vec<(String, bool)> {
        let mut state = self.lock();
        let room = state.room(&BroadcastId::new(room).expect("a name"));
        let told = |each: &Participant| (each.view.id.to_string(), each.events.is_some());
        room.participants.iter().map(told).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn membership(
        &self,
        room: &BroadcastId,
        id: &ParticipantId,
        events: mpsc::Receiver<RoomEvent>,
        resumed: bool,
        view: RoomView,
    ) -> Membership {
        Membership {
            member: Arc::new(StandInMember {
                rooms: self.clone(),
                room: room.clone(),
                participant: id.clone(),
            }),
            events,
            resumed,
            room: view,
        }
    }
}

impl State {
    fn room(&mut self, room: &BroadcastId) -> &mut Room {
        self.rooms_by_id.entry(room.clone()).or_default()
    }

    fn name(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}-{}", self.made)
    }

    fn check(&mut self) -> Result<(), RoomError> {
        match self.failure.take() {
            Some((0, error)) => Err(error),
            Some((commands, error)) => {
                self.failure = Some((commands - 1, error));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Room {
    fn view(&self, room: &BroadcastId) -> RoomView {
        RoomView {
            room: room.clone(),
            created: moment(),
            capabilities: capabilities(),
            participants: self
                .participants
                .iter()
                .map(|each| each.view.clone())
                .collect(),
            producers: self.producers.clone(),
            egress: self.egress,
        }
    }

    fn tell_others(&self, but: &ParticipantId, event: &RoomEvent) {
        for other in &self.participants {
            if other.view.id != *but {
                other.tell(event.clone());
            }
        }
    }

    fn participant(&mut self, id: &ParticipantId) -> Result<&mut Participant, RoomError> {
        let mut participants = self.participants.iter_mut();
        let found = participants.find(|each| each.view.id == *id);
        found.ok_or(RoomError::NotJoined)
    }

    fn remove(&mut self, id: &ParticipantId) {
        self.participants.retain(|each| each.view.id != *id);
        let (gone, kept) = std::mem::take(&mut self.producers)
            .into_iter()
            .partition::<Vec<_>, _>(|each| each.participant == *id);
        self.producers = kept;
        for producer in gone {
            self.tell_others(id, &RoomEvent::ProducerClosed(producer));
        }
        self.tell_others(id, &RoomEvent::ParticipantLeft(id.clone()));
    }
}

impl Participant {
    fn tell(&self, event: RoomEvent) {
        if let Some(events) = &self.events {
            // Who has gone needs no events.
            let _ = events.try_send(event);
        }
    }
}

#[async_trait]
impl Rooms for StandInRooms {
    async fn admit(&self, token: Option<&Bearer>) -> Result<Guest, RoomError> {
        let mut state = self.lock();
        state.check()?;
        match token.map(Bearer::expose) {
            None if state.wants_token => Err(RoomError::Unauthenticated("no token".to_owned())),
            Some("bad") => Err(RoomError::Unauthenticated("a bad token".to_owned())),
            subject => Ok(Guest {
                subject: subject.map(str::to_owned),
                claims: json!({ "userId": subject, "email": subject.map(|name| format!("{name}@example.org")) }),
                pass: Arc::new(()),
            }),
        }
    }

    async fn capabilities(
        &self,
        _: &Guest,
        room: &BroadcastId,
    ) -> Result<RtpCapabilities, RoomError> {
        let mut state = self.lock();
        state.check()?;
        state.room(room);
        Ok(capabilities())
    }

    async fn join(&self, guest: &Guest, order: JoinOrder) -> Result<Membership, RoomError> {
        if self.lock().hangs {
            std::future::pending::<()>().await;
        }
        let mut state = self.lock();
        state.check()?;
        let name = match order.participant {
            Some(name) => name,
            None => ParticipantId::new(state.name("participant")),
        };
        let (sender, events) = mpsc::channel(UNREAD_LIMIT);
        let room = state.room(&order.room);
        if let Ok(there) = room.participant(&name) {
            if there.events.is_some() && there.subject != guest.subject {
                return Err(RoomError::NameTaken);
            }
            let resumed = there.events.is_none();
            there.tell(RoomEvent::Closed("replaced".to_owned()));
            if !resumed {
                there.transports.clear();
            }
            there.events = Some(sender);
            let view = room.view(&order.room);
            return Ok(self.membership(&order.room, &name, events, resumed, view));
        }
        let view = ParticipantView {
            id: name.clone(),
            display_name: order.display_name,
            details: order.details,
            joined: moment(),
            producers: 0,
            consumers: 0,
        };
        room.participants.push(Participant {
            view: view.clone(),
            subject: guest.subject.clone(),
            events: Some(sender),
            transports: Vec::new(),
        });
        room.tell_others(&name, &RoomEvent::ParticipantJoined(view));
        let view = room.view(&order.room);
        Ok(self.membership(&order.room, &name, events, false, view))
    }

    async fn resume(&self, _: &Guest, transport: &TransportId) -> Result<Membership, RoomError> {
        let mut state = self.lock();
        state.check()?;
        for (id, room) in &mut state.rooms_by_id {
            let mut participants = room.participants.iter_mut();
            let owner = participants.find(|each| {
                each.events.is_none() && each.transports.iter().any(|own| own.id == *transport)
            });
            if let Some(owner) = owner {
                let (sender, events) = mpsc::channel(UNREAD_LIMIT);
                owner.events = Some(sender);
                let name = owner.view.id.clone();
                let view = room.view(id);
                return Ok(self.membership(id, &name, events, true, view));
            }
        }
        Err(RoomError::NoSuchTransport)
    }

    async fn list(&self, _: &Guest) -> Result<Vec<RoomView>, RoomError> {
        let mut state = self.lock();
        state.check()?;
        let rooms = state.rooms_by_id.iter();
        Ok(rooms.map(|(id, room)| room.view(id)).collect())
    }

    async fn create(&self, _: &Guest, room: &BroadcastId) -> Result<RoomView, RoomError> {
        let mut state = self.lock();
        state.check()?;
        if state.rooms_by_id.contains_key(room) {
            return Err(RoomError::RoomExists);
        }
        Ok(state.room(room).view(room))
    }

    async fn find(&self, _: &Guest, room: &BroadcastId) -> Result<RoomView, RoomError> {
        let mut state = self.lock();
        state.check()?;
        let found = state.rooms_by_id.get(room).ok_or(RoomError::NoSuchRoom)?;
        Ok(found.view(room))
    }

    async fn close(&self, _: &Guest, room: &BroadcastId) -> Result<(), RoomError> {
        let mut state = self.lock();
        state.check()?;
        let closed = state.rooms_by_id.remove(room);
        for participant in closed.ok_or(RoomError::NoSuchRoom)?.participants {
            participant.tell(RoomEvent::Closed("the room was closed".to_owned()));
        }
        Ok(())
    }

    fn ice_servers(&self, _: &Guest) -> Vec<IceServer> {
        vec![IceServer {
            urls: vec!["stun:stun.example.org".to_owned()],
            username: None,
            credential: None,
        }]
    }
}

/// When everything happens.
pub(crate) fn moment() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1000)
}

/// What the rooms can carry: sound.
pub(crate) fn capabilities() -> RtpCapabilities {
    let opus = json!({
        "codecs": [{
            "kind": "audio",
            "mimeType": "audio/opus",
            "preferredPayloadType": 100,
            "clockRate": 48000,
            "channels": 2,
        }],
        "headerExtensions": [],
    });
    serde_json::from_value(opus).expect("capabilities")
}

/// How a track can be received, if the rooms can carry it.
fn consumable(kind: MediaKind, sent: &RtpParameters) -> Option<RtpParameters> {
    let capabilities = capabilities();
    let mapping = ProducerMapping::new(sent, &capabilities).ok()?;
    Some(ortc::consumable(kind, sent, &capabilities, &mapping))
}

/// A consumer's room is its owner's.
fn owned(
    consumers: &[(ParticipantId, ConsumerView)],
    who: &ParticipantId,
    id: &ConsumerId,
) -> Option<usize> {
    consumers
        .iter()
        .position(|(owner, view)| owner == who && view.id == *id)
}
