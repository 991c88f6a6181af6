//! Coming, going, and coming back after the connection broke.

use std::time::{Instant, SystemTime};

use serde_json::Value;

use crate::{
    Effect, JoinOrder, ParticipantId, ParticipantView, Place, RECONNECT_PATIENCE, Room, RoomError,
    RoomEvent, TransportId,
    limits::{DISPLAY_NAME_BYTES_LIMIT, PARTICIPANT_NAME_BYTES_LIMIT},
    room::check_application,
};

/// Why somebody is put out who came again elsewhere.
const REPLACED: &str = "replaced by a newer connection";

/// Somebody in the room.
#[derive(Debug)]
pub(crate) struct Participant {
    pub(crate) id: ParticipantId,
    pub(crate) place: Place,
    subject: Option<String>,
    display_name: Option<String>,
    details: Value,
    joined: SystemTime,
    connection: Connection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connection {
    Attached,
    /// It broke; the place is kept until then.
    Broken(Instant),
}

impl Participant {
    pub(crate) fn is_attached(&self) -> bool {
        self.connection == Connection::Attached
    }

    pub(crate) const fn kept_until(&self) -> Option<Instant> {
        match self.connection {
            Connection::Attached => None,
            Connection::Broken(until) => Some(until),
        }
    }

    /// Without what they send and receive, which only the room knows.
    pub(crate) fn view(&self) -> ParticipantView {
        ParticipantView {
            id: self.id.clone(),
            display_name: self.display_name.clone(),
            details: self.details.clone(),
            joined: self.joined,
            producers: 0,
            consumers: 0,
        }
    }
}

/// Somebody has a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Which.
    pub place: Place,
    /// As whom.
    pub participant: ParticipantId,
    /// Whether it is the place that they had before their connection broke.
    pub resumed: bool,
}

impl Room {
    /// Takes a place as `name`, for who is known as `subject` if anybody vouches for it.
    ///
    /// Whoever's connection broke gets their place back by their name. Whoever is connected and comes again as the same
    /// subject begins anew, and the earlier connection is put out.
    pub fn join(
        &mut self,
        name: &ParticipantId,
        order: JoinOrder,
        subject: Option<&str>,
        now: Instant,
    ) -> Result<Arrival, RoomError> {
        check_name(name, &order)?;
        let known = self.participants.iter_mut().find(|known| known.id == *name);
        if let Some(known) = known {
            let is_same = known.subject.as_deref() == subject;
            match known.connection {
                Connection::Broken(_) if is_same => {
                    if order.display_name.is_some() {
                        known.display_name = order.display_name;
                    }
                    if !order.details.is_null() {
                        known.details = order.details;
                    }
                    let place = known.place;
                    for transport in self.transports.values_mut() {
                        transport.is_doubtful |= transport.participant == *name;
                    }
                    return Ok(self.reattach(place));
                }
                Connection::Attached if is_same && subject.is_some() => {
                    let place = known.place;
                    self.put_out(place, Some(REPLACED.to_owned()), now);
                }
                Connection::Attached | Connection::Broken(_) => return Err(RoomError::NameTaken),
            }
        }
        if self.participants.len() >= self.limits.participants {
            return Err(RoomError::LimitReached(format!(
                "{} participants in a room",
                self.limits.participants
            )));
        }
        let place = Place(self.next_number());
        let participant = Participant {
            id: name.clone(),
            place,
            subject: subject.map(str::to_owned),
            display_name: order.display_name,
            details: order.details,
            joined: self.wall(now),
            connection: Connection::Attached,
        };
        let view = participant.view();
        self.participants.push(participant);
        self.note_emptiness(now);
        self.tell_others(place, &RoomEvent::ParticipantJoined(view));
        Ok(Arrival {
            place,
            participant: name.clone(),
            resumed: false,
        })
    }

    /// Takes a place back by a transport of it, which nobody else knows. An earlier connection that still seems to live is
    /// put out: only the network is slower to tell.
    pub fn resume(
        &mut self,
        transport: &TransportId,
        subject: Option<&str>,
    ) -> Result<Arrival, RoomError> {
        let owner = self
            .transports
            .get(transport)
            .map(|transport| transport.participant.clone());
        let known =
            owner.and_then(|owner| self.participants.iter().find(|known| known.id == owner));
        let known = known.ok_or(RoomError::NoSuchTransport)?;
        if known.subject.as_deref() != subject {
            return Err(RoomError::NoSuchTransport);
        }
        let (place, was_attached) = (known.place, known.is_attached());
        let arrival = self.reattach(place);
        if was_attached {
            self.want(Effect::Dismiss(place, Some(REPLACED.to_owned())));
        }
        Ok(arrival)
    }

