//! What the rest of the gateway sees of rooms' media.

use std::time::Duration;

use media::SourceDescription;
use ortc::{DtlsParameters, IceCandidate, IceParameters, MediaKind, RtpParameters};
use tokio::sync::mpsc;

use crate::{PeerEvent, SessionId};

/// A room's place on a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RouterId(pub(crate) u64);

/// Why something does not happen on a router.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouterError {
    /// The router has ended.
    #[error("the router has ended")]
    NoSuchRouter,
    /// The transport has ended, or never was.
    #[error("the transport has ended")]
    NoSuchTransport,
    /// The producer has ended, or never was.
    #[error("the producer has ended")]
    NoSuchProducer,
    /// The consumer has ended, or never was.
    #[error("the consumer has ended")]
    NoSuchConsumer,
    /// The transport is connected with another certificate.
    #[error("the transport is connected already")]
    AlreadyConnected,
    /// The parameters break a rule, in words.
    #[error("{0}")]
    Malformed(String),
    /// Every session slot is taken.
    #[error("no session is free")]
    Full,
    /// The sink lives on another worker, or has ended.
    #[error("the broadcast is not where the room is")]
    NoSuchSink,
    /// We are broken.
    #[error("the gateway failed: {0}")]
    Internal(String),
}

/// A transport that waits for its client.
#[derive(Debug)]
pub struct OpenTransport {
    /// The unguessable id.
    pub session: SessionId,
    /// Our credentials; we are an ICE-lite agent.
    pub ice: IceParameters,
    /// Where we are: UDP first, then TCP.
    pub candidates: Vec<IceCandidate>,
    /// Our certificate. The role is `auto`; the client begins.
    pub dtls: DtlsParameters,
    /// What happens to it. Closes when it has ended.
    pub events: mpsc::Receiver<TransportEvent>,
}

/// How far a transport is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransportProgress {
    /// Nothing has come.
    New,
    /// A path is proven.
    Reachable,
    /// The DTLS handshake goes on.
    Handshaking,
    /// Media can flow.
    Connected,
}

/// What a transport tells its owner.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TransportEvent {
    /// It is this far now.
    Progress(TransportProgress),
    /// The first packet of this producer came.
    MediaArrived(String),
    /// How loud this producer is, by RFC 6464: 0 is loudest, 127 silence; at most every 100 ms, only when it changed.
    AudioLevel(String, u8),
    /// This consumer gets another spatial layer; `None`: nothing, for want of bandwidth.
    LayersChanged(String, Option<u8>),
    /// How much can be sent to the client, in bit/s, when it changed much; at most once a second.
    Bandwidth(u64),
    /// It has ended, with the reason in words. The last event.
    Ended(String),
}

/// A track to receive from a client.
#[derive(Debug, Clone, PartialEq)]
pub struct ProducerOrder {
    /// The unguessable id that it is to have.
    pub id: String,
    /// Picture or sound.
    pub kind: MediaKind,
    /// As the client sends it: payload types, extension ids and SSRCs or RIDs are the client's.
    pub rtp: RtpParameters,
    /// Whether nothing of it is to be forwarded yet.
    pub paused: bool,
}

/// A track to send to a client.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsumerOrder {
    /// The unguessable id that it is to have.
    pub id: String,
    /// Of what, on the same router.
    pub producer: String,
    /// As the client gets it: one encoding with `ssrc` and perhaps `rtx`, payload types and extension ids are the router's.
    pub rtp: RtpParameters,
    /// Whether nothing is to be sent yet.
    pub paused: bool,
}

/// A sink that is fed by producers of a router.
#[derive(Debug)]
pub struct Composed {
    /// It is ended like a studio's session ([`Peers::close`](crate::Peers::close)).
    pub session: SessionId,
    /// What the producers send.
    pub source: SourceDescription,
    /// What happens to it, as with a studio's session: connected, media arrived, statistics each second, ended. It ends with
    /// its picture; without its sound it goes on.
    pub events: mpsc::Receiver<PeerEvent>,
}

/// What was counted of a producer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProducerCounters {
    /// Packets that came, each once.
    pub packets: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came after all by retransmission.
    pub recovered: u64,
    /// Bit/s of the last second.
    pub bits_per_second: u64,
}

/// What was counted of a consumer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConsumerCounters {
    /// Packets that were sent, repeated ones not counted.
    pub packets: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Packets that were sent again.
    pub repeated: u64,
    /// Packets that the client reports as lost.
    pub lost: u64,
    /// Keyframes that the client asked for.
    pub keyframe_requests: u64,
    /// Bit/s of the last second.
    pub bits_per_second: u64,
    /// The round trip, once known.
    pub round_trip: Option<Duration>,
    /// The spatial layer that is sent now, if the producer has some.
    pub spatial_layer: Option<u8>,
}
