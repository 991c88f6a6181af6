//! The four against fakes of theirs.

use std::sync::Arc;

use broadcast::{BroadcastId, Endpoint, StreamKey};
use fake_providers::{
    Action, FakeSettings, Faults, NoMedia, Records,
    restream::{FakeApiVideo, FakeLivepeer, FakeMediaMtx, FakeOven, TOKEN},
};
use url::Url;

use super::*;
use crate::{
    Hot, Trust,
    hosted::{ContributionState, LocalBudget, Surroundings, TargetId, TargetState},
};

const KEY: &str = "canary-of-the-stream-key?a=%20b&c=/d";

/// A fake of each kind, and what of it the tests look at.
enum Fake {
    MediaMtx(FakeMediaMtx),
    Oven(FakeOven),
    Livepeer(FakeLivepeer),
    ApiVideo(FakeApiVideo),
}

struct Bench {
    fake: Fake,
    media: Arc<NoMedia>,
    faults: Faults,
    api: Restream,
}

impl Bench {
    async fn new(kind: RestreamKind) -> Self {
        Self::with_token(kind, TOKEN).await
    }

    async fn with_token(kind: RestreamKind, token: &str) -> Self {
        let media = Arc::new(NoMedia::silent());
        let faults = Faults::none();
        let settings = FakeSettings {
            media: media.clone(),
            faults: faults.clone(),
            ..FakeSettings::default()
        };
        let fake = match kind {
            RestreamKind::MediaMtx => Fake::MediaMtx(FakeMediaMtx::start(settings).await.unwrap()),
            RestreamKind::OvenMediaEngine => Fake::Oven(FakeOven::start(settings).await.unwrap()),
            RestreamKind::Livepeer => Fake::Livepeer(FakeLivepeer::start(settings).await.unwrap()),
            RestreamKind::ApiVideo => Fake::ApiVideo(FakeApiVideo::start(settings).await.unwrap()),
        };
        let token = match kind {
            RestreamKind::MediaMtx => format!("castgate:{token}"),
            RestreamKind::OvenMediaEngine | RestreamKind::Livepeer | RestreamKind::ApiVideo => {
                token.to_owned()
            }
        };
        let api = Restream::new(RestreamSettings {
            kind,
            api: Some(fake.base()),
            token: Some(StreamKey::new(token)),
            ingest: Some(StreamKey::new("rtmp://127.0.0.1:9/live?user=u&pass=p")),
            budget: Arc::new(LocalBudget::new(kind.rates())),
            surroundings: Surroundings::new(Trust::with_roots([])),
        });
        let api = api.unwrap();
        Self {
            fake,
            media,
            faults,
            api,
        }
    }
}

/// Under what the media know a show that was prepared.
fn key(prepared: &Prepared) -> String {
    let Contribution::Push(endpoint) = &prepared.contribution else {
        panic!("{:?}", prepared.contribution);
    };
    let key = endpoint.stream_key().expose();
    key.split('?').next().unwrap().to_owned()
}

impl Fake {
    fn base(&self) -> Url {
        match self {
            Self::MediaMtx(fake) => fake.base().clone(),
            Self::Oven(fake) => fake.base(),
            Self::Livepeer(fake) => fake.base(),
            Self::ApiVideo(fake) => fake.base().clone(),
        }
    }

    fn records(&self) -> &Records {
        match self {
            Self::MediaMtx(fake) => fake.records(),
            Self::Oven(fake) => fake.records(),
            Self::Livepeer(fake) => fake.records(),
            Self::ApiVideo(fake) => fake.records(),
        }
    }

    /// What is left there of all shows.
    fn left(&self) -> Vec<String> {
        match self {
            Self::MediaMtx(fake) => fake.paths().into_keys().collect(),
            Self::Oven(fake) => fake.pushed(),
            Self::Livepeer(fake) => [fake.streams(), fake.targets()].concat(),
            Self::ApiVideo(fake) => fake.streams(),
        }
    }
}

fn spec(targets: &[HostedTarget]) -> EgressSpec {
    EgressSpec {
        broadcast: BroadcastId::new("late-show").unwrap(),
        owner: Owner::new("node1").unwrap(),
        targets: targets.to_vec(),
    }
}

