//! What every hosted provider must do. Each is a folder beside this one; [`Hosted`](super::Hosted) drives it.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use broadcast::{BroadcastId, Endpoint, Provider, StreamKey};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{BreakerState, Owner, ProviderError, TargetId};
use crate::Capabilities;

/// A show that a provider is to carry.
#[derive(Debug, Clone)]
pub struct EgressSpec {
    /// Whose.
    pub broadcast: BroadcastId,
    /// Who asks.
    pub owner: Owner,
    /// Where it is to go, as far as that is known; providers that take destinations only while idle take these.
    pub targets: Vec<HostedTarget>,
}

/// A destination's connection as a provider is to make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedTarget {
    /// Its name.
    pub id: TargetId,
    /// Where to, and with which key.
    pub endpoint: Endpoint,
}

/// What a provider must be told to find again what it has made for a broadcast.
///
/// It is written down before the first media go there and holds no secret, neither a key of a destination nor the
/// provider's own: those are asked for again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle {
    /// Whose broadcast.
    pub broadcast: String,
    /// Who made it.
    pub owner: String,
    /// The provider's own names of things, as it likes them.
    pub remote: serde_json::Value,
}

impl Handle {
    /// Of what was made for a show.
    pub fn of(spec: &EgressSpec, remote: serde_json::Value) -> Self {
        Self {
            broadcast: spec.broadcast.to_string(),
            owner: spec.owner.to_string(),
            remote,
        }
    }
}

/// What [`HostedApi::prepare`] has made.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// To find it again.
    pub handle: Handle,
    /// How the show gets there.
    pub contribution: Contribution,
}

/// How a show gets to a provider, with the secrets for it.
#[derive(Debug, Clone)]
pub enum Contribution {
    /// By RTMP(S).
    Push(Endpoint),
    /// By WHIP.
    Whip(WhipOrder),
    /// By a process beside this one.
    Sidecar(SidecarOrder),
    /// Not through us: the studio goes there with this, which is shown to it and to nobody else.
    Direct {
        /// Where to.
        url: Url,
        /// Who it is.
        token: StreamKey,
    },
}

/// A WHIP session to be opened at a provider.
#[derive(Debug, Clone)]
pub struct WhipOrder {
    /// The WHIP endpoint; it may hold a key, so that only its host may be shown.
    pub url: StreamKey,
    /// The bearer token.
    pub bearer: Option<StreamKey>,
}

/// A Daily call to be joined by a sidecar.
#[derive(Debug, Clone)]
pub struct SidecarOrder {
    /// The room.
    pub room: Url,
    /// Who joins it.
    pub token: StreamKey,
}

/// What a provider says about the show's arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContributionState {
    /// It takes in the show.
    Arriving,
    /// It does not, or not yet.
    Absent,
    /// It does not say.
    Unknown,
}

/// How a destination is, as the provider says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetState {
    /// It is going to be connected.
    Connecting,
    /// It takes the show.
    Live,
    /// It was live, and the provider tries to bring it back.
    Interrupted,
    /// The provider has given it up; in words without secrets.
    Failed(String),
    /// The provider does not say.
    Unknown,
}

/// One destination's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetStatus {
    /// Which.
    pub id: TargetId,
    /// How it is.
    pub state: TargetState,
}

/// How a show is, as the provider says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressStatus {
    /// Whether it gets there.
    pub contribution: ContributionState,
    /// Those that the provider knows of, each once.
    pub targets: Vec<TargetStatus>,
    /// Why the provider has ended the whole of it, if it has.
    pub ended: Option<ProviderError>,
}

/// The headers of a webhook, names in lower case.
pub type WebhookHeaders = HashMap<String, String>;

/// What a verified webhook tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookEvent {
    /// Names the delivery, so that a repeated one is known.
    pub id: String,
    /// What happened, in the provider's word; for metrics: one of a bounded number.
    pub kind: String,
    /// Whose broadcast it is about: what [`HostedApi::matches`] is asked with. `None`: nobody's in particular.
    pub subject: Option<String>,
}

/// Why a webhook is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// No secret to verify it with is configured.
    #[error("no webhook secret is configured for this provider")]
    NotConfigured,
    /// The provider has none.
    #[error("this provider has no webhooks")]
    Unsupported,
    /// The signature is missing or wrong.
    #[error("the signature is missing or wrong")]
    Signature,
    /// It was signed more than five minutes ago, or ahead.
    #[error("the delivery is older than five minutes, or dated ahead")]
    Stale,
    /// What was signed makes no sense.
    #[error("the delivery makes no sense")]
    Malformed,
}

/// A provider's control plane. All methods may be repeated; a repeated one finds what the first has done.
#[async_trait]
pub trait HostedApi: Send + Sync + std::fmt::Debug + 'static {
    /// Which.
    fn provider(&self) -> Provider;

    /// What it can do.
    fn capabilities(&self) -> &Capabilities;

    /// How long it may still send to a destination whose removal, or the end of whose show, it has confirmed. Nobody else
    /// may publish there as long.
    fn lets_go_within(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether it is asked at the moment, or failed too often: that of its client.
    fn breaker(&self) -> BreakerState {
        BreakerState::Closed
    }

    /// Whether it would take a destination, without asking it.
    fn check(&self, target: &HostedTarget) -> Result<(), ProviderError>;

    /// Makes what is needed for a broadcast, or adopts what was made for it before. Nothing is sent anywhere yet.
    async fn prepare(&self, spec: &EgressSpec) -> Result<Prepared, ProviderError>;

    /// The show is on its way: has it sent to these destinations. Returns when that is accepted, which is not when it is
    /// live. What it made meanwhile is in `handle`, also when it fails.
    async fn start(
        &self,
        handle: &mut Handle,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError>;

    /// Has a started show sent to these destinations and no others.
    async fn update(
        &self,
        handle: &mut Handle,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError>;

    /// Makes a new way in, where the one of [`prepare`](Self::prepare) was good and is not taken any more: its token has
    /// expired. It changes nothing else. `None`: there is no other.
    async fn renew(&self, _handle: &Handle) -> Result<Option<Contribution>, ProviderError> {
        Ok(None)
    }

    /// Asks how it is.
    async fn status(&self, handle: &Handle) -> Result<EgressStatus, ProviderError>;

    /// Ends it, and removes what was made for it. What is gone already is no error.
    async fn stop(&self, handle: &Handle) -> Result<(), ProviderError>;

    /// Verifies a webhook and reads it; `now` bounds its age.
    fn webhook(
        &self,
        headers: &WebhookHeaders,
        body: &[u8],
        now: SystemTime,
    ) -> Result<WebhookEvent, WebhookError>;

    /// Whether a webhook's subject is this show.
    fn matches(&self, handle: &Handle, subject: &str) -> bool;

    /// Whether it can be used: an answer to a cheap question with our credentials.
    async fn health(&self) -> Result<(), ProviderError>;

    /// Finds what was made for an owner, whoever remembers it.
    async fn owned(&self, owner: &Owner) -> Result<Vec<Handle>, ProviderError>;
}
