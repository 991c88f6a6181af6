//! What goes wrong in WHIP and WHEP, and the one table of statuses and codes for it.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{BearerError, FragmentError, Problem};

/// Why a request is not fulfilled. No message may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignallingError {
    /// A token is needed; 401.
    #[error("a bearer token is needed")]
    TokenMissing,
    /// The token is not good; 401.
    #[error("the token is refused: {0}")]
    TokenRefused(String),
    /// The token does not allow this; 403.
    #[error("{0}")]
    Forbidden(String),
    /// The resume token is wrong, or an older one; 403.
    #[error("the resume token is not the right one; without it only a free seat can be taken")]
    ResumeTokenRefused,
    /// No broadcast of this id; 404.
    #[error("there is no such broadcast")]
    NoSuchBroadcast,
    /// No session of this id; 404.
    #[error("there is no such session")]
    NoSuchSession,
    /// No codec in common; 406. Says what is supported.
    #[error("no supported codec: {0}")]
    UnsupportedCodec(String),
    /// Another studio publishes; 409.
    #[error("another studio is live in this broadcast; its resume token is needed to take over")]
    StudioPresent,
    /// As many watch as can; 503.
    #[error("the broadcast has as many viewers as it can have")]
    TooManyViewers {
        /// When to come back.
        retry_after: Duration,
    },
    /// What the studio would send costs more than there is; 503.
    #[error("{message}")]
    NodeFull {
        /// What it would cost and what is free.
        message: String,
        /// When to come back.
        retry_after: Duration,
    },
    /// Not an offer; 400.
    #[error("the offer is not valid: {0}")]
    MalformedOffer(String),
    /// Not a fragment; 400.
    #[error("the fragment is not valid: {0}")]
    MalformedFragment(String),
    /// A fragment that does not fit the session; 422.
    #[error("{0}")]
    UnfitFragment(String),
    /// Not now; 503.
    #[error("{message}")]
    Unavailable {
        /// Why.
        message: String,
        /// When to come back.
        retry_after: Duration,
    },
    /// We are broken; 500. What broke belongs in the log.
    #[error("the gateway failed")]
    Internal,
    /// The body is not of the type that this request takes; 415.
    #[error("the body must be {0}")]
    MediaType(&'static str),
    /// The body is too long; 413.
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    /// The body came too slowly or broke off; 408.
    #[error("the body did not arrive")]
    BodyLost,
    /// `If-Match` is missing; 428.
    #[error("the request needs If-Match with the ETag of the ICE session, or * to restart ICE")]
    PreconditionRequired,
    /// `If-Match` names another ICE session; 412.
    #[error("the ICE session has changed")]
    PreconditionFailed,
    /// The method is not for this resource; 405, with those that are.
    #[error("this resource takes {0}")]
    MethodNotAllowed(&'static str),
}

impl SignallingError {
    /// Status and stable code.
    pub const fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::TokenMissing => (StatusCode::UNAUTHORIZED, "token_missing"),
            Self::TokenRefused(_) => (StatusCode::UNAUTHORIZED, "token_refused"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::ResumeTokenRefused => (StatusCode::FORBIDDEN, "resume_token_refused"),
            Self::NoSuchBroadcast => (StatusCode::NOT_FOUND, "no_such_broadcast"),
            Self::NoSuchSession => (StatusCode::NOT_FOUND, "no_such_session"),
            Self::UnsupportedCodec(_) => (StatusCode::NOT_ACCEPTABLE, "unsupported_codec"),
            Self::StudioPresent => (StatusCode::CONFLICT, "studio_present"),
            Self::MalformedOffer(_) => (StatusCode::BAD_REQUEST, "malformed_offer"),
            Self::MalformedFragment(_) => (StatusCode::BAD_REQUEST, "malformed_fragment"),
            Self::UnfitFragment(_) => (StatusCode::UNPROCESSABLE_ENTITY, "unfit_fragment"),
            Self::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::NodeFull { .. } => (StatusCode::SERVICE_UNAVAILABLE, "node_full"),
            Self::TooManyViewers { .. } => (StatusCode::SERVICE_UNAVAILABLE, "too_many_viewers"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            Self::MediaType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::BodyLost => (StatusCode::REQUEST_TIMEOUT, "body_lost"),
            Self::PreconditionRequired => {
                (StatusCode::PRECONDITION_REQUIRED, "precondition_required")
            }
            Self::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "precondition_failed"),
            Self::MethodNotAllowed(_) => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        }
    }
}

impl From<BearerError> for SignallingError {
    fn from(error: BearerError) -> Self {
        Self::TokenRefused(error.to_string())
    }
}

impl From<FragmentError> for SignallingError {
    fn from(error: FragmentError) -> Self {
        Self::MalformedFragment(error.to_string())
    }
}

impl From<&SignallingError> for Problem {
    fn from(error: &SignallingError) -> Self {
        let (status, code) = error.status_and_code();
        let problem = Self::new(status, code, error.to_string());
        match error {
            SignallingError::TokenMissing => problem.with_header(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"castgate\""),
            ),
            SignallingError::TokenRefused(_) => problem.with_header(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"castgate\", error=\"invalid_token\""),
            ),
            SignallingError::Unavailable { retry_after, .. }
            | SignallingError::NodeFull { retry_after, .. }
            | SignallingError::TooManyViewers { retry_after } => {
                problem.with_header(header::RETRY_AFTER, retry_after.as_secs().max(1).into())
            }
            SignallingError::MethodNotAllowed(allowed) => {
                problem.with_header(header::ALLOW, HeaderValue::from_static(allowed))
            }
            SignallingError::MediaType(wanted) => {
                let name = if *wanted == super::SDP {
                    "accept-post"
                } else {
                    "accept-patch"
                };
                problem.with_header(
                    axum::http::HeaderName::from_static(name),
                    HeaderValue::from_static(wanted),
                )
            }
            SignallingError::Forbidden(_)
            | SignallingError::ResumeTokenRefused
            | SignallingError::NoSuchBroadcast
            | SignallingError::NoSuchSession
            | SignallingError::UnsupportedCodec(_)
            | SignallingError::StudioPresent
            | SignallingError::MalformedOffer(_)
            | SignallingError::MalformedFragment(_)
            | SignallingError::UnfitFragment(_)
            | SignallingError::Internal
            | SignallingError::TooLarge(_)
            | SignallingError::BodyLost
            | SignallingError::PreconditionRequired
            | SignallingError::PreconditionFailed => problem,
        }
    }
}

impl IntoResponse for SignallingError {
    fn into_response(self) -> Response {
        if self == Self::Internal {
            tracing::error!(error = %self, "request failed");
        } else {
            tracing::debug!(error = %self, "request refused");
        }
        Problem::from(&self).into_response()
    }
}
