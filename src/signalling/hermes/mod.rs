//! Sessions of Hermes (`/sessions`): a place in a room and one transport both ways, by requests alone.
//!
//! Its own words are in `snake_case`; what mediasoup defines (`rtp_parameters` and the like) is inside as mediasoup
//! writes it, and is taken in either way. Where its documents leave ICE out, the answers have it in fields of their own.

use std::sync::Arc;

use axum::{
    Router,
    routing::{delete, get, post},
};

use crate::{rest::not_allowed, rooms::Rooms};

mod negotiation;
#[cfg(test)]
mod negotiation_tests;
mod routes;
mod session;
mod sessions;
#[cfg(test)]
mod tests;
mod words;

/// The most sessions at a time: the default of Hermes' `MAX_SESSIONS`.
pub(crate) const SESSIONS_LIMIT: usize = 1000;

/// Serves `/sessions…` and `/channels/{id}/recording/…`.
pub(crate) fn router(rooms: Arc<dyn Rooms>) -> Router {
    router_of(sessions::Sessions::new(rooms, SESSIONS_LIMIT))
}

fn router_of(sessions: Arc<sessions::Sessions>) -> Router {
    Router::new()
        .route("/sessions", post(routes::create))
        .route("/sessions/{id}", delete(routes::close))
        .route("/sessions/{id}/connect", post(routes::connect))
        .route("/sessions/{id}/publish", post(routes::publish))
        .route("/sessions/{id}/subscribe", post(routes::subscribe))
        .route("/sessions/{id}/stats", get(routes::statistics))
        .route("/channels/{id}/recording/start", post(routes::no_recording))
        .route("/channels/{id}/recording/stop", post(routes::no_recording))
        .method_not_allowed_fallback(not_allowed)
        .with_state(sessions)
}
