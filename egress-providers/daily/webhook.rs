//! Daily's webhooks: `X-Webhook-Signature` is base64 of HMAC-SHA256 over `X-Webhook-Timestamp`, a full stop and the body.

use std::time::SystemTime;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::hosted::{
    ProviderError, WebhookError, WebhookEvent, WebhookHeaders, age::check_age, harmless,
};

const SIGNATURE: &str = "x-webhook-signature";
const TIMESTAMP: &str = "x-webhook-timestamp";

/// The events that are told apart in metrics.
const KINDS: [&str; 10] = [
    "streaming.started",
    "streaming.updated",
    "streaming.warning",
    "streaming.error",
    "streaming.ended",
    "participant.joined",
    "participant.left",
    "meeting.started",
    "meeting.ended",
    "test",
];

/// From here on a time is one in milliseconds: in seconds it would be one of the year 5138.
const FIRST_MILLISECONDS: u64 = 100_000_000_000;

/// What a webhook changes in what is known of its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// Destinations that are not sent to any more, or never were.
    Dropped(Vec<String>),
    /// The live stream is over.
    Ended(ProviderError),
    /// That it is time to ask.
    Nothing,
}

/// The secret that Daily signs with, as it was given in base64 when the webhook was made.
#[derive(Clone)]
pub(super) struct Secret(Hmac<Sha256>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(hidden)")
    }
}

impl Secret {
    /// `None`: the text is no base64.
    pub(super) fn read(text: &str) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(text.trim()).ok()?;
        let mac = Hmac::new_from_slice(&bytes).ok()?;
        (!bytes.is_empty()).then_some(Self(mac))
    }

    fn sign(&self, timestamp: &str, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(timestamp.as_bytes());
        mac.update(b".");
        mac.update(body);
        BASE64_STANDARD.encode(mac.finalize().into_bytes())
    }
}

#[derive(Deserialize)]
struct Envelope {
    id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    payload: Payload,
}

/// Of all that the payloads have.
#[derive(Default, Deserialize)]
struct Payload {
    instance_id: Option<String>,
    room_name: Option<String>,
    room: Option<String>,
    error_message: Option<String>,
    #[serde(default)]
    details: Details,
}

