//! What the resources of WHIP and WHEP share: a session that is changed and ended, bodies, CORS.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::patch,
};
use broadcast::BroadcastId;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{
    BODY_LIMIT_BYTES, BODY_PATIENCE, FRAGMENT, IceSession, IceSessions, SDP, SessionAccess,
    SignallingError, answer,
};
use crate::{Bearer, Fragment, Origins, entity_tag::Expectation};

/// How long a browser may remember what it is allowed; two hours is the most that Chromium takes.
const PREFLIGHT_AGE: Duration = Duration::from_hours(2);

/// The longest session id in a URL.
const LONGEST_SESSION: usize = 128;

/// The session resource at `path`, whose parameters are the broadcast and the session.
pub(crate) fn sessions<S: IceSessions>(path: &str, sessions: Arc<S>) -> Router {
    Router::new()
        .route(
            path,
            patch(change::<S>)
                .delete(end::<S>)
                .fallback(session_fallback),
        )
        .with_state(sessions)
}

/// Limits bodies, tells what is accepted, and shares with `origins`; `own_headers` may be sent and read too.
pub(crate) fn dress(router: Router, origins: Origins, own_headers: &[HeaderName]) -> Router {
    router
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .layer(cors(origins, own_headers))
        .layer(middleware::from_fn(tell_accepted))
}

/// The broadcast in the path of an endpoint.
pub(crate) fn broadcast_of(
    path: Result<Path<String>, PathRejection>,
) -> Result<BroadcastId, SignallingError> {
    let Path(broadcast) = path.map_err(|_| SignallingError::NoSuchBroadcast)?;
    BroadcastId::new(broadcast).map_err(|_| SignallingError::NoSuchBroadcast)
}

/// Reads an offer, once [`check_offer_type`] has passed.
pub(crate) async fn offer_of(request: Request) -> Result<String, SignallingError> {
    text(request)
        .await?
        .ok_or_else(|| not_text(SignallingError::MalformedOffer))
}

/// Refuses what is no SDP.
pub(crate) fn check_offer_type(headers: &HeaderMap) -> Result<(), SignallingError> {
    check_type(headers, SDP)
}

/// Answers methods that an endpoint does not take.
pub(crate) async fn endpoint_fallback() -> SignallingError {
    SignallingError::MethodNotAllowed("POST, OPTIONS")
}

