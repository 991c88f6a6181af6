//! What answers and refusals come in.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// Why something is refused: status, Mux's word, a sentence.
#[derive(Debug)]
pub(super) struct Refused(
    pub(super) StatusCode,
    pub(super) &'static str,
    pub(super) &'static str,
);

/// There is no such thing.
pub(super) const NOT_FOUND: Refused = Refused(
    StatusCode::NOT_FOUND,
    "not_found",
    "The requested resource either doesn't exist or you don't have access to it.",
);

/// What was sent is not taken.
pub(super) const fn invalid(words: &'static str) -> Refused {
    Refused(StatusCode::BAD_REQUEST, "invalid_parameters", words)
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(status, word, message) = self;
        let body = json!({ "error": { "type": word, "messages": [message] } });
        (status, Json(body)).into_response()
    }
}

/// What was made.
#[expect(clippy::needless_pass_by_value, reason = "it is made to be answered")]
pub(super) fn created(data: Value) -> Response {
    (StatusCode::CREATED, Json(json!({ "data": data }))).into_response()
}

/// What was asked for.
#[expect(clippy::needless_pass_by_value, reason = "it is made to be answered")]
pub(super) fn found(data: Value) -> Response {
    Json(json!({ "data": data })).into_response()
}
