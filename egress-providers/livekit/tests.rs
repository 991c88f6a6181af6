//! `LiveKit` against its fake.

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

#[tokio::test]
async fn requests_are_those_that_are_documented() {
    let one = target("one", "key-1");
    let (bench, mut handle) = Bench::live(std::slice::from_ref(&one)).await;
    let both = [one, target("two", "key-2")];
    bench.livekit.update(&mut handle, &both).await.unwrap();
    bench.livekit.update(&mut handle, &both[1..]).await.unwrap();
    bench.livekit.stop(&handle).await.unwrap();

    for (nth, (operation, name)) in [
        ("CreateRoom", "create_room"),
        ("ListIngress", "list_ingress_of_room"),
        ("CreateIngress", "create_ingress"),
        ("StartParticipantEgress", "start_participant_egress"),
        ("UpdateStream", "add_stream"),
        ("UpdateStream", "remove_stream"),
        ("StopEgress", "stop_egress"),
        ("DeleteIngress", "delete_ingress"),
        ("DeleteRoom", "delete_room"),
    ]
    .into_iter()
    .enumerate()
    {
        let recorded = bench.fake.records().of(operation);
        let later = usize::from(name == "remove_stream");
        golden::check_request("livekit", name, &recorded[later])
            .unwrap_or_else(|error| panic!("{nth} {name}: {error:#}"));
    }
}

#[tokio::test]
async fn preparing_twice_makes_one_of_each() {
    let bench = Bench::new().await;

    let first = bench.prepare().await;
    let second = bench.prepare().await;

    assert_eq!(first.handle, second.handle);
    assert_eq!(bench.fake.rooms().await, [ROOM]);
    let keys = bench.fake.stream_keys(ROOM).await;
    let Contribution::Whip(order) = second.contribution else {
        panic!("{:?}", second.contribution)
    };
    assert_eq!(keys, [order.bearer.unwrap().expose()]);
    assert!(order.url.expose().starts_with("http://"));
}

#[tokio::test]
async fn a_lost_answer_to_making_the_way_in_leaves_one_of_it() {
    let bench = Bench::new().await;
    bench.faults.add("CreateIngress", 1, Action::LostAnswer);

    bench.livekit.prepare(&spec()).await.unwrap_err();
    bench.prepare().await;

    assert_eq!(bench.fake.stream_keys(ROOM).await.len(), 1);
}

#[tokio::test]
async fn a_lost_answer_to_a_start_does_not_send_twice() {
    let bench = Bench::new().await;
    let targets = [target("one", "key-1"), target("two", "key-2")];
    let mut handle = bench.prepare().await.handle;
    bench
        .faults
        .add("StartParticipantEgress", 1, Action::LostAnswer);

    let lost = bench.livekit.start(&mut handle, &targets).await;
    bench.livekit.start(&mut handle, &targets).await.unwrap();

    assert!(lost.is_err());
    assert_eq!(bench.count("StartParticipantEgress"), 1);
    assert_eq!(bench.addresses().await, [url("key-1"), url("key-2")]);
    for target in &targets {
        bench.await_state(&handle, target, &TargetState::Live).await;
    }
}

#[tokio::test]
async fn what_another_process_began_is_ended_before_anything_begins() {
    let (bench, _) = Bench::live(&[target("one", "key-1")]).await;
    let anew = livekit(bench.fake.base(), API_SECRET);

    let mut handle = anew.prepare(&spec()).await.unwrap().handle;
    anew.start(&mut handle, &[target("one", "key-1")])
        .await
        .unwrap();

    assert_eq!(bench.fake.active_egresses().await, 1);
    assert_eq!(bench.addresses().await, [url("key-1")]);
    let asked = bench.fake.records().all();
    let place = |operation: &str| {
        asked
            .iter()
            .rposition(|recorded| recorded.operation == operation)
    };
    assert!(place("StopEgress") < place("StartParticipantEgress"));
}

