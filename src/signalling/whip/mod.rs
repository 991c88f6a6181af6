//! WHIP (RFC 9725) over [`Studios`], which knows broadcasts, permissions and peers.

use std::time::Duration;

use async_trait::async_trait;
use broadcast::{BroadcastId, StreamKey};

use crate::{Bearer, IceServer};

mod answer;
mod error;
mod routes;

#[cfg(test)]
mod tests;

pub use error::WhipError;
pub use routes::{WhipSettings, router};

/// The most bytes of an offer or a fragment. A browser's offer with every codec has 8 KiB.
pub const BODY_LIMIT_BYTES: usize = 64 * 1024;

/// How long the body of a request may take to arrive.
pub const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// Carries the token by which a studio takes over its own earlier session.
pub const RESUME_TOKEN_HEADER: &str = "castgate-resume-token";

/// A studio's wish to publish.
#[derive(Debug, Clone)]
pub struct StudioOffer {
    /// Into which broadcast.
    pub broadcast: BroadcastId,
    /// Who it says it is.
    pub token: Option<Bearer>,
    /// Proof that an earlier session of this broadcast was its own, of whatever form; never empty.
    pub resume_token: Option<StreamKey>,
    /// The SDP offer, at most [`BODY_LIMIT_BYTES`].
    pub sdp: String,
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

/// A studio that may send now.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Names the session in its URL: characters that need no escaping.
    pub session: String,
    /// The SDP answer.
    pub answer: String,
    /// Names the ICE session.
    pub etag: String,
    /// By which this studio may take over again: the only right one as soon as the session has connected.
    pub resume_token: Bearer,
    /// What helps the studio through its NAT.
    pub ice_servers: Vec<IceServer>,
}

/// The ICE session as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceSession {
    /// Names it.
    pub etag: String,
    /// The studio's own user fragment, when known. By it a restart is told from candidates that some
    /// clients send with `If-Match: *`.
    pub studio_ufrag: Option<String>,
}

/// The answer to an ICE restart.
#[derive(Debug, Clone)]
pub struct IceRestart {
    /// SDP fragment with the gateway's new credentials.
    pub fragment: String,
    /// Names the new ICE session.
    pub etag: String,
}

/// What WHIP needs of the rest of the gateway.
///
/// `publish`, `ice_session` and `end` decide who may; `trickle` and `restart_ice` are asked only within a
/// request that `ice_session` has let through.
#[async_trait]
pub trait Studios: Send + Sync + 'static {
    /// Lets a studio in and answers its offer.
    async fn publish(&self, offer: StudioOffer) -> Result<Publication, WhipError>;

    /// Tells which ICE session is current, to one who may change it.
    async fn ice_session(&self, access: &SessionAccess) -> Result<IceSession, WhipError>;

    /// Takes candidates of the current ICE session.
    async fn trickle(&self, access: &SessionAccess, fragment: &str) -> Result<(), WhipError>;

    /// Begins a new ICE session.
    async fn restart_ice(
        &self,
        access: &SessionAccess,
        fragment: &str,
    ) -> Result<IceRestart, WhipError>;

    /// Ends a session; ending an ended one is no error.
    async fn end(&self, access: &SessionAccess) -> Result<(), WhipError>;
}
