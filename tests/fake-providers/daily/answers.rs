//! What answers and refusals come in.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// Why something is refused: status, Daily's word, a sentence.
#[derive(Debug)]
pub(super) struct Refused(
    pub(super) StatusCode,
    pub(super) &'static str,
    pub(super) String,
);

/// The seconds that a refusal for haste asks to wait for.
const REST_SECONDS: &str = "1";

/// There is no such room.
pub(super) fn not_found() -> Refused {
    let status = StatusCode::NOT_FOUND;
    Refused(status, "not-found", "room not found".to_owned())
}

/// What was sent is not taken.
pub(super) fn invalid(words: impl Into<String>) -> Refused {
    let status = StatusCode::BAD_REQUEST;
    Refused(status, "invalid-request-error", words.into())
}

/// Asked too often.
pub(super) fn too_often() -> Refused {
    let status = StatusCode::TOO_MANY_REQUESTS;
    let words = "you are being rate limited".to_owned();
    Refused(status, "rate-limit-error", words)
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(status, word, info) = self;
        let body = Json(json!({ "error": word, "info": info }));
        if status == StatusCode::TOO_MANY_REQUESTS {
            return (status, [(header::RETRY_AFTER, REST_SECONDS)], body).into_response();
        }
        (status, body).into_response()
    }
}