#[derive(Default, Deserialize)]
struct Details {
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

/// A destination's name, alone or as the requests have it: the documentation shows neither.
#[derive(Deserialize)]
#[serde(untagged)]
enum Endpoint {
    Name(String),
    Reference { endpoint: String },
    Other(serde::de::IgnoredAny),
}

/// Verifies and reads an event. Its subject is the instance of a live stream, else the name of a room.
pub(super) fn read(
    secret: &Secret,
    headers: &WebhookHeaders,
    body: &[u8],
    now: SystemTime,
) -> Result<(WebhookEvent, Told), WebhookError> {
    let header = |name| headers.get(name).ok_or(WebhookError::Signature);
    let (signature, timestamp) = (header(SIGNATURE)?, header(TIMESTAMP)?);
    let expected = secret.sign(timestamp, body);
    if !bool::from(signature.as_bytes().ct_eq(expected.as_bytes())) {
        return Err(WebhookError::Signature);
    }
    check_age(seconds(timestamp)?, now)?;
    let envelope: Envelope = serde_json::from_slice(body).map_err(|_| WebhookError::Malformed)?;
    // Daily tries a new webhook with a delivery without a type, and wants 200 for it.
    let kind = envelope.kind.as_deref().unwrap_or("test");
    let kind = KINDS.into_iter().find(|known| *known == kind);
    let kind = kind.unwrap_or("other");
    let payload = envelope.payload;
    let told = told(kind, &payload);
    let event = WebhookEvent {
        id: envelope.id.unwrap_or_else(|| digest(body)),
        kind: kind.to_owned(),
        subject: payload.instance_id.or(payload.room_name).or(payload.room),
    };
    Ok((event, told))
}

fn told(kind: &str, payload: &Payload) -> Told {
    match kind {
        "streaming.warning" => {
            let names = payload.details.endpoints.iter();
            Told::Dropped(
                names
                    .filter_map(|endpoint| match endpoint {
                        Endpoint::Name(name) | Endpoint::Reference { endpoint: name } => {
                            Some(name.clone())
                        }
                        Endpoint::Other(_) => None,
                    })
                    .collect(),
            )
        }
        "streaming.error" => Told::Ended(over(
            payload
                .error_message
                .as_deref()
                .map_or_else(|| "the live stream failed".to_owned(), harmless),
        )),
        "streaming.ended" => Told::Ended(over("the live stream has ended".to_owned())),
        _ => Told::Nothing,
    }
}

/// A live stream that is over; the next one may do better.
const fn over(message: String) -> ProviderError {
    ProviderError::Unavailable {
        message,
        retry_after: None,
    }
}

/// In seconds, or in milliseconds: which of them the documentation does not say.
fn seconds(timestamp: &str) -> Result<u64, WebhookError> {
    let number: u64 = timestamp.parse().map_err(|_| WebhookError::Signature)?;
    Ok(if number < FIRST_MILLISECONDS {
        number
    } else {
        number / 1000
    })
}

fn digest(body: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha256::digest(body))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// `castgate` in base64.
    const SECRET: &str = "Y2FzdGdhdGU=";
    const INSTANCE: &str = "c3df927c-f738-5471-a2b7-066fa7e95a6b";

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_692_124_183)
    }

    fn delivered(timestamp: &str, body: &[u8]) -> WebhookHeaders {
        let signature = Secret::read(SECRET).unwrap().sign(timestamp, body);
        WebhookHeaders::from([
            (SIGNATURE.to_owned(), signature),
            (TIMESTAMP.to_owned(), timestamp.to_owned()),
        ])
    }

    fn read_at(timestamp: &str, body: &[u8]) -> Result<(WebhookEvent, Told), WebhookError> {
        let secret = Secret::read(SECRET).unwrap();
        read(&secret, &delivered(timestamp, body), body, now())
    }

    fn read_event(kind: &str, payload: &Value) -> (WebhookEvent, Told) {
        let body = json!({
            "version": "1.0.0", "type": kind, "id": "evt-1", "payload": payload,
            "event_ts": 1_692_124_183.132,
        });
        read_at("1692124183", body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_signature_is_the_one_that_openssl_makes() {
        // printf '1692124183.{}' | openssl dgst -sha256 -hmac castgate -binary | base64
        let signature = Secret::read(SECRET).unwrap().sign("1692124183", b"{}");

        assert_eq!(signature, "94bGg0cipJoCA337t57h7O//qltQNq0tEJXuMkZXir8=");
    }

    #[test]
    fn a_delivery_without_the_right_signature_is_not_read() {
        let secret = Secret::read(SECRET).unwrap();
        let body = b"{}";
        let mut headers = delivered("1692124183", body);

        for (headers, body) in [
            (WebhookHeaders::new(), &body[..]),
            (delivered("1692124183", b"{ }"), body),
            (delivered("1692124184", body), b"{ }"),
        ] {
            assert_eq!(
                read(&secret, &headers, body, now()),
                Err(WebhookError::Signature)
            );
        }
        headers.insert(TIMESTAMP.to_owned(), "1692124184".to_owned());
        assert_eq!(
            read(&secret, &headers, body, now()),
            Err(WebhookError::Signature)
        );
    }

    #[test]
    fn a_time_is_read_in_seconds_and_in_milliseconds() {
        for (timestamp, read) in [
            ("1692124183", Ok(())),
            ("1692124183132", Ok(())),
            ("1692123882", Err(WebhookError::Stale)),
            ("1692124484000", Err(WebhookError::Stale)),
            ("soon", Err(WebhookError::Signature)),
        ] {
            assert_eq!(read_at(timestamp, b"{}").map(drop), read, "{timestamp}");
        }
    }

    #[test]
    fn a_warning_names_the_destinations_that_were_dropped() {
        for endpoints in [
            json!(["a", "b"]),
            json!([{ "endpoint": "a" }, 7, { "endpoint": "b" }]),
        ] {
            let (event, told) = read_event(
                "streaming.warning",
                &json!({ "instance_id": INSTANCE, "details": { "endpoints": endpoints } }),
            );

            assert_eq!(event.subject.as_deref(), Some(INSTANCE));
            assert_eq!(told, Told::Dropped(vec!["a".to_owned(), "b".to_owned()]));
        }
    }

    #[test]
    fn an_error_says_why_without_addresses() {
        let (_, told) = read_event(
            "streaming.error",
            &json!({
                "instance_id": INSTANCE,
                "error_message": "cannot reach rtmps://a.example:443/live2/SECRET",
            }),
        );

        let Told::Ended(error) = told else {
            panic!("{told:?}")
        };
        assert!(error.to_string().contains("cannot reach rtmps://a.example"));
        assert!(!error.to_string().contains("SECRET"));
    }

    #[test]
    fn events_of_a_room_have_it_for_their_subject_and_strange_ones_a_common_word() {
        let (left, told) = read_event("participant.left", &json!({ "room": "bc-1" }));
        let (strange, _) = read_event("recording.ready", &json!({ "room_name": "bc-1" }));

        assert_eq!(left.subject.as_deref(), Some("bc-1"));
        assert_eq!(
            (left.kind.as_str(), told),
            ("participant.left", Told::Nothing)
        );
        assert_eq!(strange.kind, "other");
    }

    #[test]
    fn the_trial_of_a_new_webhook_is_taken() {
        let (event, told) = read_at("1692124183", br#"{"test":"test"}"#).unwrap();

        assert_eq!((event.kind.as_str(), event.subject), ("test", None));
        assert_eq!(told, Told::Nothing);
        assert!(!event.id.is_empty());
    }

    #[test]
    fn a_secret_is_base64_of_something() {
        assert!(Secret::read("not base64!").is_none());
        assert!(Secret::read("").is_none());
        let secret = Secret::read(SECRET).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(hidden)");
    }

    proptest! {
        #[test]
        fn hostile_deliveries_are_refused_and_nothing_else(
            timestamp in ".{0,20}", signature in ".{0,60}", body in any::<Vec<u8>>(),
        ) {
            let secret = Secret::read(SECRET).unwrap();
            let forged = WebhookHeaders::from([
                (SIGNATURE.to_owned(), signature),
                (TIMESTAMP.to_owned(), timestamp.clone()),
            ]);

            prop_assert_eq!(read(&secret, &forged, &body, now()), Err(WebhookError::Signature));
            // Signed nonsense is nonsense still, and does no harm.
            let signed = read(&secret, &delivered(&timestamp, &body), &body, now());
            if serde_json::from_slice::<Value>(&body).is_err() {
                prop_assert!(signed.is_err());
            }
        }
    }
}
