//! What WHIP and WHEP share: an SDP offer is answered with a session, whose ICE is changed and which is ended (RFC 9725).

use std::time::Duration;

use async_trait::async_trait;
use broadcast::BroadcastId;

use crate::{Bearer, IceServer, Origins};

mod answer;
mod error;
mod routes;

pub(crate) use answer::created;
pub use error::SignallingError;
pub(crate) use routes::{
    allowed, broadcast_of, check_offer_type, dress, endpoint_fallback, offer_of, sessions,
};

/// The most bytes of an offer or a fragment. A browser's offer with every codec has 8 KiB.
pub const BODY_LIMIT_BYTES: usize = 64 * 1024;

/// How long the body of a request may take to arrive.
pub const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// Media type of offers and answers.
const SDP: &str = "application/sdp";

/// Media type of trickle ICE.
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// What a dialect is told about the outside.
#[derive(Debug, Clone)]
pub struct DialectSettings {
    /// Whose pages may use it.
    pub origins: Origins,
    /// What this node is called from outside, in front of `/whip` and `/whep`; `None`: `Location` is relative.
    pub public_url: Option<String>,
}

/// A session that is addressed, and by whom.
#[derive(Debug, Clone)]
pub struct SessionAccess {
    /// The broadcast in the URL.
    pub broadcast: BroadcastId,
    /// The session in the URL: 1 to 128 characters of `A-Z a-z 0-9 _ - . ~`.
    pub session: String,
    /// Who asks.
    pub token: Option<Bearer>,
}

/// A session that has begun.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Names the session in its URL: characters that need no escaping.
    pub id: String,
    /// The SDP answer.
    pub answer: String,
    /// Names the ICE session.
    pub etag: String,
    /// What helps the peer through its NAT.
    pub ice_servers: Vec<IceServer>,
}

/// The ICE session as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceSession {
    /// Names it.
    pub etag: String,
    /// The peer's own user fragment, when known. By it a restart is told from candidates that some
    /// clients send with `If-Match: *`.
    pub peer_ufrag: Option<String>,
}

/// The answer to an ICE restart.
#[derive(Debug, Clone)]
pub struct IceRestart {
    /// SDP fragment with the gateway's new credentials.
    pub fragment: String,
    /// Names the new ICE session.
    pub etag: String,
}

/// What is done to sessions that have begun.
///
/// `ice_session` and `end` decide who may; `trickle` and `restart_ice` are asked only within a request that
/// `ice_session` has let through.
#[async_trait]
pub trait IceSessions: Send + Sync + 'static {
    /// Tells which ICE session is current, to one who may change it.
    async fn ice_session(&self, access: &SessionAccess) -> Result<IceSession, SignallingError>;

    /// Takes candidates of the current ICE session.
    async fn trickle(&self, access: &SessionAccess, fragment: &str) -> Result<(), SignallingError>;

    /// Begins a new ICE session.
    async fn restart_ice(
        &self,
        access: &SessionAccess,
        fragment: &str,
    ) -> Result<IceRestart, SignallingError>;

    /// Ends a session; ending an ended one is no error.
    async fn end(&self, access: &SessionAccess) -> Result<(), SignallingError>;
}
