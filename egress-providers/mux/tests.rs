//! Against the fake: that live streams and targets are what is wanted, as far as Mux lets them be.

mod streams;
mod targets;

use std::{collections::BTreeMap, time::Duration};

use broadcast::{BroadcastId, Endpoint};
use fake_providers::{
    Action, FakeSettings, Faults, NoMedia, golden,
    mux::{FakeMux, FakeStream, MuxQuirks},
};

use super::*;
use crate::{
    Trust,
    hosted::{ApiLimits, Contribution, ContributionState, LocalBudget},
};

const PLENTY: Rate = Rate {
    burst: 1000,
    each: Duration::from_millis(1),
};

struct Bench {
    fake: FakeMux,
    faults: Faults,
    media: Arc<NoMedia>,
    mux: Mux,
}

impl Bench {
    async fn new() -> Self {
        Self::with(MuxQuirks::default()).await
    }

    async fn with(quirks: MuxQuirks) -> Self {
        let faults = Faults::none();
        let media = Arc::new(NoMedia::silent());
        let settings = FakeSettings {
            faults: faults.clone(),
            media: Arc::clone(&media) as _,
            ..FakeSettings::default()
        };
        let fake = FakeMux::start(&settings, quirks).await.unwrap();
        let mux = Mux::new(settings_for(&fake)).unwrap();
        Self {
            fake,
            faults,
            media,
            mux,
        }
    }

    async fn prepare(&self, targets: &[HostedTarget]) -> Handle {
        self.mux.prepare(&spec(targets)).await.unwrap().handle
    }

    fn stream(&self) -> FakeStream {
        let mut streams = self.fake.streams();
        assert_eq!(streams.len(), 1);
        streams.remove(0)
    }

    /// The keys of the only stream's targets.
    fn keys(&self) -> Vec<String> {
        let targets = self.stream().targets.into_iter();
        targets.map(|(_, key)| key).collect()
    }
}

fn settings_for(fake: &FakeMux) -> MuxSettings {
    let mut surroundings = Surroundings::new(Trust::with_roots([]));
    surroundings.limits = ApiLimits {
        pause: Duration::from_millis(5),
        ..ApiLimits::default()
    };
    MuxSettings {
        base: fake.base().clone(),
        ingest: "rtmps://live.example/app".to_owned(),
        token_id: FakeMux::TOKEN_ID.to_owned(),
        token_secret: StreamKey::new(FakeMux::TOKEN_SECRET),
        webhook_secret: Some(StreamKey::new(FakeMux::WEBHOOK_SECRET)),
        keep_recordings: false,
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

fn spec(targets: &[HostedTarget]) -> EgressSpec {
    EgressSpec {
        broadcast: BroadcastId::new("show").unwrap(),
        owner: owner(),
        targets: targets.to_vec(),
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
