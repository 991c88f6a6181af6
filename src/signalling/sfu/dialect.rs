//! `MediaSoup` SFU's events.

use std::collections::BTreeSet;

use ::rooms::{
    ConsumerId, Direction, JoinOrder, ParticipantId, ProducerId, ProducerView, RoomError,
    RoomEvent, TransportId, TransportState,
};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{statistics, words};
use crate::socketio::{
    Ack, Caller, Desk, Dialect, Handled, Payload, Seat, consumer, dtls_state, ice_state,
    milliseconds, transport,
};

/// One client of `MediaSoup` SFU.
pub(crate) struct Sfu {
    desk: Desk,
    news: News,
}

/// Which tracks a client is told of by `newProducer`: as by its own server, none before a transport of it works, since
/// until then it asks by `getProducers`. Those that come between its asking and its transport are kept for then.
#[derive(Default)]
struct News {
    connected: bool,
    asked: bool,
    waiting: Vec<ProducerView>,
    told: BTreeSet<ProducerId>,
}

/// How many tracks may wait for a client's transport: more than a room of fifty sends.
const WAITING_LIMIT: usize = 256;

impl Sfu {
    /// Speaks to a client that has said nothing yet.
    pub(crate) fn new(caller: Caller) -> Self {
        Self {
            desk: Desk::new(caller),
            news: News::default(),
        }
    }

    async fn capabilities(&self, payload: &Payload) -> Result<Value, RoomError> {
        let capabilities = match payload.text("roomId") {
            Some(_) => {
                let caller = &self.desk.caller;
                let room = payload.room("roomId")?;
                caller.rooms.capabilities(&caller.guest, &room).await?
            }
            None => ortc::router_capabilities(),
        };
        Ok(json!({ "rtpCapabilities": capabilities }))
    }

    async fn join(&mut self, payload: &Payload) -> Result<Value, RoomError> {
        let order = JoinOrder {
            room: payload.room("roomId")?,
            participant: Some(ParticipantId::new(payload.name("peerId")?)),
            display_name: payload.text("displayName").map(str::to_owned),
            details: Value::Null,
        };
        let seated = self.desk.join(order).await?;
        self.news = News {
            connected: seated.resumed,
            ..News::default()
        };
        Ok(json!({ "success": true, "resumed": seated.resumed }))
    }

    async fn create_transport(&mut self, payload: &Payload) -> Result<Value, RoomError> {
        let is_true = |name: &str| payload.field(name) == &Value::Bool(true);
        let direction = match (is_true("producing"), is_true("consuming")) {
            (true, false) => Direction::Send,
            (false, true) => Direction::Receive,
            (true, true) | (false, false) => Direction::Both,
        };
        Ok(transport(&self.desk.create_transport(direction).await?))
    }

    async fn consume(&mut self, payload: &Payload) -> Result<Value, RoomError> {
        let view = self.desk.consume(payload, true).await?;
        let mut answer = consumer(&view);
        let mut app_data = view.app_data.as_object().cloned().unwrap_or_default();
        let own = self.desk.seat.member()?.participant();
        app_data.insert(
            "producerPeerId".to_owned(),
            json!(view.producer_participant),
        );
        app_data.insert("consumerPeerId".to_owned(), json!(own));
        answer["appData"] = app_data.into();
        Ok(answer)
    }

    async fn producers(&mut self) -> Result<Value, RoomError> {
        let member = self.desk.seat.member()?;
        let room = member.view().await?;
        let own = member.participant();
        let tracks = room
            .producers
            .iter()
            .filter(|each| each.participant != *own);
        let list: Vec<Value> = tracks
            .map(|each| {
                json!({
                    "peerId": each.participant,
                    "producerId": each.id,
                    "kind": each.kind,
                    "paused": each.paused,
                    "appData": app_data(each),
                })
            })
            .collect();
        self.news.asked = true;
        self.news.waiting.clear();
        self.news.told = room.producers.into_iter().map(|each| each.id).collect();
        Ok(json!({ "producers": list }))
    }

    async fn transport_state(&self, payload: &Payload) -> Result<Value, RoomError> {
        let id = TransportId::new(payload.name("transportId")?);
        let states = self.desk.seat.member()?.transport_states(&id).await?;
        let connected = states.dtls == TransportState::Connected;
        Ok(json!({
            "transportId": id,
            "dtlsState": dtls_state(states.dtls),
            "iceState": ice_state(states.ice),
            "connectionState": if connected { "connected" } else { "connecting" },
        }))
    }

    async fn statistics(&self, payload: &Payload) -> Result<Value, RoomError> {
        let id = ConsumerId::new(payload.name("consumerId")?);
        let member = self.desk.seat.member()?;
        Ok(statistics::answer(&member.consumer_statistics(&id).await?))
    }

    async fn report(&self, payload: &Payload) -> Result<Value, RoomError> {
        let level = payload.field("audioLevel").as_f64().unwrap_or_default();
        let member = self.desk.seat.member()?;
        member.report_audio_level(level.clamp(0.0, 1.0)).await?;
        Ok(json!({ "success": true }))
    }

