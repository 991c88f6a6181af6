//! One live stream for each broadcast, found again and removed.

use super::*;

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
