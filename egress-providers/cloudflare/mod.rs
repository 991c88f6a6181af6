//! Cloudflare Stream: RTMPS in, up to fifty destinations that come and go while the show is on, and not a word about them.

mod inputs;
mod recent;
#[cfg(test)]
mod tests;
mod webhook;
mod wire;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use broadcast::{Provider, StreamKey};
use serde::{Deserialize, Serialize};
use url::Url;

use self::{inputs::LiveInputs, recent::Recent};
use crate::{
    Capabilities, ContributionKind, Hot, Meter,
    hosted::{
        ApiClient, ApiSettings, ApiSetupError, Authorization, BreakerState, Budget,
        ContributionState, EgressSpec, EgressStatus, Handle, HostedApi, HostedTarget, Owner,
        Prepared, ProviderError, Rate, Rates, Surroundings, TargetId, TargetState, TargetStatus,
        WebhookError, WebhookEvent, WebhookHeaders,
        outputs::{Outputs, Remembered, changes, print},
    },
};

/// The address of the real API.
pub const CLOUDFLARE_API: &str = "https://api.cloudflare.com/client/v4";

/// How often one account may be asked: 1200 requests in five minutes for all that it does, of which we take half.
pub const CLOUDFLARE_RATES: Rates = Rates {
    general: RATE,
    start: RATE,
};

const RATE: Rate = Rate {
    burst: 50,
    each: Duration::from_millis(500),
};

/// How long an output that was deleted, or whose live input was, may still be connected, as Cloudflare's guide to
/// simulcasting says.
const DISCONNECTS_WITHIN: Duration = Duration::from_secs(30);

/// The most destinations of one live input.
const OUTPUTS_LIMIT: usize = 50;

/// How many live inputs' troubles are remembered; those of one's own that are live at a time, and as many of others.
const TROUBLES_LIMIT: usize = 1024;

const CAPABILITIES: Capabilities = Capabilities {
    contribution: ContributionKind::Push,
    hot_add: Hot::Yes,
    hot_remove: Hot::Yes,
    destination_status: false,
    destination_pause: false,
    renditions: false,
    destinations_limit: OUTPUTS_LIMIT,
    longest_show: None,
    // As long again as a deleted output takes, for a live input that nobody sends to any more.
    forgets_after: Duration::from_mins(1),
    start_limit: Duration::from_secs(30),
    webhooks: true,
    // To send a show there is free; each minute at each destination counts as one delivered.
    meters: &[(Meter::Output, 0)],
};

/// What is needed to use Cloudflare Stream.
#[derive(Debug, Clone)]
pub struct CloudflareSettings {
    /// The API's address; [`CLOUDFLARE_API`] but in tests.
    pub base: Url,
    /// The account's id.
    pub account: String,
    /// A token with the permission Stream:Edit.
    pub token: StreamKey,
    /// What notifications are to bring as `cf-webhook-auth`; without one none is taken.
    pub webhook_secret: Option<StreamKey>,
    /// How often it may be asked, such as [`CLOUDFLARE_RATES`].
    pub budget: Arc<dyn Budget>,
    /// The process around.
    pub surroundings: Surroundings,
}

/// Cloudflare Stream.
///
/// A broadcast is one live input, found again by its name, and each destination one of its outputs. Shows are not recorded.
#[derive(Debug)]
pub struct Cloudflare {
    inputs: LiveInputs,
    webhook_secret: Option<StreamKey>,
    /// What notifications have told of live inputs, which no question brings to light.
    troubles: Recent<ProviderError>,
}

/// What a handle remembers.
#[derive(Debug, Serialize, Deserialize)]
struct Remote {
    /// The live input.
    input: String,
    #[serde(default)]
    outputs: Outputs,
}

impl Remote {
    fn read(handle: &Handle) -> Result<Self, ProviderError> {
        Self::deserialize(&handle.remote).map_err(|_| {
            ProviderError::Protocol("the handle is not one of Cloudflare's".to_owned())
        })
    }

    fn write(&self, handle: &mut Handle) {
        handle.remote = serde_json::json!(self);
    }
}

impl Cloudflare {
    /// Nothing is asked yet.
    pub fn new(settings: CloudflareSettings) -> Result<Self, ApiSetupError> {
        let CloudflareSettings {
            base,
            account,
            token,
            webhook_secret,
            budget,
            surroundings,
        } = settings;
        let client = ApiClient::new(ApiSettings {
            provider: Provider::Cloudflare,
            base,
            authorization: Authorization::Bearer(token),
            budget,
            refusals: wire::refusal,
            surroundings,
        })?;
        Ok(Self {
            inputs: LiveInputs::new(client, &account),
            webhook_secret,
            troubles: Recent::new(TROUBLES_LIMIT),
        })
    }

