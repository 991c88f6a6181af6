//! WHEP (draft-ietf-wish-whep) over [`Viewers`], which knows broadcasts, permissions and peers.
//!
//! The client offers; an answer that is an offer of our own is not among what we say.

use std::sync::Arc;

use async_trait::async_trait;
use axum::{
    Router,
    extract::{
        Path, Query, Request, State,
        rejection::{PathRejection, QueryRejection},
    },
    response::Response,
    routing::post,
};
use broadcast::BroadcastId;
use serde::Deserialize;

use crate::{
    Bearer, DialectSettings, IceSessions, NewSession,
    exchange::{
        broadcast_of, check_offer_type, created, dress, endpoint_fallback, offer_of, sessions,
    },
};

#[cfg(test)]
mod tests;

pub use crate::exchange::SignallingError as WhepError;

/// A viewer's wish to watch.
#[derive(Debug, Clone)]
pub struct ViewerOffer {
    /// Which broadcast, or which room.
    pub broadcast: BroadcastId,
    /// Which track of the room; `None`: the broadcast.
    pub producer: Option<String>,
    /// Who it says it is.
    pub token: Option<Bearer>,
    /// The SDP offer, at most [`BODY_LIMIT_BYTES`](crate::BODY_LIMIT_BYTES).
    pub sdp: String,
}

/// What WHEP needs of the rest of the gateway.
#[async_trait]
pub trait Viewers: IceSessions {
    /// Lets a viewer in, if it may, and answers its offer.
    async fn watch(&self, offer: ViewerOffer) -> Result<NewSession, WhepError>;
}

/// What of a room is to be watched.
#[derive(Deserialize)]
struct Track {
    producer: Option<String>,
}

struct Dialect<V> {
    viewers: Arc<V>,
    public_url: Option<String>,
}

/// Serves `/whep/{broadcast}` and `/whep/{broadcast}/{session}` with CORS of their own.
///
/// Merge it beside, not below, another CORS layer: such a layer answers OPTIONS itself.
pub fn router<V: Viewers>(viewers: Arc<V>, settings: DialectSettings) -> Router {
    let state = Arc::new(Dialect {
        viewers: Arc::clone(&viewers),
        public_url: settings.public_url,
    });
    let router = Router::new()
        .route(
            "/whep/{broadcast}",
            post(watch::<V>).fallback(endpoint_fallback),
        )
        .with_state(state)
        .merge(sessions("/whep/{broadcast}/{session}", viewers));
    dress(router, settings.origins, &[])
}

async fn watch<V: Viewers>(
    State(dialect): State<Arc<Dialect<V>>>,
    broadcast: Result<Path<String>, PathRejection>,
    track: Result<Query<Track>, QueryRejection>,
    request: Request,
) -> Result<Response, WhepError> {
    let broadcast = broadcast_of(broadcast)?;
    check_offer_type(request.headers())?;
    let Query(Track { producer }) =
        track.map_err(|_| WhepError::MalformedOffer("there may be one producer".to_owned()))?;
    let offer = ViewerOffer {
        broadcast: broadcast.clone(),
        producer,
        token: Bearer::of_request(request.headers())?,
        sdp: offer_of(request).await?,
    };
    let session = dialect.viewers.watch(offer).await?;
    created(dialect.public_url.as_deref(), "whep", &broadcast, session)
}