async fn change<S: IceSessions>(
    State(sessions): State<Arc<S>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Result<Response, SignallingError> {
    let access = access(path, request.headers())?;
    let current = sessions.ice_session(&access).await?;
    check_type(request.headers(), FRAGMENT)?;
    let expectation = Expectation::of_request(request.headers());
    match &expectation {
        Expectation::None => return Err(SignallingError::PreconditionRequired),
        Expectation::OneOf(tags) if !tags.contains(&current.etag) => {
            return Err(SignallingError::PreconditionFailed);
        }
        Expectation::OneOf(_) | Expectation::Any => {}
    }
    let text = text(request)
        .await?
        .ok_or_else(|| not_text(SignallingError::MalformedFragment))?;
    if is_restart(&expectation, &Fragment::parse(&text)?, &current)? {
        answer::restarted(sessions.restart_ice(&access, &text).await?)
    } else {
        sessions.trickle(&access, &text).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    }
}

/// By RFC 9725 a restart comes with `If-Match: *`, candidates with the tag of their ICE session. Some clients
/// send candidates with `*` too: those carry the user fragment that the peer has already.
fn is_restart(
    expectation: &Expectation,
    fragment: &Fragment<'_>,
    current: &IceSession,
) -> Result<bool, SignallingError> {
    let known = current.peer_ufrag.as_deref();
    match (expectation, fragment.ufrag) {
        (Expectation::Any, Some(ufrag)) if known == Some(ufrag) => Ok(false),
        (Expectation::Any, Some(_)) if fragment.password.is_some() => Ok(true),
        (Expectation::Any, _) => Err(SignallingError::UnfitFragment(
            "an ICE restart needs ice-ufrag and ice-pwd".to_owned(),
        )),
        (_, Some(ufrag)) if known.is_some_and(|known| known != ufrag) => {
            Err(SignallingError::UnfitFragment(
                "the fragment is of another ICE session; an ICE restart needs If-Match: *"
                    .to_owned(),
            ))
        }
        (Expectation::OneOf(_) | Expectation::None, _) => Ok(false),
    }
}

async fn end<S: IceSessions>(
    State(sessions): State<Arc<S>>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<StatusCode, SignallingError> {
    let access = access(path, &headers)?;
    sessions.end(&access).await?;
    Ok(StatusCode::OK)
}

async fn session_fallback() -> SignallingError {
    SignallingError::MethodNotAllowed("PATCH, DELETE, OPTIONS")
}

fn access(
    path: Result<Path<(String, String)>, PathRejection>,
    headers: &HeaderMap,
) -> Result<SessionAccess, SignallingError> {
    let Path((broadcast, session)) = path.map_err(|_| SignallingError::NoSuchSession)?;
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.~".contains(&byte);
    if !(1..=LONGEST_SESSION).contains(&session.len()) || !session.bytes().all(valid) {
        return Err(SignallingError::NoSuchSession);
    }
    Ok(SessionAccess {
        broadcast: BroadcastId::new(broadcast).map_err(|_| SignallingError::NoSuchBroadcast)?,
        session,
        token: Bearer::of_request(headers)?,
    })
}

fn check_type(headers: &HeaderMap, wanted: &'static str) -> Result<(), SignallingError> {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case(wanted)) {
        Ok(())
    } else {
        Err(SignallingError::MediaType(wanted))
    }
}

/// Reads the body; `None` when it is not UTF-8.
async fn text(request: Request) -> Result<Option<String>, SignallingError> {
    let body = tokio::time::timeout(BODY_PATIENCE, Bytes::from_request(request, &()))
        .await
        .map_err(|_| SignallingError::BodyLost)?
        .map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => SignallingError::TooLarge(BODY_LIMIT_BYTES),
            _ => SignallingError::BodyLost,
        })?;
    Ok(String::from_utf8(body.into()).ok())
}

fn not_text(error: impl Fn(String) -> SignallingError) -> SignallingError {
    error("it is not UTF-8".to_owned())
}

/// Lets pages of these origins use what is behind the layer.
pub(crate) fn allowed(origins: Origins) -> AllowOrigin {
    match origins {
        Origins::Any => AllowOrigin::any(),
        origins @ (Origins::Loopback | Origins::List(_)) => {
            AllowOrigin::predicate(move |origin: &HeaderValue, _| {
                origin.to_str().is_ok_and(|origin| origins.allows(origin))
            })
        }
    }
}

fn cors(origins: Origins, own_headers: &[HeaderName]) -> CorsLayer {
    let asked = [
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        header::IF_MATCH,
    ];
    let told = [
        header::LOCATION,
        header::LINK,
        header::ETAG,
        header::RETRY_AFTER,
        answer::ACCEPT_PATCH,
    ];
    let with_own = |headers: &[HeaderName]| [headers, own_headers].concat();
    CorsLayer::new()
        .allow_origin(allowed(origins))
        .allow_methods([Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS])
        .allow_headers(with_own(&asked))
        .expose_headers(with_own(&told))
        .max_age(PREFLIGHT_AGE)
}

/// Tells on OPTIONS what the resource takes, and keeps every answer out of caches.
async fn tell_accepted(request: Request, next: Next) -> Response {
    let options = request.method() == Method::OPTIONS;
    let endpoint = request.uri().path().trim_matches('/').matches('/').count() == 1;
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if options && endpoint {
        headers.insert("accept-post", HeaderValue::from_static(SDP));
    } else if options {
        headers.insert(answer::ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT));
    }
    response
}
