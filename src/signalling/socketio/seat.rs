//! A connection's place in a room.

use std::sync::Arc;

use ::rooms::{JoinOrder, RoomError, RoomEvent, RoomView, TransportId};
use tokio::sync::mpsc;

use crate::rooms::{Guest, Member, Membership, Rooms};

/// What came of taking a place.
#[derive(Debug, Clone, PartialEq)]
pub struct Seated {
    /// Whether it is the place from before the connection broke: transports, producers and consumers are still there.
    pub resumed: bool,
    /// The room, with whoever came.
    pub room: RoomView,
}

/// A connection's place in a room, or none yet. Dropping it is losing the connection, not leaving.
pub struct Seat {
    rooms: Arc<dyn Rooms>,
    guest: Guest,
    place: Option<Place>,
}

struct Place {
    member: Arc<dyn Member>,
    events: mpsc::Receiver<RoomEvent>,
}

impl Seat {
    /// No place yet.
    pub fn new(rooms: Arc<dyn Rooms>, guest: Guest) -> Self {
        Self {
            rooms,
            guest,
            place: None,
        }
    }

    /// Takes a place in a room. Another one, if there is one, is left for good.
    pub async fn join(&mut self, order: JoinOrder) -> Result<Seated, RoomError> {
        self.leave().await;
        let membership = self.rooms.join(&self.guest, order).await?;
        Ok(self.sit(membership))
    }

    /// Takes back the place to which `transport` belongs. Another one, if there is one, is left for good.
    pub async fn resume(&mut self, transport: &TransportId) -> Result<Seated, RoomError> {
        self.leave().await;
        let membership = self.rooms.resume(&self.guest, transport).await?;
        Ok(self.sit(membership))
    }

    /// Does so by the first of several that is still there.
    pub async fn resume_by(
        &mut self,
        transports: impl Iterator<Item = &TransportId>,
    ) -> Result<Seated, RoomError> {
        let mut failure = RoomError::NoTransport;
        for transport in transports {
            match self.resume(transport).await {
                Ok(seated) => return Ok(seated),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// What may be done from this place; [`RoomError::NotJoined`] when there is none.
    pub fn member(&self) -> Result<&Arc<dyn Member>, RoomError> {
        let place = self.place.as_ref().ok_or(RoomError::NotJoined)?;
        Ok(&place.member)
    }

    /// Leaves the room for good, if there is one.
    pub async fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            place.member.leave().await;
        }
    }

    /// The connection broke: the place is kept for whoever takes it back.
    pub fn detach(&mut self) {
        if let Some(place) = self.place.take() {
            place.member.detach();
        }
    }

    /// What happens next in the room; never ends where there is none. Dropping the future loses nothing.
    ///
    /// After [`RoomEvent::Closed`], which is also told when the room has gone without a word, the place is empty.
    pub async fn next_event(&mut self) -> RoomEvent {
        let Some(place) = &mut self.place else {
            return std::future::pending().await;
        };
        let event = place.events.recv().await;
        let event = event.unwrap_or_else(|| RoomEvent::Closed("the room has gone".to_owned()));
        if matches!(event, RoomEvent::Closed(_)) {
            self.place = None;
        }
        event
    }

    fn sit(&mut self, membership: Membership) -> Seated {
        self.place = Some(Place {
            member: membership.member,
            events: membership.events,
        });
        Seated {
            resumed: membership.resumed,
            room: membership.room,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.detach();
    }
}
