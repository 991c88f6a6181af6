//! Destinations that come and go.

use super::*;

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
async fn a_deleted_output_may_get_the_show_for_as_long_as_is_told() {
    let bench = Bench::with(CloudflareQuirks {
        disconnects_after: Duration::from_hours(1),
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
    assert!(!bench.cloudflare.lets_go_within().is_zero());
}
