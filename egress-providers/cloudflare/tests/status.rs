//! What is told of a show, and by whom.

use super::*;

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
