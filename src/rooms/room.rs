//! A room: what happened and when goes in, what to tell and what to end comes out.

use std::{
    collections::{HashMap, VecDeque},
    time::{Instant, SystemTime},
};

use broadcast::BroadcastId;
use ortc::RtpCapabilities;
use serde_json::Value;

use crate::{
    ConsumerId, EMPTY_ROOM_PATIENCE, Effect, ParticipantId, ParticipantView, Place, ProducerId,
    RoomError, RoomEvent, RoomLimits, RoomView, TransportId,
    limits::APPLICATION_BYTES_LIMIT,
    participant::Participant,
    speaker::Speakers,
    track::{Consumer, Producer},
    transport::Transport,
};

/// What a room is made from.
#[derive(Debug, Clone)]
pub struct NewRoom {
    /// Its name.
    pub id: BroadcastId,
    /// What can be sent in it.
    pub capabilities: RtpCapabilities,
    /// How much there may be in it.
    pub limits: RoomLimits,
    /// When it is made, on the wall.
    pub created: SystemTime,
    /// From where SSRCs are counted; random, so that a new room of the same name does not repeat them.
    pub first_ssrc: u32,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoomFigures {
    /// Participants.
    pub participants: usize,
    /// Transports.
    pub transports: usize,
    /// Tracks that are sent.
    pub producers: usize,
    /// Tracks that are received.
    pub consumers: usize,
}

/// Who is in a room, what they send, and who receives what. Pure, with time as an argument.
///
/// After every call perform [`poll_effect`](Self::poll_effect) until it is empty, then wait for the next event or for
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Room {
    pub(crate) id: BroadcastId,
    pub(crate) capabilities: RtpCapabilities,
    pub(crate) limits: RoomLimits,
    created: (Instant, SystemTime),
    /// In the order in which they came.
    pub(crate) participants: Vec<Participant>,
    pub(crate) transports: HashMap<TransportId, Transport>,
    pub(crate) producers: HashMap<ProducerId, Producer>,
    pub(crate) consumers: HashMap<ConsumerId, Consumer>,
    pub(crate) speakers: Speakers,
    effects: VecDeque<Effect>,
    empty_since: Option<Instant>,
    has_egress: bool,
    next_number: u64,
    next_ssrc: u32,
}

impl Room {
    /// Nobody is in it yet.
    pub fn new(new: NewRoom, now: Instant) -> Self {
        Self {
            id: new.id,
            capabilities: new.capabilities,
            limits: new.limits,
            created: (now, new.created),
            participants: Vec::new(),
            transports: HashMap::new(),
            producers: HashMap::new(),
            consumers: HashMap::new(),
            speakers: Speakers::default(),
            effects: VecDeque::new(),
            empty_since: Some(now),
            has_egress: false,
            next_number: 1,
            next_ssrc: new.first_ssrc,
        }
    }

    /// Its name.
    pub const fn id(&self) -> &BroadcastId {
        &self.id
    }

    /// What can be sent in it.
    pub const fn capabilities(&self) -> &RtpCapabilities {
        &self.capabilities
    }

    /// How much there is in it.
    pub fn figures(&self) -> RoomFigures {
        RoomFigures {
            participants: self.participants.len(),
            transports: self.transports.len(),
            producers: self.producers.len(),
            consumers: self.consumers.len(),
        }
    }

    /// What it looks like.
    pub fn view(&self) -> RoomView {
        let mut sends: HashMap<&ParticipantId, usize> = HashMap::new();
        for producer in self.producers.values() {
            *sends.entry(&producer.participant).or_default() += 1;
        }
        let mut receives: HashMap<&ParticipantId, usize> = HashMap::new();
        for consumer in self.consumers.values() {
            *receives.entry(&consumer.participant).or_default() += 1;
        }
        let participants = self.participants.iter().map(|participant| ParticipantView {
            producers: sends.get(&participant.id).copied().unwrap_or_default(),
            consumers: receives.get(&participant.id).copied().unwrap_or_default(),
            ..participant.view()
        });
        let mut producers: Vec<&Producer> = self.producers.values().collect();
        producers.sort_unstable_by_key(|producer| producer.number);
        RoomView {
            room: self.id.clone(),
            created: self.created.1,
            capabilities: self.capabilities.clone(),
            participants: participants.collect(),
            producers: producers.into_iter().map(Producer::view).collect(),
            egress: self.has_egress,
        }
    }

    /// Takes the next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, if ever.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        self.participants
            .iter()
            .filter_map(Participant::kept_until)
            .chain(self.over_at())
            .chain(self.speakers.poll_timeout(now))
            .min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let overdue: Vec<Place> = self
            .participants
            .iter()
            .filter(|participant| participant.kept_until().is_some_and(|until| until <= now))
            .map(|participant| participant.place)
            .collect();
        for place in overdue {
            self.put_out_unless_connected(place, now);
        }
        self.look_who_speaks(now);
    }

    /// Whether it has been empty for so long that it is to be removed. Not while its programme goes out.
    pub fn is_over(&self, now: Instant) -> bool {
        self.over_at().is_some_and(|at| at <= now)
    }

    /// The room's programme goes out (`true`), or no more.
    pub fn set_egress(&mut self, has_egress: bool, now: Instant) {
        if self.has_egress && !has_egress && self.empty_since.is_some() {
            self.empty_since = Some(now);
        }
        self.has_egress = has_egress;
    }