fn target(id: &str, key: &str) -> HostedTarget {
    HostedTarget {
        id: TargetId::known(id),
        endpoint: Endpoint::parse("rtmps://a.example/live2", Some(key)).unwrap(),
    }
}

fn states(status: &EgressStatus) -> Vec<(&str, TargetState)> {
    let state = |target: &'_ crate::hosted::TargetStatus| target.state.clone();
    status
        .targets
        .iter()
        .map(|target| (target.id.as_str(), state(target)))
        .collect()
}

#[tokio::test]
async fn a_show_is_sent_where_it_is_to_go_and_leaves_nothing_behind() {
    for kind in RestreamKind::ALL {
        let bench = Bench::new(kind).await;
        let both = [target("twitch", "other"), target("youtube", KEY)];

        let prepared = bench.api.prepare(&spec(&both)).await.unwrap();
        let (mut handle, key) = (prepared.handle.clone(), key(&prepared));
        bench.api.start(&mut handle, &both).await.unwrap();
        let before = bench.api.status(&handle).await.unwrap();
        bench.media.arrive(&key);
        let after = bench.api.status(&handle).await.unwrap();
        let mut outputs = bench.media.outputs(&key);
        outputs.sort();
        bench.api.stop(&handle).await.unwrap();
        bench.api.stop(&handle).await.unwrap();

        assert_eq!(before.contribution, ContributionState::Absent, "{kind}");
        assert_eq!(after.contribution, ContributionState::Arriving, "{kind}");
        let state = if bench.api.capabilities().destination_status {
            TargetState::Live
        } else {
            TargetState::Unknown
        };
        let live = [("twitch", state.clone()), ("youtube", state)];
        assert_eq!(states(&after), live, "{kind}");
        let server = "rtmps://a.example:443/live2";
        let urls = [format!("{server}/{KEY}"), format!("{server}/other")];
        assert_eq!(outputs, urls, "{kind}");
        assert!(
            bench.fake.left().is_empty(),
            "{kind}: {:?}",
            bench.fake.left()
        );
        assert!(bench.media.outputs(&key).is_empty(), "{kind}");
    }
}

#[tokio::test]
async fn what_was_prepared_is_adopted_and_sent_nowhere_until_the_start() {
    for kind in RestreamKind::ALL {
        let bench = Bench::new(kind).await;
        let first = bench.api.prepare(&spec(&[])).await.unwrap();
        let mut handle = first.handle.clone();
        bench
            .api
            .start(&mut handle, &[target("youtube", KEY)])
            .await
            .unwrap();

        let again = bench.api.prepare(&spec(&[])).await.unwrap();

        assert_eq!(again.handle, first.handle, "{kind}");
        assert_eq!(key(&again), key(&first), "{kind}");
        assert!(bench.media.outputs(&key(&again)).is_empty(), "{kind}");
        assert!(
            bench.fake.left().len() <= 1,
            "{kind}: {:?}",
            bench.fake.left()
        );
    }
}

#[tokio::test]
async fn destinations_come_and_go_as_the_capabilities_say() {
    for kind in RestreamKind::ALL {
        let bench = Bench::new(kind).await;
        let (one, two) = (target("one", "1"), target("two", "2"));
        let prepared = bench
            .api
            .prepare(&spec(std::slice::from_ref(&one)))
            .await
            .unwrap();
        let (mut handle, key) = (prepared.handle.clone(), key(&prepared));
        bench
            .api
            .start(&mut handle, std::slice::from_ref(&one))
            .await
            .unwrap();
        bench.media.arrive(&key);

        let added = bench
            .api
            .update(&mut handle, &[one.clone(), two.clone()])
            .await;
        let with_both = bench.media.outputs(&key).len();
        let removed = bench
            .api
            .update(&mut handle, std::slice::from_ref(&two))
            .await;
        let left = bench.media.outputs(&key);

        if bench.api.capabilities().hot_add == Hot::RestartRequired {
            assert_eq!(added, Err(ProviderError::RestartRequired), "{kind}");
            assert_eq!(removed, Err(ProviderError::RestartRequired), "{kind}");
            assert_eq!(left, ["rtmps://a.example:443/live2/1"], "{kind}");
        } else {
            assert_eq!((added, removed, with_both), (Ok(()), Ok(()), 2), "{kind}");
            assert_eq!(left, ["rtmps://a.example:443/live2/2"], "{kind}");
        }
    }
}

