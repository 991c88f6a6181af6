//! Everything that goes wrong with a provider, as one error that says what to do.

use std::{fmt, time::Duration};

use broadcast::{Failure, Provider, Reason, Retry};

/// What was under way when time ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// One answer of the provider's API.
    Answer,
    /// Its first sign of the show.
    Contribution,
    /// Its first sign of a destination.
    Destination,
}

impl Stage {
    /// What it was to do.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Contribution => "show the first sign of the show",
            Self::Destination => "show the first sign of a destination",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why a provider does not do what it was asked for. The texts hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// It refuses our credentials (HTTP 401).
    #[error("the credentials are refused; check the provider's variables")]
    Auth,
    /// The account may not do this (HTTP 403).
    #[error("the account is not allowed to: {0}")]
    Forbidden(String),
    /// What was made there is gone (HTTP 404, 410).
    #[error("there is no {0} any more")]
    NotFound(&'static str),
    /// Something else of this name is there (HTTP 409).
    #[error("something else is in its place: {0}")]
    Conflict(String),
    /// It does not take the request (other HTTP 4xx).
    #[error("the request is not taken: {0}")]
    Invalid(String),
    /// Asked too often (HTTP 429).
    #[error("it was asked too often")]
    RateLimited {
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// What the account may use is used up.
    #[error("the account's quota is used up: {0}")]
    Quota(String),
    /// It is out of order (HTTP 5xx), cannot be reached, or failed so often that it is not asked at the moment.
    #[error("it is not available: {message}")]
    Unavailable {
        /// In a few words.
        message: String,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// Something took too long.
    #[error("it took too long to {0}")]
    Timeout(Stage),
    /// The answer is not what its documentation says.
    #[error("its answer makes no sense: {0}")]
    Protocol(String),
    /// It takes this only while nothing is live.
    #[error(
        "it changes destinations only while nothing is live; stop and start the broadcast, or let another provider carry this destination"
    )]
    RestartRequired,
    /// The process that speaks to it ended.
    #[error("its sidecar ended with code {code}: {message}")]
    Sidecar {
        /// Exit code; -1 for a signal.
        code: i32,
        /// What the code means.
        message: String,
    },
    /// The show does not get there.
    #[error("the show does not get there: {0}")]
    Contribution(Failure),
    /// It lost a destination, or cannot reach it.
    #[error("it does not reach the destination: {0}")]
    Destination(String),
}

impl ProviderError {
    /// The stable reason.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Auth => Reason::ProviderAuth,
            Self::Forbidden(_) => Reason::ProviderForbidden,
            Self::NotFound(_) => Reason::ProviderNotFound,
            Self::Conflict(_) => Reason::ProviderConflict,
            Self::Invalid(_) => Reason::ProviderInvalid,
            Self::RateLimited { .. } => Reason::ProviderRateLimited,
            Self::Quota(_) => Reason::ProviderQuota,
            Self::Unavailable { .. } => Reason::ProviderUnavailable,
            Self::Timeout(_) => Reason::ProviderTimeout,
            Self::Protocol(_) => Reason::ProviderProtocol,
            Self::RestartRequired => Reason::ProviderRestartRequired,
            Self::Sidecar { .. } => Reason::ProviderSidecar,
            Self::Contribution(_) => Reason::ProviderContribution,
            Self::Destination(_) => Reason::ProviderDestination,
        }
    }

    /// Whether the same may succeed later.
    pub const fn retry(&self) -> Retry {
        self.reason().retry()
    }

    /// Whether another provider is to be tried: this one is not going to, or not soon.
    pub const fn fails_over(&self) -> bool {
        !matches!(self, Self::Destination(_) | Self::Invalid(_))
    }

    /// How long the provider wants to be left alone.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Unavailable { retry_after, .. } => {
                *retry_after
            }
            Self::Auth
            | Self::Forbidden(_)
            | Self::NotFound(_)
            | Self::Conflict(_)
            | Self::Invalid(_)
            | Self::Quota(_)
            | Self::Timeout(_)
            | Self::Protocol(_)
            | Self::RestartRequired
            | Self::Sidecar { .. }
            | Self::Contribution(_)
            | Self::Destination(_) => None,
        }
    }

    /// As the loss of a destination that this provider was to carry.
    pub fn failure(&self, provider: Provider) -> Failure {
        Failure::new(self.reason(), format!("{provider}: {self}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_succeed_later_is_not_tried_again() {
        assert_eq!(ProviderError::Auth.retry(), Retry::Never);
        assert_eq!(ProviderError::RestartRequired.retry(), Retry::Never);
        let busy = ProviderError::RateLimited {
            retry_after: Some(Duration::from_secs(3)),
        };
        assert_eq!(busy.retry(), Retry::Backoff);
        assert_eq!(busy.retry_after(), Some(Duration::from_secs(3)));
    }

    #[test]
    fn a_dead_destination_is_no_reason_for_another_provider() {
        assert!(!ProviderError::Destination("refused".to_owned()).fails_over());
        assert!(ProviderError::Auth.fails_over());
        assert!(ProviderError::Timeout(Stage::Contribution).fails_over());
    }

    #[test]
    fn a_failure_names_the_provider() {
        let failure = ProviderError::Timeout(Stage::Answer).failure(Provider::Mux);

        assert_eq!(
            failure.to_string(),
            "provider_timeout: mux: it took too long to answer"
        );
    }
}