    /// Tells everybody.
    pub fn tell_all(&mut self, event: &RoomEvent) {
        self.tell_where(event, |_| true);
    }

    /// Tells the others what only the dialect understands, at most [`APPLICATION_BYTES_LIMIT`].
    pub fn tell(
        &mut self,
        place: Place,
        topic: &'static str,
        content: Value,
    ) -> Result<(), RoomError> {
        check_application("what is told", &content)?;
        let participant = self.participant(place)?.id.clone();
        self.tell_others(
            place,
            &RoomEvent::Told {
                participant,
                topic,
                content,
            },
        );
        Ok(())
    }

    /// Somebody reports how loud their microphone is, 0 to 1.
    pub fn report_audio_level(
        &mut self,
        place: Place,
        level: f64,
        now: Instant,
    ) -> Result<(), RoomError> {
        let participant = self.participant(place)?.id.clone();
        self.speakers.handle_reported(&participant, level, now);
        self.look_who_speaks(now);
        Ok(())
    }

    /// So loud is this track (RFC 6464): 0 is loudest, 127 silence.
    pub fn handle_audio_level(&mut self, producer: &ProducerId, level: u8, now: Instant) {
        if let Some(known) = self.producers.get(producer)
            && !known.paused
        {
            let participant = known.participant.clone();
            self.speakers
                .handle_measured(&participant, producer, level, now);
            self.look_who_speaks(now);
        }
    }

    /// Puts everybody out; the room is good for nothing then.
    pub fn close(&mut self, reason: &str, now: Instant) {
        while let Some(participant) = self.participants.first() {
            let place = participant.place;
            self.put_out(place, Some(reason.to_owned()), now);
        }
    }

    pub(crate) fn look_who_speaks(&mut self, now: Instant) {
        if let Some(speaker) = self.speakers.look(now) {
            let at = self.wall(now);
            self.tell_all(&RoomEvent::ActiveSpeaker(speaker, at));
        }
    }

    /// Whether somebody has this place; [`RoomError::NotJoined`] when they have left, or came again elsewhere.
    pub fn check_place(&self, place: Place) -> Result<(), RoomError> {
        self.participant(place).map(|_| ())
    }

    /// Whoever has this place.
    pub(crate) fn participant(&self, place: Place) -> Result<&Participant, RoomError> {
        self.participants
            .iter()
            .find(|participant| participant.place == place)
            .ok_or(RoomError::NotJoined)
    }

    /// The place of somebody who is in the room.
    pub(crate) fn place_of(&self, participant: &ParticipantId) -> Option<Place> {
        self.participants
            .iter()
            .find(|known| known.id == *participant)
            .map(|known| known.place)
    }

    pub(crate) fn want(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    pub(crate) fn tell_others(&mut self, place: Place, event: &RoomEvent) {
        self.tell_where(event, |other| other != place);
    }

    pub(crate) fn tell_participant(&mut self, participant: &ParticipantId, event: RoomEvent) {
        let attached = self
            .participants
            .iter()
            .find(|known| known.id == *participant && known.is_attached());
        if let Some(place) = attached.map(|known| known.place) {
            self.want(Effect::Tell(place, event));
        }
    }

    fn tell_where(&mut self, event: &RoomEvent, is_meant: impl Fn(Place) -> bool) {
        let places: Vec<Place> = self
            .participants
            .iter()
            .filter(|participant| participant.is_attached() && is_meant(participant.place))
            .map(|participant| participant.place)
            .collect();
        for place in places {
            self.want(Effect::Tell(place, event.clone()));
        }
    }

    /// Counts up; for places, and for the order of what is there.
    pub(crate) const fn next_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    /// Two SSRCs that nothing else in this room has, for as long as less than two thousand million were given out.
    pub(crate) const fn next_ssrcs(&mut self) -> (u32, u32) {
        /// What mediasoup-client probes bandwidth with.
        const PROBATOR: u32 = 1234;
        let mut first = self.next_ssrc | 1;
        if first == PROBATOR - 1 || first == u32::MAX {
            first = first.wrapping_add(2) | 1;
        }
        self.next_ssrc = first.wrapping_add(2);
        (first, first + 1)
    }

    pub(crate) fn wall(&self, now: Instant) -> SystemTime {
        self.created.1 + now.saturating_duration_since(self.created.0)
    }

    pub(crate) fn note_emptiness(&mut self, now: Instant) {
        self.empty_since = match (self.participants.is_empty(), self.empty_since) {
            (true, Some(since)) => Some(since),
            (true, None) => Some(now),
            (false, _) => None,
        };
    }

    fn over_at(&self) -> Option<Instant> {
        self.empty_since
            .filter(|_| !self.has_egress)
            .map(|since| since + EMPTY_ROOM_PATIENCE)
    }
}

/// Refuses what is too large to be kept or told.
pub(crate) fn check_application(what: &str, content: &Value) -> Result<(), RoomError> {
    let bytes = serde_json::to_vec(content).map_or(usize::MAX, |json| json.len());
    if bytes > APPLICATION_BYTES_LIMIT {
        return Err(RoomError::Malformed(format!(
            "{what} must have at most {APPLICATION_BYTES_LIMIT} bytes as JSON"
        )));
    }
    Ok(())
}
