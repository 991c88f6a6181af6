//! The envelope that all answers come in.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// Why something is refused: status, Cloudflare's number, words.
#[derive(Debug)]
pub(super) struct Refused(
    pub(super) StatusCode,
    pub(super) i64,
    pub(super) &'static str,
);

/// There is no such thing.
pub(super) const NOT_FOUND: Refused = Refused(StatusCode::NOT_FOUND, 10_003, "Not Found");

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(status, code, message) = self;
        let body = json!({
            "success": false,
            "errors": [{ "code": code, "message": message }],
            "messages": [],
            "result": null,
        });
        (status, Json(body)).into_response()
    }
}

/// A success.
#[expect(clippy::needless_pass_by_value, reason = "it is made to be answered")]
pub(super) fn success(result: Value) -> Response {
    Json(json!({ "success": true, "errors": [], "messages": [], "result": result })).into_response()
}