#[tokio::test]
async fn nothing_is_live_before_the_show_arrives() {
    let bench = Bench::with(NoMedia::silent()).await;
    let one = target("one", "key-1");
    let mut handle = bench.prepare().await.handle;
    bench
        .livekit
        .start(&mut handle, std::slice::from_ref(&one))
        .await
        .unwrap();

    let before = bench.livekit.status(&handle).await.unwrap();
    for key in bench.fake.stream_keys(ROOM).await {
        bench.media.arrive(&key);
    }
    bench.await_state(&handle, &one, &TargetState::Live).await;
    let after = bench.livekit.status(&handle).await.unwrap();

    assert_eq!(before.contribution, ContributionState::Absent);
    assert_eq!(before.targets[0].state, TargetState::Connecting);
    assert_eq!(after.contribution, ContributionState::Arriving);
}

#[tokio::test]
async fn destinations_come_and_go_while_the_others_stay() {
    let (one, two, three) = (
        target("one", "key-1"),
        target("two", "key-2"),
        target("three", "key-3"),
    );
    let (bench, mut handle) = Bench::live(&[one.clone(), two.clone()]).await;

    bench
        .livekit
        .update(&mut handle, &[two.clone(), three.clone()])
        .await
        .unwrap();

    bench.await_state(&handle, &three, &TargetState::Live).await;
    assert_eq!(bench.addresses().await, [url("key-2"), url("key-3")]);
    assert_eq!(bench.state(&handle, &one).await, None);
    assert_eq!(bench.state(&handle, &two).await, Some(TargetState::Live));
    assert_eq!(bench.count("StartParticipantEgress"), 1);
    // The new one was added before the old one was taken away.
    let updates = bench.fake.records().of("UpdateStream");
    assert!(updates[0].body["add_output_urls"].is_array());
    assert!(updates[1].body["remove_output_urls"].is_array());
}

#[tokio::test]
async fn an_update_to_what_is_already_so_asks_for_nothing() {
    let targets = [target("one", "key-1"), target("two", "key-2")];
    let (bench, mut handle) = Bench::live(&targets).await;

    bench.livekit.update(&mut handle, &targets).await.unwrap();

    assert_eq!(bench.count("UpdateStream"), 0);
}

#[tokio::test]
async fn a_destination_with_another_key_is_another_address() {
    let (bench, mut handle) = Bench::live(&[target("one", "key-number-1-end")]).await;

    // The two look the same with most of the key left out.
    let other = target("one", "key-number-2-end");
    bench
        .livekit
        .update(&mut handle, std::slice::from_ref(&other))
        .await
        .unwrap();

    assert_eq!(bench.addresses().await, [url("key-number-2-end")]);
    bench.await_state(&handle, &other, &TargetState::Live).await;
}

#[tokio::test]
async fn keys_that_look_the_same_are_told_apart() {
    let (one, twin) = (
        target("one", "key-number-1-end"),
        target("twin", "key-number-2-end"),
    );
    let (bench, handle) = Bench::live(&[one.clone(), twin.clone()]).await;

    bench.media.fail("key-number-2-end", "the key is refused");

    let failed = TargetState::Failed("the key is refused".to_owned());
    bench.await_state(&handle, &twin, &failed).await;
    assert_eq!(bench.state(&handle, &one).await, Some(TargetState::Live));
}

#[tokio::test]
async fn a_dead_destination_is_added_again_to_the_same_egress() {
    let (one, two) = (target("one", "key-1"), target("two", "key-2"));
    let (bench, mut handle) = Bench::live(&[one.clone(), two.clone()]).await;
    bench.media.fail("key-2", "refused");
    let failed = TargetState::Failed("refused".to_owned());
    bench.await_state(&handle, &two, &failed).await;

    bench
        .livekit
        .update(&mut handle, std::slice::from_ref(&one))
        .await
        .unwrap();
    bench.media.mend("key-2");
    bench
        .livekit
        .update(&mut handle, &[one.clone(), two.clone()])
        .await
        .unwrap();

    bench.await_state(&handle, &two, &TargetState::Live).await;
    assert_eq!(bench.addresses().await, [url("key-1"), url("key-2")]);
    assert_eq!(bench.count("StartParticipantEgress"), 1);
    // What had ended by itself was not removed.
    assert_eq!(bench.count("UpdateStream"), 1);
}

