//! Requests about live streams, their simulcast targets and their recordings.

use super::{
    LONGEST_SHOW, RECONNECT_WINDOW,
    wire::{Envelope, LiveStream, NewAsset, NewStream, NewTarget, Target},
};
use crate::hosted::{
    ApiClient, BreakerState, Cost, HostedTarget, Operation, ProviderError, address::server_url,
};

/// How many live streams one answer tells; the most that Mux allows.
const PAGE_SIZE: usize = 100;

/// How many pages are looked through for the live stream of a broadcast.
///
/// Mux lists the newest first (unverified), so that one of an attempt just now is on the first page.
const ADOPTION_PAGES: usize = 3;

/// How many pages are looked through for what was left behind: 10,000 live streams, at five pages a second.
const ALL_PAGES: usize = 100;

const STREAM: &str = "live stream";
const TARGET: &str = "simulcast target";

/// The live streams of an account.
#[derive(Debug)]
pub(super) struct LiveStreams {
    client: ApiClient,
}

impl LiveStreams {
    pub(super) fn breaker(&self) -> BreakerState {
        self.client.breaker()
    }

    pub(super) const fn new(client: ApiClient) -> Self {
        Self { client }
    }

    /// Makes one with all its targets.
    ///
    /// It is not asked for twice: Mux has no key against doubles. One whose answer was lost is found by its name.
    pub(super) async fn create(
        &self,
        name: &str,
        targets: &[HostedTarget],
    ) -> Result<LiveStream, ProviderError> {
        let operation = Operation {
            idempotent: false,
            ..changing(
                "create_live_stream",
                "POST",
                "/video/v1/live-streams",
                STREAM,
            )
        };
        let servers: Vec<_> = targets
            .iter()
            .map(|target| server_url(&target.endpoint))
            .collect();
        let request = self.client.request(operation).json(&NewStream {
            // Nobody can watch without a token that nobody signs.
            playback_policies: ["signed"],
            new_asset_settings: NewAsset {
                playback_policies: ["signed"],
            },
            reconnect_window: RECONNECT_WINDOW.as_secs(),
            max_continuous_duration: LONGEST_SHOW.as_secs(),
            passthrough: name,
            simulcast_targets: targets
                .iter()
                .zip(&servers)
                .map(|(target, server)| new_target(target, server.expose()))
                .collect(),
        });
        Ok(request.send::<Envelope<LiveStream>>().await?.body.data)
    }

    /// Asks for one.
    pub(super) async fn get(&self, stream: &str) -> Result<LiveStream, ProviderError> {
        let path = format!("/video/v1/live-streams/{stream}");
        let request = self.client.request(reading("get_live_stream", &path));
        Ok(request.send::<Envelope<LiveStream>>().await?.body.data)
    }

    /// Deletes one, which ends what is published to it. One that is gone is no error.
    pub(super) async fn delete(&self, stream: &str) -> Result<(), ProviderError> {
        let path = format!("/video/v1/live-streams/{stream}");
        self.remove("delete_live_stream", &path, STREAM).await
    }

    /// Those of this name among the newest; more than one if answers were lost.
    pub(super) async fn named(&self, name: &str) -> Result<Vec<LiveStream>, ProviderError> {
        let mut streams = self.pages(ADOPTION_PAGES).await?;
        streams.retain(|stream| stream.passthrough.as_deref() == Some(name));
        Ok(streams)
    }

    /// All of the account, up to 10,000.
    pub(super) async fn all(&self) -> Result<Vec<LiveStream>, ProviderError> {
        self.pages(ALL_PAGES).await
    }

    /// Whether one may be asked for.
    pub(super) async fn first(&self) -> Result<(), ProviderError> {
        self.page(1, 1).await.map(|_| ())
    }

    /// Adds a target to an idle live stream; its id. It is not asked for twice, as with live streams.
    pub(super) async fn add_target(
        &self,
        stream: &str,
        target: &HostedTarget,
    ) -> Result<String, ProviderError> {
        let path = format!("/video/v1/live-streams/{stream}/simulcast-targets");
        let operation = Operation {
            idempotent: false,
            ..changing("create_simulcast_target", "POST", &path, STREAM)
        };
        let server = server_url(&target.endpoint);
        let request = self
            .client
            .request(operation)
            .json(&new_target(target, server.expose()));
        Ok(request.send::<Envelope<Target>>().await?.body.data.id)
    }

    /// Removes a target from an idle live stream. One that is gone is no error.
    pub(super) async fn remove_target(
        &self,
        stream: &str,
        target: &str,
    ) -> Result<(), ProviderError> {
        let path = format!("/video/v1/live-streams/{stream}/simulcast-targets/{target}");
        self.remove("delete_simulcast_target", &path, TARGET).await
    }

    /// Deletes what Mux has recorded of a show. One that is gone is no error.
    pub(super) async fn delete_recording(&self, asset: &str) -> Result<(), ProviderError> {
        let path = format!("/video/v1/assets/{asset}");
        self.remove("delete_asset", &path, "recording").await
    }

    async fn pages(&self, limit: usize) -> Result<Vec<LiveStream>, ProviderError> {
        let mut streams = Vec::new();
        for page in 1..=limit {
            let more = self.page(page, PAGE_SIZE).await?;
            let last = more.len() < PAGE_SIZE;
            streams.extend(more);
            if last {
                break;
            }
        }
        Ok(streams)
    }

    async fn page(&self, page: usize, size: usize) -> Result<Vec<LiveStream>, ProviderError> {
        let request = self
            .client
            .request(reading("list_live_streams", "/video/v1/live-streams"))
            .query("limit", &size.to_string())
            .query("page", &page.to_string());
        Ok(request.send::<Envelope<Vec<LiveStream>>>().await?.body.data)
    }

    async fn remove(
        &self,
        name: &'static str,
        path: &str,
        thing: &'static str,
    ) -> Result<(), ProviderError> {
        let operation = changing(name, "DELETE", path, thing);
        match self.client.request(operation).done().await {
            Ok(_) | Err(ProviderError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn new_target<'a>(target: &'a HostedTarget, server: &'a str) -> NewTarget<'a> {
    NewTarget {
        url: server,
        stream_key: target.endpoint.stream_key().expose(),
        passthrough: target.id.as_str(),
    }
}

const fn reading<'a>(name: &'static str, path: &'a str) -> Operation<'a> {
    Operation {
        name,
        method: "GET",
        path,
        idempotent: true,
        cost: Cost::General,
        thing: STREAM,
    }
}

/// Mux allows fewer changes than questions.
const fn changing<'a>(
    name: &'static str,
    method: &'static str,
    path: &'a str,
    thing: &'static str,
) -> Operation<'a> {
    Operation {
        name,
        method,
        path,
        idempotent: true,
        cost: Cost::Start,
        thing,
    }
}
