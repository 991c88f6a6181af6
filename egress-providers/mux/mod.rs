//! Mux: RTMPS in, up to six destinations that can be changed only while nothing is live, each with its state.

mod streams;
#[cfg(test)]
mod tests;
mod webhook;
mod wire;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use broadcast::{Provider, StreamKey};
use serde::{Deserialize, Serialize};
use url::Url;

use self::{streams::LiveStreams, wire::LiveStream};
use crate::{
    Capabilities, ContributionKind, Hot, Meter,
    hosted::{
        ApiClient, ApiSettings, ApiSetupError, Authorization, BreakerState, Budget, EgressSpec,
        EgressStatus, Handle, HostedApi, HostedTarget, Owner, Prepared, ProviderError, Rate, Rates,
        Surroundings, TargetId, TargetState, TargetStatus, WebhookError, WebhookEvent,
        WebhookHeaders,
        outputs::{Changes, Output, Outputs, Remembered, changes, print},
    },
};

/// The address of the real API.
pub const MUX_API: &str = "https://api.mux.com";

/// Where Mux takes all shows; there are others for one region each.
pub const MUX_INGEST: &str = "rtmps://global-live.mux.com:443/app";

/// How often one account may be asked: about five questions and one change a second (unverified).
pub const MUX_RATES: Rates = Rates {
    general: Rate {
        burst: 20,
        each: Duration::from_millis(200),
    },
    start: Rate {
        burst: 5,
        each: Duration::from_secs(1),
    },
};

/// The most destinations of one live stream, as Mux's guide to simulcasting says.
const TARGETS_LIMIT: usize = 6;

/// How long Mux waits for a show that broke off; as long as a contribution is tried again.
const RECONNECT_WINDOW: Duration = Duration::from_mins(1);

/// The longest show, and Mux's own default.
const LONGEST_SHOW: Duration = Duration::from_hours(12);

const CAPABILITIES: Capabilities = Capabilities {
    contribution: ContributionKind::Push,
    hot_add: Hot::RestartRequired,
    hot_remove: Hot::RestartRequired,
    destination_status: true,
    destination_pause: false,
    renditions: false,
    destinations_limit: TARGETS_LIMIT,
    longest_show: Some(LONGEST_SHOW),
    // The reconnect window, and half as much again.
    forgets_after: Duration::from_secs(90),
    start_limit: Duration::from_secs(30),
    webhooks: true,
    meters: &[(Meter::Show, 1), (Meter::Output, 0)],
};

/// What is needed to use Mux.
#[derive(Debug, Clone)]
pub struct MuxSettings {
    /// The API's address; [`MUX_API`] but in tests.
    pub base: Url,
    /// Where shows are sent, without a key, such as [`MUX_INGEST`].
    pub ingest: String,
    /// The access token's id.
    pub token_id: String,
    /// The access token's secret.
    pub token_secret: StreamKey,
    /// What webhooks are signed with; without one none is taken.
    pub webhook_secret: Option<StreamKey>,
    /// Whether Mux keeps the recording that it makes of each show, which it bills for; else it is deleted with the show.
    pub keep_recordings: bool,
    /// How often it may be asked, such as [`MUX_RATES`].
    pub budget: Arc<dyn Budget>,
    /// The process around.
    pub surroundings: Surroundings,
}

/// Mux.
///
/// A broadcast is one live stream, found again by its `passthrough`, and each destination one of its simulcast targets.
#[derive(Debug)]
pub struct Mux {
    streams: LiveStreams,
    ingest: String,
    webhook_secret: Option<StreamKey>,
    keep_recordings: bool,
}

/// What a handle remembers.
#[derive(Debug, Serialize, Deserialize)]
struct Remote {
    /// The live stream.
    stream: String,
    #[serde(default)]
    targets: Outputs,
}

impl Remote {
    fn read(handle: &Handle) -> Result<Self, ProviderError> {
        Self::deserialize(&handle.remote)
            .map_err(|_| ProviderError::Protocol("the handle is not one of Mux's".to_owned()))
    }

    fn write(&self, handle: &mut Handle) {
        handle.remote = serde_json::json!(self);
    }
}

