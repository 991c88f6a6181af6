//! What goes wrong in the API, and the one table of statuses and codes for it.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use broadcast::SpecError;
use egress_providers::hosted::WebhookError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    admission::{Cost, MethodUnavailable, NoRoom},
    broadcasts::{CommandError, CreateError},
};

/// When to try again what cannot be done now.
const LATER_SECONDS: u64 = 5;

/// When to ask for a broadcast again whose node has died: it is taken over within a few of these.
const ORPHANED_SECONDS: u64 = 1;

/// Why a request is not fulfilled. No message may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("there is no such broadcast")]
    NoSuchBroadcast,
    #[error("there is no such destination")]
    NoSuchDestination,
    #[error("there is no such stream")]
    NoSuchStream,
    #[error("the studio of this broadcast comes here, or the provider is not ready yet")]
    NothingToJoin,
    #[error("the webhook is refused: {0}")]
    WebhookRefused(WebhookError),
    #[error("this gateway runs no local receiver")]
    NoLocalReceiver,
    #[error("there is nothing at this path")]
    NoSuchRoute,
    #[error("this resource does not take {0}")]
    MethodNotAllowed(String),
    #[error("the body is not JSON: {0}")]
    MalformedJson(String),
    #[error("the body must be application/json")]
    MediaType,
    #[error("the body must be {0}")]
    MediaTypeOther(&'static str),
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    #[error("the upload has more than {0} bytes; the earlier one stays")]
    SlateTooLarge(u64),
    #[error("the upload is not a picture that can be shown; the earlier one stays")]
    InvalidSlate,
    #[error("the upload is not music that can be played; the earlier one stays")]
    InvalidMusic,
    #[error("uploads cannot be tried at the moment; the earlier one stays")]
    SlateUnavailable,
    #[error("no picture has gone out yet")]
    NoPicture,
    #[error("there is no thumbnail at the moment")]
    ThumbnailUnavailable,
    #[error("the body did not arrive")]
    BodyLost,
    #[error("there is no field '{0}' here")]
    UnknownField(String),
    #[error("the field '{0}' is missing")]
    MissingField(String),
    #[error("{message}")]
    InvalidField { field: String, message: String },
    #[error("there is another broadcast of this id")]
    BroadcastExists,
    #[error("there is a destination of this id already")]
    DestinationExists,
    #[error("a studio publishes to this broadcast; set takeover to take its seat")]
    StudioConnected,
    #[error("all ports from {0} to {1} are taken")]
    PortsExhausted(u16, u16),
    #[error("this node takes no more broadcasts")]
    Full,
    #[error("this node is full: {0}")]
    NodeFull(NoRoom),
    #[error(transparent)]
    MethodUnavailable(#[from] MethodUnavailable),
    #[error("too many destinations are being tried at the moment")]
    Busy,
    #[error("this node is shutting down")]
    Draining,
    #[error("the broadcast lives on another node: {0}")]
    Elsewhere(String),
    #[error("the broadcast is being taken over by another node")]
    Orphaned,
    #[error("the registry is not available")]
    RegistryUnavailable,
    #[error("this gateway does not go by the name in the Host header; set PUBLIC_URL")]
    StrangeHost,
    #[error("a bearer token is needed")]
    TokenMissing,
    #[error("the token is refused: {0}")]
    TokenRefused(String),
    #[error("{0}")]
    Forbidden(String),
    #[error("tokens cannot be checked at the moment: {0}")]
    AuthenticationUnavailable(String),
    #[error("too many requests; wait {0} s")]
    TooManyRequests(u64),
    #[error("the request took too long")]
    Timeout,
    #[error("the gateway failed")]
    Internal,
}

impl ApiError {
    /// The one table.
    const fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoSuchBroadcast => (StatusCode::NOT_FOUND, "no_such_broadcast"),
            Self::NoSuchDestination => (StatusCode::NOT_FOUND, "no_such_destination"),
            Self::NoSuchStream => (StatusCode::NOT_FOUND, "no_such_stream"),
            Self::NothingToJoin => (StatusCode::NOT_FOUND, "nothing_to_join"),
            Self::WebhookRefused(error) => match error {
                WebhookError::NotConfigured | WebhookError::Unsupported => {
                    (StatusCode::NOT_FOUND, "webhook_unsupported")
                }
                WebhookError::Signature => (StatusCode::UNAUTHORIZED, "webhook_signature"),
                WebhookError::Stale => (StatusCode::UNAUTHORIZED, "webhook_stale"),
                WebhookError::Malformed | _ => (StatusCode::BAD_REQUEST, "webhook_malformed"),
            },
            Self::NoLocalReceiver => (StatusCode::NOT_FOUND, "no_local_receiver"),
            Self::NoSuchRoute => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed(_) => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::MalformedJson(_) => (StatusCode::BAD_REQUEST, "malformed_json"),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::MediaTypeOther(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
            }
            Self::SlateTooLarge(_) => (StatusCode::UNPROCESSABLE_ENTITY, "slate_too_large"),
            Self::InvalidSlate => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_slate"),
            Self::InvalidMusic => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_music"),
            Self::SlateUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "slate_unavailable"),
            Self::NoPicture => (StatusCode::NOT_FOUND, "no_picture"),
            Self::ThumbnailUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "thumbnail_unavailable")
            }
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::BodyLost => (StatusCode::REQUEST_TIMEOUT, "body_lost"),
            Self::UnknownField(_) => (StatusCode::UNPROCESSABLE_ENTITY, "unknown_field"),
            Self::MissingField(_) => (StatusCode::UNPROCESSABLE_ENTITY, "missing_field"),
            Self::InvalidField { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_field"),
            Self::BroadcastExists => (StatusCode::CONFLICT, "broadcast_exists"),
            Self::DestinationExists => (StatusCode::CONFLICT, "destination_exists"),
            Self::StudioConnected => (StatusCode::CONFLICT, "studio_connected"),
            Self::PortsExhausted(..) => (StatusCode::SERVICE_UNAVAILABLE, "ports_exhausted"),
            Self::Full => (StatusCode::SERVICE_UNAVAILABLE, "full"),
            Self::NodeFull(_) => (StatusCode::SERVICE_UNAVAILABLE, "node_full"),
            // Trying again does not help, naming another method does.
            Self::MethodUnavailable(_) => (StatusCode::UNPROCESSABLE_ENTITY, "method_unavailable"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
            Self::Elsewhere(_) => (StatusCode::TEMPORARY_REDIRECT, "elsewhere"),
            Self::Orphaned => (StatusCode::SERVICE_UNAVAILABLE, "orphaned"),
            Self::RegistryUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "registry_unavailable"),
            Self::StrangeHost => (StatusCode::MISDIRECTED_REQUEST, "strange_host"),
            Self::TokenMissing => (StatusCode::UNAUTHORIZED, "token_missing"),
            Self::TokenRefused(_) => (StatusCode::UNAUTHORIZED, "token_refused"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::AuthenticationUnavailable(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "authentication_unavailable",
            ),
            Self::TooManyRequests(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            Self::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    /// The stable code for programs.
    pub(crate) const fn code(&self) -> &'static str {
        self.status_and_code().1
    }

    fn field(&self) -> Option<&str> {
        if let Self::UnknownField(field)
        | Self::MissingField(field)
        | Self::InvalidField { field, .. } = self
        {
            Some(field)
        } else if let Self::MethodUnavailable(_) = self {
            Some("method")
        } else {
            None
        }
    }

    fn retry_after_seconds(&self) -> Option<u64> {
        let later = matches!(
            self,
            Self::Full
                | Self::NodeFull(_)
                | Self::PortsExhausted(..)
                | Self::Busy
                | Self::Draining
                | Self::RegistryUnavailable
                | Self::SlateUnavailable
                | Self::ThumbnailUnavailable
                | Self::AuthenticationUnavailable(_)
                | Self::Timeout
        );
        if let Self::TooManyRequests(seconds) = self {
            Some((*seconds).max(1))
        } else if let Self::Orphaned = self {
            Some(ORPHANED_SECONDS)
        } else {
            later.then_some(LATER_SECONDS)
        }
    }

    /// Names the field that is wrong.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers hand over errors and texts alike"
    )]
    pub(crate) fn invalid(field: impl Into<String>, message: impl ToString) -> Self {
        Self::InvalidField {
            field: field.into(),
            message: message.to_string(),
        }
    }
}

