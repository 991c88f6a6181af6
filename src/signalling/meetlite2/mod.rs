//! The second and third `MeetLite` (`mediasoup:*`): events both ways, and transports are named.
//!
//! Collaboration (chat, whiteboards, shared code) is not media and not here. Recording is not either, which is told in
//! the words that its clients listen for: a plain `error` would make them give the room up.

use std::sync::Arc;

use ::rooms::{ProducerView, RoomError, RoomEvent, TransportId};
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::{
    meetlite::{MEDIA_STATE, Person},
    socketio::{Ack, Caller, Dialect, Handled, Nowhere, Payload, Seat},
};

mod arrival;
mod commands;
mod media;
mod push;
mod reunion;

/// The topic of `screen-share-started` and `-stopped`.
const SCREEN_SHARE: &str = "screen-share";

/// What a client is told that wants to record.
const NO_RECORDING: &str = "recording is not available";

/// One connection that speaks the second or third `MeetLite`'s words.
pub(crate) struct MeetLite2 {
    caller: Caller,
    seat: Seat,
    person: Person,
    media_state: MediaState,
    /// Whether somebody who comes now would read another state from the order by which this client came.
    state_changed: bool,
    /// What the client sent before its connection broke. If it begins anew, each gives way to its successor.
    stale: Vec<ProducerView>,
    /// By any of these the place is taken back.
    transports: Vec<TransportId>,
    /// What others send, as far as the client was told.
    told: Vec<ProducerView>,
}

/// What a client says of its camera and microphone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MediaState {
    audio: bool,
    video: bool,
}

impl MediaState {
    /// What is not told is on.
    fn of(value: &Value) -> Self {
        let on = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or(true);
        Self {
            audio: on("audioEnabled"),
            video: on("videoEnabled"),
        }
    }

    fn told(self) -> Value {
        json!({ "audioEnabled": self.audio, "videoEnabled": self.video })
    }
}

/// What an event is refused with.
struct Refused {
    content: Value,
    error: RoomError,
}

impl Refused {
    fn new(message: &str, error: RoomError) -> Self {
        Self {
            content: json!({ "message": message }),
            error,
        }
    }

    /// As the third generation has it.
    fn warning(message: &str, error: RoomError) -> Self {
        Self {
            content: json!({ "message": message, "severity": "warning" }),
            error,
        }
    }
}

type Done = Result<(), Refused>;

impl MeetLite2 {
    /// Begins with a client that is in no room yet.
    pub(crate) fn new(caller: Caller) -> Self {
        Self {
            seat: Seat::new(caller.rooms.clone(), caller.guest.clone()),
            person: Person::of(&caller),
            caller,
            media_state: MediaState::of(&Value::Null),
            state_changed: false,
            stale: Vec::new(),
            transports: Vec::new(),
            told: Vec::new(),
        }
    }

    fn forget_room(&mut self) {
        self.stale.clear();
        self.transports.clear();
        self.told.clear();
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

    /// Takes back the place whose connection was lost, if the client goes on as if nothing had happened.
    async fn take_back_place(&mut self, payload: &Payload) {
        if self.seat.member().is_ok() {
            return;
        }
        let Ok(transport) = payload.name("transportId") else {
            return;
        };
        let transport = TransportId::new(transport);
        match self.seat.resume(&transport).await {
            Ok(seated) => {
                self.transports = vec![transport];
                self.told = self.others_producers(&seated.room);
            }
            Err(error) => {
                tracing::debug!(dialect = "meetlite2", %error, "a place was not taken back");
            }
        }
    }

    fn refuse(&self, refused: Refused, ack: Option<&Ack>) {
        let Refused { content, error } = refused;
        tracing::debug!(dialect = "meetlite2", %error, "event refused");
        if let Some(ack) = ack {
            ack.fail(content["message"].as_str().unwrap_or_default());
        }
        self.emit("error", content);
    }
}

#[async_trait]
impl Dialect for MeetLite2 {
    fn seat(&mut self) -> &mut Seat {
        &mut self.seat
    }

    async fn handle(&mut self, event: &str, arguments: Vec<Value>, ack: Option<Ack>) -> Handled {
        let payload = Payload::of(arguments);
        let ack = ack.as_ref();
        self.take_back_place(&payload).await;
        let done = match event {
            "ready" => self.ready(&payload, ack).await,
            "mediasoup:create-room" => self.create_room(&payload, ack).await,
            "mediasoup:join-room" => self.join_room(&payload, ack).await,
            "mediasoup:leave-room" | "user-left" => self.leave().await,
            "mediasoup:create-transport" => self.create_transport(&payload, ack).await,
            "mediasoup:connect-transport" => self.connect_transport(&payload, ack).await,
            "mediasoup:create-producer" => self.create_producer(&payload, ack).await,
            "mediasoup:producer-pause" => self.pause_producer(&payload, true, ack).await,
            "mediasoup:producer-resume" => self.pause_producer(&payload, false, ack).await,
            "mediasoup:create-consumer" => self.create_consumer(&payload, ack).await,
            "media:set-layers" => self.set_layers(&payload).await,
            "media:restart-ice" => self.restart_ice(&payload, ack).await,
            "media-state-change" => self.change_media_state(&payload).await,
            "screen-share-started" => self.share_screen(&payload, true).await,
            "screen-share-stopped" => self.share_screen(&payload, false).await,
            "screen-share-ready" | "mediasoup:participant-activity" => Ok(()),
            _ => return self.refuse_recording(event, ack),
        };
        match done {
            Ok(()) => {
                if let Some(ack) = ack {
                    ack.send(json!({ "success": true }));
                }
            }
            Err(refused) => self.refuse(refused, ack),
        }
        Handled::Known
    }

    async fn tell(&mut self, event: RoomEvent) {
        self.push(event).await;
    }

    fn wait(&mut self) -> bool {
        self.caller.outbox = Arc::new(Nowhere);
        !self.transports.is_empty()
    }

    async fn reconnect(&mut self, caller: Caller) -> bool {
        self.come_back(caller).await.is_ok()
    }
}

impl MeetLite2 {
    fn refuse_recording(&self, event: &str, ack: Option<&Ack>) -> Handled {
        let failed = match event {
            "recording:start" => "recording:start-error",
            "recording:stop" => "recording:stop-error",
            "recording:finalize" => "recording:finalize-error",
            "recording:status" => {
                let content = json!({ "isRecording": false, "status": "idle" });
                self.reply("recording:status", content, ack);
                return Handled::Known;
            }
            // Its server did not answer to pieces of a recording.
            "recording:chunk" => {
                if let Some(ack) = ack {
                    ack.fail(NO_RECORDING);
                }
                return Handled::Known;
            }
            _ => return Handled::Unknown,
        };
        self.reply(failed, json!({ "error": NO_RECORDING }), ack);
        Handled::Known
    }
}