impl Mux {
    /// Nothing is asked yet.
    pub fn new(settings: MuxSettings) -> Result<Self, ApiSetupError> {
        let MuxSettings {
            base,
            ingest,
            token_id,
            token_secret,
            webhook_secret,
            keep_recordings,
            budget,
            surroundings,
        } = settings;
        let client = ApiClient::new(ApiSettings {
            provider: Provider::Mux,
            base,
            authorization: Authorization::Basic {
                user: token_id,
                password: token_secret,
            },
            budget,
            refusals: wire::refusal,
            surroundings,
        })?;
        Ok(Self {
            streams: LiveStreams::new(client),
            ingest,
            webhook_secret,
            keep_recordings,
        })
    }

    /// A new live stream with all its targets.
    async fn create(
        &self,
        name: &str,
        targets: &[HostedTarget],
    ) -> Result<(LiveStream, Outputs), ProviderError> {
        let stream = self.streams.create(name, targets).await?;
        // What was made is told in the answer; which is which by the name that it was given.
        let made = targets.iter().filter_map(|target| {
            let made = stream.target_named(target.id.as_str())?;
            let remembered = Remembered {
                uid: made.to_owned(),
                print: print(&stream.id, &target.endpoint),
            };
            Some((target.id.as_str().to_owned(), remembered))
        });
        let outputs: Outputs = made.collect();
        if outputs.len() < targets.len() {
            let missing = "the new live stream lacks simulcast targets".to_owned();
            return Err(ProviderError::Protocol(missing));
        }
        Ok((stream, outputs))
    }

    /// The live stream that was made for a broadcast before, if its targets are as wanted or can be made so.
    async fn adopt(
        &self,
        name: &str,
        targets: &[HostedTarget],
    ) -> Result<Option<(LiveStream, Outputs)>, ProviderError> {
        let mut adopted = None;
        for stream in self.streams.named(name).await? {
            let changes = changes(&stream.id, &outputs(&stream), &Outputs::new(), targets);
            let usable = !stream.is_disabled() && (changes.are_none() || stream.is_idle());
            if adopted.is_some() || !usable {
                // From an attempt whose answer was lost, or live with other targets, which cannot be changed now.
                self.streams.delete(&stream.id).await?;
                continue;
            }
            let mut remote = Remote {
                stream: stream.id.clone(),
                targets: Outputs::new(),
            };
            self.apply(&mut remote, changes).await?;
            adopted = Some((stream, remote.targets));
        }
        Ok(adopted)
    }

    /// Has a live stream sent to these destinations and no others, if it is idle.
    async fn settle(
        &self,
        handle: &mut Handle,
        wanted: &[HostedTarget],
    ) -> Result<(), ProviderError> {
        within_limit(wanted)?;
        let mut remote = Remote::read(handle)?;
        let stream = self.streams.get(&remote.stream).await?;
        let changes = changes(&stream.id, &outputs(&stream), &remote.targets, wanted);
        if changes.are_none() {
            remote.targets = changes.keep;
            remote.write(handle);
            return Ok(());
        }
        if !stream.is_idle() {
            return Err(ProviderError::RestartRequired);
        }
        let result = self.apply(&mut remote, changes).await;
        remote.write(handle);
        match result {
            // It has become live meanwhile; Mux refuses changes then by a status that also means other things.
            Err(
                ProviderError::Invalid(_)
                | ProviderError::Conflict(_)
                | ProviderError::Forbidden(_),
            ) if !self.streams.get(&remote.stream).await?.is_idle() => {
                Err(ProviderError::RestartRequired)
            }
            result => result,
        }
    }

    /// Makes changes one by one; `remote` has what is there, also when one fails.
    async fn apply(&self, remote: &mut Remote, changes: Changes) -> Result<(), ProviderError> {
        remote.targets = changes.keep;
        for uid in &changes.remove {
            self.streams.remove_target(&remote.stream, uid).await?;
        }
        for target in &changes.create {
            let uid = self.streams.add_target(&remote.stream, target).await?;
            let print = print(&remote.stream, &target.endpoint);
            let remembered = Remembered { uid, print };
            remote
                .targets
                .insert(target.id.as_str().to_owned(), remembered);
        }
        Ok(())
    }

