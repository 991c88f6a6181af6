//! Which server or service it is, where, and how it knows us.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use broadcast::{EndpointError, Provider, StreamKey};
use serde::{Deserialize, Serialize};
use url::Url;

use super::ingest::Ingest;
use crate::hosted::{
    ApiClient, ApiSettings, ApiSetupError, Authorization, Budget, Rate, Rates, Surroundings,
};

/// Whose API is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RestreamKind {
    /// `MediaMTX`, its control API and `forward` lists.
    MediaMtx,
    /// `OvenMediaEngine`, its REST API and push publishing.
    #[serde(rename = "ovenmediaengine")]
    OvenMediaEngine,
    /// Livepeer Studio, multistream targets.
    Livepeer,
    /// api.video, restreams.
    #[serde(rename = "api.video")]
    ApiVideo,
}

impl RestreamKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [
        Self::MediaMtx,
        Self::OvenMediaEngine,
        Self::Livepeer,
        Self::ApiVideo,
    ];

    /// The word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MediaMtx => "mediamtx",
            Self::OvenMediaEngine => "ovenmediaengine",
            Self::Livepeer => "livepeer",
            Self::ApiVideo => "api.video",
        }
    }

    /// Where its API is, if it is a service and not a server of one's own.
    pub const fn usual_api(self) -> Option<&'static str> {
        match self {
            Self::MediaMtx | Self::OvenMediaEngine => None,
            Self::Livepeer => Some("https://livepeer.studio/api"),
            Self::ApiVideo => Some("https://ws.api.video"),
        }
    }

    /// Where it takes shows in, if it is a service.
    pub const fn usual_ingest(self) -> Option<&'static str> {
        match self {
            Self::MediaMtx | Self::OvenMediaEngine => None,
            Self::Livepeer => Some("rtmp://rtmp.livepeer.com/live"),
            Self::ApiVideo => Some("rtmp://broadcast.api.video/s"),
        }
    }

    /// Whether there is nothing to be had without a token.
    pub const fn needs_token(self) -> bool {
        !matches!(self, Self::MediaMtx)
    }

    /// How often it may be asked. A server of one's own has no limits, but others use it, too; those of the services are
    /// not documented, so that we ask them five times a second at the most.
    pub const fn rates(self) -> Rates {
        let each = match self {
            Self::MediaMtx | Self::OvenMediaEngine => Duration::from_millis(20),
            Self::Livepeer | Self::ApiVideo => Duration::from_millis(200),
        };
        let rate = Rate { burst: 20, each };
        Rates {
            general: rate,
            start: rate,
        }
    }
}

impl fmt::Display for RestreamKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for RestreamKind {
    type Err = RestreamSetupError;

    fn from_str(text: &str) -> Result<Self, RestreamSetupError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(RestreamSetupError::Kind)
    }
}

/// What a [`Restream`](super::Restream) is made of.
#[derive(Debug, Clone)]
pub struct RestreamSettings {
    /// Whose API is spoken.
    pub kind: RestreamKind,
    /// Where the API is; `OvenMediaEngine`: the whole URL of the application, `http://host:8081/v1/vhosts/default/apps/app`.
    /// `None`: where the service has it.
    pub api: Option<Url>,
    /// How it knows us. `MediaMTX`: `user:password` or a JWT, or nothing. `OvenMediaEngine`: the access token. Services: the
    /// API key.
    pub token: Option<StreamKey>,
    /// Where shows come in, `rtmp[s]://host[:port]/application[?query]`; it may hold credentials. `None`: where the service
    /// takes them.
    pub ingest: Option<StreamKey>,
    /// How often it may be asked: a budget of [`RestreamKind::rates`].
    pub budget: Arc<dyn Budget>,
    /// The process around.
    pub surroundings: Surroundings,
}

/// Why there is no provider with these settings. Its texts hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestreamSetupError {
    /// A kind that is none.
    #[error("the kind must be mediamtx, ovenmediaengine, livepeer or api.video")]
    Kind,
    /// A server of one's own whose API is nowhere.
    #[error("{0} needs the URL of its API")]
    ApiMissing(RestreamKind),
    /// A server of one's own that takes shows nowhere.
    #[error("{0} needs the URL where it takes shows in")]
    IngestMissing(RestreamKind),
    /// No token where one is needed.
    #[error("{0} needs a token")]
    TokenMissing(RestreamKind),
    /// Nothing can be published there.
    #[error("where it takes shows in is no destination: {0}")]
    Ingest(EndpointError),
    /// Its API cannot be asked.
    #[error(transparent)]
    Api(#[from] ApiSetupError),
}

impl RestreamSettings {
    pub(super) fn ingest(&self) -> Result<Ingest, RestreamSetupError> {
        let configured = self.ingest.as_ref().map(StreamKey::expose);
        let text = configured
            .or(self.kind.usual_ingest())
            .ok_or(RestreamSetupError::IngestMissing(self.kind))?;
        Ingest::parse(text).map_err(RestreamSetupError::Ingest)
    }

    pub(super) fn client(self) -> Result<ApiClient, RestreamSetupError> {
        let kind = self.kind;
        let usual = || kind.usual_api().and_then(|url| Url::parse(url).ok());
        let base = self
            .api
            .clone()
            .or_else(usual)
            .ok_or(RestreamSetupError::ApiMissing(kind))?;
        Ok(ApiClient::new(ApiSettings {
            provider: Provider::Restream,
            base,
            authorization: self.authorization()?,
            budget: self.budget,
            refusals: |_| None,
            surroundings: self.surroundings,
        })?)
    }

    fn authorization(&self) -> Result<Authorization, RestreamSetupError> {
        let Some(token) = self.token.clone().filter(|token| !token.is_empty()) else {
            if self.kind.needs_token() {
                return Err(RestreamSetupError::TokenMissing(self.kind));
            }
            return Ok(Authorization::PerRequest);
        };
        Ok(match self.kind {
            RestreamKind::MediaMtx => match token.expose().split_once(':') {
                Some((user, password)) => Authorization::Basic {
                    user: user.to_owned(),
                    password: StreamKey::new(password),
                },
                None => Authorization::Bearer(token),
            },
            // The token alone, and not the pair that Basic is made for.
            RestreamKind::OvenMediaEngine => {
                let encoded = BASE64_STANDARD.encode(token.expose());
                Authorization::Whole(StreamKey::new(format!("Basic {encoded}")))
            }
            RestreamKind::Livepeer => Authorization::Bearer(token),
            // The key is the user, without a password.
            RestreamKind::ApiVideo => {
                let encoded = BASE64_STANDARD.encode(format!("{}:", token.expose()));
                Authorization::Whole(StreamKey::new(format!("Basic {encoded}")))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_by_the_word_they_are_told_by() {
        for kind in RestreamKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert_eq!("srs".parse::<RestreamKind>(), Err(RestreamSetupError::Kind));
    }
}
