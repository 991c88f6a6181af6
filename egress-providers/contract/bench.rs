//! Every hosted provider with its fake, ready for the suites.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use broadcast::StreamKey;
use fake_providers::{
    Delivery, FakeSettings, Faults, NoMedia,
    cloudflare::{CloudflareQuirks, FakeCloudflare},
    daily::{DailyQuirks, FakeDaily},
    livekit::{API_KEY, API_SECRET, FakeLivekit},
    mux::{FakeMux, MuxQuirks},
    restream::{FakeApiVideo, FakeLivepeer, FakeMediaMtx, FakeOven, TOKEN},
};
use url::Url;

use crate::{
    Trust,
    cloudflare::{Cloudflare, CloudflareSettings},
    daily::{Daily, DailyContribution, DailySettings, DailyTokens},
    hosted::{ApiLimits, HostedApi, LocalBudget, Rate, Rates, Surroundings},
    livekit::{Livekit, LivekitSettings, Picture},
    mux::{Mux, MuxSettings},
    restream::{Restream, RestreamKind, RestreamSettings},
};

/// A fake, and clients of ours for it.
#[async_trait]
pub(super) trait Remote: Send + Sync {
    /// A client, as another process would have it.
    fn client(&self) -> Arc<dyn HostedApi>;

    /// What is left there of all shows.
    async fn left(&self) -> Vec<String>;

    /// The webhooks so far.
    fn webhooks(&self) -> Vec<Delivery>;

    /// What nobody may be shown.
    fn secrets(&self) -> Vec<String>;
}

/// What a suite is played on.
pub(super) struct Bench {
    pub(super) remote: Box<dyn Remote>,
    pub(super) faults: Faults,
}

impl Bench {
    async fn with<R, F>(start: impl FnOnce(FakeSettings) -> F) -> Self
    where
        R: Remote + 'static,
        F: Future<Output = R>,
    {
        let faults = Faults::none();
        let settings = FakeSettings {
            faults: faults.clone(),
            media: Arc::new(NoMedia::arriving()),
            ..FakeSettings::default()
        };
        Self {
            remote: Box::new(start(settings).await),
            faults,
        }
    }

    pub(super) async fn livekit() -> Self {
        Self::with(|settings| async { FakeLivekit::start(settings).await.unwrap() }).await
    }

    pub(super) async fn cloudflare() -> Self {
        let quirks = CloudflareQuirks::default();
        Self::with(
            |settings| async move { FakeCloudflare::start(&settings, quirks).await.unwrap() },
        )
        .await
    }

    pub(super) async fn mux() -> Self {
        let quirks = MuxQuirks::default();
        Self::with(|settings| async move { FakeMux::start(&settings, quirks).await.unwrap() }).await
    }

    pub(super) async fn daily() -> Self {
        let quirks = DailyQuirks::default();
        Self::with(|settings| async move { FakeDaily::start(&settings, quirks).await.unwrap() })
            .await
    }

    pub(super) async fn media_mtx() -> Self {
        Self::with(|settings| async { FakeMediaMtx::start(settings).await.unwrap() }).await
    }

    pub(super) async fn oven() -> Self {
        Self::with(|settings| async { FakeOven::start(settings).await.unwrap() }).await
    }

    pub(super) async fn livepeer() -> Self {
        Self::with(|settings| async { FakeLivepeer::start(settings).await.unwrap() }).await
    }

    pub(super) async fn api_video() -> Self {
        Self::with(|settings| async { FakeApiVideo::start(settings).await.unwrap() }).await
    }
}

fn surroundings() -> Surroundings {
    Surroundings {
        limits: ApiLimits {
            answer: Duration::from_millis(400),
            patience: Duration::from_secs(1),
            pause: Duration::from_millis(2),
        },
        ..Surroundings::new(Trust::with_roots([]))
    }
}

fn budget() -> Arc<LocalBudget> {
    let plenty = Rate {
        burst: 1000,
        each: Duration::from_millis(1),
    };
    Arc::new(LocalBudget::new(Rates {
        general: plenty,
        start: plenty,
    }))
}

#[async_trait]
impl Remote for FakeLivekit {
    fn client(&self) -> Arc<dyn HostedApi> {
        let settings = LivekitSettings {
            url: self.base().clone(),
            api_key: API_KEY.to_owned(),
            api_secret: StreamKey::new(API_SECRET),
            picture: Picture::default(),
        };
        Arc::new(Livekit::new(settings, surroundings()).unwrap())
    }

    async fn left(&self) -> Vec<String> {
        let egresses = self.active_egresses().await;
        let mut left = self.rooms().await;
        left.extend((0..egresses).map(|number| format!("egress {number}")));
        left
    }

    fn webhooks(&self) -> Vec<Delivery> {
        Self::webhooks(self).sent()
    }

    fn secrets(&self) -> Vec<String> {
        vec![API_SECRET.to_owned()]
    }
}

