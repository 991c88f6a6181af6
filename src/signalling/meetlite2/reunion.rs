//! Coming back after the connection broke.

use ::rooms::{ProducerView, RoomError, RoomView};

use super::MeetLite2;
use crate::socketio::{Caller, Seat};

impl MeetLite2 {
    /// Takes the place back by one of its transports, and tells of tracks that came and went meanwhile.
    pub(super) async fn come_back(&mut self, caller: Caller) -> Result<(), RoomError> {
        self.seat = Seat::new(caller.rooms.clone(), caller.guest.clone());
        self.caller = caller;
        let room = self
            .seat
            .resume_by(self.transports.iter().rev())
            .await?
            .room;
        self.stale = self.own_producers(&room);
        let (there, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.told)
            .into_iter()
            .partition(|told| room.producers.iter().any(|found| found.id == told.id));
        self.told = there;
        for producer in &gone {
            self.tell_closed(producer);
        }
        for producer in self.others_producers(&room) {
            if !self.told.iter().any(|told| told.id == producer.id) {
                self.tell_added(producer);
            }
        }
        Ok(())
    }

    pub(super) fn own_producers(&self, room: &RoomView) -> Vec<ProducerView> {
        let is_own = |producer: &&ProducerView| self.is_own(producer);
        room.producers.iter().filter(is_own).cloned().collect()
    }

    pub(super) fn others_producers(&self, room: &RoomView) -> Vec<ProducerView> {
        let is_others = |producer: &&ProducerView| !self.is_own(producer);
        room.producers.iter().filter(is_others).cloned().collect()
    }

    fn is_own(&self, producer: &ProducerView) -> bool {
        let member = self.seat.member();
        member.is_ok_and(|member| producer.participant == *member.participant())
    }
}