#[tokio::test]
async fn a_changed_key_is_another_connection() {
    for kind in RestreamKind::ALL {
        let bench = Bench::new(kind).await;
        let prepared = bench.api.prepare(&spec(&[])).await.unwrap();
        let (mut handle, key) = (prepared.handle.clone(), key(&prepared));
        bench
            .api
            .start(&mut handle, &[target("youtube", "old")])
            .await
            .unwrap();

        bench
            .api
            .update(&mut handle, &[target("youtube", "new")])
            .await
            .unwrap();

        let outputs = bench.media.outputs(&key);
        assert_eq!(outputs, ["rtmps://a.example:443/live2/new"], "{kind}");
        assert_eq!(
            bench.api.status(&handle).await.unwrap().targets.len(),
            1,
            "{kind}"
        );
    }
}

#[tokio::test]
async fn a_refused_key_is_told_where_the_server_tells_and_without_the_key() {
    for kind in [RestreamKind::MediaMtx, RestreamKind::OvenMediaEngine] {
        let bench = Bench::new(kind).await;
        bench
            .media
            .fail(KEY, &format!("rtmps://a.example/live2/{KEY} refused"));
        let prepared = bench.api.prepare(&spec(&[])).await.unwrap();
        let (mut handle, key) = (prepared.handle.clone(), key(&prepared));
        let both = [target("bad", KEY), target("good", "2")];
        bench.api.start(&mut handle, &both).await.unwrap();
        bench.media.arrive(&key);

        let status = bench.api.status(&handle).await.unwrap();

        assert!(
            matches!(&status.targets[0].state, TargetState::Failed(_)),
            "{kind}: {status:?}"
        );
        assert_eq!(status.targets[1].state, TargetState::Live, "{kind}");
        assert!(
            !format!("{status:?}").contains("canary"),
            "{kind}: {status:?}"
        );
    }
}

#[tokio::test]
async fn what_a_dead_process_left_behind_is_found_by_its_owner_alone() {
    for kind in RestreamKind::ALL {
        let bench = Bench::new(kind).await;
        let prepared = bench.api.prepare(&spec(&[])).await.unwrap();
        let mut handle = prepared.handle;
        bench
            .api
            .start(&mut handle, &[target("youtube", KEY)])
            .await
            .unwrap();

        let owned = bench
            .api
            .owned(&Owner::new("node1").unwrap())
            .await
            .unwrap();
        let others = bench.api.owned(&Owner::new("node").unwrap()).await.unwrap();
        let [orphan] = owned.as_slice() else {
            panic!("{kind}: {owned:?}");
        };
        bench.api.stop(orphan).await.unwrap();

        assert_eq!(orphan.broadcast, "late-show", "{kind}");
        assert!(others.is_empty(), "{kind}: {others:?}");
        assert!(
            bench.fake.left().is_empty(),
            "{kind}: {:?}",
            bench.fake.left()
        );
    }
}

#[tokio::test]
async fn a_show_whose_stream_somebody_removed_has_ended() {
    for kind in [
        RestreamKind::MediaMtx,
        RestreamKind::Livepeer,
        RestreamKind::ApiVideo,
    ] {
        let bench = Bench::new(kind).await;
        let handle = bench.api.prepare(&spec(&[])).await.unwrap().handle;
        bench.api.stop(&handle).await.unwrap();

        let status = bench.api.status(&handle).await.unwrap();

        assert!(
            matches!(status.ended, Some(ProviderError::NotFound(_))),
            "{kind}: {status:?}"
        );
    }
}

#[tokio::test]
async fn a_lost_answer_leads_to_one_stream_and_one_target() {
    for (kind, operation) in [
        (RestreamKind::MediaMtx, "add_path"),
        (RestreamKind::OvenMediaEngine, "start_push"),
        (RestreamKind::Livepeer, "create_stream"),
        (RestreamKind::ApiVideo, "create_stream"),
    ] {
        let bench = Bench::new(kind).await;
        bench.faults.add(operation, 1, Action::LostAnswer);
        let targets = [target("youtube", KEY)];

        for _ in 0..2 {
            // The first of them fails, or finds out by itself.
            if let Ok(prepared) = bench.api.prepare(&spec(&targets)).await {
                let mut handle = prepared.handle;
                let _ = bench.api.start(&mut handle, &targets).await;
            }
        }
        let prepared = bench.api.prepare(&spec(&targets)).await.unwrap();
        let mut handle = prepared.handle.clone();
        bench.api.start(&mut handle, &targets).await.unwrap();

        let outputs = bench.media.outputs(&key(&prepared));
        assert_eq!(outputs.len(), 1, "{kind}: {outputs:?}");
        let streams = bench
            .api
            .owned(&Owner::new("node1").unwrap())
            .await
            .unwrap();
        assert_eq!(streams.len(), 1, "{kind}: {streams:?}");
    }
}

