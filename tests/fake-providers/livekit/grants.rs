//! What a caller's token allows.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;

use super::{API_KEY, API_SECRET, state::Refused};

#[derive(Debug, Deserialize)]
struct Claims {
    #[serde(default)]
    video: Grants,
}

/// The grants of a token; those that it does not name are not given.
#[expect(
    clippy::struct_excessive_bools,
    reason = "it is a document, and they are independent"
)]
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Grants {
    room_create: bool,
    room_list: bool,
    ingress_admin: bool,
    room_record: bool,
}

/// Reads the `Authorization` header of a request; an error is the text that it is refused with.
pub(super) fn read(authorization: Option<&str>) -> Result<Grants, &'static str> {
    let token = authorization
        .and_then(|value| value.strip_prefix("Bearer "))
        .ok_or("invalid authorization header. Must start with Bearer ")?;
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&[API_KEY]);
    validation.validate_nbf = true;
    let key = DecodingKey::from_secret(API_SECRET.as_bytes());
    decode::<Claims>(token, &key, &validation)
        .map(|token| token.claims.video)
        .map_err(|_| "invalid token, error: go-jose/go-jose: error in cryptographic primitive")
}

impl Grants {
    /// Whether a method of a service may be called.
    pub(super) fn allow(&self, service: &str, method: &str) -> Result<(), Refused> {
        let allowed = match (service, method) {
            ("RoomService", "ListRooms") => self.room_list,
            ("RoomService", _) => self.room_create,
            ("Ingress", _) => self.ingress_admin,
            ("Egress", _) => self.room_record,
            _ => true,
        };
        let refused = || Refused::new("unauthenticated", "permissions denied");
        allowed.then_some(()).ok_or_else(refused)
    }
}
