//! What is needed to use Daily.

use std::{sync::Arc, time::SystemTime};

use broadcast::{Provider, StreamKey};
use url::Url;

use super::{Daily, rooms::Rooms, webhook::Secret, wire};
use crate::hosted::{
    ApiClient, ApiSettings, ApiSetupError, Authorization, Budget, Rate, Rates, Surroundings,
};

/// The address of the real API.
pub const DAILY_API: &str = "https://api.daily.co/v1";

/// How often one account may be asked. Daily takes 100 requests in five seconds, of which we take half, and begins five live
/// streams in five seconds.
pub const DAILY_RATES: Rates = Rates {
    general: Rate {
        burst: 20,
        each: std::time::Duration::from_millis(100),
    },
    start: Rate {
        burst: 1,
        each: std::time::Duration::from_secs(1),
    },
};

/// Who brings a show into its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DailyContribution {
    /// A process beside the gateway.
    Sidecar,
    /// The studio itself.
    Direct,
}

/// Where the tokens come from that open rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DailyTokens {
    /// They are signed here, which is quicker and costs no request.
    Signed,
    /// They are asked for.
    Issued,
}

/// What is needed to use Daily.
#[derive(Debug, Clone)]
pub struct DailySettings {
    /// The API's address; [`DAILY_API`] but in tests.
    pub base: Url,
    /// The key of the account.
    pub api_key: StreamKey,
    /// Who brings the shows.
    pub contribution: DailyContribution,
    /// Where tokens come from.
    pub tokens: DailyTokens,
    /// What webhooks are signed with, in base64 as it was given when the webhook was made; without one none is taken.
    pub webhook_secret: Option<StreamKey>,
    /// How often it may be asked, such as [`DAILY_RATES`].
    pub budget: Arc<dyn Budget>,
    /// The time of day, for the ends of rooms and tokens.
    pub clock: fn() -> SystemTime,
    /// The process around.
    pub surroundings: Surroundings,
}

/// Why Daily cannot be used with these settings. Its texts hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DailySetupError {
    /// The API's client cannot be made.
    #[error(transparent)]
    Api(#[from] ApiSetupError),
    /// The webhooks' secret is none.
    #[error("the webhook secret must be base64, as it was given to Daily")]
    WebhookSecret,
}

impl DailySettings {
    /// Daily, which has not been asked anything yet.
    pub(super) fn connect(self) -> Result<Daily, DailySetupError> {
        let webhook_secret = self
            .webhook_secret
            .map(|text| Secret::read(text.expose()).ok_or(DailySetupError::WebhookSecret))
            .transpose()?;
        let client = ApiClient::new(ApiSettings {
            provider: Provider::Daily,
            base: self.base,
            authorization: Authorization::Bearer(self.api_key.clone()),
            budget: self.budget,
            refusals: wire::refusal,
            surroundings: self.surroundings,
        })?;
        Ok(Daily::with(
            Rooms::new(client),
            self.api_key,
            self.contribution,
            self.tokens,
            webhook_secret,
            self.clock,
        ))
    }
}
