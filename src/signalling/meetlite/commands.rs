//! What the client asks for.

use ::rooms::{
    ConsumeOrder, ConsumerId, Direction, ParticipantView, ProduceOrder, ProducerView, RoomError,
    RoomView,
};
use serde_json::{Value, json};

use super::{MEDIA_STATE, MeetLite, Received, Sent, label, label_of, new_consumer, user_info};
use crate::socketio::{self, Ack, Payload};

impl MeetLite {
    /// A client that comes back from a lost connection begins anew, with transports of its own making: what it had is closed.
    pub(super) async fn join(
        &mut self,
        payload: &Payload,
        ack: Option<&Ack>,
    ) -> Result<(), RoomError> {
        let room = payload.room("roomId")?;
        self.forget_room();
        let order = self.person.order(room, json!({}));
        let mut seated = self.seat.join(order.clone()).await?;
        if seated.resumed {
            seated = self.seat.join(order).await?;
        }
        let content = json!({ "rtpCapabilities": seated.room.capabilities });
        self.reply("router-rtp-capabilities", content, ack);
        Ok(())
    }

    /// The first transport is when the client is told who is there, as its server did.
    pub(super) async fn create_transport(
        &mut self,
        payload: &Payload,
        ack: Option<&Ack>,
    ) -> Result<(), RoomError> {
        let room = payload.room("roomId")?;
        let member = self.seat.member()?.clone();
        if *member.room() != room {
            return Err(RoomError::NotJoined);
        }
        let word = payload.text("direction").unwrap_or_default();
        let direction = match word {
            "send" => Direction::Send,
            "recv" => Direction::Receive,
            _ => Direction::Both,
        };
        let view = member.create_transport(direction).await?;
        if !self.is_introduced {
            self.introduce(&member.view().await?);
        }
        match direction {
            Direction::Send => self.send = Some(view.id.clone()),
            Direction::Receive => self.receive = Some(view.id.clone()),
            Direction::Both => {
                self.send = Some(view.id.clone());
                self.receive = Some(view.id.clone());
            }
        }
        let mut content = socketio::transport(&view);
        content["direction"] = payload.field("direction").clone();
        self.reply("webrtc-transport-created", content, ack);
        Ok(())
    }

    /// The client says which way and not which transport; whatever is not `send` is the other.
    pub(super) async fn connect_transport(&self, payload: &Payload) -> Result<(), RoomError> {
        let member = self.seat.member()?;
        let transport = match payload.text("direction") {
            Some("send") => self.send.as_ref(),
            _ => self.receive.as_ref(),
        };
        let transport = transport.ok_or(RoomError::NoTransport)?;
        member.connect_transport(transport, payload.dtls()?).await
    }

    /// From now on everything that others send is pushed.
    pub(super) async fn set_capabilities(&mut self, payload: &Payload) -> Result<(), RoomError> {
        let room = self.seat.member()?.view().await?;
        self.capabilities = Some(payload.capabilities()?);
        for producer in &room.producers {
            self.push_consumer(producer).await;
        }
        Ok(())
    }

    /// There is one track of each label. The same again gets the first, as its server did: the client may ask twice.
    pub(super) async fn create_producer(
        &mut self,
        payload: &Payload,
        ack: Option<&Ack>,
    ) -> Result<(), RoomError> {
        let member = self.seat.member()?.clone();
        let kind = payload.kind()?;
        let is_screen = payload.field("appData").get("screen") == Some(&Value::Bool(true));
        let label = label(kind, is_screen);
        let app_data = if is_screen {
            json!({ "screen": true })
        } else {
            json!({})
        };
        let producer = if let Some(sent) = self.sent_by_label.get(label) {
            sent.producer.clone()
        } else {
            let order = ProduceOrder {
                transport: Some(self.send.clone().ok_or(RoomError::NoTransport)?),
                kind,
                rtp: payload.rtp()?,
                app_data: app_data.clone(),
                is_screen,
                paused: false,
            };
            member.produce(order).await?.id
        };
        let content = json!({
            "producerId": producer,
            "id": producer,
            "kind": kind,
            "appData": app_data,
        });
        let is_paused = false;
        let sent = Sent {
            producer,
            is_paused,
        };
        self.sent_by_label.entry(label).or_insert(sent);
        self.reply("producer-created", content, ack);
        Ok(())
    }

    /// Something that is not sent, or is so already, is no error.
    pub(super) async fn pause_producer(
        &mut self,
        payload: &Payload,
        paused: bool,
    ) -> Result<(), RoomError> {
        let member = self.seat.member()?.clone();
        if let Some(sent) = self.sent(payload)
            && sent.is_paused != paused
        {
            member.pause_producer(&sent.producer, paused).await?;
            sent.is_paused = paused;
        }
        Ok(())
    }

    pub(super) async fn close_producer(&mut self, payload: &Payload) -> Result<(), RoomError> {
        let member = self.seat.member()?.clone();
        if let Some(sent) = self.sent(payload) {
            let producer = sent.producer.clone();
            member.close_producer(&producer).await?;
            self.sent_by_label
                .retain(|_, sent| sent.producer != producer);
        }
        Ok(())
    }

