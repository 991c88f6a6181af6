//! Destinations that come, go, change and die while the show is on.

use super::*;

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
