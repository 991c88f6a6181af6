//! One table from a provider's refusals to errors.

use std::time::Duration;

use serde_json::Value;

use super::words::{Hidden, said};
use crate::hosted::{ProviderError, Stage};

/// An answer that is not a success, as a provider's own rules see it.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// HTTP status.
    pub status: u16,
    /// The document, if there is one.
    pub document: Option<&'a Value>,
    /// How long it wants to be left alone.
    pub retry_after: Option<Duration>,
    /// What the request was about, such as `room`.
    pub thing: &'static str,
}

/// A provider's own rules: the error for what its documents say more precisely than the status does.
///
/// What they take over from the document is cleaned of secrets afterwards.
pub type Refusals = fn(&Refusal<'_>) -> Option<ProviderError>;

impl Refusal<'_> {
    /// What the document says, in a provider's usual places for it; else the status.
    pub fn words(&self) -> String {
        self.document
            .and_then(said)
            .map_or_else(|| format!("status {}", self.status), str::to_owned)
    }

    /// The error by the status alone.
    pub fn by_status(&self) -> ProviderError {
        let retry_after = self.retry_after;
        match self.status {
            401 => ProviderError::Auth,
            402 => ProviderError::Quota(self.words()),
            403 => ProviderError::Forbidden(self.words()),
            404 | 410 => ProviderError::NotFound(self.thing),
            408 => ProviderError::Timeout(Stage::Answer),
            409 => ProviderError::Conflict(self.words()),
            429 => ProviderError::RateLimited { retry_after },
            400..=499 => ProviderError::Invalid(self.words()),
            500..=599 => ProviderError::Unavailable {
                message: format!("status {}", self.status),
                retry_after,
            },
            other => ProviderError::Protocol(format!("status {other}; is its address right?")),
        }
    }
}

/// The error with its words cleaned of what nobody may see.
pub(super) fn cleaned(error: ProviderError, hidden: &Hidden) -> ProviderError {
    match error {
        ProviderError::Forbidden(words) => ProviderError::Forbidden(hidden.shown(&words)),
        ProviderError::Conflict(words) => ProviderError::Conflict(hidden.shown(&words)),
        ProviderError::Invalid(words) => ProviderError::Invalid(hidden.shown(&words)),
        ProviderError::Quota(words) => ProviderError::Quota(hidden.shown(&words)),
        ProviderError::Protocol(words) => ProviderError::Protocol(hidden.shown(&words)),
        ProviderError::Destination(words) => ProviderError::Destination(hidden.shown(&words)),
        ProviderError::Unavailable {
            message,
            retry_after,
        } => ProviderError::Unavailable {
            message: hidden.shown(&message),
            retry_after,
        },
        other @ (ProviderError::Auth
        | ProviderError::NotFound(_)
        | ProviderError::RateLimited { .. }
        | ProviderError::Timeout(_)
        | ProviderError::RestartRequired
        | ProviderError::Sidecar { .. }
        | ProviderError::Contribution(_)) => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(status: u16) -> ProviderError {
        Refusal {
            status,
            document: Some(&json!({ "msg": "words" })),
            retry_after: Some(Duration::from_secs(7)),
            thing: "room",
        }
        .by_status()
    }

    #[test]
    fn each_status_has_its_error() {
        let words = || "words".to_owned();
        let retry_after = Some(Duration::from_secs(7));
        for (status, error) in [
            (400, ProviderError::Invalid(words())),
            (401, ProviderError::Auth),
            (402, ProviderError::Quota(words())),
            (403, ProviderError::Forbidden(words())),
            (404, ProviderError::NotFound("room")),
            (408, ProviderError::Timeout(Stage::Answer)),
            (409, ProviderError::Conflict(words())),
            (410, ProviderError::NotFound("room")),
            (422, ProviderError::Invalid(words())),
            (429, ProviderError::RateLimited { retry_after }),
            (
                503,
                ProviderError::Unavailable {
                    message: "status 503".to_owned(),
                    retry_after,
                },
            ),
        ] {
            assert_eq!(refusal(status), error, "{status}");
        }
        assert!(matches!(refusal(302), ProviderError::Protocol(_)));
    }

    #[test]
    fn a_refusal_without_words_names_its_status() {
        let refusal = Refusal {
            status: 403,
            document: None,
            retry_after: None,
            thing: "room",
        };

        assert_eq!(
            refusal.by_status(),
            ProviderError::Forbidden("status 403".to_owned())
        );
    }
}