impl From<CreateError> for ApiError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Different => Self::BroadcastExists,
            CreateError::Full => Self::Full,
            CreateError::NoRoom(no_room) => Self::NodeFull(no_room),
            CreateError::Draining => Self::Draining,
            CreateError::Elsewhere(url) => Self::Elsewhere(url),
            CreateError::Orphaned => Self::Orphaned,
            CreateError::RegistryUnavailable => Self::RegistryUnavailable,
        }
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Gone(_) => Self::NoSuchBroadcast,
            CommandError::Spec(error) => Self::from(error),
            CommandError::NoRoom(no_room) => Self::NodeFull(no_room),
        }
    }
}

impl From<SpecError> for ApiError {
    fn from(error: SpecError) -> Self {
        match error {
            SpecError::TooManyDestinations => Self::invalid("destinations", error),
            SpecError::DestinationExists(_) => Self::DestinationExists,
            SpecError::NoSuchDestination(_) => Self::NoSuchDestination,
            SpecError::Method => Self::invalid("method", error),
            SpecError::Provider => Self::invalid("provider", error),
            SpecError::Platform => Self::invalid("platform", error),
            SpecError::Ended => Self::NoSuchBroadcast,
            SpecError::Slate(_) => Self::invalid("slate", error),
            _ => Self::Internal,
        }
    }
}

/// An error answer (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Problem {
    /// Always `about:blank`: the code says what it is.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// Stable code for programs.
    #[schema(example = "invalid_field")]
    code: &'static str,
    /// One sentence for people, without secrets.
    detail: String,
    /// The field of the request that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "destinations[0].rtmpUrl", nullable = false)]
    field: Option<String>,
    /// What it would have cost, in cores, when the node is full.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 0.02, nullable = false)]
    cost_cores: Option<f64>,
    /// What is free, in cores, when the node is full.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 0.01, nullable = false)]
    free_cores: Option<f64>,
}

/// With two decimals.
fn rounded(cost: Cost) -> f64 {
    (cost.cores() * 100.0).round() / 100.0
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        let no_room = if let Self::NodeFull(no_room) = &self {
            Some(no_room)
        } else {
            None
        };
        let problem = Problem {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code,
            detail: self.to_string(),
            field: self.field().map(str::to_owned),
            cost_cores: no_room.map(|no_room| rounded(no_room.cost)),
            free_cores: no_room.map(|no_room| rounded(no_room.free)),
        };
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_seconds() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
            .extensions_mut()
            .insert(signalling::ProblemCode(code));
        if let Self::Elsewhere(url) = &self {
            let to = url.clone();
            response.extensions_mut().insert(signalling::Moved { to });
        }
        let headers = response.headers_mut();
        let is_webhook = matches!(self, Self::WebhookRefused(_));
        if status == StatusCode::UNAUTHORIZED && !is_webhook {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