    async fn delete_recordings(&self, recordings: Vec<String>) {
        for recording in recordings {
            if let Err(error) = self.streams.delete_recording(&recording).await {
                tracing::warn!(%recording, %error, "a recording stays at Mux");
            }
        }
    }
}

#[async_trait]
impl HostedApi for Mux {
    fn provider(&self) -> Provider {
        Provider::Mux
    }

    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    /// RTMP and RTMPS are taken, and there is nothing else that an endpoint can be.
    fn check(&self, _target: &HostedTarget) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn prepare(&self, spec: &EgressSpec) -> Result<Prepared, ProviderError> {
        within_limit(&spec.targets)?;
        let name = spec.owner.name_for(&spec.broadcast);
        let (stream, targets) = match self.adopt(&name, &spec.targets).await? {
            Some(adopted) => adopted,
            None => self.create(&name, &spec.targets).await?,
        };
        let contribution = stream.contribution(&self.ingest)?;
        let remote = Remote {
            stream: stream.id,
            targets,
        };
        let handle = Handle::of(spec, serde_json::json!(remote));
        Ok(Prepared {
            handle,
            contribution,
        })
    }

    /// The destinations were told when the show was prepared; the show may have gone live since, and then no others are
    /// taken.
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
        let stream = self.streams.get(&remote.stream).await?;
        let states: BTreeMap<&str, TargetState> = stream
            .simulcast_targets
            .iter()
            .map(|target| (target.id.as_str(), target.state()))
            .collect();
        let targets = remote
            .targets
            .iter()
            .map(|(id, known)| TargetStatus {
                id: TargetId::known(id),
                state: states
                    .get(known.uid.as_str())
                    .cloned()
                    .unwrap_or_else(|| TargetState::Failed("it was removed at Mux".to_owned())),
            })
            .collect();
        let ended = stream
            .is_disabled()
            .then(|| ProviderError::Forbidden("publish to a disabled live stream".to_owned()));
        Ok(EgressStatus {
            contribution: stream.contribution_state(),
            targets,
            ended,
        })
    }

    /// Deletes the live stream, which ends what is published to it at once, and then its recordings, as far as they are
    /// not kept.
    async fn stop(&self, handle: &Handle) -> Result<(), ProviderError> {
        let remote = Remote::read(handle)?;
        let recordings = if self.keep_recordings {
            Vec::new()
        } else {
            match self.streams.get(&remote.stream).await {
                Ok(stream) => stream.recordings(),
                Err(ProviderError::NotFound(_)) => return Ok(()),
                Err(error) => return Err(error),
            }
        };
        self.streams.delete(&remote.stream).await?;
        self.delete_recordings(recordings).await;
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
        webhook::read(secret, headers, body, now)
    }

    fn matches(&self, handle: &Handle, subject: &str) -> bool {
        Remote::read(handle).is_ok_and(|remote| {
            remote.stream == subject || remote.targets.values().any(|known| known.uid == subject)
        })
    }

    fn breaker(&self) -> BreakerState {
        self.streams.breaker()
    }

    async fn health(&self) -> Result<(), ProviderError> {
        self.streams.first().await
    }

    async fn owned(&self, owner: &Owner) -> Result<Vec<Handle>, ProviderError> {
        let streams = self.streams.all().await?;
        let handles = streams.into_iter().filter_map(|stream| {
            let broadcast = owner.broadcast_named(stream.passthrough.as_deref()?)?;
            let remote = Remote {
                stream: stream.id,
                targets: Outputs::new(),
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

fn within_limit(targets: &[HostedTarget]) -> Result<(), ProviderError> {
    if targets.len() > TARGETS_LIMIT {
        return Err(ProviderError::Invalid(format!(
            "a live stream has at most {TARGETS_LIMIT} simulcast targets"
        )));
    }
    Ok(())
}

fn outputs(stream: &LiveStream) -> Vec<Output> {
    stream
        .simulcast_targets
        .iter()
        .map(wire::Target::output)
        .collect()
}
