//! Live streams: where they go, and what becomes of them.

use super::*;

fn state_of(status: &EgressStatus, name: &str) -> TargetState {
    let found = status
        .targets
        .iter()
        .find(|target| target.id == TargetId::known(name));
    found.map(|target| target.state.clone()).unwrap()
}

#[tokio::test]
async fn a_show_goes_to_its_destinations_by_names_that_hold_no_key() {
    let stage = Stage::new().await;

    stage.started(&[target("a")]).await;

    assert_eq!(stage.outputs(), [url("a")]);
    stage.check_golden("change_room");
    stage.check_golden("start_stream");
    let start = &stage.fake.records().of("start_stream")[0];
    assert!(!start.body.to_string().contains("CANARY"));
}

#[tokio::test]
async fn destinations_come_and_go_while_the_show_is_on() {
    let stage = Stage::new().await;
    let mut handle = stage.started(&[target("a")]).await;

    stage
        .daily
        .update(&mut handle, &[target("a"), target("b")])
        .await
        .unwrap();
    assert_eq!(stage.outputs(), [url("a"), url("b")]);
    stage
        .daily
        .update(&mut handle, &[target("b")])
        .await
        .unwrap();

    assert_eq!(stage.outputs(), [url("b")]);
    assert_eq!(stage.fake.records().count("start_stream"), 1);
    stage.check_golden("add_endpoints");
    stage.check_golden("remove_endpoints");
}

#[tokio::test]
async fn the_only_destination_can_have_another_key() {
    let stage = Stage::new().await;
    let mut handle = stage.started(&[target("a")]).await;

    stage
        .daily
        .update(&mut handle, &[keyed("a", "another")])
        .await
        .unwrap();

    assert_eq!(stage.outputs(), ["rtmps://a.example:443/live/another"]);
    let status = stage.daily.status(&handle).await.unwrap();
    assert_eq!(status.targets.len(), 1);
}

#[tokio::test]
async fn a_key_that_moves_to_another_destination_is_not_published_to_twice() {
    let stage = Stage::new().await;
    let mut handle = stage.started(&[target("a")]).await;
    let mut moved = target("a");
    moved.id = TargetId::known("b");

    stage.daily.update(&mut handle, &[moved]).await.unwrap();

    assert_eq!(stage.outputs(), [url("a")]);
    assert_eq!(stage.fake.records().count("add_endpoints"), 0);
    let status = stage.daily.status(&handle).await.unwrap();
    assert_eq!(state_of(&status, "b"), TargetState::Unknown);
}

#[tokio::test]
async fn what_is_as_it_should_be_is_not_asked_for() {
    let stage = Stage::new().await;
    let mut handle = stage.started(&[target("a")]).await;
    let before = stage.fake.records().all().len();

    stage
        .daily
        .update(&mut handle, &[target("a")])
        .await
        .unwrap();

    assert_eq!(stage.fake.records().all().len(), before);
}

#[tokio::test]
async fn without_destinations_the_live_stream_ends_and_another_begins_later() {
    let stage = Stage::new().await;
    let mut handle = stage.started(&[target("a")]).await;
    let first = stage.fake.rooms()[0].streams[0].0.clone();

    stage.daily.update(&mut handle, &[]).await.unwrap();
    assert_eq!(stage.outputs(), Vec::<String>::new());
    stage.daily.update(&mut handle, &[]).await.unwrap();
    stage
        .daily
        .update(&mut handle, &[target("b")])
        .await
        .unwrap();

    assert_eq!(stage.outputs(), [url("b")]);
    assert_ne!(stage.fake.rooms()[0].streams[0].0, first);
    stage.check_golden("stop_stream");
}

#[tokio::test]
async fn a_start_is_asked_for_as_often_as_one_likes() {
    let stage = Stage::new().await;
    let mut handle = stage.started(&[target("a")]).await;

    stage
        .daily
        .start(&mut handle, &[target("a"), target("b")])
        .await
        .unwrap();

    assert_eq!(stage.outputs(), [url("a"), url("b")]);
}

