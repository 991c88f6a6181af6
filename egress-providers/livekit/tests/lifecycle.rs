//! From prepare to stop, with what may be lost between.

use super::*;

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
