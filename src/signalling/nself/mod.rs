//! The dialect of nself-chat: kebab-case events with answers, by room and participant. Its server was documented and
//! never published; what its documents leave open is told in docs/socketio.md.

use ::rooms::{JoinOrder, ParticipantId, RoomError, RoomEvent, RoomView};
use async_trait::async_trait;
use broadcast::BroadcastId;
use serde_json::{Value, json};

use crate::{
    rest::ice_servers,
    socketio::{
        Ack, Caller, Desk, Dialect, Handled, Payload, Seat, consumer, direction, participant,
        producer, told, transport,
    },
};

/// One nself-chat client.
pub(crate) struct Nself {
    desk: Desk,
}

impl Nself {
    /// Speaks to a client that has said nothing yet.
    pub(crate) fn new(caller: Caller) -> Self {
        Self {
            desk: Desk::new(caller),
        }
    }

    async fn join(&mut self, payload: &Payload) -> Result<Value, RoomError> {
        let order = JoinOrder {
            display_name: payload.text("displayName").map(str::to_owned),
            ..self.by_name(payload, "userId", payload.room("roomId")?)?
        };
        let seated = self.desk.join(order).await?;
        let member = self.desk.seat.member()?;
        let mut answer = joined(&seated.room, member.participant());
        answer["resumed"] = seated.resumed.into();
        let servers = self.desk.caller.rooms.ice_servers(&self.desk.caller.guest);
        answer["iceServers"] = ice_servers(&servers).into();
        Ok(answer)
    }

    /// Comes back in after the connection broke, for an event that names room and participant.
    async fn enter(&mut self, payload: &Payload) -> Result<(), RoomError> {
        if payload.text("roomId").is_none() && self.desk.seat.member().is_ok() {
            return Ok(());
        }
        let room = payload.room("roomId")?;
        let name = self.by_name(payload, "participantId", room.clone())?;
        self.desk.enter(room, |_| name).await.map(drop)
    }

    /// Comes as whom a field names, else as whom the token does, else as nobody in particular.
    fn by_name(
        &self,
        payload: &Payload,
        field: &str,
        room: BroadcastId,
    ) -> Result<JoinOrder, RoomError> {
        let participant = match payload.text(field) {
            Some(_) => Some(payload.name(field)?),
            None => self.desk.caller.guest.subject.as_deref(),
        };
        Ok(JoinOrder {
            room,
            participant: participant.map(ParticipantId::new),
            display_name: None,
            details: Value::Null,
        })
    }

    async fn consume(&mut self, payload: &Payload) -> Result<Value, RoomError> {
        self.enter(payload).await?;
        Ok(consumer(&self.desk.receive(payload).await?))
    }

    async fn answer(&mut self, event: &str, payload: &Payload) -> Result<Option<Value>, RoomError> {
        let done = || json!({ "success": true });
        Ok(Some(match event {
            "join-room" => self.join(payload).await?,
            "create-transport" => {
                self.enter(payload).await?;
                transport(&self.desk.create_transport(direction(payload)).await?)
            }
            "connect-transport" => {
                self.desk.connect_transport(payload).await?;
                json!({ "success": true, "connected": true })
            }
            "produce" => {
                let view = self.desk.produce(payload).await?;
                json!({ "producerId": view.id, "id": view.id })
            }
            "consume" => self.consume(payload).await?,
            "pause-producer" | "resume-producer" => {
                let paused = event == "pause-producer";
                self.desk.pause_producer(payload, paused).await?;
                done()
            }
            "close-producer" => {
                self.desk.close_producer(payload).await?;
                done()
            }
            "pause-consumer" | "resume-consumer" => {
                let paused = event == "pause-consumer";
                self.desk.pause_consumer(payload, paused).await?;
                done()
            }
            "close-consumer" => {
                self.desk.close_consumer(payload).await?;
                done()
            }
            "set-preferred-layers" => {
                self.desk.prefer_layers(payload).await?;
                done()
            }
            "restart-ice" => self.desk.restart_ice(payload).await?,
            "leave-room" => {
                self.desk.seat.leave().await;
                done()
            }
            _ => return Ok(None),
        }))
    }
}

#[async_trait]
impl Dialect for Nself {
    fn seat(&mut self) -> &mut Seat {
        &mut self.desk.seat
    }

    async fn handle(&mut self, event: &str, arguments: Vec<Value>, ack: Option<Ack>) -> Handled {
        let ack = ack.unwrap_or_default();
        match self.answer(event, &Payload::of(arguments)).await {
            Ok(Some(answer)) => ack.send(answer),
            Ok(None) => return Handled::Unknown,
            Err(error) => ack.fail(&error.to_string()),
        }
        Handled::Known
    }

    async fn tell(&mut self, event: RoomEvent) {
        if let RoomEvent::Closed(reason) = &event {
            self.desk.emit("room-closed", json!({ "reason": reason }));
        } else if let Some((name, content)) = told(&event) {
            self.desk.emit(name, content);
        }
    }
}

/// What a client needs once it is in: its device's capabilities, and what it can receive.
fn joined(room: &RoomView, own: &ParticipantId) -> Value {
    let others = room.participants.iter().filter(|each| each.id != *own);
    let tracks = room
        .producers
        .iter()
        .filter(|each| each.participant != *own);
    json!({
        "success": true,
        "roomId": room.room.as_str(),
        "participantId": own,
        "rtpCapabilities": room.capabilities,
        "routerRtpCapabilities": room.capabilities,
        "participants": others.map(participant).collect::<Vec<_>>(),
        "producers": tracks.map(producer).collect::<Vec<_>>(),
    })
}
