//! Rooms in memory, for tests of dialects: they keep the rules of who is told what, and no media moves.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use ::rooms::{
    ConsumerId, ConsumerView, Direction, EgressOrder, JoinOrder, ParticipantId, ParticipantView,
    ProducerView, RoomError, RoomEvent, RoomView, TransportId,
};
use async_trait::async_trait;
use broadcast::BroadcastId;
use ortc::{DtlsParameters, RtpCapabilities};
use serde_json::json;
use tokio::sync::mpsc;

use super::{Guest, Membership, Rooms};
use crate::{Bearer, IceServer};

mod member;

use member::MemoryMember;

/// How many events a participant may leave unread; none of these tests is near it.
const EVENTS: usize = 64;

/// The rooms. Names are counted up: `transport-1`, `producer-1`, `consumer-1`, and `participant-1` for who has no name.
#[derive(Default)]
pub(crate) struct MemoryRooms {
    state: Arc<Mutex<State>>,
    needs_token: bool,
}

#[derive(Default)]
struct State {
    rooms: BTreeMap<String, Room>,
    counters: BTreeMap<&'static str, u64>,
    /// What the next commands of members fail with.
    failures: VecDeque<RoomError>,
}

struct Room {
    id: BroadcastId,
    places: Vec<Place>,
    producers: Vec<(ProducerView, TransportId)>,
    egress: Option<EgressOrder>,
}

struct Place {
    view: ParticipantView,
    subject: Option<String>,
    /// Which of the connections to this place is the current one.
    turn: u64,
    events: mpsc::Sender<RoomEvent>,
    is_attached: bool,
    transports: Vec<Transport>,
    consumers: Vec<ConsumerView>,
}

struct Transport {
    id: TransportId,
    direction: Direction,
    dtls: Option<DtlsParameters>,
    restarts: u64,
}

impl MemoryRooms {
    /// Rooms that let nobody in without a token. A token is the name of whom it is for; `bad` is not good.
    pub(crate) fn with_tokens() -> Self {
        Self {
            needs_token: true,
            ..Self::default()
        }
    }

    /// Lets the next command of a member fail.
    pub(crate) fn fail_next(&self, error: RoomError) {
        self.lock().failures.push_back(error);
    }

    /// Tells one participant something.
    pub(crate) fn send(&self, room: &str, participant: &str, event: RoomEvent) {
        let state = self.lock();
        let place = state.rooms[room]
            .places
            .iter()
            .find(|place| place.view.id.as_str() == participant);
        place
            .expect("the participant is there")
            .events
            .try_send(event)
            .expect("there is room");
    }

    /// What goes out of a room.
    pub(crate) fn egress(&self, room: &str) -> Option<EgressOrder> {
        self.lock().rooms.get(room)?.egress.clone()
    }