    /// Leaves for good. Leaving a place that one does not have is no error.
    pub fn leave(&mut self, place: Place, now: Instant) {
        self.put_out(place, None, now);
    }

    /// The connection broke. The place is kept for [`RECONNECT_PATIENCE`] while a transport of it lives, and for longer
    /// while one is connected: some clients say nothing when they come back, but their media does.
    pub fn detach(&mut self, place: Place, now: Instant) {
        let Some(participant) = self
            .participants
            .iter_mut()
            .find(|participant| participant.place == place && participant.is_attached())
        else {
            return;
        };
        participant.connection = Connection::Broken(now + RECONNECT_PATIENCE);
        let id = participant.id.clone();
        self.put_out_if_lost(&id, now);
    }

    /// Puts somebody out whose connection broke a while ago, unless their media shows that they are still there.
    pub(crate) fn put_out_unless_connected(&mut self, place: Place, now: Instant) {
        let participants = &mut self.participants;
        let Some(known) = participants.iter_mut().find(|known| known.place == place) else {
            return;
        };
        let is_connected = self
            .transports
            .values()
            .any(|transport| transport.participant == known.id && transport.is_connected());
        if is_connected {
            known.connection = Connection::Broken(now + RECONNECT_PATIENCE);
        } else {
            self.put_out(place, None, now);
        }
    }

    /// Puts somebody out whose connection broke and whose transports have all ended.
    pub(crate) fn put_out_if_lost(&mut self, participant: &ParticipantId, now: Instant) {
        let lives = self
            .transports
            .values()
            .any(|transport| transport.participant == *participant);
        let broken = self
            .participants
            .iter()
            .find(|known| known.id == *participant && !known.is_attached());
        if let Some(place) = broken.map(|known| known.place).filter(|_| !lives) {
            self.put_out(place, None, now);
        }
    }

    /// Ends everything of a participant's. With a reason they are told.
    pub(crate) fn put_out(&mut self, place: Place, reason: Option<String>, now: Instant) {
        let Some(index) = self
            .participants
            .iter()
            .position(|participant| participant.place == place)
        else {
            return;
        };
        // Removed first, so that it is not told of its own end.
        let Participant { id, .. } = self.participants.remove(index);
        let transports: Vec<TransportId> = self
            .transports
            .iter()
            .filter(|(_, transport)| transport.participant == id)
            .map(|(transport, _)| transport.clone())
            .collect();
        for transport in transports {
            self.end_transport(&transport);
            self.want(Effect::CloseTransport(transport));
        }
        self.speakers.forget_participant(&id);
        self.want(Effect::Dismiss(place, reason));
        self.tell_all(&RoomEvent::ParticipantLeft(id));
        self.note_emptiness(now);
        self.look_who_speaks(now);
    }

    fn reattach(&mut self, place: Place) -> Arrival {
        let new = Place(self.next_number());
        let participant = self
            .participants
            .iter_mut()
            .find(|participant| participant.place == place)
            .expect("whoever calls has just found it");
        participant.place = new;
        participant.connection = Connection::Attached;
        Arrival {
            place: new,
            participant: participant.id.clone(),
            resumed: true,
        }
    }
}

fn check_name(name: &ParticipantId, order: &JoinOrder) -> Result<(), RoomError> {
    let bytes = name.as_str().len();
    if !(1..=PARTICIPANT_NAME_BYTES_LIMIT).contains(&bytes) {
        return Err(RoomError::Malformed(format!(
            "a participant's name must have 1 to {PARTICIPANT_NAME_BYTES_LIMIT} bytes"
        )));
    }
    let display_name = order.display_name.as_ref().map_or(0, String::len);
    if display_name > DISPLAY_NAME_BYTES_LIMIT {
        return Err(RoomError::Malformed(format!(
            "a name to be read must have at most {DISPLAY_NAME_BYTES_LIMIT} bytes"
        )));
    }
    check_application("what is told of a participant", &order.details)
}
