use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_node_is_not_ready_and_says_so() {
    let rig = Rig::with(&[("MAX_BROADCASTS", "1")]).await;
    assert_eq!(rig.get("/readyz").await.status(), 200);
    rig.create("one").await;

    let refused = rig
        .post("/api/v1/broadcasts", &json!({ "id": "two" }))
        .await;

    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(problem(refused).await, (503, "full".to_owned(), None));
    assert_eq!(
        problem(rig.get("/readyz").await).await,
        (503, "full".to_owned(), None)
    );
    assert_eq!(
        rig.post("/api/v1/broadcasts", &json!({ "id": "one" }))
            .await
            .status(),
        200
    );
    rig.delete("/api/v1/broadcasts/one").await;
    let ready = async {
        while rig.get("/readyz").await.status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_node_is_alive_but_not_ready() {
    let rig = Rig::start().await;
    rig.create("one").await;

    rig.gateway.broadcasts().drain();

    assert_eq!(rig.get("/livez").await.status(), 200);
    assert_eq!(
        problem(rig.get("/readyz").await).await,
        (503, "draining".to_owned(), None)
    );
    let refused = rig
        .post("/api/v1/broadcasts", &json!({ "id": "two" }))
        .await;
    assert_eq!(problem(refused).await, (503, "draining".to_owned(), None));
    assert_eq!(rig.get("/api/v1/broadcasts/one").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_of_one_address_are_refused_in_the_api_only() {
    let rig = Rig::with(&[
        ("RATE_LIMIT_MAX_REQUESTS", "3"),
        ("RATE_LIMIT_WINDOW_MS", "600000"),
    ])
    .await;
    for _ in 0..3 {
        assert_eq!(rig.get("/api/v1/broadcasts").await.status(), 200);
    }

    let refused = rig.get("/api/v1/broadcasts").await;

    assert!(
        refused.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            >= 1
    );
    assert_eq!(
        problem(refused).await,
        (429, "too_many_requests".to_owned(), None)
    );
    for path in ["/livez", "/readyz", "/health", "/metrics", "/"] {
        assert_eq!(rig.get(path).await.status(), 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_served_is_a_problem_too() {
    let rig = Rig::start().await;
    rig.create("show").await;

    for path in [
        "/nothing",
        "/api/v1/nothing",
        "/whep/show",
        "/../etc/passwd",
    ] {
        assert_eq!(
            problem(rig.get(path).await).await,
            (404, "not_found".to_owned(), None),
            "{path}"
        );
    }
    let put = rig
        .request(Method::PUT, "/api/v1/broadcasts/show")
        .send()
        .await
        .unwrap();
    assert!(put.headers().contains_key("allow"));
    assert_eq!(
        problem(put).await,
        (405, "method_not_allowed".to_owned(), None)
    );
    let receiver = rig.get("/api/v1/local-receiver").await;
    assert_eq!(
        problem(receiver).await,
        (404, "no_local_receiver".to_owned(), None)
    );
}
