//! `MediaMTX`: a path of its configuration for each show, with a `forward` list that it follows while the show is on.
//!
//! Seen in its repository (`docs/2-features/11-forward.md`, `api/openapi.yaml`, `internal/forward`, August 2026). Its states do
//! not say whether a destination has taken the show: `forwarding` is said before the connection is tried, so that bytes
//! sent are what counts. `lastError` may hold the address with the key and is not shown.

use async_trait::async_trait;
use broadcast::StreamKey;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    dialect::{self, Dialect, LISTED, gone_is_done, idempotent, once, server},
    ingest::Ingest,
    remote::{Placed, Remote},
};
use crate::{
    Capabilities,
    hosted::{
        ApiClient, BreakerState, ContributionState, EgressStatus, HostedTarget, ProviderError,
        TargetState, TargetStatus,
    },
};

const CAPABILITIES: Capabilities = Capabilities {
    destination_status: true,
    // It hears nothing for `readTimeout`, 10 s by default, and then drops the publisher and all that it forwards.
    forgets_after: std::time::Duration::from_secs(20),
    start_limit: std::time::Duration::from_secs(20),
    ..dialect::capabilities()
};

#[derive(Debug)]
pub(super) struct MediaMtx {
    client: ApiClient,
    ingest: Ingest,
}

/// `GET /v3/paths/get`: older versions know only `ready`, which a path that is always available is at all times.
#[derive(Deserialize)]
struct Path {
    online: Option<bool>,
    available: Option<bool>,
    ready: Option<bool>,
}

#[derive(Deserialize)]
struct List<T> {
    #[serde(default = "Vec::new")]
    items: Vec<T>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Forward {
    #[serde(default)]
    pos: u64,
    state: String,
    #[serde(default, rename = "outboundBytes")]
    outbound_bytes: u64,
}

impl MediaMtx {
    pub(super) const fn new(client: ApiClient, ingest: Ingest) -> Self {
        Self { client, ingest }
    }

    async fn patch(&self, path: &str, forward: &[Value]) -> Result<(), ProviderError> {
        let url = format!("/v3/config/paths/patch/{path}");
        self.client
            .request(idempotent("patch_path", "PATCH", &url, "path"))
            .json(&json!({ "forward": forward }))
            .done()
            .await
            .map(drop)
    }

