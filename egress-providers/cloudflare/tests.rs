//! Against the fake: that live inputs and outputs are what is wanted, whatever the provider does.

use std::time::{Duration, UNIX_EPOCH};

use broadcast::{BroadcastId, Endpoint};
use fake_providers::{
    Action, FakeSettings, Faults, Media as _, NoMedia,
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

#[tokio::test]
async fn a_broadcast_has_one_live_input_however_often_it_is_prepared() {
    let bench = Bench::new().await;

    let prepared = bench.cloudflare.prepare(&spec()).await.unwrap();
    let again = bench.cloudflare.prepare(&spec()).await.unwrap();

    assert_eq!(prepared.handle, again.handle);
    let inputs = bench.fake.inputs();
    assert_eq!(inputs.len(), 1);
    let Contribution::Push(endpoint) = &prepared.contribution else {
        panic!("{prepared:?}");
    };
    assert_eq!(endpoint.stream_key().expose(), inputs[0].key);
    let created = bench.fake.records().of("create_live_input");
    golden::check_request("cloudflare", "create_live_input", &created[0]).unwrap();
}

#[tokio::test]
async fn another_process_adopts_the_live_input_of_a_dead_one() {
    let bench = Bench::new().await;
    let handle = bench.prepare().await;

    let successor = Cloudflare::new(settings_for(&bench.fake)).unwrap();
    let adopted = successor.prepare(&spec()).await.unwrap().handle;

    assert_eq!(adopted, handle);
}

#[tokio::test]
async fn a_live_input_whose_answer_was_lost_is_not_made_twice() {
    let bench = Bench::new().await;
    bench.faults.add("create_live_input", 1, Action::LostAnswer);

    bench.prepare().await;

    assert_eq!(bench.fake.inputs().len(), 1);
    let created = bench.fake.records().of("create_live_input");
    assert_eq!(created.len(), 2);
    assert_eq!(
        created[0].headers["idempotency-key"],
        created[1].headers["idempotency-key"]
    );
}

#[tokio::test]
async fn a_live_input_whose_every_answer_was_lost_is_found_by_its_key() {
    let bench = Bench::new().await;
    bench.faults.add("create_live_input", 0, Action::LostAnswer);
    bench.cloudflare.prepare(&spec()).await.unwrap_err();
    bench.faults.clear();
    // The list is behind, as lists may be.
    bench.faults.add(
        "list_live_inputs",
        1,
        Action::Answer(
            200,
            r#"{"success":true,"result":{"liveInputs":[],"range":0,"total":0}}"#.to_owned(),
        ),
    );

    bench.prepare().await;

    assert_eq!(bench.fake.inputs().len(), 1);
}

#[tokio::test]
async fn a_live_input_that_somebody_deleted_is_replaced_although_its_key_is_remembered() {
    let bench = Bench::new().await;
    let handle = bench.prepare().await;
    // By another process, so that this one still has the key.
    let other = Cloudflare::new(settings_for(&bench.fake)).unwrap();
    other.stop(&handle).await.unwrap();

    let replaced = bench.prepare().await;

    assert_ne!(replaced, handle);
    assert_eq!(bench.fake.inputs().len(), 1);
}

#[tokio::test]
async fn a_broadcast_can_be_prepared_again_after_it_was_stopped() {
    let bench = Bench::new().await;
    for _ in 0..3 {
        let handle = bench.prepare().await;
        bench.cloudflare.stop(&handle).await.unwrap();
    }

    assert!(bench.fake.inputs().is_empty());
}

#[tokio::test]
async fn doubles_of_one_name_are_removed() {
    let bench = Bench::new().await;
    let base = bench.fake.base();
    for _ in 0..2 {
        let path = format!("/accounts/{}/stream/live_inputs", FakeCloudflare::ACCOUNT);
        ApiClient::new(ApiSettings {
            provider: Provider::Cloudflare,
            base: base.clone(),
            authorization: Authorization::Bearer(StreamKey::new(FakeCloudflare::TOKEN)),
            budget: settings_for(&bench.fake).budget,
            refusals: |_| None,
            surroundings: Surroundings::new(Trust::with_roots([])),
        })
        .unwrap()
        .request(crate::hosted::Operation {
            name: "create_live_input",
            method: "POST",
            path: &path,
            idempotent: false,
            cost: crate::hosted::Cost::General,
            thing: "live input",
        })
        .json(&serde_json::json!({ "meta": { "name": "castgate-node1-show" } }))
        .done()
        .await
        .unwrap();
    }

    bench.prepare().await;

    assert_eq!(bench.fake.inputs().len(), 1);
}

#[tokio::test]
async fn destinations_come_and_go_while_the_others_stay_as_they_are() {
    let bench = Bench::new().await;
    let mut handle = bench.prepare().await;

    bench
        .cloudflare
        .start(&mut handle, &[first()])
        .await
        .unwrap();
    let before = Remote::read(&handle).unwrap().outputs["first"].clone();
    bench
        .cloudflare
        .update(&mut handle, &[first(), second()])
        .await
        .unwrap();
    assert_eq!(bench.keys(), ["canary-key-1", "canary-key-2"]);
    bench
        .cloudflare
        .update(&mut handle, &[first()])
        .await
        .unwrap();

    assert_eq!(bench.keys(), ["canary-key-1"]);
    assert_eq!(Remote::read(&handle).unwrap().outputs["first"], before);
    let created = bench.fake.records().of("create_output");
    assert_eq!(created.len(), 2);
    golden::check_request("cloudflare", "create_output", &created[0]).unwrap();
}

#[tokio::test]
async fn a_changed_key_is_deleted_before_the_new_one_is_made() {
    let bench = Bench::new().await;
    let mut handle = bench.prepare().await;
    bench
        .cloudflare
        .start(&mut handle, &[first()])
        .await
        .unwrap();

    bench
        .cloudflare
        .update(&mut handle, &[target("first", "canary-key-3")])
        .await
        .unwrap();

    assert_eq!(bench.keys(), ["canary-key-3"]);
    assert!(
        bench
            .asked()
            .ends_with(&["list_outputs", "delete_output", "create_output"].map(str::to_owned))
    );
}

#[tokio::test]
async fn a_destination_whose_answer_was_lost_is_not_made_twice() {
    let bench = Bench::new().await;
    let mut handle = bench.prepare().await;
    bench.faults.add("create_output", 1, Action::LostAnswer);

    let lost = bench.cloudflare.start(&mut handle, &[first()]).await;
    bench
        .cloudflare
        .start(&mut handle, &[first()])
        .await
        .unwrap();

    assert!(matches!(lost, Err(ProviderError::Unavailable { .. })));
    assert_eq!(bench.keys(), ["canary-key-1"]);
    assert_eq!(bench.fake.records().count("create_output"), 1);
}

#[tokio::test]
async fn destinations_stay_although_their_keys_are_not_told() {
    let bench = Bench::with(CloudflareQuirks {
        hides_keys: true,
        ..CloudflareQuirks::default()
    })
    .await;
    let mut handle = bench.prepare().await;
    bench
        .cloudflare
        .start(&mut handle, &[first()])
        .await
        .unwrap();

    bench
        .cloudflare
        .update(&mut handle, &[first(), second()])
        .await
        .unwrap();

    assert_eq!(bench.fake.records().count("create_output"), 2);
    assert_eq!(bench.fake.records().count("delete_output"), 0);
}

#[tokio::test]
async fn what_was_made_before_a_failure_is_remembered() {
    let bench = Bench::new().await;
    let mut handle = bench.prepare().await;
    bench
        .faults
        .add("create_output", 2, Action::Status(400, None));

    let result = bench
        .cloudflare
        .start(&mut handle, &[first(), second()])
        .await;

    assert!(matches!(result, Err(ProviderError::Invalid(_))));
    let remote = Remote::read(&handle).unwrap();
    assert_eq!(remote.outputs.keys().collect::<Vec<_>>(), ["first"]);
}

#[tokio::test]
async fn fifty_destinations_are_taken_and_no_more_are_asked_for() {
    let bench = Bench::new().await;
    let mut handle = bench.prepare().await;
    let targets: Vec<_> = (0..=50)
        .map(|nth| target(&format!("t{nth}"), &format!("canary-key-{nth}")))
        .collect();

    let too_many = bench.cloudflare.start(&mut handle, &targets).await;
    assert!(matches!(too_many, Err(ProviderError::Invalid(_))));
    assert!(bench.keys().is_empty());
    bench
        .cloudflare
        .start(&mut handle, &targets[..50])
        .await
        .unwrap();

    assert_eq!(bench.keys().len(), 50);
}

#[tokio::test]
async fn a_status_tells_of_the_show_and_nothing_of_destinations_in_both_shapes() {
    for status in [StatusShape::Word, StatusShape::History] {
        let bench = Bench::with(CloudflareQuirks {
            status,
            ..CloudflareQuirks::default()
        })
        .await;
        let mut handle = bench.prepare().await;
        bench
            .cloudflare
            .start(&mut handle, &[first()])
            .await
            .unwrap();
        let key = bench.fake.inputs()[0].key.clone();
        let look = async || bench.cloudflare.status(&handle).await.unwrap();

        assert_eq!(look().await.contribution, ContributionState::Absent);
        bench.media.arrive(&key);
        let arriving = look().await;
        assert_eq!(arriving.contribution, ContributionState::Arriving);
        assert_eq!(
            arriving.targets,
            [TargetStatus {
                id: TargetId::known("first"),
                state: TargetState::Unknown
            }]
        );
        assert_eq!(arriving.ended, None);
        bench.media.leave(&key);
        assert_eq!(look().await.contribution, ContributionState::Absent);
    }
}

#[tokio::test]
async fn a_live_input_that_is_switched_off_has_ended_and_a_deleted_one_is_not_found() {
    let bench = Bench::new().await;
    let handle = bench.prepare().await;

    bench.fake.switch_off(&bench.fake.inputs()[0].uid);
    let off = bench.cloudflare.status(&handle).await.unwrap();
    bench.cloudflare.stop(&handle).await.unwrap();
    let gone = bench.cloudflare.status(&handle).await;

    assert!(matches!(off.ended, Some(ProviderError::Forbidden(_))));
    assert_eq!(gone, Err(ProviderError::NotFound("live input")));
}

#[tokio::test]
async fn what_a_notification_says_of_a_show_is_part_of_its_status() {
    let bench = Bench::new().await;
    let handle = bench.prepare().await;
    let uid = bench.fake.inputs()[0].uid.clone();
    let now = SystemTime::now();
    let deliver = |nth: usize| {
        let delivery = bench.fake.webhooks()[nth].clone();
        let headers = delivery.headers.into_iter().collect();
        bench.cloudflare.webhook(&headers, &delivery.body, now)
    };

    bench.fake.fail_input(&uid, "ERR_STORAGE_QUOTA_EXHAUSTED");
    let event = deliver(0).unwrap();
    let full = bench.cloudflare.status(&handle).await.unwrap();

    assert!(bench.cloudflare.matches(&handle, &event.subject.unwrap()));
    assert!(!bench.cloudflare.matches(&handle, "another"));
    assert!(matches!(full.ended, Some(ProviderError::Quota(_))));
    // The next show on it arrives.
    bench.media.arrive(&bench.fake.inputs()[0].key);
    while bench.fake.webhooks().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(deliver(1).unwrap().kind, "live_input.connected");
    assert_eq!(bench.cloudflare.status(&handle).await.unwrap().ended, None);
}

#[tokio::test]
async fn without_a_secret_no_notification_is_taken() {
    let bench = Bench::new().await;
    let silent = Cloudflare::new(CloudflareSettings {
        webhook_secret: None,
        ..settings_for(&bench.fake)
    })
    .unwrap();

    assert_eq!(
        silent.webhook(&WebhookHeaders::new(), b"{}", UNIX_EPOCH),
        Err(WebhookError::NotConfigured)
    );
}

#[tokio::test]
async fn a_stopped_show_is_gone_and_may_be_stopped_again() {
    let bench = Bench::new().await;
    let mut handle = bench.prepare().await;
    bench
        .cloudflare
        .start(&mut handle, &[first()])
        .await
        .unwrap();
    let key = bench.fake.inputs()[0].key.clone();

    bench.cloudflare.stop(&handle).await.unwrap();
    bench.cloudflare.stop(&handle).await.unwrap();

    assert!(bench.fake.inputs().is_empty());
    assert!(bench.media.is_forgotten(&key) && bench.media.outputs(&key).is_empty());
}

#[tokio::test]
async fn an_owners_live_inputs_are_found_and_nobody_elses() {
    let bench = Bench::new().await;
    let handle = bench.prepare().await;

    let own = bench.cloudflare.owned(&owner()).await.unwrap();
    let others = bench
        .cloudflare
        .owned(&Owner::new("node").unwrap())
        .await
        .unwrap();

    assert_eq!(own, [handle]);
    assert_eq!(others, []);
}

#[tokio::test]
async fn a_full_account_is_not_healthy_and_a_wrong_token_neither() {
    let bench = Bench::new().await;
    bench.cloudflare.health().await.unwrap();

    bench.fake.fill_storage();
    let full = bench.cloudflare.health().await;
    let stranger = Cloudflare::new(CloudflareSettings {
        token: StreamKey::new("another-token"),
        ..settings_for(&bench.fake)
    })
    .unwrap();

    assert!(matches!(full, Err(ProviderError::Quota(_))));
    assert_eq!(stranger.health().await, Err(ProviderError::Auth));
}

#[tokio::test]
async fn no_key_is_in_a_handle_or_an_error() {
    let bench = Bench::new().await;
    let mut handle = bench.prepare().await;
    bench
        .cloudflare
        .start(&mut handle, &[first()])
        .await
        .unwrap();
    bench.faults.add(
        "create_output",
        1,
        Action::Answer(
            400,
            r#"{"success":false,"errors":[{"code":10005,"message":"bad output rtmps://a.example:443/live2/canary-key-2"}]}"#.to_owned(),
        ),
    );

    let error = bench
        .cloudflare
        .update(&mut handle, &[first(), second()])
        .await
        .unwrap_err();
    let told = format!("{handle:?} {error} {error:?} {:?}", bench.cloudflare);

    assert!(told.contains("bad output"), "{told}");
    assert!(!told.contains("canary"), "{told}");
    assert!(!told.contains(FakeCloudflare::TOKEN), "{told}");
    assert!(!told.contains(&bench.fake.inputs()[0].key), "{told}");
}

#[tokio::test]
async fn a_handle_of_another_provider_is_refused_and_nothing_is_asked() {
    let bench = Bench::new().await;
    let mut handle = bench.prepare().await;
    let asked = bench.asked().len();
    handle.remote = serde_json::json!({ "stream": "1" });

    assert!(matches!(
        bench.cloudflare.stop(&handle).await,
        Err(ProviderError::Protocol(_))
    ));
    assert_eq!(bench.asked().len(), asked);
}

/// That the fake takes its time, as the real one does.
#[tokio::test]
async fn a_deleted_output_may_get_the_show_for_a_while() {
    let bench = Bench::with(CloudflareQuirks {
        disconnects_after: Duration::from_secs(3600),
        ..CloudflareQuirks::default()
    })
    .await;
    let mut handle = bench.prepare().await;
    let key = bench.fake.inputs()[0].key.clone();
    bench
        .cloudflare
        .start(&mut handle, &[first()])
        .await
        .unwrap();
    bench.cloudflare.update(&mut handle, &[]).await.unwrap();

    assert!(bench.keys().is_empty());
    assert_eq!(bench.media.outputs(&key).len(), 1);
    bench.media.forget(&key).await;
}
