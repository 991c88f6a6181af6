//! What goes into a session and what comes out of it.

use std::sync::Arc;

use bytes::BytesMut;
use media::{RtpPacket, SenderReport, TrackKind};
use rtc::peer_connection::RTCPeerConnection;
use tokio::sync::mpsc;

use super::inner::InnerPeer;
use crate::{
    PeerEvent,
    door::{Path, stun::Credentials},
    repair::RepairCounters,
};

/// What a session is made of; built by the HTTP side, driven by a worker.
pub(crate) struct SessionParts {
    pub(crate) connection: RTCPeerConnection,
    pub(crate) inner: InnerPeer,
    pub(crate) local: Credentials,
    pub(crate) remote: Credentials,
    pub(crate) video_payload_type: Option<u8>,
    pub(crate) audio_payload_type: Option<u8>,
    pub(crate) counters: Arc<RepairCounters>,
    pub(crate) events: mpsc::Sender<PeerEvent>,
}

/// What the worker has to do for a session.
pub(crate) enum Output {
    /// Send this datagram on the path.
    Send(Path, BytesMut),
    /// Give this to the sink.
    Packet(TrackKind, RtpPacket),
    /// Give this to the sink.
    Report(TrackKind, SenderReport),
    /// ICE and DTLS are up.
    Connected,
    /// The session is over, for this reason.
    Ended(&'static str),
}
