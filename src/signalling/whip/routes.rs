//! The endpoint of WHIP, at which a studio begins a session.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue},
    response::Response,
    routing::post,
};
use broadcast::StreamKey;

use super::{RESUME_TOKEN_HEADER, StudioOffer, Studios, WhipError};
use crate::{
    Bearer, DialectSettings,
    exchange::{
        broadcast_of, check_offer_type, created, dress, endpoint_fallback, offer_of, sessions,
    },
};

struct Dialect<S> {
    studios: Arc<S>,
    public_url: Option<String>,
}

/// Serves `/whip/{broadcast}` and `/whip/{broadcast}/{session}` with CORS of their own.
///
/// Merge it beside, not below, another CORS layer: such a layer answers OPTIONS itself.
pub fn router<S: Studios>(studios: Arc<S>, settings: DialectSettings) -> Router {
    let state = Arc::new(Dialect {
        studios: Arc::clone(&studios),
        public_url: settings.public_url,
    });
    let router = Router::new()
        .route(
            "/whip/{broadcast}",
            post(publish::<S>).fallback(endpoint_fallback),
        )
        .with_state(state)
        .merge(sessions("/whip/{broadcast}/{session}", studios));
    let own_headers = [HeaderName::from_static(RESUME_TOKEN_HEADER)];
    dress(router, settings.origins, &own_headers)
}

async fn publish<S: Studios>(
    State(dialect): State<Arc<Dialect<S>>>,
    broadcast: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, WhipError> {
    let broadcast = broadcast_of(broadcast)?;
    check_offer_type(request.headers())?;
    let offer = StudioOffer {
        broadcast: broadcast.clone(),
        token: Bearer::of_request(request.headers())?,
        resume_token: resume_token(request.headers()),
        sdp: offer_of(request).await?,
    };
    let publication = dialect.studios.publish(offer).await?;
    let mut resume = HeaderValue::try_from(publication.resume_token.expose())
        .map_err(|_| WhipError::Internal)?;
    resume.set_sensitive(true);
    let public_url = dialect.public_url.as_deref();
    let mut response = created(public_url, "whip", &broadcast, publication.session)?;
    response.headers_mut().insert(RESUME_TOKEN_HEADER, resume);
    Ok(response)
}

/// What is shown, of whatever form: a damaged token is a wrong one, and the studio may be the first, to whom none matters.
/// An empty header shows nothing.
fn resume_token(headers: &HeaderMap) -> Option<StreamKey> {
    let value = headers.get(RESUME_TOKEN_HEADER)?;
    let token = String::from_utf8_lossy(value.as_bytes());
    Some(StreamKey::new(token.trim())).filter(|token| !token.is_empty())
}
