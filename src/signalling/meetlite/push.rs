//! What the client is told of others.

use ::rooms::{ConsumerId, RoomEvent};
use serde_json::json;

use super::{MEDIA_STATE, MeetLite, label_of, media_state_update, user_info};

impl MeetLite {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the client has no word for the rest"
    )]
    pub(super) async fn push(&mut self, event: RoomEvent) {
        match event {
            RoomEvent::ParticipantJoined(participant) => {
                let content = json!({
                    "participantId": participant.id,
                    "userId": participant.id,
                    "userInfo": user_info(&participant),
                });
                self.emit("participant-joined", content);
            }
            RoomEvent::ParticipantLeft(id) => {
                let content = json!({ "participantId": id, "userId": id });
                self.emit("participant-left", content);
            }
            RoomEvent::ProducerAdded(producer) => self.push_consumer(&producer).await,
            RoomEvent::ProducerPaused(producer, paused) => {
                let content = json!({
                    "participantId": producer.participant,
                    "kind": label_of(&producer),
                    "event": "paused",
                    "data": paused,
                });
                self.emit("producer-state-changed", content);
            }
            RoomEvent::ProducerClosed(producer) => {
                let content = json!({
                    "participantId": producer.participant,
                    "producerId": producer.id,
                });
                self.emit("producer-closed", content);
            }
            RoomEvent::ConsumerPaused {
                consumer,
                participant,
                paused,
            } => {
                let event = if paused {
                    "consumer-producer-paused"
                } else {
                    "consumer-producer-resumed"
                };
                let content = json!({ "consumerId": consumer, "participantId": participant });
                self.emit(event, content);
            }
            RoomEvent::ConsumerClosed {
                consumer,
                producer,
                participant,
                ..
            } => {
                self.received_by_id.remove(&consumer);
                let content = json!({ "consumerId": consumer, "participantId": participant });
                self.emit("consumer-closed", content);
                let content = json!({
                    "consumerId": consumer,
                    "participantId": participant,
                    "producerId": producer,
                });
                self.emit("consumer-producer-closed", content);
            }
            RoomEvent::Told {
                participant,
                topic: MEDIA_STATE,
                content,
            } => {
                let content = media_state_update(participant.as_str(), &content);
                self.emit("media-state-update", content);
            }
            RoomEvent::TransportClosed(transport, _) => self.forget_transport(&transport),
            RoomEvent::Closed(reason) => {
                self.forget_room();
                self.emit("error", json!({ "message": reason }));
            }
            _ => {}
        }
    }

    /// What it sent on the transport has ended with it; what it received there is told one by one.
    fn forget_transport(&mut self, transport: &::rooms::TransportId) {
        if self.send.as_ref() == Some(transport) {
            self.send = None;
            self.sent_by_label.clear();
        }
        if self.receive.as_ref() == Some(transport) {
            self.receive = None;
            let ended: Vec<ConsumerId> = self.received_by_id.keys().cloned().collect();
            for consumer in ended {
                if let Some(received) = self.received_by_id.remove(&consumer) {
                    let content = json!({
                        "consumerId": consumer,
                        "participantId": received.participant,
                    });
                    self.emit("consumer-closed", content);
                }
            }
        }
    }
}
