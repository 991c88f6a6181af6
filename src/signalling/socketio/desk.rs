//! What dialects do alike, each in its own words.

use ::rooms::{
    ConsumeOrder, ConsumerId, ConsumerView, Direction, JoinOrder, Layers, ProduceOrder, ProducerId,
    ProducerView, RoomError, TransportId, TransportView,
};
use broadcast::BroadcastId;
use serde_json::{Value, json};

use super::{Caller, Payload, Seat, Seated};

/// A client and their place in a room, from which the commands that all dialects have are given.
pub struct Desk {
    /// Who it is.
    pub caller: Caller,
    /// Their place.
    pub seat: Seat,
    /// The transport that was made for receiving.
    receiving: Option<TransportId>,
}

impl Desk {
    /// A client without a place.
    pub fn new(caller: Caller) -> Self {
        Self {
            seat: Seat::new(caller.rooms.clone(), caller.guest.clone()),
            caller,
            receiving: None,
        }
    }

    /// Tells the client something, if it still listens.
    pub fn emit(&self, event: &str, content: Value) {
        // The connection ends itself when the client is gone.
        let _ = self.caller.outbox.emit(event, Some(content));
    }

    /// Takes a place. Who asks again for the place that they have keeps it, with all that is there.
    pub async fn join(&mut self, order: JoinOrder) -> Result<Seated, RoomError> {
        if let Ok(member) = self.seat.member()
            && *member.room() == order.room
            && order.participant.as_ref() == Some(member.participant())
            && let Ok(room) = member.view().await
        {
            let resumed = true;
            return Ok(Seated { resumed, room });
        }
        self.receiving = None;
        self.seat.join(order).await
    }

    /// Takes a place in a room, if it is not taken already; `None`: it was.
    pub async fn enter(
        &mut self,
        room: BroadcastId,
        order: impl FnOnce(BroadcastId) -> JoinOrder,
    ) -> Result<Option<Seated>, RoomError> {
        match self.seat.member() {
            Ok(member) if *member.room() == room => Ok(None),
            Ok(_) | Err(_) => self.join(order(room)).await.map(Some),
        }
    }

    /// Takes back the place to which a transport belongs, when there is none yet: what a client does after its connection
    /// broke, without a word of it.
    pub async fn take_back(&mut self, payload: &Payload) -> Result<(), RoomError> {
        if self.seat.member().is_ok() {
            return Ok(());
        }
        match payload.name("transportId") {
            Ok(transport) => {
                let transport = TransportId::new(transport);
                self.seat.resume(&transport).await.map(drop)
            }
            Err(_) => Err(RoomError::NotJoined),
        }
    }

    /// Makes a transport.
    pub async fn create_transport(
        &mut self,
        direction: Direction,
    ) -> Result<TransportView, RoomError> {
        let view = self.seat.member()?.create_transport(direction).await?;
        if direction == Direction::Receive {
            self.receiving.get_or_insert(view.id.clone());
        }
        Ok(view)
    }

    /// Connects `transportId` by `dtlsParameters`.
    pub async fn connect_transport(&mut self, payload: &Payload) -> Result<(), RoomError> {
        self.take_back(payload).await?;
        let transport = TransportId::new(payload.name("transportId")?);
        let member = self.seat.member()?;
        member.connect_transport(&transport, payload.dtls()?).await
    }

    /// Gives `transportId` new credentials.
    pub async fn restart_ice(&mut self, payload: &Payload) -> Result<Value, RoomError> {
        self.take_back(payload).await?;
        let transport = TransportId::new(payload.name("transportId")?);
        let parameters = self.seat.member()?.restart_ice(&transport).await?;
        Ok(json!({ "transportId": transport, "iceParameters": parameters }))
    }

    /// Ends `transportId`.
    pub async fn close_transport(&mut self, payload: &Payload) -> Result<(), RoomError> {
        let transport = TransportId::new(payload.name("transportId")?);
        self.seat.member()?.close_transport(&transport).await?;
        self.receiving.take_if(|receiving| *receiving == transport);
        Ok(())
    }

    /// Sends a track by `transportId`, `kind`, `rtpParameters` and perhaps `appData` and `paused`.
    pub async fn produce(&mut self, payload: &Payload) -> Result<ProducerView, RoomError> {
        self.take_back(payload).await?;
        let transport = payload.text("transportId").map(TransportId::new);
        let app_data = payload.app_data()?;
        let order = ProduceOrder {
            transport,
            kind: payload.kind()?,
            rtp: payload.rtp()?,
            is_screen: is_screen(&app_data),
            app_data,
            paused: payload.field("paused") == &Value::Bool(true),
        };
        self.seat.member()?.produce(order).await
    }