    async fn is_configured(&self, path: &str) -> Result<bool, ProviderError> {
        let url = format!("/v3/config/paths/get/{path}");
        let operation = idempotent("get_path_configuration", "GET", &url, "path");
        match self.client.request(operation).done().await {
            Ok(_) => Ok(true),
            Err(ProviderError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn contribution(&self, path: &str) -> Result<ContributionState, ProviderError> {
        let url = format!("/v3/paths/get/{path}");
        let operation = idempotent("get_path", "GET", &url, "path");
        let found = match self.client.request(operation).send::<Path>().await {
            Ok(answer) => answer.body,
            // A path whose configuration has just changed is not there for a moment.
            Err(ProviderError::NotFound(_)) if self.is_configured(path).await? => {
                return Ok(ContributionState::Absent);
            }
            Err(error) => return Err(error),
        };
        let there = found.online.or(found.available).or(found.ready);
        Ok(match there {
            Some(true) => ContributionState::Arriving,
            Some(false) => ContributionState::Absent,
            None => ContributionState::Unknown,
        })
    }

    /// What it forwards, in the order in which it was told.
    async fn forwards(&self, path: &str) -> Result<Vec<Forward>, ProviderError> {
        let operation = idempotent("list_forwards", "GET", "/v3/paths/forward/list", "path");
        let request = self.client.request(operation).query("path", path);
        let mut forwards = match request.query("itemsPerPage", LISTED).send().await {
            Ok(answer) => {
                let list: List<Forward> = answer.body;
                list.items
            }
            // The path is not there for a moment.
            Err(ProviderError::NotFound(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        forwards.sort_by_key(|forward| forward.pos);
        Ok(forwards)
    }
}

/// `rtmps://host:443/app#KEY`. What follows the `#` is decoded there, so that a `%` has to be written as `%25`.
fn destination(target: &HostedTarget) -> Value {
    let key = target.endpoint.stream_key().expose().replace('%', "%25");
    json!({ "dest": format!("{}#{key}", server(target)) })
}

fn state(forward: &Forward) -> TargetState {
    let has_sent = forward.outbound_bytes > 0;
    match (forward.state.as_str(), has_sent) {
        ("forwarding", true) => TargetState::Live,
        // It tries for as long as the show is there.
        ("error", true) => TargetState::Interrupted,
        ("error", false) => {
            TargetState::Failed("MediaMTX cannot send to it; its log says why".to_owned())
        }
        _ => TargetState::Connecting,
    }
}

#[async_trait]
impl Dialect for MediaMtx {
    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    async fn prepare(
        &self,
        name: &str,
        _targets: &[HostedTarget],
    ) -> Result<(Remote, Option<StreamKey>), ProviderError> {
        let path = self.ingest.path(name);
        let url = format!("/v3/config/paths/add/{path}");
        let added = self
            .client
            .request(once("add_path", "POST", &url, "path"))
            .json(&json!({ "source": "publisher", "overridePublisher": true, "forward": [] }))
            .done()
            .await;
        // What an earlier process left there goes nowhere any more.
        match added {
            Ok(_) => {}
            Err(ProviderError::Invalid(_)) if self.is_configured(&path).await? => {
                self.patch(&path, &[]).await?;
            }
            Err(error) => return Err(error),
        }
        Ok((Remote::new(name, path), None))
    }

    async fn settle(
        &self,
        remote: &mut Remote,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError> {
        let forward: Vec<_> = targets.iter().map(destination).collect();
        self.patch(&remote.id, &forward).await?;
        remote.targets = targets.iter().map(Placed::new).collect();
        Ok(())
    }

    async fn status(&self, remote: &Remote) -> Result<EgressStatus, ProviderError> {
        let contribution = match self.contribution(&remote.id).await {
            Ok(contribution) => contribution,
            Err(error @ ProviderError::NotFound(_)) => {
                return Ok(EgressStatus {
                    contribution: ContributionState::Absent,
                    targets: Vec::new(),
                    ended: Some(error),
                });
            }
            Err(error) => return Err(error),
        };
        let forwards = self.forwards(&remote.id).await?;
        // Right after a change it may still tell of the list before.
        let is_ours = forwards.len() == remote.targets.len();
        let mut states = forwards.iter().map(state);
        let targets: Vec<TargetStatus> = remote.each(|_| {
            let state = states.next().filter(|_| is_ours);
            state.unwrap_or(TargetState::Connecting)
        });
        Ok(EgressStatus {
            contribution,
            targets,
            ended: None,
        })
    }

    async fn stop(&self, remote: &Remote) -> Result<(), ProviderError> {
        let url = format!("/v3/config/paths/delete/{}", remote.id);
        let operation = idempotent("delete_path", "DELETE", &url, "path");
        gone_is_done(self.client.request(operation).done().await)
    }

    fn breaker(&self) -> BreakerState {
        self.client.breaker()
    }

    async fn health(&self) -> Result<(), ProviderError> {
        let operation = idempotent("list_paths", "GET", "/v3/paths/list", "list");
        let request = self.client.request(operation).query("itemsPerPage", "1");
        request.done().await.map(drop)
    }

    async fn named(&self, prefix: &str) -> Result<Vec<Remote>, ProviderError> {
        let operation = idempotent("list_paths", "GET", "/v3/config/paths/list", "list");
        let request = self.client.request(operation);
        let list: List<Named> = request.query("itemsPerPage", LISTED).send().await?.body;
        let folder = self.ingest.path("");
        Ok(list
            .items
            .into_iter()
            .filter_map(|path| {
                let name = path.name.strip_prefix(&folder)?;
                name.starts_with(prefix)
                    .then(|| Remote::new(name, path.name.clone()))
            })
            .collect())
    }
}