    /// Who is in a room, connected or not.
    pub(crate) fn participants(&self, room: &str) -> Vec<String> {
        let state = self.lock();
        let room = state.rooms.get(room);
        room.map_or_else(Vec::new, |room| {
            room.places
                .iter()
                .map(|place| place.view.id.as_str().to_owned())
                .collect()
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sit(&self, room: &str, participant: &ParticipantId, resumed: bool) -> Membership {
        let (sender, events) = mpsc::channel(EVENTS);
        let mut state = self.lock();
        let turn = state.next("turn");
        let room = state.rooms.get_mut(room).expect("the room is there");
        let place = room.place(participant).expect("the place is there");
        place.events = sender;
        place.is_attached = true;
        place.turn = turn;
        Membership {
            member: Arc::new(MemoryMember {
                state: Arc::clone(&self.state),
                room: room.id.clone(),
                participant: participant.clone(),
                turn,
            }),
            events,
            resumed,
            room: room.view(),
        }
    }
}

impl State {
    fn next(&mut self, what: &'static str) -> u64 {
        let counter = self.counters.entry(what).or_default();
        *counter += 1;
        *counter
    }

    fn room(&mut self, id: &BroadcastId) -> &mut Room {
        self.rooms
            .entry(id.as_str().to_owned())
            .or_insert_with(|| Room {
                id: id.clone(),
                places: Vec::new(),
                producers: Vec::new(),
                egress: None,
            })
    }
}

impl Room {
    fn view(&self) -> RoomView {
        let participants = self.places.iter().map(|place| {
            let own = |(producer, _): &&(ProducerView, TransportId)| {
                producer.participant == place.view.id
            };
            ParticipantView {
                producers: self.producers.iter().filter(own).count(),
                consumers: place.consumers.len(),
                ..place.view.clone()
            }
        });
        RoomView {
            room: self.id.clone(),
            created: a_moment(),
            capabilities: ortc::router_capabilities(),
            participants: participants.collect(),
            producers: self
                .producers
                .iter()
                .map(|(producer, _)| producer.clone())
                .collect(),
            egress: self.egress.is_some(),
        }
    }

    fn place(&mut self, id: &ParticipantId) -> Option<&mut Place> {
        self.places.iter_mut().find(|place| place.view.id == *id)
    }

    /// Tells everybody but one. Who has gone is passed over.
    fn tell_others(&self, one: &ParticipantId, event: &RoomEvent) {
        for place in self.places.iter().filter(|place| place.view.id != *one) {
            let _ = place.events.try_send(event.clone());
        }
    }

    fn close_producers(&mut self, ended: impl Fn(&ProducerView, &TransportId) -> bool) {
        let all = std::mem::take(&mut self.producers);
        let (gone, kept) = all
            .into_iter()
            .partition(|(producer, transport)| ended(producer, transport));
        self.producers = kept;
        for (producer, _) in gone {
            self.tell_others(
                &producer.participant,
                &RoomEvent::ProducerClosed(producer.clone()),
            );
            for place in &mut self.places {
                let mut closed: Vec<ConsumerId> = Vec::new();
                place.consumers.retain(|consumer| {
                    let ended = consumer.producer == producer.id;
                    if ended {
                        closed.push(consumer.id.clone());
                    }
                    !ended
                });
                for consumer in closed {
                    let _ = place.events.try_send(RoomEvent::ConsumerClosed {
                        consumer,
                        producer: producer.id.clone(),
                        participant: producer.participant.clone(),
                        kind: producer.kind,
                    });
                }
            }
        }
    }

    fn leave(&mut self, id: &ParticipantId) {
        self.close_producers(|producer, _| producer.participant == *id);
        self.places.retain(|place| place.view.id != *id);
        self.tell_others(id, &RoomEvent::ParticipantLeft(id.clone()));
    }
}

#[async_trait]
impl Rooms for MemoryRooms {
    async fn admit(&self, token: Option<&Bearer>) -> Result<Guest, RoomError> {
        let refused = |words: &str| Err(RoomError::Unauthenticated(words.to_owned()));
        let subject = match token.map(Bearer::expose) {
            Some("bad") => return refused("the token is not good"),
            Some(name) => Some(name.to_owned()),
            None if self.needs_token => return refused("a token is needed"),
            None => None,
        };
        let claims = subject.as_ref().map_or(
            json!({}),
            |subject| json!({ "userId": subject, "email": format!("{subject}@example.org") }),
        );
        Ok(Guest {
            subject,
            claims,
            pass: Arc::new(()),
        })
    }

    async fn capabilities(
        &self,
        _: &Guest,
        room: &BroadcastId,
    ) -> Result<RtpCapabilities, RoomError> {
        check(room)?;
        self.lock().room(room);
        Ok(ortc::router_capabilities())
    }

    async fn join(&self, guest: &Guest, order: JoinOrder) -> Result<Membership, RoomError> {
        check(&order.room)?;
        let (participant, resumed) = {
            let mut state = self.lock();
            let counted = state.next("participant");
            let name = || ParticipantId::new(format!("participant-{counted}"));
            let participant = order.participant.unwrap_or_else(name);
            let room = state.room(&order.room);
            let resumed = match room.place(&participant) {
                Some(place) if place.subject != guest.subject => return Err(RoomError::NameTaken),
                Some(place) if place.is_attached => {
                    let replaced = RoomEvent::Closed("another connection took its place".into());
                    let _ = place.events.try_send(replaced);
                    room.leave(&participant);
                    false
                }
                Some(_) => true,
                None => false,
            };
            if !resumed {
                let view = ParticipantView {
                    id: participant.clone(),
                    display_name: order.display_name,
                    details: order.details,
                    joined: a_moment(),
                    producers: 0,
                    consumers: 0,
                };
                room.tell_others(&participant, &RoomEvent::ParticipantJoined(view.clone()));
                room.places.push(Place {
                    view,
                    subject: guest.subject.clone(),
                    turn: 0,
                    events: mpsc::channel(1).0,
                    is_attached: false,
                    transports: Vec::new(),
                    consumers: Vec::new(),
                });
            }
            (participant, resumed)
        };
        Ok(self.sit(order.room.as_str(), &participant, resumed))
    }

    async fn resume(&self, _: &Guest, transport: &TransportId) -> Result<Membership, RoomError> {
        let (room, participant) = {
            let state = self.lock();
            let places = state
                .rooms
                .values()
                .flat_map(|room| room.places.iter().map(move |place| (room, place)));
            let mut owners = places.filter(|(_, place)| {
                let owned = |known: &Transport| known.id == *transport;
                !place.is_attached && place.transports.iter().any(owned)
            });
            let (room, place) = owners.next().ok_or(RoomError::NoSuchTransport)?;
            (room.id.as_str().to_owned(), place.view.id.clone())
        };
        Ok(self.sit(&room, &participant, true))
    }

    async fn list(&self, _: &Guest) -> Result<Vec<RoomView>, RoomError> {
        Ok(self.lock().rooms.values().map(Room::view).collect())
    }

    async fn create(&self, _: &Guest, room: &BroadcastId) -> Result<RoomView, RoomError> {
        check(room)?;
        let mut state = self.lock();
        if state.rooms.contains_key(room.as_str()) {
            return Err(RoomError::RoomExists);
        }
        Ok(state.room(room).view())
    }

    async fn find(&self, _: &Guest, room: &BroadcastId) -> Result<RoomView, RoomError> {
        check(room)?;
        let state = self.lock();
        let room = state.rooms.get(room.as_str());
        room.map(Room::view).ok_or(RoomError::NoSuchRoom)
    }

    async fn close(&self, _: &Guest, room: &BroadcastId) -> Result<(), RoomError> {
        check(room)?;
        let closed = self.lock().rooms.remove(room.as_str());
        for place in &closed.ok_or(RoomError::NoSuchRoom)?.places {
            let _ = place
                .events
                .try_send(RoomEvent::Closed("the room was closed".into()));
        }
        Ok(())
    }

    fn ice_servers(&self, _: &Guest) -> Vec<IceServer> {
        vec![
            IceServer {
                urls: vec!["stun:stun.example.org".to_owned()],
                username: None,
                credential: None,
            },
            IceServer {
                urls: vec![
                    "turn:turn.example.org".to_owned(),
                    "turns:turn.example.org".to_owned(),
                ],
                username: Some("ann".to_owned()),
                credential: Some("pass".to_owned()),
            },
        ]
    }
}

/// Rooms whose names tell what they are for.
fn check(room: &BroadcastId) -> Result<(), RoomError> {
    match room.as_str() {
        "forbidden" => Err(RoomError::Forbidden("not this room".to_owned())),
        "full" => Err(RoomError::NodeFull("100 rooms".to_owned())),
        "broken" => Err(RoomError::Internal),
        _ => Ok(()),
    }
}

fn a_moment() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}
