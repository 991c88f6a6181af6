use std::{fs, path::Path};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn health_speaks_the_words_of_several_media_servers() {
    let rig = Rig::start().await;

    for path in ["/health", "/api/health"] {
        let body: Value = rig.get(path).await.json().await.unwrap();
        assert_eq!(
            (&body["status"], &body["activeStreams"], &body["instanceId"]),
            (&json!("ok"), &json!(0), &json!("node-1"))
        );
        for number in [
            "/cpuUsage",
            "/memoryUsage",
            "/uptime",
            "/memory/used",
            "/memory/total",
            "/memory/external",
            "/cpu/user",
            "/cpu/system",
            "/system/cpuCount",
            "/system/totalMemory",
            "/system/freeMemory",
            "/stats/totalRooms",
            "/stats/totalPeers",
            "/stats/workersCount",
            "/stats/routersCount",
        ] {
            assert!(
                body.pointer(number).is_some_and(Value::is_u64),
                "{path} {number}: {body}"
            );
        }
        for text in ["/service", "/version", "/timestamp", "/system/platform"] {
            assert!(
                body.pointer(text).is_some_and(Value::is_string),
                "{path} {text}: {body}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_our_names_and_those_of_other_media_servers() {
    let rig = Rig::start().await;
    rig.create("a-very-special-id").await;

    let text = rig.get("/metrics").await.text().await.unwrap();

    for line in [
        "castgate_broadcasts_active{state=\"waiting\"} 1",
        "castgate_broadcasts_created_total 1",
        "castgate_destinations_active{state=\"live\"} 0",
        "castgate_egress_bytes_total 0",
        "castgate_panics_total 0",
        "castgate_http_requests_total{method=\"POST\",status=\"201\"} 1",
        "media_server_active_streams 0",
        "media_server_streaming_method{method=\"gstreamer\"} 0",
        "media_rooms_total 1",
        "media_participants_total 0",
        "media_recordings_active 0",
        "media_workers_total 1",
        "media_workers_busy 0",
    ] {
        assert!(
            text.lines().any(|known| known == line),
            "{line} is not in\n{text}"
        );
    }
    assert!(text.contains("\nmedia_memory_usage ") && text.ends_with("# EOF\n"));
    assert!(!text.contains("a-very-special-id"), "a label holds an id");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_served_with_a_policy_and_may_be_kept() {
    let rig = Rig::start().await;

    let page = rig.get("/").await;

    assert_eq!(page.status(), 200);
    assert!(
        page.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    let etag = page.headers()["etag"].clone();
    let again = rig
        .request(Method::GET, "/")
        .header("if-none-match", etag)
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), 304);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_described_and_readable() {
    let rig = Rig::start().await;

    let described = rig.get("/openapi.json").await;
    let docs = rig.get("/docs/").await;

    let described: Value = described.json().await.unwrap();
    assert!(described["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(described["paths"]["/api/v1/broadcasts/{id}/events"]["get"].is_object());
    assert_eq!(docs.status(), 200);
    assert!(docs.headers().contains_key("content-security-policy"));
    assert!(docs.text().await.unwrap().contains("swagger"));
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "UPDATE is for the developer, not configuration"
)]
fn the_committed_description_of_the_api_is_the_served_one() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let served = crate::openapi_json().unwrap();

    if std::env::var("UPDATE").is_ok_and(|value| value == "1") {
        fs::write(&file, &served).unwrap();
    }

    assert!(
        fs::read_to_string(&file).is_ok_and(|committed| committed == served),
        "run the test with UPDATE=1 to write {}",
        file.display()
    );
}
