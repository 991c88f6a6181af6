use pipelines::rtmp::receiver::{Behaviour, Behaviours, Ending, Receiver};
use tokio::net::TcpListener;

use super::*;

const PROBE: &str = "/api/v1/destinations/probe";
const KEY: &str = "live_s3cr3t_a1b2c3";

async fn receiver(behaviour: Behaviour) -> (Receiver, String) {
    let receiver = Receiver::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    receiver.set_behaviours(Behaviours {
        default: behaviour,
        ..Behaviours::default()
    });
    let url = format!("rtmp://{}/live", receiver.local_address());
    (receiver, url)
}

async fn probe(rig: &Rig, body: &Value) -> Value {
    let response = rig.post(PROBE, body).await;
    assert_eq!(response.status(), 200);
    let text = response.text().await.unwrap();
    assert!(!text.contains("s3cr3t"), "{text}");
    serde_json::from_str(&text).unwrap()
}

fn steps(body: &Value) -> Vec<&str> {
    let steps = body["steps"].as_array().unwrap().iter();
    steps.map(|step| step["step"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_goes_as_far_as_a_stream_and_does_not_name_the_key() {
    let rig = Rig::with(&[("DESTINATION_ALLOW_PORTS", "any")]).await;
    let (receiver, url) = receiver(Behaviour::Accept).await;

    let body = probe(&rig, &json!({ "rtmpUrl": url })).await;

    assert_eq!(body["ok"], true, "{body}");
    assert_eq!(body["server"], url.trim_end_matches("/live"));
    assert!(body.get("code").is_none(), "{body}");
    let taken = [
        "dns",
        "connect",
        "handshake",
        "connectReply",
        "createStream",
    ];
    assert_eq!(steps(&body), taken);
    assert!(
        body["steps"][3]["detail"]
            .as_str()
            .unwrap()
            .contains("NetConnection.Connect.Success")
    );
    assert!(receiver.streams().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_publishes_takes_it_back_at_once() {
    let rig = Rig::with(&[("DESTINATION_ALLOW_PORTS", "any")]).await;
    let (receiver, url) = receiver(Behaviour::Accept).await;

    let request = json!({ "rtmpUrl": url, "streamKey": KEY, "publish": true });
    let body = probe(&rig, &request).await;

    assert_eq!(body["ok"], true, "{body}");
    assert_eq!(steps(&body).last(), Some(&"publish"));
    let streams = receiver.streams();
    assert_eq!(streams.len(), 1);
    assert_eq!(streams[0].stream_key.expose(), KEY);
    assert_eq!(streams[0].ending, Some(Ending::Deleted));
    assert_eq!(streams[0].video.cadence.frames, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_with_its_code_and_without_the_key() {
    let rig = Rig::with(&[("DESTINATION_ALLOW_PORTS", "any")]).await;
    for (behaviour, code, fault, retry) in [
        (
            Behaviour::RefuseConnect,
            "app_refused",
            "destination",
            "backoff",
        ),
        (
            Behaviour::RefusePublish,
            "key_refused",
            "destination",
            "never",
        ),
    ] {
        let (_receiver, url) = receiver(behaviour).await;

        let request = json!({ "rtmpUrl": url, "streamKey": KEY, "publish": true });
        let body = probe(&rig, &request).await;

        assert_eq!(body["ok"], false);
        assert_eq!(
            [&body["code"], &body["fault"], &body["retry"]],
            [code, fault, retry],
            "{body}"
        );
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtmp://{}/live", listener.local_addr().unwrap());
    drop(listener);
    let body = probe(&rig, &json!({ "rtmpUrl": url })).await;
    assert_eq!(
        (&body["code"], steps(&body)),
        (&json!("connect_refused"), vec!["dns"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_address_is_told_before_any_packet() {
    let rig = Rig::with(&[
        ("DESTINATION_ALLOW_PRIVATE", "false"),
        ("DESTINATION_ALLOW_PORTS", "any"),
    ])
    .await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtmp://{}/live/key", listener.local_addr().unwrap());

    let body = probe(&rig, &json!({ "rtmpUrl": url })).await;

    assert_eq!(body["code"], "forbidden_address");
    assert!(steps(&body).is_empty());
    let mut accept = std::pin::pin!(listener.accept());
    let waker = std::task::Waker::noop();
    assert!(
        accept
            .as_mut()
            .poll(&mut std::task::Context::from_waker(waker))
            .is_pending()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_probed_is_named() {
    let rig = Rig::with(&[("DESTINATION_ALLOW_PORTS", "any")]).await;
    for (request, code, field) in [
        (json!({}), "missing_field", "rtmpUrl"),
        (
            json!({ "rtmpUrl": "http://a/live" }),
            "invalid_field",
            "rtmpUrl",
        ),
        (
            json!({ "rtmpUrl": "rtmp://a/live", "publish": true }),
            "invalid_field",
            "streamKey",
        ),
        (
            json!({ "rtmpUrl": "rtmp://a/live/k", "key": "x" }),
            "unknown_field",
            "key",
        ),
    ] {
        let refused = rig.post(PROBE, &request).await;

        let expected = (422, code.to_owned(), Some(field.to_owned()));
        assert_eq!(problem(refused).await, expected, "{request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_are_tried_at_a_time() {
    let rig = std::sync::Arc::new(Rig::with(&[("DESTINATION_ALLOW_PORTS", "any")]).await);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let request = json!({ "rtmpUrl": format!("rtmp://{}/live", silent.local_addr().unwrap()) });
    let mut probes = tokio::task::JoinSet::new();
    let mut connections = Vec::new();
    for _ in 0..8 {
        let (rig, request) = (std::sync::Arc::clone(&rig), request.clone());
        probes.spawn(async move { rig.post(PROBE, &request).await });
        let accepted = tokio::time::timeout(PATIENCE, silent.accept()).await;
        connections.push(accepted.unwrap().unwrap());
    }

    let refused = rig.post(PROBE, &request).await;

    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(problem(refused).await, (503, "busy".to_owned(), None));
    drop(connections);
    while let Some(answer) = probes.join_next().await {
        let body: Value = answer.unwrap().json().await.unwrap();
        assert_eq!(body["code"], "handshake_failed", "{body}");
    }
    assert_eq!(rig.post(PROBE, &json!({})).await.status(), 422);
}
