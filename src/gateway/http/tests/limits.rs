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

    for path in ["/nothing", "/api/v1/nothing", "/../etc/passwd"] {
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

#[tokio::test]
async fn a_node_without_room_says_what_it_would_cost_and_when_to_come_back() {
    // Others of this process may use more than that, which fills it as well.
    let rig = Rig::with(&[("NODE_CAPACITY_CORES", "0.1"), ("MAX_BROADCASTS", "100")]).await;
    let mut refused = None;
    for id in 0..10 {
        let body = json!({ "id": id.to_string() });
        let answer = rig.post("/api/v1/broadcasts", &body).await;
        if answer.status() == 503 {
            refused = Some(answer);
            break;
        }
    }
    let ready = rig.get("/readyz").await;

    let refused = refused.unwrap();
    assert!(refused.headers().contains_key("retry-after"));
    let body: serde_json::Value = refused.json().await.unwrap();
    assert_eq!(body["code"], "node_full");
    assert_eq!(body["costCores"], 0.02);
    assert!(body["freeCores"].as_f64().unwrap() < 0.02, "{body}");
    assert_eq!(problem(ready).await.1, "node_full");
    let metrics = rig.get("/metrics").await.text().await.unwrap();
    assert!(
        metrics.contains("castgate_capacity_cores 0.1\n"),
        "{metrics}"
    );
    assert!(metrics.contains("castgate_load_ratio "), "{metrics}");
    rig.gateway.shutdown().await;
}

#[tokio::test]
async fn a_method_whose_program_is_absent_is_refused_and_shown() {
    let rig = Rig::with(&[
        ("FFMPEG_PATH", "/no/such/ffmpeg"),
        ("STREAMING_METHOD", "ffmpeg"),
    ])
    .await;

    let refused = rig
        .post("/api/v1/broadcasts", &json!({ "method": "ffmpeg" }))
        .await;
    let default = rig.post("/api/v1/broadcasts", &json!({})).await;
    let other = rig
        .post("/api/v1/broadcasts", &json!({ "method": "gstreamer" }))
        .await;

    let expected = (
        422,
        "method_unavailable".to_owned(),
        Some("method".to_owned()),
    );
    assert_eq!(problem(refused).await, expected);
    assert_eq!(problem(default).await, expected);
    assert_eq!(other.status(), 201);
    let health: serde_json::Value = rig.get("/health").await.json().await.unwrap();
    assert!(
        health["ffmpeg"]
            .as_str()
            .unwrap()
            .starts_with("not available"),
        "{health}"
    );
    rig.gateway.shutdown().await;
}
