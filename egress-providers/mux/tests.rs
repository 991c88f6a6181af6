//! Against the fake: that live streams and targets are what is wanted, as far as Mux lets them be.

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

#[tokio::test]
async fn a_broadcast_has_one_live_stream_made_with_all_its_targets() {
    let bench = Bench::new().await;

    let prepared = bench.mux.prepare(&spec(&[first()])).await.unwrap();
    let again = bench.mux.prepare(&spec(&[first()])).await.unwrap();

    assert_eq!(prepared.handle, again.handle);
    assert_eq!(bench.keys(), ["canary-key-1"]);
    let Contribution::Push(endpoint) = &prepared.contribution else {
        panic!("{prepared:?}");
    };
    assert_eq!(endpoint.to_string(), "rtmps://live.example:443");
    assert_eq!(endpoint.stream_key().expose(), bench.stream().key);
    let created = bench.fake.records().of("create_live_stream");
    assert_eq!(created.len(), 1);
    golden::check_request("mux", "create_live_stream", &created[0]).unwrap();
}

#[tokio::test]
async fn a_live_stream_whose_answer_was_lost_is_adopted() {
    let bench = Bench::new().await;
    bench
        .faults
        .add("create_live_stream", 1, Action::LostAnswer);

    let lost = bench.mux.prepare(&spec(&[first()])).await;
    bench.prepare(&[first()]).await;

    assert!(matches!(lost, Err(ProviderError::Unavailable { .. })));
    assert_eq!(bench.keys(), ["canary-key-1"]);
    assert_eq!(bench.fake.records().count("create_live_stream"), 1);
}

#[tokio::test]
async fn an_idle_live_stream_is_adopted_with_other_targets() {
    let bench = Bench::new().await;
    let before = bench.prepare(&[first()]).await;

    let after = bench.prepare(&[second()]).await;

    assert_eq!(
        Remote::read(&before).unwrap().stream,
        Remote::read(&after).unwrap().stream
    );
    assert_eq!(bench.keys(), ["canary-key-2"]);
    let created = bench.fake.records().of("create_simulcast_target");
    golden::check_request("mux", "create_simulcast_target", &created[0]).unwrap();
}

#[tokio::test]
async fn a_live_stream_that_is_live_with_other_targets_is_replaced() {
    let bench = Bench::new().await;
    let before = bench.prepare(&[first()]).await;
    let key = bench.stream().key;
    bench.media.arrive(&key);

    let after = bench.prepare(&[second()]).await;

    assert_ne!(before, after);
    assert!(bench.media.is_forgotten(&key));
    assert_eq!(bench.keys(), ["canary-key-2"]);
}

#[tokio::test]
async fn a_live_stream_that_is_live_with_the_same_targets_goes_on() {
    let bench = Bench::new().await;
    let before = bench.prepare(&[first()]).await;
    bench.media.arrive(&bench.stream().key);

    let after = bench.prepare(&[first()]).await;

    assert_eq!(before, after);
}

#[tokio::test]
async fn a_disabled_live_stream_is_replaced() {
    let bench = Bench::new().await;
    let before = bench.prepare(&[first()]).await;
    bench.fake.disable(&bench.stream().id).await;

    let ended = bench.mux.status(&before).await.unwrap().ended;
    let after = bench.prepare(&[first()]).await;

    assert!(matches!(ended, Some(ProviderError::Forbidden(_))));
    assert_ne!(before, after);
    assert_eq!(bench.keys(), ["canary-key-1"]);
}

#[tokio::test]
async fn a_show_starts_with_the_targets_that_it_was_prepared_with() {
    let bench = Bench::new().await;
    let mut handle = bench.prepare(&[first()]).await;
    let prepared = handle.clone();
    bench.media.arrive(&bench.stream().key);

    bench.mux.start(&mut handle, &[first()]).await.unwrap();

    assert_eq!(handle, prepared);
    assert_eq!(bench.fake.records().count("create_simulcast_target"), 0);
}

#[tokio::test]
async fn targets_are_known_although_their_keys_are_not_told() {
    let bench = Bench::with(MuxQuirks {
        hides_keys: true,
        ..MuxQuirks::default()
    })
    .await;
    let mut handle = bench.prepare(&[first(), second()]).await;
    bench.media.arrive(&bench.stream().key);

    bench
        .mux
        .start(&mut handle, &[first(), second()])
        .await
        .unwrap();

    assert_eq!(bench.keys(), ["canary-key-1", "canary-key-2"]);
}