    async fn answer(&mut self, event: &str, payload: &Payload) -> Result<Option<Value>, RoomError> {
        let done = || json!({ "success": true });
        Ok(Some(match event {
            "getRouterRtpCapabilities" => self.capabilities(payload).await?,
            "joinRoom" => self.join(payload).await?,
            "createWebRtcTransport" => self.create_transport(payload).await?,
            "connectTransport" => {
                self.desk.connect_transport(payload).await?;
                done()
            }
            "produce" => json!({ "id": self.desk.produce(payload).await?.id }),
            "consume" => self.consume(payload).await?,
            "getProducers" => self.producers().await?,
            "pauseProducer" | "resumeProducer" => {
                let paused = event == "pauseProducer";
                self.desk.pause_producer(payload, paused).await?;
                done()
            }
            "closeProducer" => {
                self.desk.close_producer(payload).await?;
                done()
            }
            "pauseConsumer" => {
                self.desk.pause_consumer(payload, true).await?;
                done()
            }
            "resumeConsumer" => {
                self.desk.pause_consumer(payload, false).await?;
                json!({ "success": true, "resumed": true })
            }
            "closeConsumer" => {
                self.desk.close_consumer(payload).await?;
                done()
            }
            "setPreferredLayers" => {
                self.desk.prefer_layers(payload).await?;
                done()
            }
            "getTransportState" => self.transport_state(payload).await?,
            "getConsumerStats" => self.statistics(payload).await?,
            "restartIce" => self.desk.restart_ice(payload).await?,
            "enableActiveSpeakerDetection" => {
                self.desk.seat.member()?;
                done()
            }
            "reportAudioLevel" => self.report(payload).await?,
            "leaveRoom" => {
                self.desk.seat.leave().await;
                self.news = News::default();
                done()
            }
            _ => return Ok(None),
        }))
    }

    /// Tells of a track once.
    fn announce(&mut self, view: &ProducerView) {
        if self.news.told.insert(view.id.clone()) {
            self.desk.emit(
                "newProducer",
                json!({
                    "peerId": view.participant,
                    "producerId": view.id,
                    "kind": view.kind,
                    "paused": view.paused,
                    "appData": app_data(view),
                }),
            );
        }
    }
}

#[async_trait]
impl Dialect for Sfu {
    fn seat(&mut self) -> &mut Seat {
        &mut self.desk.seat
    }

    async fn handle(&mut self, event: &str, arguments: Vec<Value>, ack: Option<Ack>) -> Handled {
        let ack = ack.unwrap_or_default();
        let payload = Payload::of(arguments);
        if event == "joinRoom"
            && (payload.text("roomId").is_none() || payload.text("peerId").is_none())
        {
            ack.fail("Missing roomId or peerId");
            return Handled::Known;
        }
        match self.answer(event, &payload).await {
            Ok(Some(answer)) => ack.send(answer),
            Ok(None) => return Handled::Unknown,
            Err(error) => {
                let words = words::error(event, &error);
                let mut refusal = json!({ "error": words, "reason": error.to_string() });
                if error == RoomError::TransportFailed {
                    refusal["transportState"] =
                        json!({ "dtlsState": "failed", "iceState": "disconnected" });
                }
                ack.send(refusal);
            }
        }
        Handled::Known
    }

    async fn tell(&mut self, event: RoomEvent) {
        match event {
            RoomEvent::ParticipantJoined(view) => {
                self.desk.emit("newPeer", json!({ "peerId": view.id }));
            }
            RoomEvent::ParticipantLeft(id) => {
                self.desk.emit("peerLeft", json!({ "peerId": id }));
            }
            RoomEvent::ProducerAdded(view) if self.news.connected => self.announce(&view),
            RoomEvent::ProducerAdded(view) => {
                if self.news.asked && self.news.waiting.len() < WAITING_LIMIT {
                    self.news.waiting.push(view);
                }
            }
            RoomEvent::ProducerClosed(view) => {
                self.news.waiting.retain(|each| each.id != view.id);
                self.news.told.remove(&view.id);
            }
            RoomEvent::TransportConnected(_) => {
                self.news.connected = true;
                for view in std::mem::take(&mut self.news.waiting) {
                    self.announce(&view);
                }
            }
            RoomEvent::ConsumerPaused {
                consumer, paused, ..
            } => {
                let name = if paused {
                    "consumerPaused"
                } else {
                    "consumerResumed"
                };
                self.desk.emit(name, json!({ "consumerId": consumer }));
            }
            RoomEvent::ConsumerClosed { consumer, .. } => {
                self.desk
                    .emit("consumerClosed", json!({ "consumerId": consumer }));
            }
            RoomEvent::LayersChanged { consumer, layers } => {
                let changed = json!({
                    "consumerId": consumer,
                    "spatialLayer": layers.map(|layers| layers.spatial),
                    "temporalLayer": layers.and_then(|layers| layers.temporal),
                });
                self.desk.emit("consumerLayersChanged", changed);
            }
            RoomEvent::TransportClosed(id, reason) => {
                let closed = json!({ "transportId": id, "reason": reason });
                self.desk.emit("transportClosed", closed);
            }
            RoomEvent::ActiveSpeaker(id, time) => {
                let speaker = json!({ "activeSpeakerId": id, "timestamp": milliseconds(time) });
                self.desk.emit("activeSpeakerChanged", speaker);
            }
            RoomEvent::Closed(reason) => {
                self.desk.emit("roomClosed", json!({ "reason": reason }));
            }
            RoomEvent::ProducerPaused(..)
            | RoomEvent::Told { .. }
            | RoomEvent::DestinationLive(_)
            | RoomEvent::EgressEnded(_)
            | _ => {}
        }
    }
}

/// What the application says of a track, and what this dialect adds.
fn app_data(view: &ProducerView) -> Value {
    let mut fields = view.app_data.as_object().cloned().unwrap_or_default();
    fields.insert("isScreenShare".to_owned(), view.is_screen.into());
    fields.insert("hasSimulcast".to_owned(), view.is_simulcast.into());
    fields.into()
}
