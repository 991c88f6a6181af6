//! Transports, producers and consumers.

use ::rooms::{
    ConsumeOrder, ConsumerId, Direction, Layers, ProduceOrder, ProducerId, ProducerView, RoomError,
    TransportId,
};
use serde_json::{Value, json};

use super::{Done, MeetLite2, Refused, arrival::source_and_type};
use crate::socketio::{self, Ack, Payload};

/// What a client is told that wants to show its screen while somebody else does.
const SCREEN_TAKEN: &str = "Another user is already sharing their screen";

impl MeetLite2 {
    pub(super) async fn create_transport(&mut self, payload: &Payload, ack: Option<&Ack>) -> Done {
        let direction = match payload.text("direction") {
            Some("send") => Direction::Send,
            Some("recv") => Direction::Receive,
            Some(_) | None => Direction::Both,
        };
        let created = async { self.seat.member()?.create_transport(direction).await };
        let view = created
            .await
            .map_err(|error| Refused::new("Failed to create transport", error))?;
        self.transports.push(view.id.clone());
        let mut content = socketio::transport(&view);
        content["direction"] = payload.field("direction").clone();
        self.reply("transport-created", content, ack);
        Ok(())
    }

    pub(super) async fn connect_transport(&self, payload: &Payload, ack: Option<&Ack>) -> Done {
        let connected = async {
            let member = self.seat.member()?;
            let transport = TransportId::new(payload.name("transportId")?);
            member
                .connect_transport(&transport, payload.dtls()?)
                .await?;
            Ok(transport)
        };
        let transport = connected.await.map_err(|error| {
            let mut refused = Refused::warning("Failed to connect transport", error);
            refused.content["action"] = json!("restart-ice");
            refused
        })?;
        let content = json!({ "transportId": transport, "success": true });
        self.reply("transport-connected", content, ack);
        Ok(())
    }

    pub(super) async fn create_producer(&mut self, payload: &Payload, ack: Option<&Ack>) -> Done {
        if is_screen(payload) {
            self.require_free_screen().await?;
        }
        let producer = self
            .produce(payload)
            .await
            .map_err(|error| Refused::new("Failed to create producer", error))?;
        let (source, media_type) = source_and_type(&producer);
        let content = json!({
            "id": producer.id,
            "producerId": producer.id,
            "kind": producer.kind,
            "source": source,
            "mediaType": media_type,
        });
        self.reply("producer-created", content, ack);
        Ok(())
    }

    pub(super) async fn pause_producer(
        &self,
        payload: &Payload,
        paused: bool,
        ack: Option<&Ack>,
    ) -> Done {
        let (event, failure) = if paused {
            ("producer-paused", "Failed to pause producer")
        } else {
            ("producer-resumed", "Failed to resume producer")
        };
        let done = async {
            let member = self.seat.member()?;
            let producer = ProducerId::new(payload.name("producerId")?);
            member.pause_producer(&producer, paused).await?;
            Ok(producer)
        };
        let producer = done.await.map_err(|error| Refused::new(failure, error))?;
        let content = json!({ "producerId": producer, "success": true });
        self.reply(event, content, ack);
        Ok(())
    }

    /// Media flows at once: the client never resumes.
    pub(super) async fn create_consumer(&self, payload: &Payload, ack: Option<&Ack>) -> Done {
        let taken = async {
            let member = self.seat.member()?;
            let order = ConsumeOrder {
                producer: ProducerId::new(payload.name("producerId")?),
                capabilities: payload.capabilities()?,
                transport: Some(TransportId::new(payload.name("transportId")?)),
                paused: false,
            };
            member.consume(order).await
        };
        let consumer = taken
            .await
            .map_err(|error| Refused::new("Failed to create consumer", error))?;
        self.reply("consumer-created", socketio::consumer(&consumer), ack);
        Ok(())
    }

    pub(super) async fn set_layers(&self, payload: &Payload) -> Done {
        let done = async {
            let member = self.seat.member()?;
            let consumer = ConsumerId::new(payload.name("consumerId")?);
            let layers = Layers {
                spatial: layer(payload.field("spatialLayer"))
                    .ok_or_else(|| malformed("spatialLayer"))?,
                temporal: layer(payload.field("temporalLayer")),
            };
            member.prefer_layers(&consumer, layers).await
        };
        done.await
            .map_err(|error| Refused::warning("Failed to set layers", error))
    }

    pub(super) async fn restart_ice(&self, payload: &Payload, ack: Option<&Ack>) -> Done {
        let restarted = async {
            let member = self.seat.member()?;
            let transport = TransportId::new(payload.name("transportId")?);
            let parameters = member.restart_ice(&transport).await?;
            Ok(json!({ "transportId": transport, "iceParameters": parameters }))
        };
        let content = restarted
            .await
            .map_err(|error| Refused::warning("Failed to restart ICE", error))?;
        self.reply("ice-restarted", content, ack);
        Ok(())
    }

    /// One screen at a time is shown in a room.
    async fn require_free_screen(&self) -> Done {
        let taken = async {
            let member = self.seat.member()?;
            let room = member.view().await?;
            let of_other = |shown: &ProducerView| {
                shown.is_screen && shown.participant != *member.participant()
            };
            Ok(room.producers.iter().any(of_other))
        };
        let taken: Result<bool, RoomError> = taken.await;
        let taken = taken.map_err(|error| Refused::new("Failed to create producer", error))?;
        if taken {
            let error = RoomError::Forbidden("a screen is shown already".to_owned());
            return Err(Refused::new(SCREEN_TAKEN, error));
        }
        Ok(())
    }

    async fn produce(&mut self, payload: &Payload) -> Result<ProducerView, RoomError> {
        let member = self.seat.member()?.clone();
        let order = ProduceOrder {
            transport: Some(TransportId::new(payload.name("transportId")?)),
            kind: payload.kind()?,
            rtp: payload.rtp()?,
            app_data: payload.field("appData").clone(),
            is_screen: is_screen(payload),
            paused: false,
        };
        let producer = member.produce(order).await?;
        self.close_predecessor(&producer).await;
        Ok(producer)
    }

    /// Closes what the client sent in the place of this one before its connection broke.
    async fn close_predecessor(&mut self, producer: &ProducerView) {
        let like = |stale: &ProducerView| source_and_type(stale) == source_and_type(producer);
        let Some(index) = self.stale.iter().position(like) else {
            return;
        };
        let stale = self.stale.swap_remove(index);
        if let Ok(member) = self.seat.member()
            && let Err(error) = member.close_producer(&stale.id).await
        {
            tracing::debug!(dialect = "meetlite2", %error, "a predecessor was gone already");
        }
    }
}

fn is_screen(payload: &Payload) -> bool {
    payload
        .field("appData")
        .get("source")
        .and_then(Value::as_str)
        == Some("screen")
}

fn layer(value: &Value) -> Option<u8> {
    value.as_u64().and_then(|layer| u8::try_from(layer).ok())
}

fn malformed(name: &str) -> RoomError {
    RoomError::Malformed(format!("{name}: must be a number from 0 to 255"))
}
