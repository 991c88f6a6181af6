//! The two resources of WHIP: the endpoint of a broadcast and the session of a studio.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{patch, post},
};
use broadcast::{BroadcastId, StreamKey};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{
    BODY_LIMIT_BYTES, BODY_PATIENCE, IceSession, RESUME_TOKEN_HEADER, SessionAccess, StudioOffer,
    Studios, WhipError, answer,
};
use crate::{Bearer, Fragment, Origins, entity_tag::Expectation};

/// Media type of offers and answers.
pub(super) const SDP: &str = "application/sdp";

/// Media type of trickle ICE.
pub(super) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// How long a browser may remember what it is allowed; two hours is the most that Chromium takes.
const PREFLIGHT_AGE: Duration = Duration::from_hours(2);

/// The longest session id in a URL.
const LONGEST_SESSION: usize = 128;

/// What WHIP is told about the outside.
#[derive(Debug, Clone)]
pub struct WhipSettings {
    /// Whose pages may publish.
    pub origins: Origins,
    /// What this node is called from outside, in front of `/whip`; `None`: `Location` is relative.
    pub public_url: Option<String>,
}

struct Dialect<S> {
    studios: Arc<S>,
    public_url: Option<String>,
}

/// Serves `/whip/{broadcast}` and `/whip/{broadcast}/{session}` with CORS of their own.
///
/// Merge it beside, not below, another CORS layer: such a layer answers OPTIONS itself.
pub fn router<S: Studios>(studios: Arc<S>, settings: WhipSettings) -> Router {
    let state = Arc::new(Dialect {
        studios,
        public_url: settings.public_url,
    });
    Router::new()
        .route(
            "/whip/{broadcast}",
            post(publish::<S>).fallback(endpoint_fallback),
        )
        .route(
            "/whip/{broadcast}/{session}",
            patch(change::<S>)
                .delete(end::<S>)
                .fallback(session_fallback),
        )
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .layer(cors(settings.origins))
        .layer(middleware::from_fn(tell_accepted))
        .with_state(state)
}

