//! Who somebody is and what that allows: tokens in, identities out.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use signalling::{Bearer, BearerError};

use crate::config::{AuthConfig, JwtConfig, JwtKeys};

mod bounded;
mod callback;
mod claims;
mod identity;
mod jwt;
mod key;
mod published;

#[cfg(test)]
mod tests;

pub use bounded::HttpError;
pub use identity::{Action, Identity, Role, Scope};
pub(crate) use key::check_public_key;

use callback::Callback;
use jwt::Jwt;

/// Why somebody is not let in. No message holds a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// There is no token, and one is needed; 401.
    #[error("a bearer token is needed")]
    Missing,
    /// The token is not good; 401.
    #[error("the token is refused: {0}")]
    Refused(String),
    /// Good tokens cannot be told from bad ones at the moment; 503.
    #[error("tokens cannot be checked at the moment: {0}")]
    Unavailable(String),
}

/// Why nobody could ever be let in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthSetupError {
    /// The key is none.
    #[error("the key for tokens is not usable: {0}")]
    Key(String),
    /// No HTTP client.
    #[error("the HTTP client could not be set up")]
    Http(#[source] reqwest::Error),
}

/// Tells who shows a token.
#[derive(Debug)]
pub struct Authenticator {
    way: Way,
}

#[derive(Debug)]
enum Way {
    Anonymous,
    Jwt(Box<Jwt>),
    Callback(Callback),
}

impl Authenticator {
    /// Prepares the configured way. Nothing is fetched yet.
    ///
    /// Where it needs HTTP, `ring` becomes the process's default `rustls` provider unless there is one.
    pub fn new(config: &AuthConfig) -> Result<Self, AuthSetupError> {
        let way = match config {
            AuthConfig::Anonymous => Way::Anonymous,
            AuthConfig::Jwt(config) => Way::Jwt(Box::new(Jwt::new(config)?)),
            AuthConfig::Callback(url) => Way::Callback(Callback::new(url)?),
        };
        Ok(Self { way })
    }

    /// Whether everybody is let in.
    pub const fn is_anonymous(&self) -> bool {
        matches!(self.way, Way::Anonymous)
    }

    /// Tells who shows `token`. Without authentication everybody is anonymous, whatever they show.
    pub async fn authenticate(&self, token: Option<&Bearer>) -> Result<Identity, AuthError> {
        match &self.way {
            Way::Anonymous => Ok(Identity::anonymous()),
            Way::Jwt(jwt) => jwt.authenticate(token.ok_or(AuthError::Missing)?).await,
            Way::Callback(callback) => {
                callback
                    .authenticate(token.ok_or(AuthError::Missing)?)
                    .await
            }
        }
    }

    /// Tells who shows `token` in a room, and what else the token says, such as a name or an address of mail.
    ///
    /// Tokens of other servers, which have no role of ours, make guests. Without authentication everybody is anonymous, and
    /// what the token says is taken for what it is: something that somebody says.
    pub async fn authenticate_guest(
        &self,
        token: Option<&Bearer>,
    ) -> Result<(Identity, Value), AuthError> {
        match &self.way {
            Way::Anonymous => {
                let claims = token.and_then(unproven_claims).unwrap_or(Value::Null);
                Ok((Identity::anonymous(), claims))
            }
            Way::Jwt(jwt) => {
                jwt.authenticate_guest(token.ok_or(AuthError::Missing)?)
                    .await
            }
            Way::Callback(callback) => {
                let token = token.ok_or(AuthError::Missing)?;
                let identity = callback.authenticate(token).await?;
                Ok((identity, unproven_claims(token).unwrap_or(Value::Null)))
            }
        }
    }
}

/// What a JSON web token says, whoever signed it: good for showing a name, and for nothing else.
fn unproven_claims(token: &Bearer) -> Option<Value> {
    let payload = token.expose().split('.').nth(1)?;
    let json = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Value = serde_json::from_slice(&json).ok()?;
    claims.is_object().then_some(claims)
}

impl From<BearerError> for AuthError {
    fn from(error: BearerError) -> Self {
        Self::Refused(error.to_string())
    }
}
