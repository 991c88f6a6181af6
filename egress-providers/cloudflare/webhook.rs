//! Notifications of live inputs: who may send them, and what they say.

use std::time::SystemTime;

use broadcast::{Failure, Reason, StreamKey};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::hosted::{
    ProviderError, WebhookError, WebhookEvent, WebhookHeaders, age::check_age, hex::hex,
};

/// The header with the secret that was given to Cloudflare for us.
const HEADER: &str = "cf-webhook-auth";

/// What a notification tells of a live input and no question does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// The show arrives; what was wrong with an earlier one is past.
    Connected {
        /// Its id.
        input: String,
    },
    /// Cloudflare cannot carry the show.
    Errored {
        /// Its id.
        input: String,
        /// Why.
        error: ProviderError,
    },
}

#[derive(Deserialize)]
struct Notification {
    data: Option<Details>,
    /// Seconds since 1970.
    ts: Option<u64>,
}

#[derive(Deserialize)]
struct Details {
    input_id: String,
    event_type: String,
    updated_at: Option<String>,
    live_input_errored: Option<Errored>,
}

#[derive(Deserialize)]
struct Errored {
    error: Option<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
}

/// Reads a notification, if it has the secret.
///
/// The body is not signed: who sees one delivery could change the next. TLS keeps others from seeing it, and a notification
/// only makes us ask, but for the reason of an error.
pub(super) fn read(
    secret: &StreamKey,
    headers: &WebhookHeaders,
    body: &[u8],
    now: SystemTime,
) -> Result<(WebhookEvent, Option<Notice>), WebhookError> {
    let given = headers.get(HEADER).ok_or(WebhookError::Signature)?;
    // Digests are of one length, so that the comparison does not tell the secret's.
    let same = Sha256::digest(given.as_bytes())
        .as_slice()
        .ct_eq(Sha256::digest(secret.expose().as_bytes()).as_slice());
    if !bool::from(same) {
        return Err(WebhookError::Signature);
    }
    let notification: Notification =
        serde_json::from_slice(body).map_err(|_| WebhookError::Malformed)?;
    let Some(details) = notification.data else {
        // What Cloudflare sends to see whether the address answers; it has nothing but a text.
        let event = event("test", &[body], None);
        return Ok((event, None));
    };
    check_age(notification.ts.ok_or(WebhookError::Malformed)?, now)?;
    let input = details.input_id;
    let (kind, notice) = match details.event_type.as_str() {
        "live_input.connected" => {
            let input = input.clone();
            ("live_input.connected", Some(Notice::Connected { input }))
        }
        "live_input.disconnected" => ("live_input.disconnected", None),
        "live_input.errored" => {
            let problem = details.live_input_errored.and_then(|errored| errored.error);
            let notice = Notice::Errored {
                input: input.clone(),
                error: error(problem.as_ref().map(|problem| problem.code.as_str())),
            };
            ("live_input.errored", Some(notice))
        }
        _ => ("other", None),
    };
    let updated = details.updated_at.unwrap_or_default();
    let parts = [&input, &details.event_type, &updated].map(String::as_bytes);
    Ok((event(kind, &parts, Some(input.clone())), notice))
}

/// Notifications have no identity of their own; the same about the same at the same time is the same.
fn event(kind: &str, parts: &[&[u8]], subject: Option<String>) -> WebhookEvent {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    WebhookEvent {
        id: hex(&hash.finalize()[..16]),
        kind: kind.to_owned(),
        subject,
    }
}