#[async_trait]
impl Remote for FakeCloudflare {
    fn client(&self) -> Arc<dyn HostedApi> {
        let settings = CloudflareSettings {
            base: self.base(),
            account: Self::ACCOUNT.to_owned(),
            token: StreamKey::new(Self::TOKEN),
            webhook_secret: Some(StreamKey::new(Self::WEBHOOK_SECRET)),
            budget: budget(),
            surroundings: surroundings(),
        };
        Arc::new(Cloudflare::new(settings).unwrap())
    }

    async fn left(&self) -> Vec<String> {
        self.inputs().into_iter().map(|input| input.name).collect()
    }

    fn webhooks(&self) -> Vec<Delivery> {
        Self::webhooks(self)
    }

    fn secrets(&self) -> Vec<String> {
        let keys = self.inputs().into_iter().map(|input| input.key);
        keys.chain([Self::TOKEN.to_owned(), Self::WEBHOOK_SECRET.to_owned()])
            .collect()
    }
}

#[async_trait]
impl Remote for FakeMux {
    fn client(&self) -> Arc<dyn HostedApi> {
        let settings = MuxSettings {
            base: self.base().clone(),
            ingest: "rtmps://live.example/app".to_owned(),
            token_id: Self::TOKEN_ID.to_owned(),
            token_secret: StreamKey::new(Self::TOKEN_SECRET),
            webhook_secret: Some(StreamKey::new(Self::WEBHOOK_SECRET)),
            keep_recordings: false,
            budget: budget(),
            surroundings: surroundings(),
        };
        Arc::new(Mux::new(settings).unwrap())
    }

    async fn left(&self) -> Vec<String> {
        let streams = self.streams().into_iter();
        streams.map(|stream| stream.passthrough).collect()
    }

    fn webhooks(&self) -> Vec<Delivery> {
        Self::webhooks(self)
    }

    fn secrets(&self) -> Vec<String> {
        let keys = self.streams().into_iter().map(|stream| stream.key);
        keys.chain([
            Self::TOKEN_SECRET.to_owned(),
            Self::WEBHOOK_SECRET.to_owned(),
        ])
        .collect()
    }
}

#[async_trait]
impl Remote for FakeDaily {
    fn client(&self) -> Arc<dyn HostedApi> {
        let settings = DailySettings {
            base: self.base().clone(),
            api_key: StreamKey::new(Self::API_KEY),
            contribution: DailyContribution::Sidecar,
            tokens: DailyTokens::Signed,
            webhook_secret: Some(StreamKey::new(Self::WEBHOOK_SECRET)),
            budget: budget(),
            clock: SystemTime::now,
            surroundings: surroundings(),
        };
        Arc::new(Daily::new(settings).unwrap())
    }

    async fn left(&self) -> Vec<String> {
        self.rooms().into_iter().map(|room| room.name).collect()
    }

    fn webhooks(&self) -> Vec<Delivery> {
        Self::webhooks(self)
    }

    fn secrets(&self) -> Vec<String> {
        vec![Self::API_KEY.to_owned(), Self::WEBHOOK_SECRET.to_owned()]
    }
}

fn restream(kind: RestreamKind, base: Url, token: String) -> Arc<dyn HostedApi> {
    let settings = RestreamSettings {
        kind,
        api: Some(base),
        token: Some(StreamKey::new(token)),
        ingest: Some(StreamKey::new("rtmp://127.0.0.1:9/live?user=u&pass=p")),
        budget: budget(),
        surroundings: surroundings(),
    };
    Arc::new(Restream::new(settings).unwrap())
}

#[async_trait]
impl Remote for FakeMediaMtx {
    fn client(&self) -> Arc<dyn HostedApi> {
        let token = format!("castgate:{TOKEN}");
        restream(RestreamKind::MediaMtx, self.base().clone(), token)
    }

    async fn left(&self) -> Vec<String> {
        self.paths().into_keys().collect()
    }

    fn webhooks(&self) -> Vec<Delivery> {
        Vec::new()
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned()]
    }
}

#[async_trait]
impl Remote for FakeOven {
    fn client(&self) -> Arc<dyn HostedApi> {
        restream(RestreamKind::OvenMediaEngine, self.base(), TOKEN.to_owned())
    }

    async fn left(&self) -> Vec<String> {
        self.pushed()
    }

    fn webhooks(&self) -> Vec<Delivery> {
        Vec::new()
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned()]
    }
}

#[async_trait]
impl Remote for FakeLivepeer {
    fn client(&self) -> Arc<dyn HostedApi> {
        restream(RestreamKind::Livepeer, self.base(), TOKEN.to_owned())
    }

    async fn left(&self) -> Vec<String> {
        [self.streams(), self.targets()].concat()
    }

    fn webhooks(&self) -> Vec<Delivery> {
        Vec::new()
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned()]
    }
}

#[async_trait]
impl Remote for FakeApiVideo {
    fn client(&self) -> Arc<dyn HostedApi> {
        let base = self.base().clone();
        restream(RestreamKind::ApiVideo, base, TOKEN.to_owned())
    }

    async fn left(&self) -> Vec<String> {
        self.streams()
    }

    fn webhooks(&self) -> Vec<Delivery> {
        Vec::new()
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned()]
    }
}
