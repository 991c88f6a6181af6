//! Coming back after the connection broke: the client goes on without a word.

use ::rooms::{ConsumerId, ProducerId, RoomError};
use serde_json::json;

use super::MeetLite;
use crate::socketio::{Caller, Seat};

impl MeetLite {
    /// Takes the place back by one of its transports, and tells of tracks that came and went meanwhile.
    pub(super) async fn come_back(&mut self, caller: Caller) -> Result<(), RoomError> {
        self.seat = Seat::new(caller.rooms.clone(), caller.guest.clone());
        self.caller = caller;
        let transports = [self.send.as_ref(), self.receive.as_ref()];
        let room = self
            .seat
            .resume_by(transports.into_iter().flatten())
            .await?
            .room;
        let is_there = |id: &ProducerId| room.producers.iter().any(|producer| producer.id == *id);
        self.sent_by_label
            .retain(|_, sent| is_there(&sent.producer));
        let lost = self
            .received_by_id
            .iter()
            .filter(|(_, received)| !is_there(&received.producer));
        let lost: Vec<ConsumerId> = lost.map(|(id, _)| id.clone()).collect();
        for consumer in lost {
            if let Some(received) = self.received_by_id.remove(&consumer) {
                let content = json!({
                    "consumerId": consumer,
                    "participantId": received.participant,
                });
                self.emit("consumer-closed", content);
            }
        }
        for producer in &room.producers {
            self.push_consumer(producer).await;
        }
        Ok(())
    }
}
