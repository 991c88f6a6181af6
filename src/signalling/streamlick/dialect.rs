//! Streamlick's events.

use std::collections::BTreeMap;

use ::rooms::{JoinOrder, ProducerView, RoomError, RoomEvent};
use async_trait::async_trait;
use broadcast::BroadcastId;
use serde_json::{Value, json};

use super::destinations;
use crate::socketio::{
    Ack, Caller, Desk, Dialect, Handled, Payload, Seat, consumer, direction, producer, told,
    transport,
};

/// One Streamlick client.
pub(crate) struct Streamlick {
    desk: Desk,
    /// The platforms of the destinations that this client ordered, by their labels.
    platforms: BTreeMap<String, String>,
    /// Whether the programme ends because this client said so, and was told.
    stopped: bool,
}

impl Streamlick {
    /// Speaks to a client that has said nothing yet.
    pub(crate) fn new(caller: Caller) -> Self {
        Self {
            desk: Desk::new(caller),
            platforms: BTreeMap::new(),
            stopped: false,
        }
    }

    /// Comes into the room of a broadcast, and tells what is sent there by others.
    async fn enter(&mut self, payload: &Payload) -> Result<Vec<ProducerView>, RoomError> {
        if payload.text("broadcastId").is_none() && self.desk.seat.member().is_ok() {
            return Ok(Vec::new());
        }
        let room = payload.room("broadcastId")?;
        let seated = self.desk.enter(room, nobody).await?;
        let fresh = seated.filter(|seated| !seated.resumed);
        Ok(fresh
            .map(|seated| seated.room.producers)
            .unwrap_or_default())
    }

    async fn create_transport(&mut self, payload: &Payload, ack: &Ack) -> Result<(), RoomError> {
        let there = self.enter(payload).await?;
        let view = self.desk.create_transport(direction(payload)).await?;
        ack.send(transport(&view));
        // There is no event by which a client could ask for them.
        for each in &there {
            self.desk.emit("new-producer", producer(each));
        }
        Ok(())
    }

    async fn consume(&mut self, payload: &Payload) -> Result<Value, RoomError> {
        self.enter(payload).await?;
        Ok(consumer(&self.desk.receive(payload).await?))
    }

    async fn start(&mut self, payload: &Payload) -> Result<Value, RoomError> {
        let order = destinations::read(payload)?;
        self.enter(payload).await?;
        self.stopped = false;
        self.platforms = order
            .destinations
            .iter()
            .map(|each| (each.label.clone(), each.spec.platform.as_str().to_owned()))
            .collect();
        let view = self.desk.seat.member()?.start_egress(order).await?;
        let mut started = json!({
            "broadcastId": self.room(),
            "method": "compositor-pipeline",
            "destinations": view.destinations,
        });
        if view.already {
            started["method"] = "already-streaming".into();
            started["note"] = "RTMP was already active".into();
        }
        self.desk.emit("rtmp-started", started.clone());
        Ok(started)
    }

    async fn stop(&mut self, payload: &Payload) -> Result<Value, RoomError> {
        self.enter(payload).await?;
        self.desk.seat.member()?.stop_egress().await?;
        self.stopped = true;
        let stopped = json!({ "broadcastId": self.room() });
        self.desk.emit("rtmp-stopped", stopped.clone());
        Ok(stopped)
    }

    fn room(&self) -> Option<String> {
        let member = self.desk.seat.member().ok()?;
        Some(member.room().as_str().to_owned())
    }
}

#[async_trait]
impl Dialect for Streamlick {
    fn seat(&mut self) -> &mut Seat {
        &mut self.desk.seat
    }

    async fn handle(&mut self, event: &str, arguments: Vec<Value>, ack: Option<Ack>) -> Handled {
        let payload = Payload::of(arguments);
        let ack = ack.unwrap_or_default();
        let done = match event {
            "create-transport" => self.create_transport(&payload, &ack).await,
            "connect-transport" => {
                let connected = self.desk.connect_transport(&payload).await;
                connected.map(|()| ack.send(json!({ "connected": true, "success": true })))
            }
            "produce" => {
                let produced = self.desk.produce(&payload).await;
                produced.map(|view| ack.send(json!({ "producerId": view.id, "id": view.id })))
            }
            "consume" => self.consume(&payload).await.map(|view| ack.send(view)),
            "start-rtmp" => self.start(&payload).await.map(|view| ack.send(view)),
            "stop-rtmp" => self.stop(&payload).await.map(|view| ack.send(view)),
            _ => return Handled::Unknown,
        };
        if let Err(error) = done {
            let refusal = json!({ "error": words(event, &error), "reason": error.to_string() });
            if event.ends_with("-rtmp") {
                self.desk.emit("rtmp-error", refusal.clone());
            }
            ack.send(refusal);
        }
        Handled::Known
    }

    async fn tell(&mut self, event: RoomEvent) {
        if let Some((name, content)) = told(&event) {
            self.desk.emit(name, content);
        } else if let RoomEvent::DestinationLive(label) = &event {
            let platform = self.platforms.get(label);
            let live = json!({ "destinationId": label, "platform": platform });
            self.desk.emit("destination-stream-started", live);
        } else if let RoomEvent::EgressEnded(reason) = &event {
            if !std::mem::take(&mut self.stopped) {
                let ended = json!({ "broadcastId": self.room(), "reason": reason });
                self.desk.emit("rtmp-stopped", ended);
            }
        } else if let RoomEvent::Closed(reason) = &event {
            let ended = json!({ "reason": reason });
            self.desk.emit("broadcast-ended", ended);
        }
    }
}

/// The protocol has no names: whoever comes is somebody new.
fn nobody(room: BroadcastId) -> JoinOrder {
    JoinOrder {
        room,
        participant: None,
        display_name: None,
        details: Value::Null,
    }
}

/// What its server said of an error; the reason goes beside it.
fn words(event: &str, error: &RoomError) -> &'static str {
    match (event, error) {
        ("create-transport", _) => "Failed to create transport",
        ("connect-transport", _) => "Failed to connect transport",
        ("produce", _) => "Failed to produce",
        ("start-rtmp", _) => "Failed to start RTMP stream",
        ("stop-rtmp", _) => "Failed to stop RTMP stream",
        (_, RoomError::CannotConsume | RoomError::NoSuchProducer) => "Cannot consume",
        (_, _) => "Failed to consume",
    }
}
