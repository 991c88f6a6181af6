//! `OvenMediaEngine`: a push for each destination, which waits until the stream of its name is published.
//!
//! Seen in its documentation (`docs/rest-api/v1/virtualhost/application/push.md`). Streams are not made beforehand, so that a
//! prepared show leaves nothing there.

use async_trait::async_trait;
use broadcast::StreamKey;
use serde::Deserialize;
use serde_json::json;

use super::{
    dialect::{self, Dialect, gone_is_done, idempotent, mark, once, server},
    remote::{Placed, Remote},
};
use crate::{
    Capabilities,
    hosted::{
        ApiClient, BreakerState, ContributionState, EgressStatus, HostedTarget, ProviderError,
        TargetState,
    },
};

const CAPABILITIES: Capabilities = Capabilities {
    destination_status: true,
    ..dialect::capabilities()
};

#[derive(Debug)]
pub(super) struct Oven {
    client: ApiClient,
    secret: Option<StreamKey>,
}

/// Answers have the list in `response`; when there is none, they have no `response`, or no body at all.
#[derive(Deserialize)]
struct Pushes {
    #[serde(default)]
    response: Vec<Push>,
}

#[derive(Deserialize)]
struct Push {
    id: String,
    #[serde(default)]
    state: String,
    #[serde(default, rename = "totalsentBytes")]
    total_sent_bytes: u64,
    #[serde(default, rename = "sentBytes")]
    sent_bytes: u64,
}

impl Push {
    /// The name of the stream, of `STREAM.TARGET.MARK`: it has no full stop.
    fn stream(&self) -> &str {
        self.id.split('.').next().unwrap_or_default()
    }

    fn state(&self) -> TargetState {
        let has_sent = self.sent_bytes > 0 || self.total_sent_bytes > 0;
        match (self.state.to_ascii_lowercase().as_str(), has_sent) {
            ("pushing" | "started", true) => TargetState::Live,
            ("error" | "stopping" | "stopped", true) => TargetState::Interrupted,
            ("error" | "stopping" | "stopped", false) => TargetState::Failed(
                "OvenMediaEngine cannot send to it; its log says why".to_owned(),
            ),
            _ => TargetState::Connecting,
        }
    }
}

impl Oven {
    pub(super) const fn new(client: ApiClient, secret: Option<StreamKey>) -> Self {
        Self { client, secret }
    }

    async fn pushes(&self) -> Result<Vec<Push>, ProviderError> {
        let operation = idempotent("list_pushes", "POST", ":pushes", "application");
        let request = self.client.request(operation).json(&json!({}));
        let pushes: Option<Pushes> = request.send().await?.body;
        Ok(pushes.map(|pushes| pushes.response).unwrap_or_default())
    }

    async fn stop_push(&self, id: &str) -> Result<(), ProviderError> {
        let operation = idempotent("stop_push", "POST", ":stopPush", "push");
        let request = self.client.request(operation).json(&json!({ "id": id }));
        gone_is_done(request.done().await)
    }

    async fn start_push(
        &self,
        stream: &str,
        id: &str,
        target: &HostedTarget,
    ) -> Result<(), ProviderError> {
        let operation = once("start_push", "POST", ":startPush", "application");
        let started = self
            .client
            .request(operation)
            .json(&json!({
                "id": id,
                "stream": { "name": stream },
                "protocol": "rtmp",
                "url": server(target),
                "streamKey": target.endpoint.stream_key().expose(),
            }))
            .done()
            .await;
        match started {
            Ok(_) => Ok(()),
            // The one that an attempt without an answer has made; the id holds a mark of address and key.
            Err(ProviderError::Invalid(_) | ProviderError::Conflict(_))
                if self.pushes().await?.iter().any(|push| push.id == id) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Stops all pushes of a stream, whoever started them.
    async fn clear(&self, stream: &str) -> Result<(), ProviderError> {
        for push in self.pushes().await? {
            if push.stream() == stream {
                self.stop_push(&push.id).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Dialect for Oven {
    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    async fn prepare(
        &self,
        name: &str,
        _targets: &[HostedTarget],
    ) -> Result<(Remote, Option<StreamKey>), ProviderError> {
        self.clear(name).await?;
        Ok((Remote::new(name, name), None))
    }

    async fn settle(
        &self,
        remote: &mut Remote,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError> {
        let wanted: Vec<_> = targets
            .iter()
            .map(|target| {
                let mark = mark(self.secret.as_ref(), target);
                let id = format!("{}.{}.{mark}", remote.id, target.id);
                (target, id)
            })
            .collect();
        // What is there counts, not what is remembered: an answer may have been lost. First those that are not wanted any
        // more go, because the same key may be among the new ones.
        let mut present = self.pushes().await?;
        present.retain(|push| push.stream() == remote.id);
        remote.targets.clear();
        for push in &present {
            if !wanted.iter().any(|(_, id)| *id == push.id) {
                self.stop_push(&push.id).await?;
            }
        }
        for (target, id) in wanted {
            if !present.iter().any(|push| push.id == id) {
                self.start_push(&remote.id, &id, target).await?;
            }
            remote
                .targets
                .push(Placed::named(target, id, String::new()));
        }
        Ok(())
    }

    async fn status(&self, remote: &Remote) -> Result<EgressStatus, ProviderError> {
        let url = format!("/streams/{}", remote.id);
        let operation = idempotent("get_stream", "GET", &url, "stream");
        let contribution = match self.client.request(operation).done().await {
            Ok(_) => ContributionState::Arriving,
            Err(ProviderError::NotFound(_)) => ContributionState::Absent,
            Err(error) => return Err(error),
        };
        let pushes = self.pushes().await?;
        let targets = remote.each(|placed| {
            pushes.iter().find(|push| push.id == placed.id).map_or_else(
                || TargetState::Failed("OvenMediaEngine has forgotten it".to_owned()),
                Push::state,
            )
        });
        Ok(EgressStatus {
            contribution,
            targets,
            ended: None,
        })
    }

    async fn stop(&self, remote: &Remote) -> Result<(), ProviderError> {
        self.clear(&remote.id).await
    }

    fn breaker(&self) -> BreakerState {
        self.client.breaker()
    }

    async fn health(&self) -> Result<(), ProviderError> {
        self.pushes().await.map(drop)
    }

    async fn named(&self, prefix: &str) -> Result<Vec<Remote>, ProviderError> {
        let mut names: Vec<_> = self
            .pushes()
            .await?
            .iter()
            .map(|push| push.stream().to_owned())
            .filter(|stream| stream.starts_with(prefix))
            .collect();
        names.sort_unstable();
        names.dedup();
        Ok(names
            .into_iter()
            .map(|name| Remote::new(name.clone(), name))
            .collect())
    }
}
