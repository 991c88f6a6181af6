//! What the rest of the gateway sees of WebRTC.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use media::SourceDescription;
use tokio::sync::mpsc;

/// How the workers listen.
#[derive(Debug, Clone)]
pub struct PeersConfig {
    /// UDP and ICE-TCP address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Addresses in the ICE candidates; the listener's own when empty.
    pub announced: Vec<IpAddr>,
    /// Media threads, at least 1.
    pub workers: usize,
    /// The most sessions of studios of all workers together. Viewers have a limit for each broadcast.
    pub sessions_limit: usize,
}

/// A broadcast's place on a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SinkId(pub(crate) u64);

/// One connection of a studio or a viewer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionId(pub(crate) String);

impl SessionId {
    /// The unguessable id, as it stands in the WHIP session URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why an offer is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// Not SDP, or SDP that breaks WHIP's rules; 400.
    #[error("the offer is not valid: {0}")]
    Malformed(String),
    /// No codec in common; 406. Says what is supported.
    #[error("no supported codec: {0}")]
    UnsupportedCodec(String),
    /// The sink is gone; 404.
    #[error("the broadcast has ended")]
    NoSuchSink,
    /// Every session slot is taken; 503.
    #[error("no session is free")]
    Full,
    /// The broadcast has as many viewers as it can have; 503.
    #[error("the broadcast has as many viewers as it can have")]
    TooManyViewers,
    /// We are broken; 500.
    #[error("the connection could not be set up: {0}")]
    Internal(String),
}

/// Why a session is not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// It has ended or never was.
    #[error("no such session")]
    NoSuchSession,
    /// Not an SDP fragment (RFC 8840).
    #[error("the fragment is not valid: {0}")]
    Malformed(String),
}

/// The answer to an offer.
#[derive(Debug)]
pub struct Published {
    /// The new session.
    pub session: SessionId,
    /// SDP answer with our candidates.
    pub answer: String,
    /// Names the ICE session (its ufrag); quoted it is the strong `ETag`.
    pub etag: String,
    /// What the studio is going to send.
    pub source: SourceDescription,
    /// What happens to the session. Closes when it has ended.
    pub events: mpsc::Receiver<PeerEvent>,
}

/// The answer to a viewer's offer.
#[derive(Debug)]
pub struct Watching {
    /// The new session.
    pub session: SessionId,
    /// SDP answer with our candidates.
    pub answer: String,
    /// Names the ICE session (its ufrag); quoted it is the strong `ETag`.
    pub etag: String,
    /// What happens to the session: [`PeerEvent::Connected`] and [`PeerEvent::Ended`]. Closes when it has ended.
    pub events: mpsc::Receiver<PeerEvent>,
}

/// The answer to an ICE restart.
#[derive(Debug, Clone)]
pub struct IceRestart {
    /// SDP fragment with the new credentials and our candidates.
    pub fragment: String,
    /// Names the new ICE session.
    pub etag: String,
}

/// What a session tells its owner.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PeerEvent {
    /// ICE and DTLS are up.
    Connected,
    /// The first packet of media has arrived.
    MediaArrived,
    /// Once a second while connected.
    Statistics(IngestStatistics),
    /// Nothing comes any more, for the reason in words, but the session goes on: plain RTP may come again, which is told by
    /// [`Connected`](Self::Connected).
    SourceGone(String),
    /// The session has ended, with the reason in words. The last event.
    Ended(String),
}

/// The state of what comes in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IngestStatistics {
    /// RTP payload and headers of pictures in the last second, in bit/s.
    pub video_bits_per_second: u64,
    /// The same for sound.
    pub audio_bits_per_second: u64,
    /// Packets that came, each once and those that came by retransmission included, since the session began.
    pub packets_received: u64,
    /// Packets that never came, since the session began.
    pub packets_lost: u64,
    /// Packets that came after all by retransmission, since the session began.
    pub packets_recovered: u64,
    /// Requests for lost packets, repeated ones included, since the session began.
    pub packets_requested: u64,
    /// Round trip to the studio, once known.
    pub round_trip: Option<Duration>,
}
