//! What goes wrong, what webhooks tell, and what is never shown.

use super::*;

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