/// Only known codes are told on: the message beside them is Cloudflare's and may change.
fn error(code: Option<&str>) -> ProviderError {
    let media = |reason, words: &str| ProviderError::Contribution(Failure::new(reason, words));
    match code {
        Some("ERR_GOP_OUT_OF_RANGE") => media(
            Reason::ProviderContribution,
            "keyframes are too far apart for Cloudflare",
        ),
        Some("ERR_UNSUPPORTED_VIDEO_CODEC") => media(
            Reason::UnsupportedCodec,
            "Cloudflare does not take this picture",
        ),
        Some("ERR_UNSUPPORTED_AUDIO_CODEC") => media(
            Reason::UnsupportedCodec,
            "Cloudflare does not take this sound",
        ),
        Some("ERR_STORAGE_QUOTA_EXHAUSTED") => ProviderError::Quota("storage is full".to_owned()),
        Some("ERR_MISSING_SUBSCRIPTION") => {
            ProviderError::Forbidden("broadcast without a Stream subscription".to_owned())
        }
        Some(_) | None => media(
            Reason::ProviderContribution,
            "Cloudflare cannot process the show",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    /// developers.cloudflare.com/stream/stream-live/webhooks, without the comma that is no JSON.
    const ERRORED: &str = r#"{
        "name": "Live Webhook Test",
        "text": "Notification type: Stream Live Input\nInput ID: 2c28dd2cc444cb77578c4840b51e43a8\nEvent type: live_input.errored",
        "data": {
            "notification_name": "Stream Live Input",
            "input_id": "eb222fcca08eeb1ae84c981ebe8aeeb6",
            "event_type": "live_input.errored",
            "updated_at": "2024-07-09T18:07:51.077371662Z",
            "live_input_errored": {
                "error": {
                    "code": "ERR_GOP_OUT_OF_RANGE",
                    "message": "Input GOP size or keyframe interval is out of range."
                },
                "video_codec": "",
                "audio_codec": ""
            }
        },
        "ts": 1720548474
    }"#;

    fn receive(
        secret: Option<&str>,
        body: &str,
    ) -> Result<(WebhookEvent, Option<Notice>), WebhookError> {
        let headers = secret
            .map(|secret| (HEADER.to_owned(), secret.to_owned()))
            .into_iter()
            .collect();
        let now = UNIX_EPOCH + Duration::from_secs(1_720_548_500);
        read(&StreamKey::new("s3cret"), &headers, body.as_bytes(), now)
    }

    #[test]
    fn the_documented_error_is_read() {
        let (event, notice) = receive(Some("s3cret"), ERRORED).unwrap();

        assert_eq!(event.kind, "live_input.errored");
        assert_eq!(
            event.subject.as_deref(),
            Some("eb222fcca08eeb1ae84c981ebe8aeeb6")
        );
        let Some(Notice::Errored { input, error }) = notice else {
            panic!("{notice:?}");
        };
        assert_eq!(input, "eb222fcca08eeb1ae84c981ebe8aeeb6");
        assert_eq!(
            error.to_string(),
            "the show does not get there: provider_contribution: keyframes are too far apart for Cloudflare"
        );
    }

    #[test]
    fn only_who_has_the_secret_is_heard() {
        for wrong in [
            None,
            Some(""),
            Some("s3cre"),
            Some("s3cret "),
            Some("S3cret"),
        ] {
            assert_eq!(
                receive(wrong, ERRORED),
                Err(WebhookError::Signature),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn a_repeated_delivery_has_the_same_id_and_the_next_event_another() {
        let first = receive(Some("s3cret"), ERRORED).unwrap().0;
        let again = receive(Some("s3cret"), &ERRORED.replace("1720548474", "1720548475"))
            .unwrap()
            .0;
        let next = receive(Some("s3cret"), &ERRORED.replace("18:07:51", "18:07:52"))
            .unwrap()
            .0;

        assert_eq!(first.id, again.id);
        assert_ne!(first.id, next.id);
    }

    #[test]
    fn an_old_delivery_is_not_taken_again() {
        let old = ERRORED.replace("1720548474", "1720548199");

        assert_eq!(receive(Some("s3cret"), &old), Err(WebhookError::Stale));
    }

    #[test]
    fn a_test_delivery_is_welcome_and_about_nobody() {
        let body =
            r#"{"text":"Hello World! This is a test message sent from https://cloudflare.com."}"#;

        let (event, notice) = receive(Some("s3cret"), body).unwrap();

        assert_eq!((event.kind.as_str(), event.subject), ("test", None));
        assert_eq!(notice, None);
    }

    #[test]
    fn a_full_account_and_a_missing_subscription_are_told_apart() {
        let error = |code: &str| {
            let body = ERRORED.replace("ERR_GOP_OUT_OF_RANGE", code);
            match receive(Some("s3cret"), &body).unwrap().1 {
                Some(Notice::Errored { error, .. }) => error,
                other => panic!("{other:?}"),
            }
        };

        assert!(matches!(
            error("ERR_STORAGE_QUOTA_EXHAUSTED"),
            ProviderError::Quota(_)
        ));
        assert!(matches!(
            error("ERR_MISSING_SUBSCRIPTION"),
            ProviderError::Forbidden(_)
        ));
        assert!(matches!(
            error("ERR_OF_NEXT_YEAR"),
            ProviderError::Contribution(_)
        ));
    }

    proptest! {
        #[test]
        fn no_body_is_taken_without_the_secret_and_none_panics(body: Vec<u8>, secret: String) {
            let now = UNIX_EPOCH;
            let headers = [(HEADER.to_owned(), secret.clone())].into();
            let result = read(&StreamKey::new("s3cret"), &headers, &body, now);
            prop_assert!(secret == "s3cret" || result == Err(WebhookError::Signature));
            let known = [(HEADER.to_owned(), "s3cret".to_owned())].into();
            let _ = read(&StreamKey::new("s3cret"), &known, &body, now);
        }
    }
}
