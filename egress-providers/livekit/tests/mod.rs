//! `LiveKit` against its fake.

mod destinations;
mod lifecycle;
mod trouble;

use std::{future::Future, sync::Arc, time::SystemTime};

use broadcast::{BroadcastId, DestinationId, Endpoint, LineName};
use fake_providers::{
    Action, FakeSettings, Faults, NoMedia, golden,
    livekit::{API_KEY, API_SECRET, FakeLivekit},
};

use super::*;
use crate::{
    Trust,
    hosted::{ApiLimits, ContributionState, Stage, TargetId, TargetState},
};

const ROOM: &str = "castgate-node1-show";

struct Bench {
    fake: FakeLivekit,
    faults: Faults,
    media: Arc<NoMedia>,
    livekit: Livekit,
}

impl Bench {
    async fn new() -> Self {
        Self::with(NoMedia::arriving()).await
    }

    async fn with(media: NoMedia) -> Self {
        let faults = Faults::none();
        let media = Arc::new(media);
        let fake = FakeLivekit::start(FakeSettings {
            faults: faults.clone(),
            media: Arc::clone(&media) as Arc<dyn fake_providers::Media>,
            ..FakeSettings::default()
        })
        .await
        .unwrap();
        let livekit = livekit(fake.base(), API_SECRET);
        Self {
            fake,
            faults,
            media,
            livekit,
        }
    }

    /// Prepared, started with these, and live.
    async fn live(targets: &[HostedTarget]) -> (Self, Handle) {
        let bench = Self::new().await;
        let mut handle = bench.prepare().await.handle;
        bench.livekit.start(&mut handle, targets).await.unwrap();
        for target in targets {
            bench.await_state(&handle, target, &TargetState::Live).await;
        }
        (bench, handle)
    }

    async fn prepare(&self) -> Prepared {
        self.livekit.prepare(&spec()).await.unwrap()
    }

    async fn state(&self, handle: &Handle, target: &HostedTarget) -> Option<TargetState> {
        let status = self.livekit.status(handle).await.unwrap();
        let mut targets = status.targets.into_iter();
        let found = targets.find(|status| status.id == target.id);
        found.map(|status| status.state)
    }

    async fn await_state(&self, handle: &Handle, target: &HostedTarget, wanted: &TargetState) {
        until(async || self.state(handle, target).await.as_ref() == Some(wanted)).await;
    }

    async fn addresses(&self) -> Vec<String> {
        self.fake.addresses(ROOM).await
    }

    fn count(&self, operation: &str) -> usize {
        self.fake.records().count(operation)
    }
}

fn livekit(base: &Url, secret: &str) -> Livekit {
    let settings = LivekitSettings {
        url: base.clone(),
        api_key: API_KEY.to_owned(),
        api_secret: StreamKey::new(secret),
        picture: Picture::default(),
    };
    let mut surroundings = Surroundings::new(Trust::with_roots([]));
    surroundings.limits = ApiLimits {
        answer: Duration::from_millis(300),
        patience: Duration::from_secs(1),
        pause: Duration::from_millis(2),
    };
    Livekit::new(settings, surroundings).unwrap()
}

fn owner() -> Owner {
    Owner::new("node1").unwrap()
}

fn spec() -> EgressSpec {
    EgressSpec {
        broadcast: BroadcastId::new("show").unwrap(),
        owner: owner(),
        targets: Vec::new(),
    }
}

fn target(name: &str, key: &str) -> HostedTarget {
    let destination = DestinationId::new(name).unwrap();
    HostedTarget {
        id: TargetId::new(&destination, LineName::Primary),
        endpoint: Endpoint::parse("rtmp://a.example/live", Some(key)).unwrap(),
    }
}

fn url(key: &str) -> String {
    format!("rtmp://a.example:1935/live/{key}")
}

async fn until<F: Future<Output = bool>>(mut reached: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while !reached().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "it never came to that"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
