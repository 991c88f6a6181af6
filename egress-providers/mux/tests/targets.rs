//! Targets that change only while nothing is live, and what is told of them.

use super::*;

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
        reconnect_window: Duration::from_hours(1),
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
        let EgressStatus {
            contribution,
            targets,
            ..
        } = bench.mux.status(&handle).await.unwrap();
        let states: BTreeMap<_, _> = targets
            .into_iter()
            .map(|target| (target.id.as_str().to_owned(), target.state))
            .collect();
        (contribution, states)
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
