//! The REST trees of the servers whose clients come to us: rooms of the camelCase SFU and of nself-chat, capabilities of
//! Streamlick, statistics of `MeetLite`, sessions of Hermes. One router; `docs/dialects.md` has the table.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, Method, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tower_http::cors::CorsLayer;

use crate::{BODY_LIMIT_BYTES, Origins, exchange::allowed, hermes, rooms::Rooms};

mod capabilities;
mod figures;
mod listing;
mod meetlite;
mod refusal;
mod request;
mod rooms;
#[cfg(test)]
mod tests;
mod time;

pub(crate) use listing::ice_servers;
pub(crate) use refusal::{Refusal, Tongue};
pub(crate) use request::{guest, object, room_of};

/// What the process is doing, for the seeds' statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeFigures {
    /// Threads that carry media.
    pub workers: usize,
    /// Since the process began.
    pub uptime: Duration,
    /// Memory of the process.
    pub memory_bytes: u64,
}

/// Tells the figures of now.
pub type ReadFigures = Arc<dyn Fn() -> NodeFigures + Send + Sync>;

/// What the REST trees are told about the outside.
#[derive(Clone)]
pub struct RestSettings {
    /// Whose pages may use them.
    pub origins: Origins,
    /// Tells what the process is doing.
    pub figures: ReadFigures,
}

/// How long a browser may remember a permission.
const PREFLIGHT_AGE: Duration = Duration::from_mins(10);

struct Tree {
    rooms: Arc<dyn Rooms>,
    figures: ReadFigures,
}

type Shared = Arc<Tree>;

/// Serves every REST tree of the seeds but `/health`, `/api/health` and `/metrics`, with CORS of its own.
///
/// Bodies are limited to [`BODY_LIMIT_BYTES`] and to [`BODY_PATIENCE`](crate::BODY_PATIENCE). Nothing may be cached.
pub fn router(rooms: Arc<dyn Rooms>, settings: RestSettings) -> Router {
    let tree = Arc::new(Tree {
        rooms: Arc::clone(&rooms),
        figures: settings.figures,
    });
    Router::new()
        .route("/broadcasts/{id}/rtp-capabilities", get(capabilities::read))
        .route("/api/rooms", get(rooms::list).post(rooms::create))
        .route(
            "/api/rooms/{id}",
            get(rooms::read).post(rooms::open).delete(rooms::close),
        )
        .route("/api/rooms/{id}/recordings", post(no_recording))
        .route("/api/rooms/{id}/recordings/{recording}", get(no_recording))
        .route(
            "/api/rooms/{id}/recordings/{recording}/stop",
            post(no_recording),
        )
        .route("/api/stats", get(figures::nself))
        .route("/api/ice-servers", get(figures::ice_servers))
        .route("/stats", get(figures::meetlite))
        .route(
            "/api/media/rooms/{id}",
            get(meetlite::read).post(meetlite::open),
        )
        .method_not_allowed_fallback(not_allowed)
        .with_state(tree)
        .merge(hermes::router(rooms))
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .layer(middleware::from_fn(keep_out_of_caches))
        .layer(cors(settings.origins))
}

async fn no_recording() -> Response {
    Refusal::NoRecording.told(Tongue::Error)
}

pub(crate) async fn not_allowed(method: Method) -> Response {
    Refusal::MethodNotAllowed(method).told(Tongue::Error)
}

fn cors(origins: Origins) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(allowed(origins))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers([header::RETRY_AFTER])
        .max_age(PREFLIGHT_AGE)
}

async fn keep_out_of_caches(request: axum::extract::Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.into_response()
}
