//! Mux's webhooks: `mux-signature: t=SECONDS,v1=HEX`, HMAC-SHA256 over `SECONDS.BODY`, as `@mux/mux-node` 15.3.0 verifies it.

use std::time::SystemTime;

use broadcast::StreamKey;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

use crate::hosted::{WebhookError, WebhookEvent, WebhookHeaders, age::check_age, hex::hex};

const HEADER: &str = "mux-signature";

/// The most signatures that are tried; Mux sends one, two while a secret is exchanged.
const SIGNATURES_LIMIT: usize = 8;

/// The events that are told apart in metrics.
const KINDS: [&str; 18] = [
    "video.live_stream.created",
    "video.live_stream.connected",
    "video.live_stream.recording",
    "video.live_stream.active",
    "video.live_stream.disconnected",
    "video.live_stream.idle",
    "video.live_stream.updated",
    "video.live_stream.enabled",
    "video.live_stream.disabled",
    "video.live_stream.deleted",
    "video.live_stream.warning",
    "video.live_stream.simulcast_target.created",
    "video.live_stream.simulcast_target.idle",
    "video.live_stream.simulcast_target.starting",
    "video.live_stream.simulcast_target.broadcasting",
    "video.live_stream.simulcast_target.errored",
    "video.live_stream.simulcast_target.deleted",
    "video.live_stream.simulcast_target.updated",
];

#[derive(Deserialize)]
struct Event {
    id: String,
    r#type: String,
    object: Option<Object>,
    data: Option<Subject>,
}

#[derive(Deserialize)]
struct Object {
    id: Option<String>,
}

/// A live stream has `id`; a simulcast target has its own there and its stream's beside it.
#[derive(Deserialize)]
struct Subject {
    id: Option<String>,
    live_stream_id: Option<String>,
}