#[tokio::test]
async fn a_live_show_keeps_its_targets() {
    let bench = Bench::new().await;
    let mut handle = bench.prepare(&[first()]).await;
    let prepared = handle.clone();
    bench.media.arrive(&bench.stream().key);

    for wanted in [
        vec![first(), second()],
        vec![second()],
        vec![target("first", "canary-key-3")],
        vec![],
    ] {
        let result = bench.mux.update(&mut handle, &wanted).await;
        assert_eq!(result, Err(ProviderError::RestartRequired));
    }

    assert_eq!(bench.keys(), ["canary-key-1"]);
    assert_eq!(handle, prepared);
}

#[tokio::test]
async fn a_show_that_broke_off_keeps_its_targets_for_the_reconnect_window() {
    let bench = Bench::with(MuxQuirks {
        reconnect_window: Duration::from_secs(3600),
        ..MuxQuirks::default()
    })
    .await;
    let mut handle = bench.prepare(&[first()]).await;
    let key = bench.stream().key;
    bench.media.arrive(&key);
    bench.mux.status(&handle).await.unwrap();
    bench.media.leave(&key);

    let result = bench.mux.update(&mut handle, &[second()]).await;

    assert_eq!(result, Err(ProviderError::RestartRequired));
}

#[tokio::test]
async fn a_show_that_is_not_live_yet_takes_other_targets() {
    let bench = Bench::new().await;
    let mut handle = bench.prepare(&[first()]).await;

    bench
        .mux
        .update(&mut handle, &[first(), second()])
        .await
        .unwrap();
    bench.mux.update(&mut handle, &[second()]).await.unwrap();

    assert_eq!(bench.keys(), ["canary-key-2"]);
    let remote = Remote::read(&handle).unwrap();
    assert_eq!(remote.targets.keys().collect::<Vec<_>>(), ["second"]);
}

#[tokio::test]
async fn a_show_that_goes_live_during_a_change_is_known_as_live() {
    let bench = Bench::new().await;
    let mut handle = bench.prepare(&[first()]).await;
    let key = bench.stream().key;
    bench.faults.add(
        "create_simulcast_target",
        1,
        Action::Late(Duration::from_millis(300)),
    );

    let wanted = [first(), second()];
    let (result, ()) = tokio::join!(bench.mux.update(&mut handle, &wanted), async {
        while bench.fake.records().count("create_simulcast_target") == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bench.media.arrive(&key);
    });

    assert_eq!(result, Err(ProviderError::RestartRequired));
    assert_eq!(bench.keys(), ["canary-key-1"]);
    let remote = Remote::read(&handle).unwrap();
    assert_eq!(remote.targets.keys().collect::<Vec<_>>(), ["first"]);
}

#[tokio::test]
async fn six_targets_are_taken_and_no_more_are_asked_for() {
    let bench = Bench::new().await;
    let targets: Vec<_> = (0..7)
        .map(|nth| target(&format!("t{nth}"), &format!("canary-key-{nth}")))
        .collect();

    let too_many = bench.mux.prepare(&spec(&targets)).await;
    let mut handle = bench.prepare(&targets[..6]).await;
    let too_many_later = bench.mux.update(&mut handle, &targets).await;

    assert!(matches!(too_many, Err(ProviderError::Invalid(_))));
    assert!(matches!(too_many_later, Err(ProviderError::Invalid(_))));
    assert_eq!(bench.keys().len(), 6);
}

#[tokio::test]
async fn each_target_is_told_as_it_is() {
    let bench = Bench::new().await;
    bench.media.fail("/canary-key-2", "the connection broke");
    bench.media.fail("/canary-key-3", "fatal: another codec");
    let targets = [first(), second(), target("third", "canary-key-3")];
    let handle = bench.prepare(&targets).await;
    let look = async || {
        let status = bench.mux.status(&handle).await.unwrap();
        let states: BTreeMap<_, _> = status
            .targets
            .into_iter()
            .map(|target| (target.id.as_str().to_owned(), target.state))
            .collect();
        (status.contribution, states)
    };

    let (idle, before) = look().await;
    bench.media.arrive(&bench.stream().key);
    let (active, after) = look().await;

    assert_eq!(
        (idle, active),
        (ContributionState::Absent, ContributionState::Arriving)
    );
    assert!(
        before
            .values()
            .all(|state| *state == TargetState::Connecting)
    );
    assert_eq!(after["first"], TargetState::Live);
    assert_eq!(after["second"], TargetState::Interrupted);
    assert!(matches!(after["third"], TargetState::Failed(_)));
}

#[tokio::test]
async fn a_stopped_show_leaves_neither_a_live_stream_nor_a_recording() {
    let bench = Bench::new().await;
    let handle = bench.prepare(&[first()]).await;
    let key = bench.stream().key;
    bench.media.arrive(&key);
    bench.mux.status(&handle).await.unwrap();
    assert_eq!(bench.fake.recordings().len(), 1);

    bench.mux.stop(&handle).await.unwrap();
    bench.mux.stop(&handle).await.unwrap();

    assert!(bench.fake.streams().is_empty());
    assert_eq!(bench.fake.recordings(), Vec::<String>::new());
    assert!(bench.media.is_forgotten(&key));
}

