//! The tokens by which `LiveKit` knows us, and those by which we know it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use broadcast::StreamKey;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::hosted::WebhookError;

/// How long a token of ours is good: for one request, on clocks that are minutes apart.
const LIFE: Duration = Duration::from_mins(5);

/// How far ahead of the server's clock ours may be.
const AHEAD: Duration = Duration::from_mins(1);

/// How old a webhook may be, and how far ahead.
const WEBHOOK_AGE: Duration = Duration::from_mins(5);

/// What a request needs to be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grant {
    /// Make and delete rooms.
    Rooms,
    /// List rooms.
    RoomList,
    /// Everything about ingress.
    Ingress,
    /// Everything about egress.
    Egress,
}

/// Makes and verifies tokens; the pair is what `LiveKit` calls an API key and its secret.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    key: String,
    secret: StreamKey,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    nbf: u64,
    exp: u64,
    video: VideoGrant,
}

/// The grants that are false are left out.
#[expect(
    clippy::struct_excessive_bools,
    reason = "it is a document, and they are independent"
)]
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct VideoGrant {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    room_create: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    room_list: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ingress_admin: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    room_record: bool,
}

#[derive(Deserialize)]
struct WebhookClaims {
    exp: u64,
    nbf: Option<u64>,
    sha256: String,
}

impl Credentials {
    pub(super) const fn new(key: String, secret: StreamKey) -> Self {
        Self { key, secret }
    }

    /// A token for one request. `None` if the clock is before 1970.
    pub(super) fn token(&self, grant: Grant, now: SystemTime) -> Option<StreamKey> {
        let claims = Claims {
            iss: &self.key,
            sub: "castgate",
            nbf: seconds(now.checked_sub(AHEAD)?)?,
            exp: seconds(now.checked_add(LIFE)?)?,
            video: VideoGrant {
                room_create: grant == Grant::Rooms,
                room_list: grant == Grant::RoomList,
                ingress_admin: grant == Grant::Ingress,
                room_record: grant == Grant::Egress,
            },
        };
        let key = EncodingKey::from_secret(self.secret.expose().as_bytes());
        encode(&Header::new(Algorithm::HS256), &claims, &key)
            .ok()
            .map(StreamKey::new)
    }

    /// Whether a webhook's body is what its `Authorization` says, signed not long ago.
    pub(super) fn verify(
        &self,
        authorization: &str,
        body: &[u8],
        now: SystemTime,
    ) -> Result<(), WebhookError> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[&self.key]);
        validation.set_required_spec_claims(&["iss", "exp"]);
        // Its times are judged below, by the time that was given.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let key = DecodingKey::from_secret(self.secret.expose().as_bytes());
        let token = authorization
            .strip_prefix("Bearer ")
            .unwrap_or(authorization);
        let claims = decode::<WebhookClaims>(token, &key, &validation)
            .map_err(|_| WebhookError::Signature)?
            .claims;
        let digest = BASE64_STANDARD.encode(Sha256::digest(body));
        if !bool::from(digest.as_bytes().ct_eq(claims.sha256.as_bytes())) {
            return Err(WebhookError::Signature);
        }
        let now = seconds(now).ok_or(WebhookError::Stale)?;
        let age = WEBHOOK_AGE.as_secs();
        let signed = claims.nbf.unwrap_or(claims.exp.saturating_sub(age));
        if now > claims.exp.saturating_add(AHEAD.as_secs())
            || now > signed.saturating_add(age)
            || signed > now.saturating_add(age)
        {
            return Err(WebhookError::Stale);
        }
        Ok(())
    }
}

fn seconds(time: SystemTime) -> Option<u64> {
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const BODY: &[u8] = br#"{"event":"egress_updated"}"#;

    fn credentials() -> Credentials {
        Credentials::new("APIkey".to_owned(), StreamKey::new("canary-of-the-secret"))
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_hours(500_000)
    }

    fn signed(claims: &Value, secret: &str) -> String {
        let key = EncodingKey::from_secret(secret.as_bytes());
        encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
    }

    fn webhook(nbf: u64, body: &[u8]) -> String {
        let sha256 = BASE64_STANDARD.encode(Sha256::digest(body));
        let claims = json!({ "iss": "APIkey", "nbf": nbf, "exp": nbf + 300, "sha256": sha256 });
        signed(&claims, "canary-of-the-secret")
    }

    #[test]
    fn a_token_grants_what_one_request_needs_and_nothing_else() {
        for (grant, video) in [
            (Grant::Rooms, json!({ "roomCreate": true })),
            (Grant::RoomList, json!({ "roomList": true })),
            (Grant::Ingress, json!({ "ingressAdmin": true })),
            (Grant::Egress, json!({ "roomRecord": true })),
        ] {
            let token = credentials().token(grant, now()).unwrap();

            let mut validation = Validation::new(Algorithm::HS256);
            validation.validate_exp = false;
            let key = DecodingKey::from_secret(b"canary-of-the-secret");
            let claims: Value = decode(token.expose(), &key, &validation).unwrap().claims;
            assert_eq!(claims["iss"], "APIkey");
            assert_eq!(claims["video"], video);
            assert_eq!(claims["exp"], 1_800_000_300_u64);
            assert_eq!(claims["nbf"], 1_799_999_940_u64);
        }
    }

    #[test]
    fn a_webhook_signed_now_is_taken() {
        for authorization in [
            webhook(1_800_000_000, BODY),
            format!("Bearer {}", webhook(1_800_000_000, BODY)),
        ] {
            assert_eq!(credentials().verify(&authorization, BODY, now()), Ok(()));
        }
    }

    #[test]
    fn a_webhook_is_taken_for_five_minutes_and_not_longer() {
        let verify = |nbf| credentials().verify(&webhook(nbf, BODY), BODY, now());

        assert_eq!(verify(1_800_000_000 - 300), Ok(()));
        assert_eq!(verify(1_800_000_000 - 301), Err(WebhookError::Stale));
        assert_eq!(verify(1_800_000_000 + 300), Ok(()));
        assert_eq!(verify(1_800_000_000 + 301), Err(WebhookError::Stale));
    }

    #[test]
    fn another_body_another_secret_or_another_key_is_not_taken() {
        let refused = Err(WebhookError::Signature);
        let sha256 = BASE64_STANDARD.encode(Sha256::digest(BODY));
        let claims = json!({ "iss": "APIother", "exp": 1_800_000_300_u64, "sha256": sha256 });

        let of_another_body = webhook(1_800_000_000, b"{}");
        let by_another_secret = signed(&claims, "another");
        let of_another_key = signed(&claims, "canary-of-the-secret");

        for authorization in [
            &of_another_body,
            &by_another_secret,
            &of_another_key,
            "",
            ".",
        ] {
            let verified = credentials().verify(authorization, BODY, now());
            assert_eq!(verified, refused, "{authorization}");
        }
    }

    #[test]
    fn a_token_without_a_signature_is_not_taken() {
        let good = webhook(1_800_000_000, BODY);
        let claims = good.split('.').nth(1).unwrap();
        // {"alg":"none","typ":"JWT"}
        let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.");

        let verified = credentials().verify(&unsigned, BODY, now());

        assert_eq!(verified, Err(WebhookError::Signature));
    }

    #[test]
    fn credentials_are_not_shown() {
        assert!(!format!("{:?}", credentials()).contains("canary"));
    }

    proptest! {
        #[test]
        fn hostile_tokens_are_refused_without_a_panic(authorization in any::<String>()) {
            let verified = credentials().verify(&authorization, BODY, now());

            prop_assert_eq!(verified, Err(WebhookError::Signature));
        }
    }
}
