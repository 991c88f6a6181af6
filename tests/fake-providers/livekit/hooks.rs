//! Webhooks as `LiveKit` signs them.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{API_KEY, API_SECRET, documents::of_webhook};
use crate::{Delivery, Webhooks};

/// How long a webhook's token is good, in seconds.
const LIFE_SECONDS: u64 = 300;

/// Signs events and sends them.
#[derive(Debug)]
pub(super) struct Hooks(Webhooks);

impl Hooks {
    pub(super) const fn new(webhooks: Webhooks) -> Self {
        Self(webhooks)
    }

    /// Tells an event, such as `egress_ended`, with what it is about, such as `egress_info`.
    pub(super) fn tell(&self, event: &str, about: &str, document: &Value) {
        let now = now_seconds();
        let body = of_webhook(json!({
            "event": event,
            "id": format!("EV_{}", Uuid::new_v4().simple()),
            "created_at": now.to_string(),
            about: document,
        }));
        let body = body.to_string().into_bytes();
        let headers = [
            ("content-type", "application/webhook+json".to_owned()),
            ("authorization", signature(&body, now)),
        ];
        self.0.send(Delivery {
            kind: event.to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value))
                .into_iter()
                .collect::<BTreeMap<_, _>>(),
            body,
        });
    }
}

fn signature(body: &[u8], now: u64) -> String {
    let claims = json!({
        "iss": API_KEY,
        "nbf": now,
        "exp": now + LIFE_SECONDS,
        "sha256": BASE64_STANDARD.encode(Sha256::digest(body)),
    });
    let key = EncodingKey::from_secret(API_SECRET.as_bytes());
    encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap_or_default()
}

pub(super) fn now_seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