#[tokio::test]
async fn after_the_last_destination_has_died_another_egress_begins_in_the_same_room() {
    let one = target("one", "key-1");
    let (bench, mut handle) = Bench::live(std::slice::from_ref(&one)).await;
    bench.media.fail("key-1", "refused");
    let failed = TargetState::Failed("refused".to_owned());
    bench.await_state(&handle, &one, &failed).await;
    let ended = bench.livekit.status(&handle).await.unwrap().ended;

    bench.media.mend("key-1");
    bench
        .livekit
        .update(&mut handle, std::slice::from_ref(&one))
        .await
        .unwrap();

    assert_eq!(ended, None);
    bench.await_state(&handle, &one, &TargetState::Live).await;
    assert_eq!(bench.count("StartParticipantEgress"), 2);
    assert_eq!(bench.count("CreateIngress"), 1);
}

#[tokio::test]
async fn an_egress_that_ended_with_the_shows_arrival_is_followed_by_another() {
    let one = target("one", "key-1");
    let (bench, mut handle) = Bench::live(std::slice::from_ref(&one)).await;
    for key in bench.fake.stream_keys(ROOM).await {
        bench.media.leave(&key);
    }
    until(async || {
        matches!(
            bench.state(&handle, &one).await,
            Some(TargetState::Failed(_))
        )
    })
    .await;

    for key in bench.fake.stream_keys(ROOM).await {
        bench.media.arrive(&key);
    }
    bench
        .livekit
        .update(&mut handle, std::slice::from_ref(&one))
        .await
        .unwrap();

    bench.await_state(&handle, &one, &TargetState::Live).await;
    assert_eq!(bench.addresses().await, [url("key-1")]);
}

#[tokio::test]
async fn an_added_destination_whose_answer_was_lost_is_not_added_twice() {
    let (one, two) = (target("one", "key-1"), target("two", "key-2"));
    let (bench, mut handle) = Bench::live(std::slice::from_ref(&one)).await;
    bench.faults.add("UpdateStream", 1, Action::LostAnswer);
    let both = [one, two.clone()];

    let lost = bench.livekit.update(&mut handle, &both).await;
    bench.livekit.update(&mut handle, &both).await.unwrap();

    assert!(lost.is_err());
    assert_eq!(bench.addresses().await, [url("key-1"), url("key-2")]);
    bench.await_state(&handle, &two, &TargetState::Live).await;
    assert_eq!(bench.count("UpdateStream"), 1);
}

#[tokio::test]
async fn an_added_destination_that_never_got_there_is_added_again() {
    let (one, two) = (target("one", "key-1"), target("two", "key-2"));
    let (bench, mut handle) = Bench::live(std::slice::from_ref(&one)).await;
    bench.faults.add("UpdateStream", 1, Action::Reset);
    let both = [one, two];

    bench.livekit.update(&mut handle, &both).await.unwrap_err();
    bench.livekit.update(&mut handle, &both).await.unwrap();

    assert_eq!(bench.addresses().await, [url("key-1"), url("key-2")]);
}

#[tokio::test]
async fn a_refused_destination_does_not_keep_the_others_from_changing() {
    let one = target("one", "key-1");
    let (bench, mut handle) = Bench::live(std::slice::from_ref(&one)).await;
    let wanted = [target("bad", "canary-100%sure"), target("two", "key-2")];

    let error = bench
        .livekit
        .update(&mut handle, &wanted)
        .await
        .unwrap_err();

    assert!(matches!(error, ProviderError::Invalid(_)), "{error:?}");
    assert!(!error.to_string().contains("canary"), "{error}");
    assert_eq!(bench.addresses().await, [url("key-2")]);
    assert_eq!(
        bench.livekit.check(&wanted[0]).unwrap_err().reason(),
        error.reason()
    );
}

