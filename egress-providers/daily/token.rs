//! Meeting tokens: who may join a room, signed with the API key instead of asked for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broadcast::StreamKey;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;

use crate::hosted::ProviderError;

/// The user that brings the show, by which it is found among those present.
pub(super) const CONTRIBUTOR: &str = "castgate";

/// Daily's short names of a token's properties.
///
/// `o` (owner) is left out: whoever brings the show needs no right but to be there and to send.
#[derive(Serialize)]
struct Claims<'a> {
    /// `room_name`: without one it opens every room.
    r: &'a str,
    /// `domain_id`.
    d: &'a str,
    iat: u64,
    /// Without one it holds for ever.
    exp: u64,
    /// `user_name`.
    u: &'static str,
    /// `user_id`.
    ud: &'static str,
}

/// A token to join `room` as the one who brings the show, until `expires`.
pub(super) fn sign(
    api_key: &StreamKey,
    domain: &str,
    room: &str,
    now: SystemTime,
    expires: SystemTime,
) -> Result<StreamKey, ProviderError> {
    let claims = Claims {
        r: room,
        d: domain,
        iat: seconds(now),
        exp: seconds(expires),
        u: CONTRIBUTOR,
        ud: CONTRIBUTOR,
    };
    let key = EncodingKey::from_secret(api_key.expose().as_bytes());
    encode(&Header::new(Algorithm::HS256), &claims, &key)
        .map(StreamKey::new)
        .map_err(|_| ProviderError::Protocol("a meeting token could not be signed".to_owned()))
}

/// Seconds since 1970.
pub(super) fn seconds(moment: SystemTime) -> u64 {
    moment
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use jsonwebtoken::{DecodingKey, Validation, decode};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_token_opens_one_room_for_a_time_and_makes_nobody_its_owner() {
        let now = UNIX_EPOCH + Duration::from_secs(1_763_711_000);
        let key = StreamKey::new("api-key");

        let token = sign(&key, "30f866c3", "bc-1", now, now + Duration::from_mins(10)).unwrap();

        let mut rules = Validation::new(Algorithm::HS256);
        rules.validate_exp = false;
        rules.required_spec_claims = HashSet::new();
        let key = DecodingKey::from_secret(b"api-key");
        let read = decode::<Value>(token.expose(), &key, &rules).unwrap();
        assert_eq!(
            read.claims,
            json!({
                "r": "bc-1", "d": "30f866c3", "iat": 1_763_711_000, "exp": 1_763_711_600,
                "u": "castgate", "ud": "castgate",
            })
        );
    }
}