/// Verifies and reads an event. Its subject is the live stream's id; for a target whose stream is not told, the target's.
pub(super) fn read(
    secret: &StreamKey,
    headers: &WebhookHeaders,
    body: &[u8],
    now: SystemTime,
) -> Result<WebhookEvent, WebhookError> {
    let header = headers.get(HEADER).ok_or(WebhookError::Signature)?;
    let (seconds, signatures) = split(header).ok_or(WebhookError::Signature)?;
    let expected = sign(secret, seconds, body);
    let found = signatures.iter().fold(Choice::from(0), |found, signature| {
        found | signature.as_bytes().ct_eq(expected.as_bytes())
    });
    if !bool::from(found) {
        return Err(WebhookError::Signature);
    }
    check_age(seconds.parse().map_err(|_| WebhookError::Signature)?, now)?;
    let event: Event = serde_json::from_slice(body).map_err(|_| WebhookError::Malformed)?;
    let kind = KINDS
        .into_iter()
        .find(|kind| *kind == event.r#type)
        .unwrap_or("other");
    let subject = (kind != "other")
        .then(|| {
            let (id, stream) = event
                .data
                .map_or((None, None), |data| (data.id, data.live_stream_id));
            stream.or(id).or(event.object.and_then(|object| object.id))
        })
        .flatten();
    Ok(WebhookEvent {
        id: event.id,
        kind: kind.to_owned(),
        subject,
    })
}

/// The header's time, as it was written, and its `v1` signatures.
fn split(header: &str) -> Option<(&str, Vec<&str>)> {
    let mut seconds = None;
    let mut signatures = Vec::new();
    for item in header.split(',') {
        match item.trim().split_once('=') {
            Some(("t", value)) => seconds = Some(value),
            Some(("v1", value)) if signatures.len() < SIGNATURES_LIMIT => signatures.push(value),
            Some(_) | None => {}
        }
    }
    let seconds = seconds.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    (!signatures.is_empty()).then_some((seconds, signatures))
}

fn sign(secret: &StreamKey, seconds: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
        .expect("a key of any length is one");
    mac.update(seconds.as_bytes());
    mac.update(b".");
    mac.update(body);
    hex(&mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    const BODY: &str = r#"{"type":"video.live_stream.active","id":"3a56ac3d-33da-4366-855b-f592d898409d","object":{"type":"live","id":"stream1"},"data":{"id":"stream1","status":"active"}}"#;

    fn receive(header: &str, body: &str) -> Result<WebhookEvent, WebhookError> {
        let headers = [(HEADER.to_owned(), header.to_owned())].into();
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_101);
        read(&StreamKey::new("whsec"), &headers, body.as_bytes(), now)
    }

    fn signed(body: &str) -> String {
        let signature = sign(&StreamKey::new("whsec"), "1700000000", body.as_bytes());
        format!("t=1700000000,v1={signature}")
    }

    #[test]
    fn a_signature_is_the_one_that_muxs_own_sdk_makes() {
        // webhooks.computeSignature of @mux/mux-node 15.3.0 for ("1700000000." + BODY, "whsec").
        assert_eq!(
            sign(&StreamKey::new("whsec"), "1700000000", BODY.as_bytes()),
            "385e9c409c748c87d228629c33acaeb899ff9f8c1d2f62096590365fc608a261"
        );
    }

    #[test]
    fn an_event_tells_its_live_stream() {
        let event = receive(&signed(BODY), BODY).unwrap();

        assert_eq!(event.id, "3a56ac3d-33da-4366-855b-f592d898409d");
        assert_eq!(event.kind, "video.live_stream.active");
        assert_eq!(event.subject.as_deref(), Some("stream1"));
    }

    #[test]
    fn a_target_tells_its_stream_or_at_least_itself() {
        let with = r#"{"type":"video.live_stream.simulcast_target.errored","id":"1","data":{"id":"target1","live_stream_id":"stream1"}}"#;
        let without = r#"{"type":"video.live_stream.simulcast_target.errored","id":"1","data":{"id":"target1"}}"#;

        let subject = |body| receive(&signed(body), body).unwrap().subject;

        assert_eq!(subject(with).as_deref(), Some("stream1"));
        assert_eq!(subject(without).as_deref(), Some("target1"));
    }

    #[test]
    fn events_of_other_things_are_about_nobody() {
        let body = r#"{"type":"video.asset.ready","id":"1","data":{"id":"asset1"}}"#;

        let event = receive(&signed(body), body).unwrap();

        assert_eq!((event.kind.as_str(), event.subject), ("other", None));
    }

    #[test]
    fn one_right_signature_among_several_is_enough() {
        let header = signed(BODY).replace("v1=", "v0=12,v1=0123,v1=");

        assert!(receive(&header, BODY).is_ok());
    }

    #[test]
    fn a_changed_time_body_or_signature_is_refused() {
        let header = signed(BODY);
        let wrong = [
            (header.replace("1700000000", "1700000001"), BODY.to_owned()),
            (header.clone(), BODY.replace("active", "idle")),
            (header.replace("v1=", "v1=0"), BODY.to_owned()),
            (header.replace("v1", "v0"), BODY.to_owned()),
            ("t=1700000000".to_owned(), BODY.to_owned()),
            (header.replace("t=", ""), BODY.to_owned()),
            (String::new(), BODY.to_owned()),
        ];

        for (header, body) in wrong {
            assert_eq!(
                receive(&header, &body),
                Err(WebhookError::Signature),
                "{header}"
            );
        }
    }

    #[test]
    fn an_old_event_is_stale_although_it_is_signed() {
        let signature = sign(&StreamKey::new("whsec"), "1699999799", BODY.as_bytes());

        assert_eq!(
            receive(&format!("t=1699999799,v1={signature}"), BODY),
            Err(WebhookError::Stale)
        );
    }

    proptest! {
        #[test]
        fn what_nobody_signed_is_refused(header: String, body: Vec<u8>) {
            let headers = [(HEADER.to_owned(), header)].into();
            let result = read(&StreamKey::new("whsec"), &headers, &body, UNIX_EPOCH);
            prop_assert_eq!(result, Err(WebhookError::Signature));
        }

        #[test]
        fn what_was_signed_is_read_or_malformed(body: Vec<u8>) {
            let signature = sign(&StreamKey::new("whsec"), "0", &body);
            let headers = [(HEADER.to_owned(), format!("t=0,v1={signature}"))].into();
            let result = read(&StreamKey::new("whsec"), &headers, &body, UNIX_EPOCH);
            prop_assert!(matches!(result, Ok(_) | Err(WebhookError::Malformed)));
        }
    }
}
