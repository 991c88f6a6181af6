//! The connections of participants, and what ends with them.

use std::time::Instant;

use ortc::IceParameters;

use crate::{
    Direction, Effect, ParticipantId, Place, Room, RoomError, RoomEvent, TransportId,
    TransportState, TransportStates, TransportView,
};

/// A connection of a participant's.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) number: u64,
    pub(crate) participant: ParticipantId,
    pub(crate) direction: Direction,
    pub(crate) view: TransportView,
    states: TransportStates,
    /// Sections that consumers on it have used.
    pub(crate) sections: u32,
    /// From before its owner came back by name: perhaps the owner knows nothing of it any more.
    pub(crate) is_doubtful: bool,
}

impl Transport {
    /// Whether the client has proven that it is there. A transport whose client falls silent ends.
    pub(crate) fn is_connected(&self) -> bool {
        self.states.dtls == TransportState::Connected
    }
}

impl Room {
    /// Whether another transport may be made. What the owner seems to know nothing of any more is ended for it.
    pub fn check_transport(&mut self, place: Place, direction: Direction) -> Result<(), RoomError> {
        let participant = self.participant(place)?.id.clone();
        let forgotten: Vec<TransportId> = self
            .transports
            .iter()
            .filter(|(_, transport)| transport.participant == participant && transport.is_doubtful)
            .filter(|(_, transport)| serve_the_same(transport.direction, direction))
            .map(|(id, _)| id.clone())
            .collect();
        for id in forgotten {
            self.end_transport(&id);
            self.want(Effect::CloseTransport(id));
        }
        let count = self
            .transports
            .values()
            .filter(|transport| transport.participant == participant)
            .count();
        if count >= self.limits.transports {
            return Err(RoomError::LimitReached(format!(
                "{} transports of a participant",
                self.limits.transports
            )));
        }
        Ok(())
    }

    /// Notes a transport, which is on a worker by now.
    pub fn add_transport(
        &mut self,
        place: Place,
        direction: Direction,
        view: TransportView,
    ) -> Result<(), RoomError> {
        let participant = self.participant(place)?.id.clone();
        let transport = Transport {
            number: self.next_number(),
            participant,
            direction,
            states: TransportStates {
                ice: TransportState::New,
                dtls: TransportState::New,
            },
            sections: 0,
            is_doubtful: false,
            view,
        };
        self.transports.insert(transport.view.id.clone(), transport);
        Ok(())
    }

    /// How far a participant's own transport is.
    pub fn transport_states(
        &self,
        place: Place,
        transport: &TransportId,
    ) -> Result<TransportStates, RoomError> {
        Ok(self.own_transport(place, transport)?.states)
    }

    /// The owner names a transport: it is theirs, and they know of it.
    pub fn use_transport(
        &mut self,
        place: Place,
        transport: &TransportId,
    ) -> Result<(), RoomError> {
        self.own_transport(place, transport)?;
        if let Some(transport) = self.transports.get_mut(transport) {
            transport.is_doubtful = false;
        }
        Ok(())
    }

    /// A transport goes by other credentials now, which consumers that come are told.
    pub fn set_ice_parameters(&mut self, transport: &TransportId, ice: IceParameters) {
        if let Some(transport) = self.transports.get_mut(transport) {
            transport.view.ice_parameters = ice;
        }
    }

    /// The owner ends a transport.
    pub fn close_transport(
        &mut self,
        place: Place,
        transport: &TransportId,
        now: Instant,
    ) -> Result<(), RoomError> {
        self.own_transport(place, transport)?;
        self.end_transport(transport);
        self.want(Effect::CloseTransport(transport.clone()));
        self.look_who_speaks(now);
        Ok(())
    }

    /// A transport is this far now.
    pub fn handle_transport_states(&mut self, id: &TransportId, states: TransportStates) {
        let Some(transport) = self.transports.get_mut(id) else {
            return;
        };
        let was_connected = transport.states.dtls == TransportState::Connected;
        transport.states = states;
        if states.dtls == TransportState::Connected && !was_connected {
            let owner = transport.participant.clone();
            self.tell_participant(&owner, RoomEvent::TransportConnected(id.clone()));
        }
    }

    /// A transport has ended by itself.
    pub fn handle_transport_ended(&mut self, id: &TransportId, reason: &str, now: Instant) {
        let Some(owner) = self.end_transport(id) else {
            return;
        };
        let event = RoomEvent::TransportClosed(id.clone(), reason.to_owned());
        self.tell_participant(&owner, event);
        self.put_out_if_lost(&owner, now);
        self.look_who_speaks(now);
    }

    pub(crate) fn own_transport(
        &self,
        place: Place,
        id: &TransportId,
    ) -> Result<&Transport, RoomError> {
        let participant = self.participant(place)?;
        self.transports
            .get(id)
            .filter(|transport| transport.participant == participant.id)
            .ok_or(RoomError::NoSuchTransport)
    }

    /// The transport for a track when none is named: made for that direction, else for both; of several the newest. What is
    /// made for the other direction is not taken.
    pub(crate) fn choose_transport(
        &self,
        place: Place,
        direction: Direction,
    ) -> Result<TransportId, RoomError> {
        let participant = self.participant(place)?;
        self.transports
            .iter()
            .filter(|(_, transport)| transport.participant == participant.id)
            .filter(|(_, transport)| serve_the_same(transport.direction, direction))
            .max_by_key(|(_, transport)| (transport.direction == direction, transport.number))
            .map(|(id, _)| id.clone())
            .ok_or(RoomError::NoTransport)
    }

    /// Forgets a transport and what is on it; its worker does so by itself. Returns whose it was.
    pub(crate) fn end_transport(&mut self, id: &TransportId) -> Option<ParticipantId> {
        let transport = self.transports.remove(id)?;
        let mut producers: Vec<_> = self
            .producers
            .iter()
            .filter(|(_, producer)| producer.transport == *id)
            .map(|(producer, known)| (known.number, producer.clone()))
            .collect();
        producers.sort_unstable();
        for (_, producer) in producers {
            self.end_producer(&producer);
        }
        self.consumers
            .retain(|_, consumer| consumer.transport != *id);
        Some(transport.participant)
    }
}

/// Whether a transport of one direction can be used for the other.
const fn serve_the_same(has: Direction, wanted: Direction) -> bool {
    matches!(
        (has, wanted),
        (Direction::Both, _)
            | (_, Direction::Both)
            | (Direction::Send, Direction::Send)
            | (Direction::Receive, Direction::Receive)
    )
}
