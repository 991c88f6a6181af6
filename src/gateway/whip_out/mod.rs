//! Shows to providers that take WHIP: H.264 and Opus as they are, packed anew.

mod error;
mod pictures;
mod report_clock;
mod session;
mod tracks;

use async_trait::async_trait;
use egress_providers::hosted::{Contribute, Contribution, ContributionOrder, ProviderError};
use url::Url;

use self::session::Session;
use crate::{config::Secret, whip_client::WhipClient};

/// Brings shows to providers by WHIP (RFC 9725).
///
/// The pictures are those of the broadcast's main programme, with slate and freeze, the sound is the studio's own Opus.
/// Nothing is coded here. Candidates are gathered before the offer; there is one, on the way to the WHIP endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub struct WhipOut;

#[async_trait]
impl Contribute for WhipOut {
    async fn carry(&self, order: ContributionOrder) -> Result<(), ProviderError> {
        let Contribution::Whip(whip) = &order.contribution else {
            return Err(ProviderError::Protocol(
                "a contribution that is not WHIP".to_owned(),
            ));
        };
        let url = Url::parse(whip.url.expose())
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| ProviderError::Protocol("its WHIP endpoint is no URL".to_owned()))?;
        let bearer = whip.bearer.as_ref();
        let token = bearer.map(|bearer| Secret::new(bearer.expose()));
        let client = WhipClient::new(token).map_err(|error| error::of_whip(&error, &[]))?;
        let secrets = error::secrets(&url, bearer);
        let session = Session {
            client,
            url,
            secrets,
            order,
        };
        session.run().await
    }
}

#[cfg(test)]
mod refusal_tests;
#[cfg(test)]
mod tests;
