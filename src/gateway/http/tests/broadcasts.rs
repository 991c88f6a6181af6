use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_is_created_once_by_the_same_request() {
    let rig = Rig::start().await;
    let wish = json!({ "id": "show", "destinations": [{ "rtmpUrl": "rtmp://10.0.0.1/live", "streamKey": "k" }] });

    let first = rig.post("/api/v1/broadcasts", &wish).await;
    let second = rig.post("/api/v1/broadcasts", &wish).await;
    let other = rig
        .post("/api/v1/broadcasts", &json!({ "id": "show" }))
        .await;

    assert_eq!(first.status(), 201);
    assert_eq!(first.headers()["location"], "/api/v1/broadcasts/show");
    let first: Value = first.json().await.unwrap();
    assert_eq!(first["state"], "waiting");
    assert_eq!(first["node"], "node-1");
    assert_eq!(first["whipUrl"], format!("{}/whip/show", rig.base));
    assert_eq!(
        first["egress"],
        json!({ "video": "passthrough", "engineRestarts": 0, "audioCodec": "aac", "provider": "own", "hosted": [] })
    );
    let destination = &first["destinations"][0];
    assert_eq!(destination["id"], "d1");
    assert_eq!(destination["server"], "rtmp://10.0.0.1:1935");
    assert_eq!(destination["state"], "pending");
    assert_eq!(second.status(), 200);
    assert_eq!(
        problem(other).await,
        (409, "broadcast_exists".to_owned(), None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_request_makes_a_broadcast_with_an_id_of_its_own() {
    let rig = Rig::start().await;

    let one: Value = rig
        .request(Method::POST, "/api/v1/broadcasts")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let other: Value = rig
        .post("/api/v1/broadcasts", &json!({}))
        .await
        .json()
        .await
        .unwrap();
    let list: Value = rig.get("/api/v1/broadcasts").await.json().await.unwrap();

    assert_ne!(one["id"], other["id"]);
    assert_eq!(list["broadcasts"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_about_slates_and_backups_is_named_with_its_field() {
    let rig = Rig::start().await;
    let with = |destination: Value| json!({ "destinations": [destination] });
    let table = [
        (
            json!({ "slate": { "colour": 1 } }),
            "unknown_field",
            "slate.colour",
        ),
        (
            json!({ "slate": { "title": "a\nb" } }),
            "invalid_field",
            "slate.title",
        ),
        (
            json!({ "slate": { "title": "é".repeat(81) } }),
            "invalid_field",
            "slate.title",
        ),
        (
            json!({ "slate": { "afterMs": 60_001 } }),
            "invalid_field",
            "slate.afterMs",
        ),
        (
            json!({ "slate": { "maxMinutes": 0 } }),
            "invalid_field",
            "slate.maxMinutes",
        ),
        (
            with(json!({ "rtmpUrl": "rtmp://10.0.0.1/a/k", "backupMode": "both" })),
            "invalid_field",
            "destinations[0].backupMode",
        ),
        (
            with(json!({ "rtmpUrl": "rtmp://10.0.0.1/a/k", "afterCut": "wait" })),
            "invalid_field",
            "destinations[0].afterCut",
        ),
    ];

    for (wish, code, field) in table {
        let response = rig.post("/api/v1/broadcasts", &wish).await;
        assert_eq!(
            problem(response).await,
            (422, code.to_owned(), Some(field.to_owned())),
            "{wish}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_is_named_with_its_field() {
    let rig = Rig::start().await;
    let key = "secret-key-of-a-host";
    let with = |destination: Value| json!({ "destinations": [destination] });
    let many: Vec<Value> = (0..21)
        .map(|_| json!({ "rtmpUrl": "rtmp://10.0.0.1/a/k" }))
        .collect();
    let table = [
        (json!({ "idd": "a" }), "unknown_field", "idd"),
        (json!({ "record": {} }), "unknown_field", "record"),
        (json!({ "id": "a b" }), "invalid_field", "id"),
        (json!({ "id": 1 }), "invalid_field", "id"),
        (json!({ "method": "vlc" }), "invalid_field", "method"),
        (json!({ "method": "daily" }), "method_unavailable", "method"),
        (json!({ "autoStart": "yes" }), "invalid_field", "autoStart"),
        (
            json!({ "destinations": many }),
            "invalid_field",
            "destinations",
        ),
        (with(json!({})), "missing_field", "destinations[0].rtmpUrl"),
        (
            with(json!({ "rtmpUrl": "rtmp://a/b/c", "x": 1 })),
            "unknown_field",
            "destinations[0].x",
        ),
        (
            with(json!({ "rtmpUrl": "http://a/b/c" })),
            "invalid_field",
            "destinations[0].rtmpUrl",
        ),
        (
            with(json!({ "rtmpUrl": "rtmp://10.0.0.1/live" })),
            "invalid_field",
            "destinations[0].streamKey",
        ),
        (
            with(json!({ "rtmpUrl": "rtmp://10.0.0.1/a", "streamKey": 7 })),
            "invalid_field",
            "destinations[0].streamKey",
        ),
        (
            with(json!({ "rtmpUrl": format!("rtmp://169.254.169.254/a/{key}") })),
            "invalid_field",
            "destinations[0].rtmpUrl",
        ),
        (
            with(json!({ "rtmpUrl": format!("rtmp://10.0.0.1:22/a/{key}") })),
            "invalid_field",
            "destinations[0].rtmpUrl",
        ),
        (
            with(json!({ "rtmpUrl": "rtmp://10.0.0.1/a/k", "id": "/" })),
            "invalid_field",
            "destinations[0].id",
        ),
        (
            with(json!({ "rtmpUrl": "rtmp://10.0.0.1/a/k", "platform": "" })),
            "invalid_field",
            "destinations[0].platform",
        ),
        (
            with(json!({ "rtmpUrl": "rtmp://10.0.0.1/a/k", "backupRtmpUrl": "rtmp://" })),
            "invalid_field",
            "destinations[0].backupRtmpUrl",
        ),
        (
            json!({ "destinations": [
                { "id": "a", "rtmpUrl": "rtmp://10.0.0.1/a/k" }, { "id": "a", "rtmpUrl": "rtmp://10.0.0.1/a/k" },
            ] }),
            "invalid_field",
            "destinations",
        ),
    ];

    for (wish, code, field) in table {
        let response = rig.post("/api/v1/broadcasts", &wish).await;
        assert_eq!(
            problem(response).await,
            (422, code.to_owned(), Some(field.to_owned())),
            "{wish}"
        );
    }
    assert_eq!(rig.gateway.broadcasts().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_json_is_refused_by_its_form() {
    let rig = Rig::start().await;
    let send = |body: Vec<u8>, media_type: &'static str| {
        rig.request(Method::POST, "/api/v1/broadcasts")
            .header("content-type", media_type)
            .body(body)
            .send()
    };

    let broken = send(b"{".to_vec(), "application/json").await.unwrap();
    let text = send(b"{}".to_vec(), "text/plain").await.unwrap();
    let long = send(vec![b' '; 200_000], "application/json").await.unwrap();

    assert_eq!(problem(broken).await.1, "malformed_json");
    assert_eq!(
        problem(text).await,
        (415, "unsupported_media_type".to_owned(), None)
    );
    assert_eq!(
        problem(long).await,
        (413, "body_too_large".to_owned(), None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_that_is_not_there_is_404_and_may_be_ended() {
    let rig = Rig::start().await;
    let missing = |response| async { problem(response).await };
    let none = (404, "no_such_broadcast".to_owned(), None);
    let destination = json!({ "rtmpUrl": "rtmp://10.0.0.1/a/k" });

    for path in [
        "/api/v1/broadcasts/none",
        "/api/v1/broadcasts/none/events",
        "/api/v1/broadcasts/a%20b",
    ] {
        assert_eq!(missing(rig.get(path).await).await, none, "{path}");
    }
    for path in [
        "/api/v1/broadcasts/none/start",
        "/api/v1/broadcasts/none/stop",
    ] {
        assert_eq!(
            missing(rig.post(path, &json!({})).await).await,
            none,
            "{path}"
        );
    }
    assert_eq!(
        missing(
            rig.post("/api/v1/broadcasts/none/destinations", &destination)
                .await
        )
        .await,
        none
    );
    assert_eq!(
        missing(
            rig.patch("/api/v1/broadcasts/none/destinations/a", &json!({}))
                .await
        )
        .await,
        none
    );
    assert_eq!(
        missing(rig.delete("/api/v1/broadcasts/none/destinations/a").await).await,
        none
    );
    assert_eq!(rig.delete("/api/v1/broadcasts/none").await.status(), 204);
    assert_eq!(rig.delete("/api/v1/broadcasts/a%20b").await.status(), 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_broadcast_is_gone_and_its_id_is_free() {
    let rig = Rig::start().await;
    rig.create("show").await;

    let ended = rig.delete("/api/v1/broadcasts/show").await;

    assert_eq!(ended.status(), 204);
    assert_eq!(rig.get("/api/v1/broadcasts/show").await.status(), 404);
    assert_eq!(rig.delete("/api/v1/broadcasts/show").await.status(), 204);
    rig.create("show").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_and_start_are_seen() {
    let rig = Rig::start().await;
    let wish = json!({ "id": "show", "destinations": [{ "rtmpUrl": "rtmp://10.0.0.1/a/k" }] });
    rig.post("/api/v1/broadcasts", &wish).await;

    let stopped: Value = rig
        .post("/api/v1/broadcasts/show/stop", &json!({}))
        .await
        .json()
        .await
        .unwrap();
    let started: Value = rig
        .post("/api/v1/broadcasts/show/start", &json!({}))
        .await
        .json()
        .await
        .unwrap();

    assert_eq!(
        (&stopped["started"], &stopped["destinations"][0]["state"]),
        (&json!(false), &json!("stopped"))
    );
    assert_eq!(
        (&started["started"], &started["destinations"][0]["state"]),
        (&json!(true), &json!("pending"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn destinations_come_change_and_go() {
    let rig = Rig::start().await;
    rig.create("show").await;
    let path = "/api/v1/broadcasts/show/destinations";
    let wish = json!({ "id": "main", "rtmpUrl": "rtmps://a.rtmps.youtube.com/live2", "streamKey": "a-b-c", "required": true });

    let added = rig.post(path, &wish).await;
    assert_eq!(added.status(), 201);
    assert_eq!(
        added.headers()["location"],
        "/api/v1/broadcasts/show/destinations/main"
    );
    let added: Value = added.json().await.unwrap();
    assert_eq!(
        (&added["platform"], &added["required"]),
        (&json!("youtube"), &json!(true))
    );
    assert_eq!(added["server"], "rtmps://a.rtmps.youtube.com:443");
    assert_eq!(
        problem(rig.post(path, &wish).await).await,
        (409, "destination_exists".to_owned(), None)
    );

    let disabled: Value = rig
        .patch(&format!("{path}/main"), &json!({ "enabled": false }))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&disabled["enabled"], &disabled["state"]),
        (&json!(false), &json!("stopped"))
    );
    let rotated = rig
        .patch(
            &format!("{path}/main"),
            &json!({ "streamKey": "d-e-f", "enabled": true }),
        )
        .await;
    assert_eq!(rotated.status(), 200);
    for (change, field) in [
        (json!({ "streamKey": "a b" }), "streamKey"),
        (json!({ "streamKey": "" }), "streamKey"),
        (json!({ "afterCut": "never" }), "afterCut"),
        (json!({ "url": 1 }), "url"),
    ] {
        let (status, _, named) = problem(rig.patch(&format!("{path}/main"), &change).await).await;
        assert_eq!((status, named.as_deref()), (422, Some(field)), "{change}");
    }
    let unknown = rig
        .patch(&format!("{path}/other"), &json!({ "enabled": true }))
        .await;
    assert_eq!(
        problem(unknown).await,
        (404, "no_such_destination".to_owned(), None)
    );

    assert_eq!(rig.delete(&format!("{path}/main")).await.status(), 204);
    assert_eq!(rig.delete(&format!("{path}/main")).await.status(), 204);
    let after: Value = rig
        .get("/api/v1/broadcasts/show")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(after["destinations"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_is_paused_and_told_apart_from_its_simultaneous_backup() {
    let rig = Rig::start().await;
    rig.create("show").await;
    let path = "/api/v1/broadcasts/show/destinations";
    let wish = json!({
        "id": "main", "rtmpUrl": "rtmp://10.0.0.1/a", "streamKey": "a-b-c",
        "backupRtmpUrl": "rtmp://10.0.0.2/a", "backupMode": "simultaneous",
    });
    let added: Value = rig.post(path, &wish).await.json().await.unwrap();

    let change = json!({ "paused": true, "required": true, "afterCut": "catchUp" });
    let paused = rig.patch(&format!("{path}/main"), &change).await;

    assert_eq!(
        (&added["paused"], &added["afterCut"], &added["using"]),
        (&json!(false), &json!("jump"), &json!("primary"))
    );
    assert_eq!(added["server"], "rtmp://10.0.0.1:1935");
    assert_eq!(
        (&added["backup"]["server"], &added["backup"]["state"]),
        (&json!("rtmp://10.0.0.2:1935"), &json!("pending"))
    );
    let paused: Value = paused.json().await.unwrap();
    assert_eq!(
        (&paused["paused"], &paused["required"], &paused["afterCut"]),
        (&json!(true), &json!(true), &json!("catchUp"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_takes_twenty_destinations_and_no_more() {
    let rig = Rig::start().await;
    rig.create("show").await;
    let wish = json!({ "rtmpUrl": "rtmp://10.0.0.1/a/k" });

    for number in 1..=20 {
        let added: Value = rig
            .post("/api/v1/broadcasts/show/destinations", &wish)
            .await
            .json()
            .await
            .unwrap();
        assert_eq!(added["id"], format!("d{number}"));
    }

    let one_more = rig
        .post("/api/v1/broadcasts/show/destinations", &wish)
        .await;
    assert_eq!(
        problem(one_more).await,
        (
            422,
            "invalid_field".to_owned(),
            Some("destinations".to_owned())
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_its_broadcast_only_and_is_counted() {
    let rig = Rig::start().await;
    rig.create("broken").await;
    rig.create("sound").await;
    let id = broadcast::BroadcastId::new("broken").unwrap();
    let handle = rig.gateway.broadcasts().find(&id).unwrap();
    let mut snapshots = handle.watch();

    handle.panic().await;

    let ended = snapshots.wait_for(|snapshot| snapshot.state == broadcast::BroadcastState::Ended);
    tokio::time::timeout(PATIENCE, ended)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(rig.get("/api/v1/broadcasts/broken").await.status(), 404);
    assert_eq!(rig.get("/api/v1/broadcasts/sound").await.status(), 200);
    assert_eq!(rig.gateway.metrics().panics(), 1);
    rig.create("broken").await;
}
