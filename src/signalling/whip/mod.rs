//! WHIP (RFC 9725) over [`Studios`], which knows broadcasts, permissions and peers.

use async_trait::async_trait;
use broadcast::{BroadcastId, StreamKey};

use crate::{Bearer, IceSessions, NewSession};

mod routes;

#[cfg(test)]
mod tests;

pub use crate::exchange::SignallingError as WhipError;
pub use routes::router;

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
    /// The SDP offer, at most [`BODY_LIMIT_BYTES`](crate::BODY_LIMIT_BYTES).
    pub sdp: String,
}

/// A studio that may send now.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Its session.
    pub session: NewSession,
    /// By which this studio may take over again: the only right one as soon as the session has connected.
    pub resume_token: Bearer,
}

/// What WHIP needs of the rest of the gateway.
#[async_trait]
pub trait Studios: IceSessions {
    /// Lets a studio in, if it may, and answers its offer.
    async fn publish(&self, offer: StudioOffer) -> Result<Publication, WhipError>;
}