#[tokio::test]
async fn a_destination_whose_answer_was_lost_is_not_connected_twice() {
    for (kind, operation) in [
        (RestreamKind::MediaMtx, "patch_path"),
        (RestreamKind::OvenMediaEngine, "start_push"),
        (RestreamKind::Livepeer, "create_target"),
    ] {
        let bench = Bench::new(kind).await;
        let prepared = bench.api.prepare(&spec(&[])).await.unwrap();
        let (mut handle, key) = (prepared.handle.clone(), key(&prepared));
        bench.faults.add(operation, 1, Action::LostAnswer);
        let lost = bench
            .api
            .start(&mut handle, &[target("youtube", KEY)])
            .await;

        bench
            .api
            .update(&mut handle, &[target("youtube", KEY)])
            .await
            .unwrap();
        let with_it = bench.media.outputs(&key).len();
        bench.api.update(&mut handle, &[]).await.unwrap();

        // What may be repeated has been.
        assert_eq!(
            lost.is_ok(),
            kind == RestreamKind::MediaMtx,
            "{kind}: {lost:?}"
        );
        assert_eq!(with_it, 1, "{kind}");
        assert!(bench.media.outputs(&key).is_empty(), "{kind}");
    }
}

#[tokio::test]
async fn a_wrong_token_is_told_as_such_and_shown_nowhere() {
    for kind in RestreamKind::ALL {
        let bench = Bench::with_token(kind, "canary-of-the-token").await;

        let health = bench.api.health().await;
        let prepared = bench.api.prepare(&spec(&[])).await;

        assert_eq!(health, Err(ProviderError::Auth), "{kind}");
        let shown = format!("{:?} {prepared:?} {:?}", bench.api, bench.fake.records());
        assert!(!shown.contains("canary"), "{kind}: {shown}");
        assert!(matches!(prepared, Err(ProviderError::Auth)), "{kind}");
    }
}

#[tokio::test]
async fn a_handle_holds_no_secret() {
    for kind in RestreamKind::ALL {
        let bench = Bench::new(kind).await;
        let prepared = bench.api.prepare(&spec(&[])).await.unwrap();
        let mut handle = prepared.handle.clone();

        bench
            .api
            .start(&mut handle, &[target("youtube", KEY)])
            .await
            .unwrap();

        let (written, key) = (serde_json::to_string(&handle).unwrap(), key(&prepared));
        assert!(!written.contains("canary"), "{kind}: {written}");
        let is_ours = key == "castgate-node1-late-show";
        assert!(is_ours || !written.contains(&key), "{kind}: {written}");
    }
}

#[tokio::test]
async fn a_server_of_ones_own_has_to_be_named() {
    let settings = |kind| RestreamSettings {
        kind,
        api: None,
        token: None,
        ingest: None,
        budget: Arc::new(LocalBudget::new(RestreamKind::Livepeer.rates())),
        surroundings: Surroundings::new(Trust::with_roots([])),
    };
    let missing = |settings: RestreamSettings| Restream::new(settings).unwrap_err();

    let kind = RestreamKind::MediaMtx;
    assert_eq!(
        missing(settings(kind)),
        RestreamSetupError::IngestMissing(kind)
    );
    let with_ingest = RestreamSettings {
        ingest: Some(StreamKey::new("rtmp://mtx.example/live")),
        ..settings(kind)
    };
    assert_eq!(missing(with_ingest), RestreamSetupError::ApiMissing(kind));
    let kind = RestreamKind::Livepeer;
    assert_eq!(
        missing(settings(kind)),
        RestreamSetupError::TokenMissing(kind)
    );
}
