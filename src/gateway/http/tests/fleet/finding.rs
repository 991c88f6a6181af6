//! Whoever asks the wrong node is sent to the right one.

use super::{
    super::access::{SECRET, token},
    *,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_path_of_a_broadcast_leads_to_its_node_from_every_node() {
    let redis = Redis::start().await;
    let (one, two) = (
        node(&redis, "one", &[]).await,
        node(&redis, "two", &[]).await,
    );
    one.create("show").await;
    let ways = [
        (Method::GET, "/api/v1/broadcasts/show?verbose=1"),
        (Method::PATCH, "/api/v1/broadcasts/show"),
        (Method::DELETE, "/api/v1/broadcasts/show"),
        (Method::POST, "/api/v1/broadcasts/show/start"),
        (Method::GET, "/api/v1/broadcasts/show/events"),
        (Method::POST, "/api/v1/broadcasts/show/destinations"),
        (Method::PUT, "/api/v1/broadcasts/show/slate"),
        (Method::GET, "/api/daily/broadcasts/show/streaming/status"),
        (Method::POST, "/whip/show"),
        (Method::DELETE, "/whip/show/a-session"),
        (Method::POST, "/whep/show"),
    ];

    for (method, path) in ways {
        let mut request = two.request(method.clone(), path);
        if path.starts_with("/wh") {
            request = request
                .header("content-type", "application/sdp")
                .body("v=0\r\n");
        } else if method != Method::GET && method != Method::DELETE {
            let body = if path.ends_with("destinations") {
                json!({ "rtmpUrl": "rtmp://10.0.0.1/live", "streamKey": "key" })
            } else {
                json!({})
            };
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();

        assert_eq!(answer.status(), 307, "{method} {path}");
        let location = format!("{}{path}", one.base);
        assert_eq!(answer.headers()["location"], location, "{method} {path}");
        assert_eq!(problem(answer).await.1, "elsewhere", "{method} {path}");
    }
    let absent = two.get("/api/v1/broadcasts/other").await;
    assert_eq!(problem(absent).await.1, "no_such_broadcast");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_is_created_once_in_the_fleet_and_ended_from_anywhere() {
    let redis = Redis::start().await;
    let (one, two) = (
        node(&redis, "one", &[]).await,
        node(&redis, "two", &[]).await,
    );
    one.create("show").await;

    let again = two
        .post("/api/v1/broadcasts", &json!({ "id": "show" }))
        .await;
    let location = format!("{}/api/v1/broadcasts", one.base);
    assert_eq!(again.status(), 307);
    assert_eq!(again.headers()["location"], location);
    let follower = Client::new();
    let ended = follower
        .delete(format!("{}/api/v1/broadcasts/show", two.base))
        .send()
        .await
        .unwrap();

    assert_eq!(ended.status(), 204);
    until("the name is free again, on any node", async || {
        let answer = two
            .post("/api/v1/broadcasts", &json!({ "id": "show" }))
            .await;
        answer.status() == 201
    })
    .await;
    assert_eq!(two.gateway.broadcasts().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_room_names_one_that_has_some() {
    let redis = Redis::start().await;
    let one = node(&redis, "one", &[("MAX_BROADCASTS", "1")]).await;
    let two = node(&redis, "two", &[]).await;
    meet(&[&one, &two]).await;
    one.create("first").await;

    let answer = one
        .post("/api/v1/broadcasts", &json!({ "id": "second" }))
        .await;

    assert_eq!(answer.status(), 307);
    let location = format!("{}/api/v1/broadcasts", two.base);
    assert_eq!(answer.headers()["location"], location);
    two.create("second").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_where_a_broadcast_is_without_a_token_for_it() {
    let redis = Redis::start().await;
    let more = [("AUTH_MODE", "jwt"), ("JWT_SECRET", SECRET)];
    let one = node(&redis, "one", &more).await;
    let two = node(&redis, "two", &more).await;
    let created = one
        .request(Method::POST, "/api/v1/broadcasts")
        .bearer_auth(token("studio", "show"))
        .json(&json!({ "id": "show" }))
        .send()
        .await
        .unwrap();
    assert_eq!(created.status(), 201);

    for path in [
        "/api/v1/broadcasts/show",
        "/media-servers/assign?broadcast=show",
    ] {
        let nobody = two.get(path).await;
        let other = two
            .request(Method::GET, path)
            .bearer_auth(token("studio", "other"));
        let studio = two
            .request(Method::GET, path)
            .bearer_auth(token("studio", "show"));

        assert_eq!(nobody.status(), 401, "{path}");
        assert_eq!(other.send().await.unwrap().status(), 403, "{path}");
        assert!(
            studio.send().await.unwrap().status().as_u16() < 400,
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_lost_its_memory_is_told_again() {
    let redis = Redis::start().await;
    let (one, two) = (
        node(&redis, "one", &[]).await,
        node(&redis, "two", &[]).await,
    );
    one.create("show").await;
    one.create("other").await;

    redis.flush();

    for path in ["/api/v1/broadcasts/show", "/api/v1/broadcasts/other"] {
        until("the registry knows again", async || {
            two.get(path).await.status() == 307
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broadcasts_go_on_without_the_registry_and_are_found_again_with_a_new_one() {
    let mut redis = Redis::start().await;
    let (one, two) = (
        node(&redis, "one", &[]).await,
        node(&redis, "two", &[]).await,
    );
    meet(&[&one, &two]).await;
    one.create("show").await;

    redis.kill();
    for node in [&one, &two] {
        until("the nodes know that it is gone", async || {
            let body: Value = node.get("/api/v1/node").await.json().await.unwrap();
            body["registry"] == "unreachable"
        })
        .await;
    }

    // Both are blind, which is most of a fleet of two: nobody is cut off for long.
    until("the first node is trusted", async || {
        let body: Value = one.get("/api/v1/node").await.json().await.unwrap();
        body["standing"] == "trusted"
    })
    .await;
    assert_eq!(one.get("/api/v1/broadcasts/show").await.status(), 200);
    let elsewhere = two.get("/api/v1/broadcasts/show").await;
    assert_eq!(problem(elsewhere).await.1, "registry_unavailable");
    let ready = two.get("/readyz").await;
    assert_eq!(ready.status(), 200);
    assert!(
        ready
            .text()
            .await
            .unwrap()
            .contains("registry does not answer")
    );
    let assigned: Value = two
        .get("/media-servers/assign?broadcast=new")
        .await
        .json()
        .await
        .unwrap();
    let reason = assigned["reason"].as_str().unwrap();
    assert!(reason.contains("last known"), "{reason}");

    redis.begin_anew();
    until("the broadcast is found again", async || {
        two.get("/api/v1/broadcasts/show").await.status() == 307
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_of_one_name_is_refused_and_the_first_goes_on() {
    let redis = Redis::start().await;
    let one = node(&redis, "one", &[]).await;
    let url = redis.url.clone();
    let variables = HashMap::from([
        ("PORT", "0"),
        ("RTC_PORT", "0"),
        ("SERVER_ID", "one"),
        ("PUBLIC_URL", "http://127.0.0.1:1"),
        ("REDIS_URL", url.as_str()),
        ("SECRETS_KEY", KEY),
    ]);
    let surroundings = Surroundings {
        cores: 1,
        server_id: "random".to_owned(),
        terminal: false,
    };
    let lookup = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    let config = Config::read(&lookup, &surroundings).unwrap();

    let refused = Gateway::start(config).await.unwrap_err();

    assert!(refused.is_configuration());
    assert!(refused.to_string().contains("SERVER_ID"), "{refused}");
    one.create("show").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_goes_is_gone_at_once_and_its_name_is_free() {
    let redis = Redis::start().await;
    let one = node(&redis, "one", &[]).await;
    let two = node(&redis, "two", &[]).await;
    meet(&[&one, &two]).await;

    one.gateway.shutdown().await;

    until("the other one is alone", async || {
        let body: Value = two.get("/media-servers/stats").await.json().await.unwrap();
        (&body["totalServers"], &body["unhealthyServers"]) == (&json!(1), &json!(0))
    })
    .await;
    node(&redis, "one", &[]).await;
}
