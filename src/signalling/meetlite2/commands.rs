//! What the client tells others: the state of its camera and microphone, and that it shows its screen.

use ::rooms::{ProducerId, RoomError};
use serde_json::json;

use super::{Done, MEDIA_STATE, MediaState, MeetLite2, Refused, SCREEN_SHARE, arrival};
use crate::socketio::Payload;

impl MeetLite2 {
    pub(super) async fn change_media_state(&mut self, payload: &Payload) -> Done {
        require_room(payload)?;
        self.media_state = MediaState {
            audio: payload.field("audioEnabled").as_bool().unwrap_or(true),
            video: payload.field("videoEnabled").as_bool().unwrap_or(true),
        };
        self.state_changed = true;
        self.tell_media_state()
            .await
            .map_err(|error| Refused::new("Failed to update media state", error))
    }

    /// When it stops, what it showed ends.
    pub(super) async fn share_screen(&self, payload: &Payload, started: bool) -> Done {
        require_room(payload)?;
        let failure = if started {
            "Failed to start screen share"
        } else {
            "Failed to stop screen share"
        };
        let done = async {
            let member = self.seat.member()?;
            if !started {
                self.close_screens().await?;
            }
            member
                .tell(SCREEN_SHARE, json!({ "started": started }))
                .await
        };
        done.await.map_err(|error| Refused::new(failure, error))
    }

    pub(super) async fn tell_media_state(&self) -> Result<(), RoomError> {
        let member = self.seat.member()?;
        member.tell(MEDIA_STATE, self.media_state.told()).await
    }

    async fn close_screens(&self) -> Result<(), RoomError> {
        let member = self.seat.member()?;
        let room = member.view().await?;
        let own = room
            .producers
            .iter()
            .filter(|shown| shown.is_screen && shown.participant == *member.participant());
        let own: Vec<&ProducerId> = own.map(|producer| &producer.id).collect();
        for producer in own {
            member.close_producer(producer).await?;
        }
        Ok(())
    }
}

fn require_room(payload: &Payload) -> Done {
    match payload.text("roomId") {
        Some(_) => Ok(()),
        None => Err(Refused::new("Room ID is required", arrival::missing_room())),
    }
}
