//! What the dialects of rooms ask for: one set of commands, whatever their words are.

use std::sync::Arc;

use async_trait::async_trait;
use broadcast::BroadcastId;
use ortc::{DtlsParameters, IceParameters, RtpCapabilities};
use rooms::{
    ConsumeOrder, ConsumerId, ConsumerStatistics, ConsumerView, Direction, EgressOrder, EgressView,
    JoinOrder, Layers, ParticipantId, ProduceOrder, ProducerId, ProducerView, RoomError, RoomEvent,
    RoomView, TransportId, TransportStates, TransportView,
};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::{Bearer, IceServer};

/// Somebody at the other end of a connection.
#[derive(Debug, Clone)]
pub struct Guest {
    /// Who they are, if anybody vouches for it. Two of the same subject are the same person.
    pub subject: Option<String>,
    /// What the token says beyond that, such as `email`; never the token itself.
    pub claims: Value,
    /// What the gateway knows them by; only it reads this.
    pub pass: Arc<dyn std::any::Any + Send + Sync>,
}

/// A participant's place in a room.
pub struct Membership {
    /// What they may do there.
    pub member: Arc<dyn Member>,
    /// What they are told. Bounded; a participant that does not read for long is put out of the room.
    pub events: mpsc::Receiver<RoomEvent>,
    /// Whether it is the place that they had before their connection broke: transports, producers and consumers stay.
    pub resumed: bool,
    /// The room when they came, themselves included.
    pub room: RoomView,
}

/// The rooms of this node.
#[async_trait]
pub trait Rooms: Send + Sync + 'static {
    /// Tells who shows `token`. Where there is no authentication, everybody is let in.
    async fn admit(&self, token: Option<&Bearer>) -> Result<Guest, RoomError>;

    /// What can be sent in a room, which is made if there is none.
    async fn capabilities(
        &self,
        guest: &Guest,
        room: &BroadcastId,
    ) -> Result<RtpCapabilities, RoomError>;

    /// Takes a place in a room, which is made if there is none. Who has a place there that lost its connection gets it
    /// back; who comes again while the connection lives, as the same subject, gets a new place and loses the old one.
    async fn join(&self, guest: &Guest, order: JoinOrder) -> Result<Membership, RoomError>;

    /// Takes back the place whose connection was lost, by something unguessable that belongs to it.
    async fn resume(&self, guest: &Guest, transport: &TransportId)
    -> Result<Membership, RoomError>;

    /// All rooms that the guest may see.
    async fn list(&self, guest: &Guest) -> Result<Vec<RoomView>, RoomError>;

    /// Makes a room; [`RoomError::RoomExists`] when there is one.
    async fn create(&self, guest: &Guest, room: &BroadcastId) -> Result<RoomView, RoomError>;

    /// Reads a room.
    async fn find(&self, guest: &Guest, room: &BroadcastId) -> Result<RoomView, RoomError>;

    /// Ends a room; all its participants are put out. Its programme, if it goes out, ends too.
    async fn close(&self, guest: &Guest, room: &BroadcastId) -> Result<(), RoomError>;

    /// What helps clients through their NAT.
    fn ice_servers(&self, guest: &Guest) -> Vec<IceServer>;
}

/// What a participant may do. Every call has a bounded time.
#[async_trait]
pub trait Member: Send + Sync {
    /// Who they are in the room.
    fn participant(&self) -> &ParticipantId;

    /// Which room it is.
    fn room(&self) -> &BroadcastId;

    /// The room as it is now.
    async fn view(&self) -> Result<RoomView, RoomError>;

    /// Makes a transport.
    async fn create_transport(&self, direction: Direction) -> Result<TransportView, RoomError>;

    /// Tells a transport the client's certificate. The same again is no error.
    async fn connect_transport(
        &self,
        transport: &TransportId,
        dtls: DtlsParameters,
    ) -> Result<(), RoomError>;

    /// Gives a transport new credentials; the old ones hold until the new ones are used.
    async fn restart_ice(&self, transport: &TransportId) -> Result<IceParameters, RoomError>;

    /// Tells how far a transport is.
    async fn transport_states(&self, transport: &TransportId)
    -> Result<TransportStates, RoomError>;

    /// Ends a transport and what is on it.
    async fn close_transport(&self, transport: &TransportId) -> Result<(), RoomError>;

    /// Sends a track.
    async fn produce(&self, order: ProduceOrder) -> Result<ProducerView, RoomError>;

    /// Pauses a track (`true`), or goes on.
    async fn pause_producer(&self, producer: &ProducerId, paused: bool) -> Result<(), RoomError>;

    /// Ends a track.
    async fn close_producer(&self, producer: &ProducerId) -> Result<(), RoomError>;

    /// Receives a track.
    async fn consume(&self, order: ConsumeOrder) -> Result<ConsumerView, RoomError>;

    /// Pauses receiving (`true`), or goes on, with a keyframe.
    async fn pause_consumer(&self, consumer: &ConsumerId, paused: bool) -> Result<(), RoomError>;

    /// Ends receiving.
    async fn close_consumer(&self, consumer: &ConsumerId) -> Result<(), RoomError>;

    /// Limits the layers of a consumer.
    async fn prefer_layers(&self, consumer: &ConsumerId, layers: Layers) -> Result<(), RoomError>;

    /// What was counted of a consumer.
    async fn consumer_statistics(
        &self,
        consumer: &ConsumerId,
    ) -> Result<ConsumerStatistics, RoomError>;

    /// The client measured how loud its microphone is, 0 to 1.
    async fn report_audio_level(&self, level: f64) -> Result<(), RoomError>;

    /// Tells the others something that only the dialect understands ([`RoomEvent::Told`]); at most 4 KiB as JSON.
    async fn tell(&self, topic: &'static str, content: Value) -> Result<(), RoomError>;

    /// Brings the room's programme to platforms. Where it goes out already, nothing changes.
    async fn start_egress(&self, order: EgressOrder) -> Result<EgressView, RoomError>;

    /// Ends the room's programme. Ending none is no error.
    async fn stop_egress(&self) -> Result<(), RoomError>;

    /// Leaves for good.
    async fn leave(&self);

    /// The connection broke. The place is kept for a while, as long as a transport of it lives.
    fn detach(&self);
}