    pub(super) async fn resume_consumer(&mut self, payload: &Payload) -> Result<(), RoomError> {
        self.seat.member()?;
        let consumer = ConsumerId::new(payload.name("consumerId")?);
        let resumed = self.resume(&consumer).await;
        if resumed.is_err() {
            let content = json!({ "consumerId": consumer, "error": "Failed to resume consumer" });
            self.emit("consumer-error", content);
        }
        resumed
    }

    pub(super) async fn pause_consumer(&mut self, payload: &Payload) -> Result<(), RoomError> {
        let member = self.seat.member()?.clone();
        let consumer = ConsumerId::new(payload.name("consumerId")?);
        let received = self
            .received_by_id
            .get_mut(&consumer)
            .ok_or(RoomError::NoSuchConsumer)?;
        member.pause_consumer(&consumer, true).await?;
        received.is_paused = true;
        Ok(())
    }

    /// Those that cannot go on are told one by one.
    pub(super) async fn resume_all_consumers(&mut self) -> Result<(), RoomError> {
        self.seat.member()?;
        let paused = self
            .received_by_id
            .iter()
            .filter(|(_, received)| received.is_paused);
        let paused: Vec<ConsumerId> = paused.map(|(id, _)| id.clone()).collect();
        for consumer in &paused {
            if self.resume(consumer).await.is_err() {
                let content =
                    json!({ "consumerId": consumer, "error": "Failed to resume consumer" });
                self.emit("consumer-error", content);
            }
        }
        Ok(())
    }

    /// Its server let this pass unheard, but its clients listen for it.
    pub(super) async fn change_media_state(&self, payload: &Payload) -> Result<(), RoomError> {
        let content = json!({
            "audioEnabled": payload.field("audioEnabled").as_bool().unwrap_or(true),
            "videoEnabled": payload.field("videoEnabled").as_bool().unwrap_or(true),
        });
        self.seat.member()?.tell(MEDIA_STATE, content).await
    }

    /// Pushes a consumer of what somebody else sends, if the client can take it and has not got it.
    pub(super) async fn push_consumer(&mut self, producer: &ProducerView) {
        let (Ok(member), Some(capabilities)) = (self.seat.member(), &self.capabilities) else {
            return;
        };
        let known = |received: &Received| received.producer == producer.id;
        if producer.participant == *member.participant() || self.received_by_id.values().any(known)
        {
            return;
        }
        let order = ConsumeOrder {
            producer: producer.id.clone(),
            capabilities: capabilities.clone(),
            transport: self.receive.clone(),
            paused: true,
        };
        match member.consume(order).await {
            Ok(consumer) => {
                let received = Received {
                    producer: producer.id.clone(),
                    participant: producer.participant.clone(),
                    label: label_of(producer),
                    is_paused: true,
                };
                self.received_by_id.insert(consumer.id.clone(), received);
                self.emit("new-consumer", new_consumer(&consumer));
            }
            Err(error) => {
                tracing::debug!(dialect = "meetlite", %error, "a track cannot be received");
            }
        }
    }

    async fn resume(&mut self, consumer: &ConsumerId) -> Result<(), RoomError> {
        let member = self.seat.member()?.clone();
        let received = self
            .received_by_id
            .get_mut(consumer)
            .ok_or(RoomError::NoSuchConsumer)?;
        if !received.is_paused {
            return Ok(());
        }
        member.pause_consumer(consumer, false).await?;
        received.is_paused = false;
        let content = json!({
            "consumerId": consumer,
            "participantId": received.participant,
            "kind": received.label,
        });
        self.emit("consumer-resumed", content);
        Ok(())
    }

    fn introduce(&mut self, room: &RoomView) {
        let Ok(member) = self.seat.member() else {
            return;
        };
        let others = room
            .participants
            .iter()
            .filter(|participant| participant.id != *member.participant());
        let others: Vec<Value> = others.map(|other| introduced(other, room)).collect();
        self.emit("existing-participants", json!({ "participants": others }));
        self.is_introduced = true;
    }

    /// By `kind`, which is a label; or by `producerId`, as other dialects have it.
    fn sent(&mut self, payload: &Payload) -> Option<&mut Sent> {
        if let Some(label) = payload.text("kind") {
            return self.sent_by_label.get_mut(label);
        }
        let producer = payload.text("producerId")?;
        self.sent_by_label
            .values_mut()
            .find(|sent| sent.producer.as_str() == producer)
    }
}

fn introduced(participant: &ParticipantView, room: &RoomView) -> Value {
    let producers = room
        .producers
        .iter()
        .filter(|producer| producer.participant == participant.id);
    let producers: Vec<Value> = producers
        .map(|producer| {
            json!({
                "producerId": producer.id,
                "kind": producer.kind,
                "appData": producer.app_data,
            })
        })
        .collect();
    json!({
        "participantId": participant.id,
        "userInfo": user_info(participant),
        "producers": producers,
    })
}