    /// Receives `producerId` with `rtpCapabilities`, on `transportId` or what was made for receiving.
    ///
    /// All tracks of a client come on one transport, whatever else it was told: the client keeps its first.
    pub async fn consume(
        &mut self,
        payload: &Payload,
        paused: bool,
    ) -> Result<ConsumerView, RoomError> {
        let named = payload.text("transportId").map(TransportId::new);
        let kept = self.receiving.clone().filter(|_| named.is_none());
        let mut order = ConsumeOrder {
            producer: ProducerId::new(payload.name("producerId")?),
            capabilities: payload.capabilities()?,
            transport: named.or_else(|| kept.clone()),
            paused,
        };
        let member = self.seat.member()?;
        match member.consume(order.clone()).await {
            // It has ended since.
            Err(RoomError::NoSuchTransport) if kept.is_some() => {
                self.receiving = None;
                order.transport = None;
                member.consume(order).await
            }
            consumed => consumed,
        }
    }

    /// Receives as [`consume`](Self::consume), not paused, and makes a transport for whoever has none: the answer has what
    /// the client needs for it.
    pub async fn receive(&mut self, payload: &Payload) -> Result<ConsumerView, RoomError> {
        match self.consume(payload, false).await {
            Err(RoomError::NoTransport) => {
                self.create_transport(Direction::Receive).await?;
                self.consume(payload, false).await
            }
            received => received,
        }
    }

    /// Pauses `producerId`, or goes on.
    pub async fn pause_producer(&self, payload: &Payload, paused: bool) -> Result<(), RoomError> {
        let producer = ProducerId::new(payload.name("producerId")?);
        let member = self.seat.member()?;
        member.pause_producer(&producer, paused).await
    }

    /// Ends `producerId`.
    pub async fn close_producer(&self, payload: &Payload) -> Result<(), RoomError> {
        let producer = ProducerId::new(payload.name("producerId")?);
        self.seat.member()?.close_producer(&producer).await
    }

    /// Pauses `consumerId`, or goes on.
    pub async fn pause_consumer(&self, payload: &Payload, paused: bool) -> Result<(), RoomError> {
        let consumer = ConsumerId::new(payload.name("consumerId")?);
        let member = self.seat.member()?;
        member.pause_consumer(&consumer, paused).await
    }

    /// Ends `consumerId`.
    pub async fn close_consumer(&self, payload: &Payload) -> Result<(), RoomError> {
        let consumer = ConsumerId::new(payload.name("consumerId")?);
        self.seat.member()?.close_consumer(&consumer).await
    }

    /// Limits `consumerId` to `spatialLayer` and perhaps `temporalLayer`.
    pub async fn prefer_layers(&self, payload: &Payload) -> Result<(), RoomError> {
        let consumer = ConsumerId::new(payload.name("consumerId")?);
        let layer = |name: &str| {
            let number = payload.field(name).as_u64();
            number.and_then(|number| u8::try_from(number).ok())
        };
        let missing = || RoomError::Malformed("spatialLayer: is missing".to_owned());
        let layers = Layers {
            spatial: layer("spatialLayer").ok_or_else(missing)?,
            temporal: layer("temporalLayer"),
        };
        self.seat.member()?.prefer_layers(&consumer, layers).await
    }
}

/// Which way, by the word that clients use; both when there is none.
pub fn direction(payload: &Payload) -> Direction {
    match payload.text("direction") {
        Some("send" | "producer") => Direction::Send,
        Some("recv" | "receive" | "consumer") => Direction::Receive,
        Some(_) | None => Direction::Both,
    }
}

/// Whether the application calls a track a screen, in the words of any dialect.
pub fn is_screen(app_data: &Value) -> bool {
    let is_true = |name: &str| app_data.get(name) == Some(&Value::Bool(true));
    let is_word = |name: &str| {
        let word = app_data.get(name).and_then(Value::as_str);
        word.is_some_and(|word| word.starts_with("screen"))
    };
    is_true("isScreenShare")
        || is_true("screen")
        || ["source", "mediaType", "type", "mediaTag"]
            .into_iter()
            .any(is_word)
}