    /// Has a live input sent to these destinations and no others, while it is live or not.
    async fn settle(
        &self,
        handle: &mut Handle,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError> {
        if targets.len() > OUTPUTS_LIMIT {
            return Err(ProviderError::Invalid(format!(
                "a live input has at most {OUTPUTS_LIMIT} outputs"
            )));
        }
        let mut remote = Remote::read(handle)?;
        let there = self.inputs.outputs(&remote.input).await?;
        let changes = changes(&remote.input, &there, &remote.outputs, targets);
        remote.outputs = changes.keep;
        remote.write(handle);
        for uid in &changes.remove {
            self.inputs.remove_output(&remote.input, uid).await?;
        }
        for uid in &changes.enable {
            self.inputs.enable_output(&remote.input, uid).await?;
        }
        for target in &changes.create {
            let uid = self
                .inputs
                .add_output(&remote.input, &target.endpoint)
                .await?;
            let print = print(&remote.input, &target.endpoint);
            let remembered = Remembered { uid, print };
            remote
                .outputs
                .insert(target.id.as_str().to_owned(), remembered);
            remote.write(handle);
        }
        Ok(())
    }
}

#[async_trait]
impl HostedApi for Cloudflare {
    fn provider(&self) -> Provider {
        Provider::Cloudflare
    }

    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    fn lets_go_within(&self) -> Duration {
        DISCONNECTS_WITHIN
    }

    /// RTMP and RTMPS are taken, and there is nothing else that an endpoint can be.
    fn check(&self, _target: &HostedTarget) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn prepare(&self, spec: &EgressSpec) -> Result<Prepared, ProviderError> {
        let name = spec.owner.name_for(&spec.broadcast);
        let input = self.inputs.adopt_or_create(&name).await?;
        let contribution = input.contribution()?;
        self.troubles.forget(&input.uid);
        let remote = Remote {
            input: input.uid,
            outputs: Outputs::new(),
        };
        let handle = Handle::of(spec, serde_json::json!(remote));
        Ok(Prepared {
            handle,
            contribution,
        })
    }

    async fn start(
        &self,
        handle: &mut Handle,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError> {
        self.settle(handle, targets).await
    }

    async fn update(
        &self,
        handle: &mut Handle,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError> {
        self.settle(handle, targets).await
    }

    async fn status(&self, handle: &Handle) -> Result<EgressStatus, ProviderError> {
        let remote = Remote::read(handle)?;
        let input = self.inputs.get(&remote.input).await?;
        let (contribution, over) = input
            .status
            .as_ref()
            .map_or((ContributionState::Absent, None), wire::Status::read);
        let switched_off = (!input.enabled)
            .then(|| ProviderError::Forbidden("publish to a live input that is off".to_owned()));
        Ok(EgressStatus {
            contribution,
            targets: remote
                .outputs
                .keys()
                .map(|id| TargetStatus {
                    id: TargetId::known(id),
                    state: TargetState::Unknown,
                })
                .collect(),
            ended: switched_off
                .or(over)
                .or_else(|| self.troubles.get(&remote.input)),
        })
    }

    /// Deletes the live input, and all its outputs with it; within 30 s they are disconnected.
    async fn stop(&self, handle: &Handle) -> Result<(), ProviderError> {
        let remote = Remote::read(handle)?;
        self.inputs.delete(&remote.input).await?;
        self.troubles.forget(&remote.input);
        Ok(())
    }

    fn webhook(
        &self,
        headers: &WebhookHeaders,
        body: &[u8],
        now: SystemTime,
    ) -> Result<WebhookEvent, WebhookError> {
        let secret = self
            .webhook_secret
            .as_ref()
            .ok_or(WebhookError::NotConfigured)?;
        let (event, notice) = webhook::read(secret, headers, body, now)?;
        match notice {
            Some(webhook::Notice::Connected { input }) => self.troubles.forget(&input),
            Some(webhook::Notice::Errored { input, error }) => self.troubles.note(&input, error),
            None => {}
        }
        Ok(event)
    }

    fn matches(&self, handle: &Handle, subject: &str) -> bool {
        Remote::read(handle).is_ok_and(|remote| remote.input == subject)
    }

    /// Asks how full the account's storage is: with a full one no show begins.
    fn breaker(&self) -> BreakerState {
        self.inputs.breaker()
    }

    async fn health(&self) -> Result<(), ProviderError> {
        if self.inputs.storage().await?.is_full() {
            return Err(ProviderError::Quota("storage is full".to_owned()));
        }
        Ok(())
    }

    async fn owned(&self, owner: &Owner) -> Result<Vec<Handle>, ProviderError> {
        let listed = self.inputs.list().await?;
        let handles = listed.into_iter().filter_map(|listed| {
            let broadcast = owner.broadcast_named(listed.name()?)?;
            let remote = Remote {
                input: listed.uid,
                outputs: Outputs::new(),
            };
            Some(Handle {
                broadcast: broadcast.to_string(),
                owner: owner.to_string(),
                remote: serde_json::json!(remote),
            })
        });
        Ok(handles.collect())
    }
}