#[tokio::test]
async fn the_show_is_there_while_its_bringer_is_in_the_room() {
    let stage = Stage::new().await;
    let handle = stage.started(&[target("a")]).await;

    let there = stage.daily.status(&handle).await.unwrap();
    stage.media.leave(ROOM);
    let gone = stage.daily.status(&handle).await.unwrap();

    assert_eq!(there.contribution, ContributionState::Arriving);
    assert_eq!(gone.contribution, ContributionState::Absent);
    // Daily says of no destination that it is live.
    assert_eq!(state_of(&there, "a"), TargetState::Unknown);
}

#[tokio::test]
async fn a_dropped_destination_has_failed_until_it_is_tried_again() {
    let stage = Stage::new().await;
    stage.media.fail("b.example", "the key is refused");
    let mut handle = stage.started(&[target("a"), target("b")]).await;

    let events = stage.hear("streaming.warning").await;

    assert!(events.iter().all(|event| {
        let subject = event.subject.as_deref().unwrap();
        stage.daily.matches(&handle, subject)
    }));
    let status = stage.daily.status(&handle).await.unwrap();
    assert!(matches!(state_of(&status, "b"), TargetState::Failed(_)));
    assert_eq!(state_of(&status, "a"), TargetState::Unknown);
    assert_eq!(stage.outputs(), [url("a")]);

    stage.media.mend("b.example");
    stage
        .daily
        .update(&mut handle, &[target("a")])
        .await
        .unwrap();
    // It is gone already, and Daily would warn of it.
    assert_eq!(stage.fake.records().count("remove_endpoints"), 0);
    stage
        .daily
        .update(&mut handle, &[target("a"), target("b")])
        .await
        .unwrap();

    assert_eq!(stage.outputs(), [url("a"), url("b")]);
    let status = stage.daily.status(&handle).await.unwrap();
    assert_eq!(state_of(&status, "b"), TargetState::Unknown);
}

#[tokio::test]
async fn a_live_stream_that_broke_says_why() {
    let stage = Stage::new().await;
    let handle = stage.started(&[target("a")]).await;

    let words = "worker lost while it sent to rtmps://a.example:443/live/KEY-a-CANARY";
    stage.fake.break_stream(ROOM, words).await;
    stage.hear("streaming.ended").await;

    let ended = stage.daily.status(&handle).await.unwrap().ended.unwrap();
    assert!(ended.to_string().contains("worker lost"), "{ended}");
    assert!(!ended.to_string().contains("CANARY"), "{ended}");
    assert!(ended.fails_over());
}

#[tokio::test]
async fn a_stopped_show_leaves_nothing_and_can_be_stopped_again() {
    let stage = Stage::new().await;
    let handle = stage.started(&[target("a")]).await;

    stage.daily.stop(&handle).await.unwrap();
    stage.daily.stop(&handle).await.unwrap();

    assert_eq!(stage.fake.rooms(), []);
    assert!(stage.media.is_forgotten(ROOM));
    stage.check_golden("delete_room");
    assert!(matches!(
        stage.daily.status(&handle).await,
        Err(ProviderError::NotFound("room"))
    ));
}

#[tokio::test]
async fn more_destinations_than_there_may_be_are_told_before_anything_is_asked() {
    let stage = Stage::new().await;
    let mut handle = stage.prepare().await.handle;
    let targets: Vec<_> = (0..=DESTINATIONS_LIMIT)
        .map(|nth| target(&nth.to_string()))
        .collect();

    let refused = stage.daily.start(&mut handle, &targets).await;

    assert!(matches!(refused, Err(ProviderError::Invalid(_))));
    assert_eq!(stage.fake.records().count("start_stream"), 0);
    stage.daily.start(&mut handle, &targets[1..]).await.unwrap();
    assert_eq!(stage.outputs().len(), DESTINATIONS_LIMIT);
}
