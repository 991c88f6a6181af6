//! What every request passes: limits, time, panics, CORS, counting, tracing.

use std::{any::Any, net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use governor::middleware::NoOpMiddleware;
use signalling::Origins;
use tower_governor::{
    GovernorError, GovernorLayer,
    governor::{GovernorConfig, GovernorConfigBuilder},
    key_extractor::KeyExtractor,
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};
use tracing::Instrument as _;

use super::{Face, elsewhere, error::ApiError, host};
use crate::{clock::now, config::RateLimit, metrics::Metrics};

/// How long an answer may take to begin. Streams go on as long as they like.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// How long it may take where something is uploaded: 45 s to arrive, and 30 s to be tried.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(80);

/// How long a browser may remember a permission.
const CORS_MAX_AGE: Duration = Duration::from_mins(10);

/// Whose requests are counted together: those of one address, IPv6 by its /64, which one customer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByAddress;

impl KeyExtractor for ByAddress {
    type Key = IpAddr;

    fn extract<T>(&self, request: &axum::http::Request<T>) -> Result<IpAddr, GovernorError> {
        let ConnectInfo(address) = request
            .extensions()
            .get::<ConnectInfo<std::net::SocketAddr>>()
            .ok_or(GovernorError::UnableToExtractKey)?;
        Ok(match address.ip().to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & (u128::MAX << 64);
                IpAddr::V6(network.into())
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// Counts requests by address. Whoever makes it calls `retain_recent` now and then.
pub(crate) type RateLimiter = Arc<GovernorConfig<ByAddress, NoOpMiddleware>>;

/// A limiter that grants `requests` at once and then one after another over the window.
pub(crate) fn rate_limiter(limit: RateLimit) -> RateLimiter {
    let period = (limit.window / limit.requests.max(1)).max(Duration::from_nanos(1));
    let config = GovernorConfigBuilder::default()
        .key_extractor(ByAddress)
        .period(period)
        .burst_size(limit.requests.max(1))
        .finish()
        .expect("neither the period nor the burst is 0");
    Arc::new(config)
}

pub(super) fn limit_rate<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    limiter: Option<RateLimiter>,
) -> Router<S> {
    let Some(limiter) = limiter else {
        return router;
    };
    let layer = GovernorLayer::new(limiter).error_handler(|error| match error {
        GovernorError::TooManyRequests { wait_time, .. } => {
            ApiError::TooManyRequests(wait_time).into_response()
        }
        GovernorError::UnableToExtractKey | GovernorError::Other { .. } => {
            ApiError::Internal.into_response()
        }
    });
    router.layer(layer)
}

/// Lets pages of the allowed origins use the API.
pub(super) fn share_with_origins<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    origins: Origins,
) -> Router<S> {
    let allowed = AllowOrigin::predicate(move |origin, _| {
        origin.to_str().is_ok_and(|origin| origins.allows(origin))
    });
    let cors = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers([header::ETAG, header::LOCATION, header::RETRY_AFTER])
        .max_age(CORS_MAX_AGE);
    router.layer(cors)
}

/// The layers around everything, the outermost last.
pub(super) fn protect(router: Router, face: &Arc<Face>) -> Router {
    let metrics = Arc::clone(&face.metrics);
    router
        .layer(middleware::from_fn_with_state(
            Arc::clone(face),
            elsewhere::send_there,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(face),
            host::refuse_strange_names,
        ))
        .layer(CatchPanicLayer::custom(
            move |panic: Box<dyn Any + Send>| answer_panic(&metrics, panic),
        ))
        .layer(middleware::from_fn(add_safe_headers))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&face.metrics),
            count_and_trace,
        ))
}

pub(super) async fn method_not_allowed(method: Method) -> ApiError {
    ApiError::MethodNotAllowed(method.to_string())
}

/// Answers what takes too long in its place.
pub(super) fn limit_time(router: Router) -> Router {
    router.layer(middleware::from_fn(answer_in_time))
}

async fn answer_in_time(request: Request, next: Next) -> Response {
    // Only the slate's routes take PUT.
    let limit = if request.method() == Method::PUT {
        UPLOAD_TIMEOUT
    } else {
        REQUEST_TIMEOUT
    };
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::Timeout.into_response(),
    }
}

fn answer_panic(metrics: &Metrics, _panic: Box<dyn Any + Send>) -> Response {
    metrics.panicked();
    tracing::error!(fault = "gateway", "a request broke");
    ApiError::Internal.into_response()
}

async fn add_safe_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    response
}

/// Traces by the route's pattern: a path may hold a session's capability, a query a token.
async fn count_and_trace(
    State(metrics): State<Arc<Metrics>>,
    request: Request,
    next: Next,
) -> Response {
    let asked = now();
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "(page)".to_owned(), |path| path.as_str().to_owned());
    let span = tracing::debug_span!("request", %method, route);
    let response = next.run(request).instrument(span).await;
    let status = response.status().as_u16();
    metrics.answered(&method, status);
    tracing::debug!(%method, route, status, elapsed = ?(now() - asked), "answered");
    response
}
