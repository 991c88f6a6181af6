//! Against the fake: that live inputs and outputs are what is wanted, whatever the provider does.

mod inputs;
mod outputs;
mod status;

use std::time::{Duration, UNIX_EPOCH};

use broadcast::{BroadcastId, Endpoint};
use fake_providers::{
    Action, FakeSettings, Faults, NoMedia,
    cloudflare::{CloudflareQuirks, FakeCloudflare, StatusShape},
    golden,
};

use super::*;
use crate::{
    Trust,
    hosted::{ApiLimits, Contribution, LocalBudget},
};

const PLENTY: Rate = Rate {
    burst: 1000,
    each: Duration::from_millis(1),
};

struct Bench {
    fake: FakeCloudflare,
    faults: Faults,
    media: Arc<NoMedia>,
    cloudflare: Cloudflare,
}

impl Bench {
    async fn new() -> Self {
        Self::with(CloudflareQuirks::default()).await
    }

    async fn with(quirks: CloudflareQuirks) -> Self {
        let faults = Faults::none();
        let media = Arc::new(NoMedia::silent());
        let settings = FakeSettings {
            faults: faults.clone(),
            media: Arc::clone(&media) as _,
            ..FakeSettings::default()
        };
        let fake = FakeCloudflare::start(&settings, quirks).await.unwrap();
        let cloudflare = Cloudflare::new(settings_for(&fake)).unwrap();
        Self {
            fake,
            faults,
            media,
            cloudflare,
        }
    }

    async fn prepare(&self) -> Handle {
        self.cloudflare.prepare(&spec()).await.unwrap().handle
    }

    /// The keys of the outputs that are on.
    fn keys(&self) -> Vec<String> {
        let mut keys: Vec<_> = self
            .fake
            .inputs()
            .into_iter()
            .flat_map(|input| input.outputs)
            .map(|(_, key)| key)
            .collect();
        keys.sort();
        keys
    }

    /// The operations that were asked for, in order.
    fn asked(&self) -> Vec<String> {
        let records = self.fake.records().all().into_iter();
        records.map(|recorded| recorded.operation).collect()
    }
}

fn settings_for(fake: &FakeCloudflare) -> CloudflareSettings {
    let mut surroundings = Surroundings::new(Trust::with_roots([]));
    surroundings.limits = ApiLimits {
        pause: Duration::from_millis(5),
        ..ApiLimits::default()
    };
    CloudflareSettings {
        base: fake.base(),
        account: FakeCloudflare::ACCOUNT.to_owned(),
        token: StreamKey::new(FakeCloudflare::TOKEN),
        webhook_secret: Some(StreamKey::new(FakeCloudflare::WEBHOOK_SECRET)),
        budget: Arc::new(LocalBudget::new(Rates {
            general: PLENTY,
            start: PLENTY,
        })),
        surroundings,
    }
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

fn target(id: &str, key: &str) -> HostedTarget {
    HostedTarget {
        id: TargetId::known(id),
        endpoint: Endpoint::parse("rtmps://a.example/live2", Some(key)).unwrap(),
    }
}

fn first() -> HostedTarget {
    target("first", "canary-key-1")
}

fn second() -> HostedTarget {
    target("second", "canary-key-2")
}
