//! One live input for each broadcast, found again and removed.

use super::*;

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
