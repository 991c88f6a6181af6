//! One session: whose it is, and what it does in its room.

use std::sync::{Arc, Mutex, PoisonError};

use ortc::{DtlsParameters, MediaKind, RtpCapabilities};
use rooms::{
    ConsumeOrder, ConsumerId, ConsumerView, ProduceOrder, ProducerId, ProducerView, TransportView,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::negotiation::Negotiated;
use crate::{rest::Refusal, rooms::Member, socketio::Payload};

/// Names a session: a UUID of 122 random bits. Who knows it may use it, so nobody in the room is told.
pub(super) type SessionId = String;

/// What makes two sessions the same seat: whoever opens one again gets a new one in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seat {
    /// The room.
    pub(super) channel: String,
    /// Whom the client calls the user.
    pub(super) user: String,
    /// `audio` or `video`.
    pub(super) media: MediaKind,
    /// Who asked for it, if anybody vouches for that.
    pub(super) subject: Option<String>,
}

/// A place in a room with one transport.
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) seat: Seat,
    pub(super) member: Arc<dyn Member>,
    pub(super) transport: TransportView,
    pub(super) begun: Instant,
    /// What the router can take.
    pub(super) capabilities: RtpCapabilities,
    /// Names the session in answers.
    pub(super) number: u64,
    pub(super) consumers: Mutex<Vec<ConsumerId>>,
    /// Held while an offer is answered: one at a time.
    pub(super) negotiated: tokio::sync::Mutex<Negotiated>,
}

impl Session {
    /// Tells the transport the client's certificate.
    pub(super) async fn connect(&self, dtls: DtlsParameters) -> Result<(), Refusal> {
        Ok(self
            .member
            .connect_transport(&self.transport.id, dtls)
            .await?)
    }

    /// Does so if the body has one.
    pub(super) async fn connect_if_told(&self, body: &Payload) -> Result<(), Refusal> {
        if body.field("dtlsParameters").is_null() {
            return Ok(());
        }
        self.connect(body.dtls()?).await
    }

    /// Sends a track.
    pub(super) async fn publish(&self, body: &Payload) -> Result<ProducerView, Refusal> {
        let order = ProduceOrder {
            transport: Some(self.transport.id.clone()),
            kind: body.kind()?,
            rtp: body.rtp()?,
            app_data: body.field("appData").clone(),
            is_screen: body.text("source") == Some("screen"),
            paused: false,
        };
        Ok(self.member.produce(order).await?)
    }

    /// Receives a track.
    pub(super) async fn subscribe(&self, body: &Payload) -> Result<ConsumerView, Refusal> {
        let order = ConsumeOrder {
            producer: ProducerId::new(body.name("trackId")?),
            capabilities: body.capabilities()?,
            transport: Some(self.transport.id.clone()),
            paused: false,
        };
        let consumer = self.member.consume(order).await?;
        self.remember(consumer.id.clone());
        Ok(consumer)
    }

    /// What is received is counted.
    pub(super) fn remember(&self, consumer: ConsumerId) {
        self.consumers().push(consumer);
    }

    /// Whether it is still received.
    pub(super) fn remembers(&self, consumer: &ConsumerId) -> bool {
        self.consumers().contains(consumer)
    }

    /// What is no longer received is no longer counted.
    pub(super) fn forget(&self, consumer: &ConsumerId) {
        self.consumers().retain(|known| known != consumer);
    }

    /// What was counted. Tracks that are sent have no figures of packets, and jitter is not measured.
    pub(super) async fn statistics(&self) -> Result<Value, Refusal> {
        let room = self.member.view().await?;
        let own = room
            .producers
            .iter()
            .filter(|producer| producer.participant == *self.member.participant());
        let mut tracks: Vec<Value> = own.map(published).collect();
        let consumers = self.consumers().clone();
        for consumer in &consumers {
            // One that ended meanwhile is left out.
            let Ok(counted) = self.member.consumer_statistics(consumer).await else {
                continue;
            };
            tracks.push(json!({
                "track_id": counted.producer,
                "consumer_id": counted.consumer,
                "kind": counted.kind,
                "direction": "subscribe",
                "paused": counted.paused,
                "bitrate": counted.bits_per_second,
                "packets_sent": counted.packets_sent,
                "packets_lost": counted.packets_lost,
                "rtt_ms": counted.round_trip.map(|trip| trip.as_secs_f64() * 1000.0),
            }));
        }
        Ok(json!({
            "session_id": self.id,
            "duration": self.begun.elapsed().as_secs(),
            "tracks": tracks,
        }))
    }

    fn consumers(&self) -> std::sync::MutexGuard<'_, Vec<ConsumerId>> {
        self.consumers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn published(producer: &ProducerView) -> Value {
    json!({
        "track_id": producer.id,
        "kind": producer.kind,
        "direction": "publish",
        "paused": producer.paused,
    })
}