#[tokio::test]
async fn an_update_to_nothing_ends_the_egress_and_keeps_the_room() {
    let (bench, mut handle) = Bench::live(&[target("one", "key-1")]).await;

    bench.livekit.update(&mut handle, &[]).await.unwrap();

    assert_eq!(bench.fake.active_egresses().await, 0);
    assert_eq!(bench.fake.rooms().await, [ROOM]);
    assert!(
        bench
            .livekit
            .status(&handle)
            .await
            .unwrap()
            .targets
            .is_empty()
    );
}

#[tokio::test]
async fn a_stop_leaves_nothing_and_may_be_repeated() {
    let (bench, handle) = Bench::live(&[target("one", "key-1")]).await;

    bench.livekit.stop(&handle).await.unwrap();
    assert!(bench.fake.is_empty().await);
    bench.livekit.stop(&handle).await.unwrap();

    let status = bench.livekit.status(&handle).await.unwrap();
    assert_eq!(status.ended, Some(ProviderError::NotFound("ingress")));
}

#[tokio::test]
async fn a_stop_returns_when_nothing_is_sent_any_more() {
    let (bench, handle) = Bench::live(&[target("one", "key-1")]).await;

    bench.livekit.stop(&handle).await.unwrap();

    assert_eq!(bench.addresses().await, Vec::<String>::new());
    let asked = bench.fake.records().all();
    let place = |operation: &str| {
        asked
            .iter()
            .rposition(|recorded| recorded.operation == operation)
    };
    assert!(place("StopEgress") < place("DeleteIngress"));
}

#[tokio::test]
async fn what_was_not_written_down_is_found_by_its_owner() {
    let (bench, handle) = Bench::live(&[target("one", "key-1")]).await;
    let anew = livekit(bench.fake.base(), API_SECRET);

    let owned = anew.owned(&owner()).await.unwrap();
    let others = anew.owned(&Owner::new("node").unwrap()).await.unwrap();
    anew.stop(&owned[0]).await.unwrap();

    assert_eq!(owned.len(), 1);
    assert_eq!(owned[0].broadcast, handle.broadcast);
    assert!(others.is_empty());
    assert!(bench.fake.is_empty().await);
}

#[tokio::test]
async fn the_end_of_the_longest_time_is_told() {
    let one = target("one", "key-1");
    let (bench, handle) = Bench::live(std::slice::from_ref(&one)).await;

    bench.fake.reach_limit(ROOM).await;

    let ended = bench.livekit.status(&handle).await.unwrap().ended;
    assert!(matches!(ended, Some(ProviderError::Quota(_))), "{ended:?}");
}

#[tokio::test]
async fn too_many_egresses_at_a_time_is_being_asked_too_often() {
    let bench = Bench::new().await;
    bench.fake.allow_egresses(0).await;
    let mut handle = bench.prepare().await.handle;

    let started = bench
        .livekit
        .start(&mut handle, &[target("one", "key-1")])
        .await;

    let retry_after = None;
    assert_eq!(started, Err(ProviderError::RateLimited { retry_after }));
}

#[tokio::test]
async fn wrong_credentials_are_told() {
    let bench = Bench::new().await;
    let wrong = livekit(bench.fake.base(), "canary-of-a-wrong-secret");

    assert_eq!(wrong.health().await, Err(ProviderError::Auth));
    assert_eq!(bench.livekit.health().await, Ok(()));
}

