//! Why a request is refused, with the status and in the words of each tree.

use axum::{
    Json,
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use rooms::RoomError;
use serde_json::json;

use crate::{BODY_LIMIT_BYTES, BearerError, Moved};

/// How long a client is asked to wait for a full node.
const RETRY_AFTER_SECONDS: &str = "5";

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// A room says no.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// What stands in `Authorization` is no token.
    #[error(transparent)]
    Bearer(#[from] BearerError),
    /// A rule of the body is broken, in words.
    #[error("{0}")]
    Malformed(String),
    /// The body did not come.
    #[error("the body did not arrive")]
    BodyLost,
    /// The body is larger than the limit.
    #[error("the body has more than {BODY_LIMIT_BYTES} bytes")]
    TooLarge,
    /// The session is not there.
    #[error("Session not found")]
    NoSuchSession,
    /// All sessions are taken.
    #[error("all {0} sessions are taken")]
    TooManySessions(usize),
    /// Recording is somebody else's.
    #[error("recording is not available")]
    NoRecording,
    /// The resource does not take this method.
    #[error("{0} is not allowed here")]
    MethodNotAllowed(Method),
}

/// How a tree tells an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tongue {
    /// `{"error": "…"}`.
    Error,
    /// `{"success": false, "message": "…"}`.
    Success,
}

impl Refusal {
    /// The answer, in the words of a tree.
    pub(crate) fn told(&self, tongue: Tongue) -> Response {
        self.told_as(tongue, &self.to_string())
    }

    /// The answer in other words.
    pub(crate) fn told_as(&self, tongue: Tongue, words: &str) -> Response {
        let status = self.status();
        if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
            tracing::warn!(error = %self, "request failed");
        } else {
            tracing::debug!(error = %self, "request refused");
        }
        let body = match tongue {
            Tongue::Error => json!({ "error": words }),
            Tongue::Success => json!({ "success": false, "message": words }),
        };
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Self::Room(RoomError::Elsewhere(url)) = self {
            let to = url.clone();
            response.extensions_mut().insert(Moved { to });
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let pause = HeaderValue::from_static(RETRY_AFTER_SECONDS);
            response.headers_mut().insert(header::RETRY_AFTER, pause);
        }
        response
    }

    /// The status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Room(error) => status_of(error),
            Self::Bearer(_) => StatusCode::UNAUTHORIZED,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::BodyLost => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoSuchSession => StatusCode::NOT_FOUND,
            Self::TooManySessions(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoRecording => StatusCode::NOT_IMPLEMENTED,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum may grow; what is not known here is ours"
)]
fn status_of(error: &RoomError) -> StatusCode {
    match error {
        RoomError::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
        RoomError::Forbidden(_) => StatusCode::FORBIDDEN,
        RoomError::Malformed(_) => StatusCode::BAD_REQUEST,
        RoomError::NoSuchRoom
        | RoomError::NoSuchTransport
        | RoomError::NoSuchProducer
        | RoomError::NoSuchConsumer => StatusCode::NOT_FOUND,
        RoomError::RoomExists
        | RoomError::NameTaken
        | RoomError::NoTransport
        | RoomError::TransportFailed
        | RoomError::AlreadyConnected => StatusCode::CONFLICT,
        // The place in the room has ended, and so has what the request was about.
        RoomError::NotJoined => StatusCode::GONE,
        RoomError::Unsupported(_) | RoomError::CannotConsume | RoomError::Egress(_) => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        RoomError::Elsewhere(_) => StatusCode::TEMPORARY_REDIRECT,
        RoomError::LimitReached(_) | RoomError::NodeFull(_) | RoomError::Unavailable(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        RoomError::Timeout => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
