//! What goes wrong on the way to a WHIP server, as what is to be done about it. No text holds a secret.

use broadcast::{Failure, Reason, StreamKey};
use egress_providers::hosted::{ProviderError, harmless};
use peers::client::ClientError;
use url::Url;

use crate::whip_client::WhipError;

/// Shorter parts of a URL are words such as `w` or `whip`, and no keys.
const KEY_BYTES: usize = 6;

/// Returns what a server might repeat in its words and nobody may see: the token, and all that may be a key in the URL.
pub(super) fn secrets(url: &Url, bearer: Option<&StreamKey>) -> Vec<StreamKey> {
    let segments = url.path().split('/');
    let parameters = url.query().unwrap_or_default().split(['&', '=']);
    segments
        .chain(parameters)
        .chain(url.password())
        .filter(|part| part.len() >= KEY_BYTES)
        .map(StreamKey::new)
        .chain(bearer.filter(|bearer| !bearer.is_empty()).cloned())
        .collect()
}

/// A WHIP server's refusal, or that it was not reached.
pub(super) fn of_whip(error: &WhipError, secrets: &[StreamKey]) -> ProviderError {
    match error {
        WhipError::Unreachable(words) => lost(Reason::ConnectRefused, words.clone()),
        WhipError::Refused {
            status,
            detail,
            retry_after,
        } => {
            let words = format!("HTTP {status} {}", hidden(detail, secrets));
            let retry_after = *retry_after;
            match status {
                401 => ProviderError::Auth,
                403 => ProviderError::Forbidden(words),
                404 | 410 => ProviderError::NotFound("WHIP endpoint"),
                409 => ProviderError::Conflict(words),
                429 => ProviderError::RateLimited { retry_after },
                500.. => ProviderError::Unavailable {
                    message: words,
                    retry_after,
                },
                400.. => ProviderError::Invalid(words),
                _ => ProviderError::Protocol(words),
            }
        }
        WhipError::Protocol(words) => ProviderError::Protocol((*words).to_owned()),
    }
}

/// A failure of the connection behind the HTTP.
pub(super) fn of_client(error: &ClientError) -> ProviderError {
    match error {
        ClientError::NotTaken(_) => {
            ProviderError::Invalid(format!("{error}; it is offered H.264 and Opus"))
        }
        ClientError::Answer(_) => ProviderError::Protocol(harmless(&error.to_string())),
        ClientError::NothingToSend
        | ClientError::NoCandidates
        | ClientError::NoSuchTrack(_)
        | ClientError::Connection(_)
        | _ => lost(Reason::ClosedByPeer, error.to_string()),
    }
}

/// The show does not get there.
pub(super) fn lost(reason: Reason, words: String) -> ProviderError {
    ProviderError::Contribution(Failure::new(reason, words))
}

fn hidden(words: &str, secrets: &[StreamKey]) -> String {
    let words = secrets.iter().fold(words.to_owned(), |words, secret| {
        words.replace(secret.expose(), "…")
    });
    harmless(&words)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn refused(status: u16) -> ProviderError {
        let url = Url::parse("https://whip.example/w/secret-key?token=secret-token").unwrap();
        let bearer = StreamKey::new("secret-bearer");
        let error = WhipError::Refused {
            status,
            detail: "no: secret-key, secret-token nor secret-bearer at https://a.example/secret"
                .to_owned(),
            retry_after: Some(Duration::from_secs(3)),
        };
        of_whip(&error, &secrets(&url, Some(&bearer)))
    }

    #[test]
    fn each_status_is_one_error() {
        use broadcast::Retry;

        assert_eq!(refused(401), ProviderError::Auth);
        assert!(matches!(refused(403), ProviderError::Forbidden(_)));
        assert_eq!(refused(404), ProviderError::NotFound("WHIP endpoint"));
        assert!(matches!(refused(409), ProviderError::Conflict(_)));
        for status in [400, 406, 415, 422] {
            assert!(matches!(refused(status), ProviderError::Invalid(_)));
            assert_eq!(refused(status).retry(), Retry::Never);
        }
        for status in [429, 500, 502, 503] {
            assert_eq!(refused(status).retry(), Retry::Backoff);
        }
        let wait = Some(Duration::from_secs(3));
        assert_eq!(refused(429).retry_after(), wait);
        assert_eq!(refused(503).retry_after(), wait);
        assert!(matches!(refused(302), ProviderError::Protocol(_)));
    }

    #[test]
    fn a_servers_words_are_shown_without_what_it_was_told_in_confidence() {
        for status in [403, 406, 409, 503] {
            let shown = refused(status).to_string();

            assert!(shown.contains("no: "), "{shown}");
            assert!(!shown.contains("secret"), "{shown}");
        }
    }
}
