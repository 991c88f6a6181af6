//! What the client is told of others.

use ::rooms::{ParticipantView, ProducerView, RoomEvent};
use serde_json::{Value, json};

use super::{
    MEDIA_STATE, MediaState, MeetLite2, SCREEN_SHARE,
    arrival::{ANNOUNCED_BY, source_and_type},
};
use crate::{
    meetlite::{media_state_update, user_info},
    socketio::milliseconds,
};

impl MeetLite2 {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the client has no word for the rest"
    )]
    pub(super) async fn push(&mut self, event: RoomEvent) {
        match event {
            RoomEvent::ParticipantJoined(participant) => self.announce(&participant).await,
            RoomEvent::ParticipantLeft(id) => {
                self.emit("user-left", json!(id));
                let content = json!({ "userId": id, "participantId": id });
                self.emit("participant-left", content);
            }
            RoomEvent::ProducerAdded(producer) => self.tell_added(producer),
            RoomEvent::ProducerClosed(producer) => {
                self.told.retain(|told| told.id != producer.id);
                self.tell_closed(&producer);
            }
            RoomEvent::TransportClosed(transport, _) => {
                self.transports.retain(|own| *own != transport);
            }
            RoomEvent::ConsumerClosed {
                consumer, producer, ..
            } => {
                let content = json!({ "consumerId": consumer, "producerId": producer });
                self.emit("consumer-closed", content);
            }
            RoomEvent::Told {
                participant,
                topic,
                content,
            } => self.pass_on(participant.as_str(), topic, &content),
            RoomEvent::Closed(reason) => {
                self.forget_room();
                self.emit("error", json!({ "message": reason }));
            }
            _ => {}
        }
    }

    pub(super) fn tell_added(&mut self, producer: ProducerView) {
        let (source, media_type) = source_and_type(&producer);
        let content = json!({
            "producerId": producer.id,
            "userId": producer.participant,
            "kind": producer.kind,
            "source": source,
            "mediaType": media_type,
        });
        self.emit("new-producer", content);
        self.told.push(producer);
    }

    pub(super) fn tell_closed(&self, producer: &ProducerView) {
        let content = json!({
            "producerId": producer.id,
            "userId": producer.participant,
            "kind": producer.kind,
        });
        self.emit("producer-closed", content);
    }

    /// The newcomer read the states of others as they came; whoever changed theirs since tells it again.
    async fn announce(&self, participant: &ParticipantView) {
        let event = match participant
            .details
            .get(ANNOUNCED_BY)
            .and_then(Value::as_str)
        {
            Some("user-joined") => "user-joined",
            _ => "participant-joined",
        };
        let info = user_info(participant);
        let content = json!({
            "userId": participant.id,
            "participantId": participant.id,
            "userEmail": info["email"],
            "userInfo": info,
            "participantInfo": info,
            "joinedAt": milliseconds(participant.joined),
            "isMediaSoupConnected": true,
            "mediaState": MediaState::of(&participant.details["mediaState"]).told(),
        });
        self.emit(event, content);
        if self.state_changed
            && let Err(error) = self.tell_media_state().await
        {
            tracing::debug!(dialect = "meetlite2", %error, "a newcomer was not told");
        }
    }

    fn pass_on(&self, participant: &str, topic: &str, content: &Value) {
        match topic {
            MEDIA_STATE => {
                self.emit(
                    "media-state-update",
                    media_state_update(participant, content),
                );
            }
            SCREEN_SHARE => {
                let event = if content["started"] == json!(true) {
                    "screen-share-started"
                } else {
                    "screen-share-stopped"
                };
                self.emit(event, json!({ "userId": participant }));
            }
            _ => {}
        }
    }
}
