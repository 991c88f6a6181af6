//! What the rest of the gateway sees of plain RTP.

use std::net::{IpAddr, SocketAddr};

use media::{SourceDescription, VideoCodec};
use tokio::sync::{mpsc, watch};

use super::{PlainPorts, PlainTrack, PortPair};
use crate::{PeerEvent, SessionId, SinkId};

/// Ports that take plain RTP.
#[derive(Debug)]
pub struct PlainIngest {
    /// Names it; [`Peers::close`](crate::Peers::close) ends it.
    pub session: SessionId,
    /// What it is going to send.
    pub source: SourceDescription,
    /// Where the pictures go.
    pub video: Option<PortPair>,
    /// Where the sound goes.
    pub audio: Option<PortPair>,
    /// What happens to it. Closes when it has ended.
    pub events: mpsc::Receiver<PeerEvent>,
    /// What is counted, told about once a second.
    pub report: watch::Receiver<IngestReport>,
}

/// What came on the ports of an ingest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IngestReport {
    /// Whether its media are the broadcast's at the moment.
    pub receiving: bool,
    /// The pictures.
    pub video: Option<TrackReport>,
    /// The sound.
    pub audio: Option<TrackReport>,
}

/// What came on the ports of one stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrackReport {
    /// The sender that is listened to, once it has sent.
    pub source: Option<SocketAddr>,
    /// Packets that were taken.
    pub packets: u64,
    /// Packets that were not.
    pub refused: Refusals,
}

/// Packets that were not taken, by why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refusals {
    /// They came from somebody else.
    pub source: u64,
    /// They have another payload type.
    pub payload_type: u64,
    /// They have another SSRC than the stream.
    pub ssrc: u64,
    /// They were not sealed with the key, or came twice.
    pub authentication: u64,
    /// They are not RTP.
    pub malformed: u64,
}

/// A wish for a studio's packets by plain RTP.
#[derive(Debug, Clone)]
pub struct PlainEgressOrder {
    /// Where the sockets that send may be bound.
    pub ports: PlainPorts,
    /// The pictures' codec, as the receiver is told; pictures of another codec are not sent.
    pub codec: VideoCodec,
    /// The pictures.
    pub video: Option<(PlainTrack, PlainReceiver)>,
    /// The sound.
    pub audio: Option<(PlainTrack, PlainReceiver)>,
}

/// Where a stream is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainReceiver {
    /// Its address.
    pub ip: IpAddr,
    /// Where RTP and RTCP go.
    pub ports: PortPair,
}

/// An egress that sends.
#[derive(Debug)]
pub struct PlainEgress {
    /// Names it; [`Peers::close_plain_egress`](crate::Peers::close_plain_egress) ends it.
    pub id: PlainEgressId,
    /// The pictures' SSRC.
    pub video_ssrc: Option<u32>,
    /// The sound's SSRC.
    pub audio_ssrc: Option<u32>,
    /// Where the pictures come from.
    pub video: Option<PortPair>,
    /// Where the sound comes from.
    pub audio: Option<PortPair>,
    /// What is counted, told about once a second. Closes when it has ended.
    pub report: watch::Receiver<EgressReport>,
}

/// An egress of a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainEgressId {
    pub(crate) sink: SinkId,
    pub(crate) key: u64,
}

/// What an egress has sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EgressReport {
    /// The pictures.
    pub video: Option<EgressTrackReport>,
    /// The sound.
    pub audio: Option<EgressTrackReport>,
    /// The studio's pictures are of another codec than the receiver was told, so they are not sent.
    pub codec_differs: bool,
}

/// What an egress has sent of one stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EgressTrackReport {
    /// Packets.
    pub packets: u64,
    /// Bytes of RTP.
    pub bytes: u64,
    /// Packets that were sent again because the receiver missed them.
    pub repeated: u64,
    /// How often the receiver asked for a keyframe.
    pub keyframe_requests: u64,
    /// Of 256 packets, how many the receiver lately missed, once it has told.
    pub lost_of_256: Option<u8>,
}
