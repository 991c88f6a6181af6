//! What goes wrong on the way, and that nothing is left or doubled by it.

use fake_providers::Action;

use super::*;
use crate::hosted::Stage as Awaited;

/// Whether an error is the right one.
type Verdict<'a> = &'a dyn Fn(&ProviderError) -> bool;

#[tokio::test]
async fn each_refusal_has_its_error() {
    let stage = Stage::new().await;
    let handle = stage.started(&[target("a")]).await;
    let unavailable = |error: &ProviderError| matches!(error, ProviderError::Unavailable { .. });
    let told = |word: &str, status| {
        let body = serde_json::json!({ "error": word, "info": "in words" }).to_string();
        Action::Answer(status, body)
    };
    let table: [(Action, Verdict<'_>); 11] = [
        (told("authentication-error", 401), &|error| {
            *error == ProviderError::Auth
        }),
        (told("authorization-header-error", 400), &|error| {
            *error == ProviderError::Auth
        }),
        (told("forbidden-error", 403), &|error| {
            *error == ProviderError::Forbidden("in words".to_owned())
        }),
        (told("not-found", 404), &|error| {
            *error == ProviderError::NotFound("room")
        }),
        (told("invalid-request-error", 400), &|error| {
            *error == ProviderError::Invalid("in words".to_owned())
        }),
        (Action::Status(429, Some(60)), &|error| {
            error.retry_after() == Some(Duration::from_mins(1))
        }),
        (told("server-error", 500), &unavailable),
        (Action::Reset, &unavailable),
        (Action::Hang, &|error| {
            *error == ProviderError::Timeout(Awaited::Answer)
        }),
        (Action::Garbage, &|error| {
            matches!(error, ProviderError::Protocol(_))
        }),
        (Action::TruncatedJson, &|error| {
            matches!(error, ProviderError::Protocol(_))
        }),
    ];

    for (action, expected) in table {
        // One of its own, so that the breaker of the one before is closed.
        let daily = Daily::new(settings_for(&stage.fake)).unwrap();
        stage.faults.add("read_presence", 0, action.clone());

        let error = daily.status(&handle).await.unwrap_err();

        assert!(expected(&error), "{action:?}: {error:?}");
        stage.faults.clear();
    }
}

#[tokio::test]
async fn a_wrong_key_is_told() {
    let stage = Stage::with(DailyQuirks::default(), |settings| {
        settings.api_key = StreamKey::new("another");
    })
    .await;

    assert_eq!(stage.daily.health().await, Err(ProviderError::Auth));
    let error = stage.daily.prepare(&spec()).await.unwrap_err();
    assert_eq!(error, ProviderError::Auth);
}

#[tokio::test]
async fn a_lost_answer_leaves_one_room_and_one_live_stream() {
    let stage = Stage::new().await;
    for operation in ["create_room", "change_room", "start_stream"] {
        stage.faults.add(operation, 1, Action::LostAnswer);
    }

    let mut handle = stage.prepare().await.handle;
    let targets = [target("a")];
    stage.daily.start(&mut handle, &targets).await.unwrap();

    assert_eq!(stage.fake.rooms().len(), 1);
    assert_eq!(stage.outputs(), [url("a")]);
    assert_eq!(stage.fake.records().count("start_stream"), 2);
}

#[tokio::test]
async fn a_room_that_was_made_without_an_answer_is_found() {
    let stage = Stage::new().await;
    stage.faults.add("create_room", 0, Action::LostAnswer);

    let lost = stage.daily.prepare(&spec()).await;

    assert!(lost.is_err());
    let owned = stage.daily.owned(&spec().owner).await.unwrap();
    assert_eq!(owned.len(), 1);
    stage.daily.stop(&owned[0]).await.unwrap();
    assert_eq!(stage.fake.rooms(), []);
}

#[tokio::test]
async fn a_live_stream_that_is_in_the_way_is_not_taken_for_ours() {
    // As if Daily did not show that the room that was left behind has been used.
    let quirks = DailyQuirks {
        hides_endpoints: true,
        ..DailyQuirks::default()
    };
    let stage = Stage::with(quirks, |_| {}).await;
    stage.started(&[target("a")]).await;

    let mut handle = stage.prepare().await.handle;
    let refused = stage.daily.start(&mut handle, &[target("b")]).await;

    assert!(matches!(refused, Err(ProviderError::Conflict(_))));
    stage.daily.stop(&handle).await.unwrap();
    assert_eq!(stage.fake.rooms(), []);
    let mut handle = stage.prepare().await.handle;
    stage
        .daily
        .start(&mut handle, &[target("b")])
        .await
        .unwrap();
    assert_eq!(stage.outputs(), [url("b")]);
}

#[tokio::test]
async fn a_start_whose_answer_never_came_is_found_by_the_next_one() {
    let stage = Stage::new().await;
    let mut handle = stage.prepare().await.handle;
    stage.faults.add("start_stream", 0, Action::LostAnswer);

    let lost = stage.daily.start(&mut handle, &[target("a")]).await;
    stage.faults.clear();
    assert!(lost.is_err());
    let targets = [target("a"), target("b")];
    stage.daily.start(&mut handle, &targets).await.unwrap();

    assert_eq!(stage.outputs(), [url("a"), url("b")]);
}

#[tokio::test]
async fn a_start_that_was_lost_is_stopped_with_the_show() {
    let stage = Stage::new().await;
    let mut handle = stage.prepare().await.handle;
    let written_down = handle.clone();
    stage.faults.add("start_stream", 0, Action::LostAnswer);
    drop(stage.daily.start(&mut handle, &[target("a")]).await);

    // As a process does that was killed before it could write down more.
    stage.daily.stop(&written_down).await.unwrap();

    assert_eq!(stage.fake.rooms(), []);
    assert_eq!(stage.fake.records().count("stop_stream"), 1);
}

#[tokio::test]
async fn a_destination_whose_addition_is_unknown_is_added_again_or_removed() {
    for wanted in [vec![target("a")], vec![target("a"), target("b")]] {
        let stage = Stage::new().await;
        let mut handle = stage.started(&[target("a")]).await;
        stage.faults.add("add_endpoints", 0, Action::LostAnswer);

        let both = [target("a"), target("b")];
        let lost = stage.daily.update(&mut handle, &both).await;
        stage.faults.clear();
        assert!(lost.is_err());
        assert_eq!(stage.outputs(), [url("a"), url("b")]);
        stage.daily.update(&mut handle, &wanted).await.unwrap();

        let urls: Vec<_> = wanted
            .iter()
            .map(|target| url(target.id.as_str()))
            .collect();
        assert_eq!(stage.outputs(), urls);
    }
}

#[tokio::test]
async fn a_destination_whose_removal_failed_is_removed_later() {
    let stage = Stage::new().await;
    let mut handle = stage.started(&[target("a"), target("b")]).await;
    stage
        .faults
        .add("remove_endpoints", 0, Action::Status(500, None));

    let failed = stage.daily.update(&mut handle, &[target("a")]).await;
    stage.faults.clear();
    assert!(failed.is_err());
    stage
        .daily
        .update(&mut handle, &[target("a")])
        .await
        .unwrap();

    assert_eq!(stage.outputs(), [url("a")]);
}

#[tokio::test]
async fn a_room_is_removed_although_its_live_stream_could_not_be_stopped() {
    let stage = Stage::new().await;
    let handle = stage.started(&[target("a")]).await;
    stage
        .faults
        .add("stop_stream", 0, Action::Status(500, None));

    let unsure = stage.daily.stop(&handle).await;

    assert!(matches!(unsure, Err(ProviderError::Unavailable { .. })));
    assert_eq!(stage.fake.rooms(), []);
    stage.faults.clear();
    stage.daily.stop(&handle).await.unwrap();
}

#[tokio::test]
async fn a_room_that_is_refused_for_something_else_is_told_so() {
    let stage = Stage::new().await;
    let body = r#"{"error":"invalid-request-error","info":"unknown parameter 'exp'"}"#;
    let refused = Action::Answer(400, body.to_owned());
    stage.faults.add("create_room", 1, refused);

    let error = stage.daily.prepare(&spec()).await.unwrap_err();

    let words = "unknown parameter 'exp'".to_owned();
    assert_eq!(error, ProviderError::Invalid(words));
}

#[tokio::test]
async fn a_refusal_repeats_no_key() {
    let stage = Stage::new().await;
    let mut handle = stage.prepare().await.handle;
    let body = format!(
        r#"{{"error":"invalid-request-error","info":"bad url {}"}}"#,
        url("a")
    );
    stage
        .faults
        .add("change_room", 1, Action::Answer(400, body));

    let error = stage.daily.start(&mut handle, &[target("a")]).await;

    let words = error.unwrap_err().to_string();
    assert!(words.contains("bad url"), "{words}");
    assert!(!words.contains("CANARY"), "{words}");
}

#[tokio::test]
async fn a_handle_of_another_provider_is_no_handle() {
    let stage = Stage::new().await;
    let mut handle = stage.prepare().await.handle;
    handle.remote = serde_json::json!({ "input": "f256e6ea" });

    assert!(matches!(
        stage.daily.stop(&handle).await,
        Err(ProviderError::Protocol(_))
    ));
    assert!(!stage.daily.matches(&handle, ROOM));
}

#[tokio::test]
async fn webhooks_are_not_taken_without_a_secret() {
    let stage = Stage::with(DailyQuirks::default(), |settings| {
        settings.webhook_secret = None;
    })
    .await;

    let told = stage
        .daily
        .webhook(&WebhookHeaders::new(), b"{}", SystemTime::now());

    assert_eq!(told, Err(WebhookError::NotConfigured));
    let mut settings = settings_for(&stage.fake);
    settings.webhook_secret = Some(StreamKey::new("no base64!"));
    assert_eq!(
        Daily::new(settings).unwrap_err(),
        DailySetupError::WebhookSecret
    );
}