#[tokio::test]
async fn a_server_that_is_no_livekit_is_not_taken_for_an_empty_one() {
    let bench = Bench::new().await;
    let elsewhere = livekit(&bench.fake.base().join("elsewhere/").unwrap(), API_SECRET);
    let handle = bench.prepare().await.handle;

    for result in [elsewhere.health().await, elsewhere.stop(&handle).await] {
        assert!(
            matches!(result, Err(ProviderError::Protocol(_))),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_told_in_time() {
    let bench = Bench::new().await;
    bench.faults.add("CreateRoom", 0, Action::Hang);

    let prepared = bench.livekit.prepare(&spec()).await;

    assert_eq!(prepared.err(), Some(ProviderError::Timeout(Stage::Answer)));
}

#[tokio::test]
async fn webhooks_name_the_room_and_are_taken_once_signed() {
    let one = target("one", "key-1");
    let (bench, handle) = Bench::live(std::slice::from_ref(&one)).await;
    bench.livekit.stop(&handle).await.unwrap();
    until(async || {
        let sent = bench.fake.webhooks().sent();
        sent.iter().any(|delivery| delivery.kind == "room_finished")
    })
    .await;

    let sent = bench.fake.webhooks().sent();
    for delivery in &sent {
        let headers: WebhookHeaders = delivery.headers.clone().into_iter().collect();
        let now = SystemTime::now();
        let event = bench
            .livekit
            .webhook(&headers, &delivery.body, now)
            .unwrap();

        assert_eq!(event.kind, delivery.kind);
        assert!(
            bench
                .livekit
                .matches(&handle, event.subject.as_deref().unwrap())
        );
        let late = now + Duration::from_secs(700);
        let refused = bench.livekit.webhook(&headers, &delivery.body, late);
        assert_eq!(refused, Err(WebhookError::Stale));
        let mut body = delivery.body.clone();
        body.push(b' ');
        let refused = bench.livekit.webhook(&headers, &body, now);
        assert_eq!(refused, Err(WebhookError::Signature));
    }
    for kind in [
        "room_started",
        "ingress_started",
        "egress_started",
        "egress_updated",
        "egress_ended",
    ] {
        assert!(sent.iter().any(|delivery| delivery.kind == kind), "{kind}");
    }
    assert_eq!(
        bench
            .livekit
            .webhook(&WebhookHeaders::new(), b"{}", SystemTime::now()),
        Err(WebhookError::Signature)
    );
}

#[tokio::test]
async fn no_secret_is_shown_and_none_is_written_down() {
    let (bench, handle) = Bench::live(&[target("one", "canary-key")]).await;

    let shown = format!("{:?} {handle:?}", bench.livekit);
    let written = serde_json::to_string(&handle).unwrap();

    for text in [&shown, &written] {
        assert!(
            !text.contains("canary") && !text.contains(API_SECRET),
            "{text}"
        );
        for key in bench.fake.stream_keys(ROOM).await {
            assert!(!text.contains(&key), "{text}");
        }
    }
    let again: Handle = serde_json::from_str(&written).unwrap();
    assert_eq!(again, handle);
}

#[test]
fn the_address_may_be_that_of_its_websocket() {
    for (url, base) in [
        (
            "wss://project.livekit.cloud",
            "https://project.livekit.cloud/",
        ),
        ("ws://127.0.0.1:7880", "http://127.0.0.1:7880/"),
        ("https://livekit.example/sub", "https://livekit.example/sub"),
    ] {
        let of = of_websocket(&Url::parse(url).unwrap()).unwrap();
        assert_eq!(of.as_str(), base);
    }
}

#[tokio::test]
async fn an_update_that_was_cut_off_is_not_done_twice() {
    let (one, two) = (target("one", "key-1"), target("two", "key-2"));
    let (bench, mut handle) = Bench::live(std::slice::from_ref(&one)).await;
    let both = [one, two.clone()];
    bench.faults.add("UpdateStream", 1, Action::SlowBody);

    let mut lost = handle.clone();
    let cut = tokio::time::timeout(
        Duration::from_millis(100),
        bench.livekit.update(&mut lost, &both),
    );
    cut.await.unwrap_err();
    bench.livekit.update(&mut handle, &both).await.unwrap();

    assert_eq!(bench.addresses().await, [url("key-1"), url("key-2")]);
    bench.await_state(&handle, &two, &TargetState::Live).await;
    assert_eq!(bench.count("UpdateStream"), 1);
}

#[tokio::test]
async fn an_address_that_changes_its_destination_goes_on() {
    let (bench, mut handle) = Bench::live(&[target("one", "key-1")]).await;

    let renamed = target("other", "key-1");
    bench
        .livekit
        .update(&mut handle, std::slice::from_ref(&renamed))
        .await
        .unwrap();

    bench
        .await_state(&handle, &renamed, &TargetState::Live)
        .await;
    assert_eq!(bench.addresses().await, [url("key-1")]);
}