async fn publish<S: Studios>(
    State(dialect): State<Arc<Dialect<S>>>,
    broadcast: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, WhipError> {
    let Path(broadcast) = broadcast.map_err(|_| WhipError::NoSuchBroadcast)?;
    let broadcast = BroadcastId::new(broadcast).map_err(|_| WhipError::NoSuchBroadcast)?;
    check_type(request.headers(), SDP)?;
    let token = Bearer::of_request(request.headers())?;
    let resume_token = resume_token(request.headers());
    let sdp = text(request)
        .await?
        .ok_or_else(|| not_text(WhipError::MalformedOffer))?;
    let offer = StudioOffer {
        broadcast: broadcast.clone(),
        token,
        resume_token,
        sdp,
    };
    let publication = dialect.studios.publish(offer).await?;
    answer::created(dialect.public_url.as_deref(), &broadcast, publication)
}

async fn change<S: Studios>(
    State(dialect): State<Arc<Dialect<S>>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Result<Response, WhipError> {
    let access = access(path, request.headers())?;
    let current = dialect.studios.ice_session(&access).await?;
    check_type(request.headers(), FRAGMENT)?;
    let expectation = Expectation::of_request(request.headers());
    match &expectation {
        Expectation::None => return Err(WhipError::PreconditionRequired),
        Expectation::OneOf(tags) if !tags.contains(&current.etag) => {
            return Err(WhipError::PreconditionFailed);
        }
        Expectation::OneOf(_) | Expectation::Any => {}
    }
    let text = text(request)
        .await?
        .ok_or_else(|| not_text(WhipError::MalformedFragment))?;
    if is_restart(&expectation, &Fragment::parse(&text)?, &current)? {
        answer::restarted(dialect.studios.restart_ice(&access, &text).await?)
    } else {
        dialect.studios.trickle(&access, &text).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    }
}

/// By RFC 9725 a restart comes with `If-Match: *`, candidates with the tag of their ICE session. Some clients
/// send candidates with `*` too: those carry the user fragment that the studio has already.
fn is_restart(
    expectation: &Expectation,
    fragment: &Fragment<'_>,
    current: &IceSession,
) -> Result<bool, WhipError> {
    let known = current.studio_ufrag.as_deref();
    match (expectation, fragment.ufrag) {
        (Expectation::Any, Some(ufrag)) if known == Some(ufrag) => Ok(false),
        (Expectation::Any, Some(_)) if fragment.password.is_some() => Ok(true),
        (Expectation::Any, _) => Err(WhipError::UnfitFragment(
            "an ICE restart needs ice-ufrag and ice-pwd".to_owned(),
        )),
        (_, Some(ufrag)) if known.is_some_and(|known| known != ufrag) => {
            Err(WhipError::UnfitFragment(
                "the fragment is of another ICE session; an ICE restart needs If-Match: *"
                    .to_owned(),
            ))
        }
        (Expectation::OneOf(_) | Expectation::None, _) => Ok(false),
    }
}

async fn end<S: Studios>(
    State(dialect): State<Arc<Dialect<S>>>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<StatusCode, WhipError> {
    let access = access(path, &headers)?;
    dialect.studios.end(&access).await?;
    Ok(StatusCode::OK)
}

async fn endpoint_fallback() -> WhipError {
    WhipError::MethodNotAllowed("POST, OPTIONS")
}

async fn session_fallback() -> WhipError {
    WhipError::MethodNotAllowed("PATCH, DELETE, OPTIONS")
}

fn access(
    path: Result<Path<(String, String)>, PathRejection>,
    headers: &HeaderMap,
) -> Result<SessionAccess, WhipError> {
    let Path((broadcast, session)) = path.map_err(|_| WhipError::NoSuchSession)?;
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.~".contains(&byte);
    if !(1..=LONGEST_SESSION).contains(&session.len()) || !session.bytes().all(valid) {
        return Err(WhipError::NoSuchSession);
    }
    Ok(SessionAccess {
        broadcast: BroadcastId::new(broadcast).map_err(|_| WhipError::NoSuchBroadcast)?,
        session,
        token: Bearer::of_request(headers)?,
    })
}

/// What is shown, of whatever form: a damaged token is a wrong one, and the studio may be the first, to whom none matters.
/// An empty header shows nothing.
fn resume_token(headers: &HeaderMap) -> Option<StreamKey> {
    let value = headers.get(RESUME_TOKEN_HEADER)?;
    let token = String::from_utf8_lossy(value.as_bytes());
    Some(StreamKey::new(token.trim())).filter(|token| !token.is_empty())
}

fn check_type(headers: &HeaderMap, wanted: &'static str) -> Result<(), WhipError> {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case(wanted)) {
        Ok(())
    } else {
        Err(WhipError::MediaType(wanted))
    }
}

/// Reads the body; `None` when it is not UTF-8.
async fn text(request: Request) -> Result<Option<String>, WhipError> {
    let body = tokio::time::timeout(BODY_PATIENCE, Bytes::from_request(request, &()))
        .await
        .map_err(|_| WhipError::BodyLost)?
        .map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => WhipError::TooLarge(BODY_LIMIT_BYTES),
            _ => WhipError::BodyLost,
        })?;
    Ok(String::from_utf8(body.into()).ok())
}

fn not_text(error: impl Fn(String) -> WhipError) -> WhipError {
    error("it is not UTF-8".to_owned())
}

fn cors(origins: Origins) -> CorsLayer {
    let allowed = match origins {
        Origins::Any => AllowOrigin::any(),
        origins @ (Origins::Loopback | Origins::List(_)) => {
            AllowOrigin::predicate(move |origin: &HeaderValue, _| {
                origin.to_str().is_ok_and(|origin| origins.allows(origin))
            })
        }
    };
    let resume_token = HeaderName::from_static(RESUME_TOKEN_HEADER);
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            resume_token.clone(),
        ])
        .expose_headers([
            header::LOCATION,
            header::LINK,
            header::ETAG,
            header::RETRY_AFTER,
            answer::ACCEPT_PATCH,
            resume_token,
        ])
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
