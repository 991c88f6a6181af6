//! Signed tokens: the algorithm is pinned by the configured key, never chosen by the token.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, errors::ErrorKind};
use serde::de::DeserializeOwned;
use serde_json::Value;
use signalling::Bearer;

use super::{
    AuthError, AuthSetupError, JwtConfig, JwtKeys,
    claims::{Claims, guest_identity},
    identity::Identity,
    key::Key,
    published::Published,
};
use crate::clock::now;

/// How far the clocks of issuer and gateway may be apart, in seconds.
const LEEWAY_SECONDS: u64 = 30;

#[derive(Debug)]
pub(super) struct Jwt {
    keys: Keys,
    validation: Validation,
}

#[derive(Debug)]
enum Keys {
    One(Key),
    Published(Published),
}

impl Jwt {
    pub(super) fn new(config: &JwtConfig) -> Result<Self, AuthSetupError> {
        let keys = match &config.keys {
            JwtKeys::Secret(secret) => Keys::One(Key {
                algorithm: Algorithm::HS256,
                decoding: DecodingKey::from_secret(secret.expose().as_bytes()),
            }),
            JwtKeys::PublicKey(pem) => Keys::One(Key::of_pem(pem).map_err(AuthSetupError::Key)?),
            JwtKeys::Published(url) => Keys::Published(Published::new(url.clone())?),
        };
        let mut validation = Validation::new(Algorithm::HS256);
        let mut required = vec!["exp", "sub"];
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        match &config.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            None => validation.validate_aud = false,
        }
        if let Some(issuer) = &config.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        Ok(Self { keys, validation })
    }

    pub(super) async fn authenticate(&self, token: &Bearer) -> Result<Identity, AuthError> {
        let claims: Claims = self.claims(token, &self.validation).await?;
        claims.identity().map_err(AuthError::Refused)
    }

    /// Tells who shows `token` in a room, and all that it says.
    pub(super) async fn authenticate_guest(
        &self,
        token: &Bearer,
    ) -> Result<(Identity, Value), AuthError> {
        let mut validation = self.validation.clone();
        // Tokens of other servers name somebody otherwise.
        validation.required_spec_claims.remove("sub");
        let claims: Value = self.claims(token, &validation).await?;
        let identity = guest_identity(&claims).map_err(AuthError::Refused)?;
        Ok((identity, claims))
    }

    async fn claims<C: DeserializeOwned>(
        &self,
        token: &Bearer,
        validation: &Validation,
    ) -> Result<C, AuthError> {
        let header = decode_header(token.expose()).map_err(|error| refusal(error.kind()))?;
        if header.crit.is_some() {
            return Err(AuthError::Refused("it has critical extensions".to_owned()));
        }
        match &self.keys {
            Keys::One(key) => check(token, key, validation),
            Keys::Published(published) => {
                let key = published
                    .key(header.kid.as_deref(), header.alg, now())
                    .await?;
                check(token, &key, validation)
            }
        }
    }
}

fn check<C: DeserializeOwned>(
    token: &Bearer,
    key: &Key,
    validation: &Validation,
) -> Result<C, AuthError> {
    let mut validation = validation.clone();
    validation.algorithms = vec![key.algorithm];
    decode::<C>(token.expose(), &key.decoding, &validation)
        .map(|token| token.claims)
        .map_err(|error| refusal(error.kind()))
}

/// Says what is wrong with a token, without repeating any of it.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "how a token is malformed helps nobody"
)]
fn refusal(kind: &ErrorKind) -> AuthError {
    let why = match kind {
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::InvalidAlgorithm => "its algorithm is not the configured one",
        ErrorKind::InvalidIssuer => "its issuer is not the configured one",
        ErrorKind::InvalidAudience => "it is for another audience",
        ErrorKind::MissingRequiredClaim(claim) => match claim.as_str() {
            "exp" => "it never expires",
            "aud" => "it has no audience",
            "iss" => "it has no issuer",
            _ => "it has no sub",
        },
        _ => "it is not a valid JSON web token",
    };
    AuthError::Refused(why.to_owned())
}