#[tokio::test]
async fn a_recording_that_cannot_be_deleted_does_not_keep_a_show_from_ending() {
    let bench = Bench::new().await;
    let handle = bench.prepare(&[first()]).await;
    bench.media.arrive(&bench.stream().key);
    bench
        .faults
        .add("delete_asset", 0, Action::Status(400, None));

    bench.mux.stop(&handle).await.unwrap();

    assert!(bench.fake.streams().is_empty());
    assert_eq!(bench.fake.recordings().len(), 1);
}

#[tokio::test]
async fn recordings_are_kept_where_that_is_wanted() {
    let bench = Bench::new().await;
    let keeper = Mux::new(MuxSettings {
        keep_recordings: true,
        ..settings_for(&bench.fake)
    })
    .unwrap();
    let handle = bench.prepare(&[first()]).await;
    bench.media.arrive(&bench.stream().key);
    bench.mux.status(&handle).await.unwrap();

    keeper.stop(&handle).await.unwrap();

    assert!(bench.fake.streams().is_empty());
    assert_eq!(bench.fake.recordings().len(), 1);
}

#[tokio::test]
async fn an_owners_live_streams_are_found_on_every_page_and_nobody_elses() {
    let bench = Bench::new().await;
    let handle = bench.prepare(&[]).await;
    for nth in 0..150 {
        let mut spec = spec(&[]);
        spec.owner = Owner::new("node2").unwrap();
        spec.broadcast = BroadcastId::new(format!("show-{nth}")).unwrap();
        bench
            .mux
            .create(&spec.owner.name_for(&spec.broadcast), &[])
            .await
            .unwrap();
    }

    let own = bench.mux.owned(&owner()).await.unwrap();
    let others = bench
        .mux
        .owned(&Owner::new("node2").unwrap())
        .await
        .unwrap();

    assert_eq!(own, [handle]);
    assert_eq!(others.len(), 150);
}

#[tokio::test]
async fn the_fakes_webhooks_are_taken_and_wake_the_right_show() {
    let bench = Bench::new().await;
    let handle = bench.prepare(&[first()]).await;
    bench.media.arrive(&bench.stream().key);
    while bench.fake.webhooks().len() < 5 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    let events: Vec<_> = bench
        .fake
        .webhooks()
        .into_iter()
        .map(|delivery| {
            let headers = delivery.headers.into_iter().collect();
            bench
                .mux
                .webhook(&headers, &delivery.body, SystemTime::now())
                .unwrap()
        })
        .collect();

    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "video.live_stream.created",
            "video.live_stream.connected",
            "video.live_stream.recording",
            "video.live_stream.active",
            "video.live_stream.simulcast_target.broadcasting",
        ]
    );
    assert!(events.iter().all(|event| {
        bench
            .mux
            .matches(&handle, event.subject.as_deref().unwrap())
    }));
    assert!(!bench.mux.matches(&handle, "another"));
}

#[tokio::test]
async fn a_free_plan_and_wrong_credentials_are_told_apart() {
    let free = Bench::with(MuxQuirks {
        is_free: true,
        ..MuxQuirks::default()
    })
    .await;
    let stranger = Mux::new(MuxSettings {
        token_secret: StreamKey::new("another-secret"),
        ..settings_for(&free.fake)
    })
    .unwrap();

    let quota = free.mux.prepare(&spec(&[first()])).await;
    let refused = stranger.health().await;

    free.mux.health().await.unwrap();
    assert!(matches!(quota, Err(ProviderError::Quota(_))));
    assert_eq!(refused, Err(ProviderError::Auth));
}

#[tokio::test]
async fn no_key_is_in_a_handle_or_an_error() {
    let bench = Bench::new().await;
    let mut handle = bench.prepare(&[first()]).await;
    bench.faults.add(
        "create_simulcast_target",
        1,
        Action::Answer(
            422,
            r#"{"error":{"type":"invalid_parameters","messages":["bad target rtmps://a.example:443/live2 canary-key-2"]}}"#.to_owned(),
        ),
    );

    let error = bench
        .mux
        .update(&mut handle, &[first(), second()])
        .await
        .unwrap_err();
    let told = format!("{handle:?} {error} {error:?} {:?}", bench.mux);

    assert!(told.contains("bad target"), "{told}");
    assert!(!told.contains("canary"), "{told}");
    assert!(!told.contains(FakeMux::TOKEN_SECRET), "{told}");
    assert!(!told.contains(&bench.stream().key), "{told}");
}
