//! What participants are told of a room.

use std::time::{Duration, SystemTime};

use broadcast::BroadcastId;
use ortc::{
    DtlsParameters, IceCandidate, IceParameters, MediaKind, RtpCapabilities, RtpParameters,
};
use serde_json::Value;

use crate::{ConsumerId, ParticipantId, ProducerId, TransportId};

/// A room.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomView {
    /// Its name.
    pub room: BroadcastId,
    /// When it was made.
    pub created: SystemTime,
    /// What can be sent in it, H.264 first.
    pub capabilities: RtpCapabilities,
    /// Who is in it, in the order in which they came.
    pub participants: Vec<ParticipantView>,
    /// What is sent in it.
    pub producers: Vec<ProducerView>,
    /// Whether its programme goes out.
    pub egress: bool,
}

/// Somebody in a room.
#[derive(Debug, Clone, PartialEq)]
pub struct ParticipantView {
    /// Their name.
    pub id: ParticipantId,
    /// What others are to read.
    pub display_name: Option<String>,
    /// What the dialect told of them.
    pub details: Value,
    /// When they came.
    pub joined: SystemTime,
    /// How many tracks they send.
    pub producers: usize,
    /// How many tracks they receive.
    pub consumers: usize,
}

/// A track that somebody sends.
#[derive(Debug, Clone, PartialEq)]
pub struct ProducerView {
    /// Its name.
    pub id: ProducerId,
    /// Who sends it.
    pub participant: ParticipantId,
    /// Picture or sound.
    pub kind: MediaKind,
    /// Whether it is a screen.
    pub is_screen: bool,
    /// Whether it is paused by its sender.
    pub paused: bool,
    /// Whether it comes in several layers.
    pub is_simulcast: bool,
    /// What the application says of it.
    pub app_data: Value,
}

/// What a client needs to connect a transport.
#[derive(Debug, Clone, PartialEq)]
pub struct TransportView {
    /// Its name.
    pub id: TransportId,
    /// The router's credentials.
    pub ice_parameters: IceParameters,
    /// Where the router is.
    pub ice_candidates: Vec<IceCandidate>,
    /// The router's certificate.
    pub dtls_parameters: DtlsParameters,
}

/// How far one half of a transport has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportState {
    /// Nothing has come.
    New,
    /// It is being set up.
    Connecting,
    /// It works.
    Connected,
    /// It will not work any more.
    Failed,
    /// It has ended.
    Closed,
}

/// How far a transport has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportStates {
    /// The way.
    pub ice: TransportState,
    /// The encryption.
    pub dtls: TransportState,
}

/// A track that somebody receives.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsumerView {
    /// Its name.
    pub id: ConsumerId,
    /// Of what.
    pub producer: ProducerId,
    /// Who sends it.
    pub producer_participant: ParticipantId,
    /// Picture or sound.
    pub kind: MediaKind,
    /// How it is sent.
    pub rtp: RtpParameters,
    /// Whether it is paused by its receiver.
    pub paused: bool,
    /// Whether it is paused by its sender.
    pub producer_paused: bool,
    /// What the application says of the producer.
    pub app_data: Value,
    /// The transport that it is on.
    pub transport: TransportView,
}

/// What was counted of a consumer.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsumerStatistics {
    /// Which one.
    pub consumer: ConsumerId,
    /// Of what.
    pub producer: ProducerId,
    /// On which transport.
    pub transport: TransportId,
    /// How far that is.
    pub states: TransportStates,
    /// Picture or sound.
    pub kind: MediaKind,
    /// Whether it is paused by its receiver.
    pub paused: bool,
    /// SSRC of the stream.
    pub ssrc: u32,
    /// Codec of the stream, such as `video/H264`.
    pub mime_type: String,
    /// Packets that were sent, repeated ones not counted.
    pub packets_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// What was sent in the last second, in bit/s.
    pub bits_per_second: u64,
    /// Packets that were sent again.
    pub packets_repeated: u64,
    /// Packets that the receiver reports as lost.
    pub packets_lost: u64,
    /// Requests for keyframes.
    pub keyframe_requests: u64,
    /// The round trip, once known.
    pub round_trip: Option<Duration>,
    /// The layers that it gets now, if there are some.
    pub spatial_layer: Option<u8>,
    /// What of its producer came in, in bytes.
    pub producer_bytes: u64,
}

/// What became of a wish to go out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressView {
    /// Whether it was going out already.
    pub already: bool,
    /// The labels of the destinations, each once.
    pub destinations: Vec<String>,
}
