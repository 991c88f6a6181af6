//! Livepeer Studio: a stream for each show, and a multistream target for each destination.
//!
//! Seen in its own source (`livepeer/studio`, `packages/api`) and in its SDKs. It says whether a show arrives; how targets
//! are it tells by webhook only, which is not used here.

use async_trait::async_trait;
use broadcast::StreamKey;
use serde::Deserialize;
use serde_json::json;

use super::{
    dialect::{self, Dialect, LISTED, gone_is_done, idempotent, mark, once, server},
    remote::{Placed, Remote},
};
use crate::{
    Capabilities,
    hosted::{
        ApiClient, BreakerState, ContributionState, EgressStatus, HostedTarget, ProviderError,
        TargetState,
    },
};

const CAPABILITIES: Capabilities = dialect::capabilities();

#[derive(Debug)]
pub(super) struct Livepeer {
    client: ApiClient,
    secret: Option<StreamKey>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stream {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(rename = "streamKey")]
    key: Option<String>,
    #[serde(default)]
    is_active: bool,
    #[serde(default)]
    suspended: bool,
    #[serde(default)]
    multistream: Multistream,
}

#[derive(Default, Deserialize)]
struct Multistream {
    #[serde(default)]
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    id: String,
}

impl Livepeer {
    pub(super) const fn new(client: ApiClient, secret: Option<StreamKey>) -> Self {
        Self { client, secret }
    }

    /// Those that are not single sessions of a stream, newest first.
    async fn streams(&self) -> Result<Vec<Stream>, ProviderError> {
        let operation = idempotent("list_streams", "GET", "/stream", "list");
        let request = self.client.request(operation).query("streamsonly", "1");
        let request = request.query("order", "createdAt-true");
        Ok(request.query("limit", LISTED).send().await?.body)
    }

    async fn stream(&self, id: &str) -> Result<Stream, ProviderError> {
        let url = format!("/stream/{id}");
        let operation = idempotent("get_stream", "GET", &url, "stream");
        Ok(self.client.request(operation).send().await?.body)
    }

    async fn add(&self, stream: &str, target: &HostedTarget) -> Result<String, ProviderError> {
        let url = format!("/stream/{stream}/create-multistream-target");
        let key = target.endpoint.stream_key().expose();
        let added = self
            .client
            .request(once("create_target", "POST", &url, "stream"))
            .json(&json!({
                "profile": "source",
                "spec": {
                    "name": format!("{stream}-{}", target.id),
                    "url": format!("{}/{key}", server(target)),
                },
            }))
            .send::<Target>()
            .await?;
        Ok(added.body.id)
    }

    /// Takes a target from a stream and removes it; it would stay in the account with its key otherwise.
    async fn remove(&self, stream: &str, target: &str) -> Result<(), ProviderError> {
        let url = format!("/stream/{stream}/multistream/{target}");
        let operation = idempotent("remove_target", "DELETE", &url, "target");
        gone_is_done(self.client.request(operation).done().await)?;
        let url = format!("/multistream/target/{target}");
        let operation = idempotent("delete_target", "DELETE", &url, "target");
        gone_is_done(self.client.request(operation).done().await)
    }

    async fn clear(&self, stream: &Stream) -> Result<(), ProviderError> {
        for target in &stream.multistream.targets {
            self.remove(&stream.id, &target.id).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Dialect for Livepeer {
    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    async fn prepare(
        &self,
        name: &str,
        _targets: &[HostedTarget],
    ) -> Result<(Remote, Option<StreamKey>), ProviderError> {
        let found = self
            .streams()
            .await?
            .into_iter()
            .find(|stream| stream.name == name);
        let stream = if let Some(found) = found {
            let stream = self.stream(&found.id).await?;
            self.clear(&stream).await?;
            stream
        } else {
            let operation = once("create_stream", "POST", "/stream", "stream");
            let request = self.client.request(operation);
            // Without profiles nothing is transcoded, which would be billed.
            let made = request.json(&json!({ "name": name, "profiles": [] }));
            made.send::<Stream>().await?.body
        };
        let key = stream
            .key
            .ok_or_else(|| ProviderError::Protocol("a stream without a stream key".to_owned()))?;
        Ok((Remote::new(name, stream.id), Some(StreamKey::new(key))))
    }

    async fn settle(
        &self,
        remote: &mut Remote,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError> {
        let wanted: Vec<_> = targets
            .iter()
            .map(|target| (target, mark(self.secret.as_ref(), target)))
            .collect();
        // What is there counts, not what is remembered: an answer may have been lost. First those that are not wanted any
        // more go, because the same key may be among the new ones.
        let present = self.stream(&remote.id).await?.multistream.targets;
        remote.targets.retain(|placed| {
            let is_same = |(target, mark): &(&HostedTarget, String)| {
                placed.is_of(target) && placed.mark == *mark
            };
            wanted.iter().any(is_same) && present.iter().any(|target| target.id == placed.id)
        });
        for target in present {
            if !remote.targets.iter().any(|placed| placed.id == target.id) {
                self.remove(&remote.id, &target.id).await?;
            }
        }
        for (target, mark) in wanted {
            if remote.targets.iter().any(|placed| placed.is_of(target)) {
                continue;
            }
            let id = self.add(&remote.id, target).await?;
            remote.targets.push(Placed::named(target, id, mark));
        }
        Ok(())
    }

    async fn status(&self, remote: &Remote) -> Result<EgressStatus, ProviderError> {
        let (stream, ended) = match self.stream(&remote.id).await {
            Ok(stream) if stream.suspended => {
                let words = "the stream is suspended at Livepeer".to_owned();
                (None, Some(ProviderError::Forbidden(words)))
            }
            Ok(stream) => (Some(stream), None),
            Err(error @ ProviderError::NotFound(_)) => (None, Some(error)),
            Err(error) => return Err(error),
        };
        let arrives = stream.is_some_and(|stream| stream.is_active);
        Ok(EgressStatus {
            contribution: if arrives {
                ContributionState::Arriving
            } else {
                ContributionState::Absent
            },
            targets: remote.all(&TargetState::Unknown),
            ended,
        })
    }

    async fn stop(&self, remote: &Remote) -> Result<(), ProviderError> {
        match self.stream(&remote.id).await {
            Ok(stream) => self.clear(&stream).await?,
            Err(ProviderError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        let url = format!("/stream/{}", remote.id);
        let operation = idempotent("delete_stream", "DELETE", &url, "stream");
        gone_is_done(self.client.request(operation).done().await)
    }

    fn breaker(&self) -> BreakerState {
        self.client.breaker()
    }

    async fn health(&self) -> Result<(), ProviderError> {
        let operation = idempotent("list_streams", "GET", "/stream", "list");
        let request = self.client.request(operation).query("limit", "1");
        request.done().await.map(drop)
    }

    async fn named(&self, prefix: &str) -> Result<Vec<Remote>, ProviderError> {
        let streams = self.streams().await?.into_iter();
        Ok(streams
            .filter(|stream| stream.name.starts_with(prefix))
            .map(|stream| Remote::new(stream.name, stream.id))
            .collect())
    }
}
