//! The first `MeetLite`: events both ways and no answers. The client does not name transports, and is pushed consumers.
//!
//! What its server said wrongly is put right: a consumer of a screen is told as `video`, since the client's library takes
//! no other word, with `appData.screen` beside it.

use std::{collections::BTreeMap, sync::Arc};

use ::rooms::{
    ConsumerId, ConsumerView, ParticipantId, ProducerId, ProducerView, RoomError, RoomEvent,
    TransportId,
};
use async_trait::async_trait;
use ortc::RtpCapabilities;
use serde_json::{Value, json};

use crate::socketio::{Ack, Caller, Dialect, Handled, Nowhere, Payload, Seat};

mod commands;
mod person;
mod push;
mod reunion;
mod statistics;
#[cfg(test)]
mod tests;

pub(crate) use person::{MEDIA_STATE, Person, media_state_update, user_info};

/// One connection that speaks the first `MeetLite`'s words.
pub(crate) struct MeetLite {
    caller: Caller,
    seat: Seat,
    person: Person,
    send: Option<TransportId>,
    receive: Option<TransportId>,
    capabilities: Option<RtpCapabilities>,
    /// What the client sends, by the word that it uses for it: `audio`, `video`, `screen-audio`, `screen-video`.
    sent_by_label: BTreeMap<&'static str, Sent>,
    received_by_id: BTreeMap<ConsumerId, Received>,
    /// Whether the client was told who is there.
    is_introduced: bool,
}

struct Sent {
    producer: ProducerId,
    is_paused: bool,
}

struct Received {
    producer: ProducerId,
    participant: ParticipantId,
    label: &'static str,
    is_paused: bool,
}

impl MeetLite {
    /// Begins with a client that is in no room yet.
    pub(crate) fn new(caller: Caller) -> Self {
        Self {
            seat: Seat::new(caller.rooms.clone(), caller.guest.clone()),
            person: Person::of(&caller),
            caller,
            send: None,
            receive: None,
            capabilities: None,
            sent_by_label: BTreeMap::new(),
            received_by_id: BTreeMap::new(),
            is_introduced: false,
        }
    }

    fn emit(&self, event: &str, content: Value) {
        // A client that is gone needs no words.
        let _ = self.caller.outbox.emit(event, Some(content));
    }

    /// Says the same as an event and, to a client that waits for one, as an answer.
    fn reply(&self, event: &str, content: Value, ack: Option<&Ack>) {
        if let Some(ack) = ack {
            ack.send(content.clone());
        }
        self.emit(event, content);
    }

    fn forget_room(&mut self) {
        self.send = None;
        self.receive = None;
        self.capabilities = None;
        self.sent_by_label.clear();
        self.received_by_id.clear();
        self.is_introduced = false;
    }
}

#[async_trait]
impl Dialect for MeetLite {
    fn seat(&mut self) -> &mut Seat {
        &mut self.seat
    }

    async fn handle(&mut self, event: &str, arguments: Vec<Value>, ack: Option<Ack>) -> Handled {
        let payload = Payload::of(arguments);
        let ack = ack.as_ref();
        let (done, failure) = match event {
            "join-room" => (self.join(&payload, ack).await, "Failed to join room"),
            "create-webrtc-transport" => (
                self.create_transport(&payload, ack).await,
                "Failed to create transport",
            ),
            "connect-webrtc-transport" => (
                self.connect_transport(&payload).await,
                "Failed to connect transport",
            ),
            "set-rtp-capabilities" => (
                self.set_capabilities(&payload).await,
                "Failed to set RTP capabilities",
            ),
            "create-producer" => (
                self.create_producer(&payload, ack).await,
                "Failed to create producer",
            ),
            "pause-producer" => (
                self.pause_producer(&payload, true).await,
                "Failed to pause producer",
            ),
            "resume-producer" => (
                self.pause_producer(&payload, false).await,
                "Failed to resume producer",
            ),
            "close-producer" => (
                self.close_producer(&payload).await,
                "Failed to close producer",
            ),
            "resume-consumer" => (
                self.resume_consumer(&payload).await,
                "Failed to resume consumer",
            ),
            "pause-consumer" => (
                self.pause_consumer(&payload).await,
                "Failed to pause consumer",
            ),
            "resume-all-consumers" => (
                self.resume_all_consumers().await,
                "Failed to resume all consumers",
            ),
            "get-participant-stats" => (self.tell_statistics(ack), "Failed to get stats"),
            "media-state-change" => (
                self.change_media_state(&payload).await,
                "Failed to update media state",
            ),
            _ => return Handled::Unknown,
        };
        match done {
            Ok(()) => {
                if let Some(ack) = ack {
                    ack.send(json!({ "success": true }));
                }
            }
            Err(error) => self.fail(failure, &error, ack),
        }
        Handled::Known
    }

    async fn tell(&mut self, event: RoomEvent) {
        self.push(event).await;
    }

    fn wait(&mut self) -> bool {
        self.caller.outbox = Arc::new(Nowhere);
        self.send.is_some() || self.receive.is_some()
    }

    async fn reconnect(&mut self, caller: Caller) -> bool {
        self.come_back(caller).await.is_ok()
    }
}

impl MeetLite {
    fn fail(&self, message: &str, error: &RoomError, ack: Option<&Ack>) {
        tracing::debug!(dialect = "meetlite", %error, message, "event refused");
        if let Some(ack) = ack {
            ack.fail(message);
        }
        self.emit("error", json!({ "message": message }));
    }
}

/// The client's word for a track.
pub(crate) fn label_of(producer: &ProducerView) -> &'static str {
    label(producer.kind, producer.is_screen)
}

fn label(kind: ortc::MediaKind, is_screen: bool) -> &'static str {
    match (kind, is_screen) {
        (ortc::MediaKind::Audio, false) => "audio",
        (ortc::MediaKind::Video, false) => "video",
        (ortc::MediaKind::Audio, true) => "screen-audio",
        (ortc::MediaKind::Video, true) => "screen-video",
    }
}

fn new_consumer(consumer: &ConsumerView) -> Value {
    json!({
        "participantId": consumer.producer_participant,
        "producerId": consumer.producer,
        "consumerId": consumer.id,
        "kind": consumer.kind,
        "rtpParameters": consumer.rtp,
        "producerPaused": consumer.producer_paused,
        "consumerPaused": consumer.paused,
        "appData": consumer.app_data,
    })
}
