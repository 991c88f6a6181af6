//! What goes into a session and what comes out of it.

use bytes::BytesMut;
use media::{RtpPacket, SenderReport, TrackKind};
use rtc::peer_connection::RTCPeerConnection;
use tokio::sync::mpsc;

use super::{Studio, Viewer, inner::InnerPeer};
use crate::{
    PeerEvent,
    door::{Path, stun::Credentials},
};

/// What a session is made of; built by the HTTP side, driven by a worker.
pub(crate) struct SessionParts {
    pub(crate) connection: RTCPeerConnection,
    pub(crate) inner: InnerPeer,
    pub(crate) local: Credentials,
    pub(crate) remote: Credentials,
    pub(crate) role: Role,
    pub(crate) events: mpsc::Sender<PeerEvent>,
}

/// What the peer is here for.
pub(crate) enum Role {
    /// It sends.
    Studio(Box<Studio>),
    /// It gets what the studio sends.
    Viewer(Box<Viewer>),
}

/// How the owner is told that a session has ended.
pub(super) struct Words {
    pub(super) closed: &'static str,
    pub(super) silent: &'static str,
    pub(super) never_came: &'static str,
}

impl Role {
    pub(super) const fn words(&self) -> Words {
        match self {
            Self::Studio(_) => Words {
                closed: "the studio closed the connection",
                silent: "the studio stopped answering",
                never_came: "the studio never connected",
            },
            Self::Viewer(_) => Words {
                closed: "the viewer closed the connection",
                silent: "the viewer stopped answering",
                never_came: "the viewer never connected",
            },
        }
    }
}

/// What the worker has to do for a session.
pub(crate) enum Output {
    /// Send this datagram on the path.
    Send(Path, BytesMut),
    /// Give this to the sink.
    Packet(TrackKind, RtpPacket),
    /// Give this to the sink.
    Report(TrackKind, SenderReport),
    /// A viewer cannot go on without a keyframe of the current studio.
    KeyframeWished,
    /// ICE and DTLS are up.
    Connected,
    /// The session is over, for this reason.
    Ended(&'static str),
}
