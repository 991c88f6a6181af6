//! api.video: a live stream for each show, with at most five `restreams`, which are given as a whole.
//!
//! Seen in its clients (`api.video-*-client`, `LiveStreamUpdatePayload`) and at docs.api.video/live-streaming/restreams. Whether
//! it follows a changed list while a show is on is not documented, so that lists are changed only before.

use async_trait::async_trait;
use broadcast::StreamKey;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    dialect::{self, Dialect, gone_is_done, idempotent, once, server},
    remote::{Placed, Remote},
};
use crate::{
    Capabilities, Hot,
    hosted::{
        ApiClient, BreakerState, ContributionState, EgressStatus, HostedTarget, ProviderError,
        TargetState,
    },
};

/// The most restreams of a live stream, as documented.
const RESTREAMS_LIMIT: usize = 5;

/// The most that it lists at once, as documented; one owner's shows are fewer.
const PAGE: &str = "100";

const CAPABILITIES: Capabilities = Capabilities {
    hot_add: Hot::RestartRequired,
    hot_remove: Hot::RestartRequired,
    destinations_limit: RESTREAMS_LIMIT,
    ..dialect::capabilities()
};

#[derive(Debug)]
pub(super) struct ApiVideo {
    client: ApiClient,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LiveStream {
    #[serde(rename = "liveStreamId")]
    id: String,
    #[serde(default)]
    name: String,
    stream_key: Option<String>,
    #[serde(default)]
    broadcasting: bool,
    #[serde(default)]
    restreams: Vec<Restream>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    data: Vec<LiveStream>,
}

#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Restream {
    name: String,
    server_url: String,
    stream_key: String,
}

fn restreams(targets: &[HostedTarget]) -> Vec<Restream> {
    targets
        .iter()
        .map(|target| Restream {
            name: target.id.to_string(),
            server_url: server(target),
            stream_key: target.endpoint.stream_key().expose().to_owned(),
        })
        .collect()
}

impl ApiVideo {
    pub(super) const fn new(client: ApiClient) -> Self {
        Self { client }
    }

    /// Those whose names hold `text`.
    async fn streams(&self, text: &str) -> Result<Vec<LiveStream>, ProviderError> {
        let operation = idempotent("list_streams", "GET", "/live-streams", "list");
        let request = self.client.request(operation).query("name", text);
        let page: Page = request.query("pageSize", PAGE).send().await?.body;
        Ok(page.data)
    }

    async fn stream(&self, id: &str) -> Result<LiveStream, ProviderError> {
        let url = format!("/live-streams/{id}");
        let operation = idempotent("get_stream", "GET", &url, "live stream");
        Ok(self.client.request(operation).send().await?.body)
    }

    async fn patch(&self, id: &str, restreams: &[Restream]) -> Result<(), ProviderError> {
        let url = format!("/live-streams/{id}");
        let operation = idempotent("update_stream", "PATCH", &url, "live stream");
        let request = self.client.request(operation);
        let request = request.json(&json!({ "restreams": restreams }));
        request.done().await.map(drop)
    }
}

#[async_trait]
impl Dialect for ApiVideo {
    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    async fn prepare(
        &self,
        name: &str,
        targets: &[HostedTarget],
    ) -> Result<(Remote, Option<StreamKey>), ProviderError> {
        let wanted = restreams(targets);
        let found = self
            .streams(name)
            .await?
            .into_iter()
            .find(|stream| stream.name == name);
        let stream = if let Some(stream) = found {
            if stream.restreams != wanted {
                self.patch(&stream.id, &wanted).await?;
            }
            stream
        } else {
            let operation = once("create_stream", "POST", "/live-streams", "live stream");
            let request = self.client.request(operation);
            let made = request.json(&json!({ "name": name, "restreams": wanted }));
            made.send::<LiveStream>().await?.body
        };
        let key = stream.stream_key.ok_or_else(|| {
            ProviderError::Protocol("a live stream without a stream key".to_owned())
        })?;
        let mut remote = Remote::new(name, stream.id);
        remote.targets = targets.iter().map(Placed::new).collect();
        Ok((remote, Some(StreamKey::new(key))))
    }

    async fn settle(
        &self,
        remote: &mut Remote,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError> {
        let (stream, wanted) = (self.stream(&remote.id).await?, restreams(targets));
        if stream.restreams != wanted {
            if stream.broadcasting {
                return Err(ProviderError::RestartRequired);
            }
            self.patch(&remote.id, &wanted).await?;
        }
        remote.targets = targets.iter().map(Placed::new).collect();
        Ok(())
    }

    async fn status(&self, remote: &Remote) -> Result<EgressStatus, ProviderError> {
        let (arrives, ended) = match self.stream(&remote.id).await {
            Ok(stream) => (stream.broadcasting, None),
            Err(error @ ProviderError::NotFound(_)) => (false, Some(error)),
            Err(error) => return Err(error),
        };
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
        let url = format!("/live-streams/{}", remote.id);
        let operation = idempotent("delete_stream", "DELETE", &url, "live stream");
        gone_is_done(self.client.request(operation).done().await)
    }

    fn breaker(&self) -> BreakerState {
        self.client.breaker()
    }

    async fn health(&self) -> Result<(), ProviderError> {
        let operation = idempotent("list_streams", "GET", "/live-streams", "list");
        let request = self.client.request(operation).query("pageSize", "1");
        request.done().await.map(drop)
    }

    async fn named(&self, prefix: &str) -> Result<Vec<Remote>, ProviderError> {
        let streams = self.streams(prefix).await?.into_iter();
        Ok(streams
            .filter(|stream| stream.name.starts_with(prefix))
            .map(|stream| Remote::new(stream.name, stream.id))
            .collect())
    }
}
