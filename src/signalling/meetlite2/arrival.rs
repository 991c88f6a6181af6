//! Coming into a room, and leaving it.

use ::rooms::{ParticipantView, ProducerView, RoomError, RoomView};
use serde_json::{Map, Value, json};

use super::{Done, MediaState, MeetLite2, Refused};
use crate::{
    meetlite::user_info,
    rest::ice_servers,
    socketio::{Ack, Payload, milliseconds},
};

/// The event by which others are to be told of somebody, in their details.
pub(super) const ANNOUNCED_BY: &str = "announcedBy";

impl MeetLite2 {
    pub(super) async fn ready(&mut self, payload: &Payload, ack: Option<&Ack>) -> Done {
        let room = self
            .enter(payload, "user-joined", "Failed to join room")
            .await?;
        let participants: Vec<&str> = room
            .participants
            .iter()
            .map(|participant| participant.id.as_str())
            .collect();
        let by_id = |value: &dyn Fn(&ParticipantView) -> Value| -> Map<String, Value> {
            let entries = room.participants.iter();
            entries
                .map(|participant| (participant.id.as_str().to_owned(), value(participant)))
                .collect()
        };
        let content = json!({
            "roomId": room.room.as_str(),
            "participants": participants,
            "mediaState": by_id(&|participant| self.media_state_of(participant)),
            "participantInfo": by_id(&user_info),
            "rtpCapabilities": room.capabilities,
            "iceServers": ice_servers(&self.caller.rooms.ice_servers(&self.caller.guest)),
            "mediaSoupEnabled": true,
            "existingProducers": existing_producers(&room),
            "screenSharing": screen_sharing(&room),
            "collaborationState": null,
        });
        self.reply("room-data", content, ack);
        Ok(())
    }

    pub(super) async fn create_room(&mut self, payload: &Payload, ack: Option<&Ack>) -> Done {
        let room = self
            .enter(payload, "participant-joined", "Failed to create room")
            .await?;
        let content = json!({
            "roomId": room.room.as_str(),
            "rtpCapabilities": room.capabilities,
            "iceServers": ice_servers(&self.caller.rooms.ice_servers(&self.caller.guest)),
            "mediaSoupEnabled": true,
        });
        self.reply("room-created", content, ack);
        Ok(())
    }

    pub(super) async fn join_room(&mut self, payload: &Payload, ack: Option<&Ack>) -> Done {
        let room = self
            .enter(payload, "participant-joined", "Failed to join room")
            .await?;
        let participants: Vec<Value> = room
            .participants
            .iter()
            .map(|participant| {
                json!({
                    "userId": participant.id,
                    "userInfo": user_info(participant),
                    "joinedAt": milliseconds(participant.joined),
                })
            })
            .collect();
        let content = json!({
            "roomId": room.room.as_str(),
            "rtpCapabilities": room.capabilities,
            "iceServers": ice_servers(&self.caller.rooms.ice_servers(&self.caller.guest)),
            "participants": participants,
            "mediaSoupEnabled": true,
            "existingProducers": existing_producers(&room),
        });
        self.reply("room-joined", content, ack);
        Ok(())
    }

    /// Leaving a room that one is not in is no error.
    pub(super) async fn leave(&mut self) -> Done {
        self.seat.leave().await;
        self.forget_room();
        Ok(())
    }

    /// Comes into the room. Who is in it already stays there.
    async fn enter(
        &mut self,
        payload: &Payload,
        announced_by: &'static str,
        failure: &'static str,
    ) -> Result<RoomView, Refused> {
        if payload.text("roomId").is_none() {
            return Err(Refused::new("Room ID is required", missing_room()));
        }
        let entered = self.take_place(payload, announced_by).await;
        entered.map_err(|error| {
            let is_denied = matches!(
                error,
                RoomError::Forbidden(_) | RoomError::Unauthenticated(_)
            );
            let message = if is_denied {
                "Access denied to this room"
            } else {
                failure
            };
            Refused::new(message, error)
        })
    }

    async fn take_place(
        &mut self,
        payload: &Payload,
        announced_by: &'static str,
    ) -> Result<RoomView, RoomError> {
        let room = payload.room("roomId")?;
        self.media_state = MediaState::of(payload.field("mediaState"));
        if let Ok(member) = self.seat.member()
            && *member.room() == room
        {
            self.state_changed = true;
            self.tell_media_state().await?;
            let room = self.seat.member()?.view().await?;
            self.told = self.others_producers(&room);
            return Ok(room);
        }
        self.forget_room();
        let details = json!({ "mediaState": self.media_state.told(), ANNOUNCED_BY: announced_by });
        let seated = self.seat.join(self.person.order(room, details)).await?;
        if seated.resumed {
            self.stale = self.own_producers(&seated.room);
        }
        self.told = self.others_producers(&seated.room);
        self.state_changed = seated.resumed;
        Ok(seated.room)
    }

    fn media_state_of(&self, participant: &ParticipantView) -> Value {
        let is_own = self
            .seat
            .member()
            .is_ok_and(|member| *member.participant() == participant.id);
        if is_own {
            self.media_state.told()
        } else {
            MediaState::of(&participant.details["mediaState"]).told()
        }
    }
}

/// What was refused is told with its reason in the log only.
pub(super) fn missing_room() -> RoomError {
    RoomError::Malformed("roomId: is missing".to_owned())
}

/// `source` and `mediaType` of a track, whatever dialect its sender speaks.
pub(super) fn source_and_type(producer: &ProducerView) -> (Value, Value) {
    let told = |name: &str| {
        let text = producer.app_data.get(name).and_then(Value::as_str)?;
        Some(json!(text))
    };
    let source = if producer.is_screen {
        "screen"
    } else {
        "camera"
    };
    let kind = match producer.kind {
        ortc::MediaKind::Audio => "audio",
        ortc::MediaKind::Video => "video",
    };
    (
        told("source").unwrap_or_else(|| json!(source)),
        told("mediaType").unwrap_or_else(|| json!(format!("{source}-{kind}"))),
    )
}

fn existing_producers(room: &RoomView) -> Vec<Value> {
    room.producers
        .iter()
        .map(|producer| {
            let (source, media_type) = source_and_type(producer);
            json!({
                "id": producer.id,
                "producerId": producer.id,
                "userId": producer.participant,
                "kind": producer.kind,
                "source": source,
                "mediaType": media_type,
            })
        })
        .collect()
}

/// Who shows a screen, and by which producers; `null` when nobody does.
fn screen_sharing(room: &RoomView) -> Value {
    let of_kind = |kind| {
        room.producers
            .iter()
            .find(|producer| producer.is_screen && producer.kind == kind)
    };
    let video = of_kind(ortc::MediaKind::Video);
    let audio = of_kind(ortc::MediaKind::Audio);
    match video.or(audio) {
        Some(shown) => json!({
            "userId": shown.participant,
            "videoProducerId": video.map(|producer| &producer.id),
            "audioProducerId": audio.map(|producer| &producer.id),
        }),
        None => Value::Null,
    }
}
