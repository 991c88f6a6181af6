//! Which node a studio is told to go to.

use super::*;

async fn json_of(rig: &Rig, path: &str) -> Value {
    let answer = rig.get(path).await;
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_is_assigned_to_one_node_whoever_asks_and_stays_there() {
    let redis = Redis::start().await;
    let (one, two) = (
        node(&redis, "one", &[]).await,
        node(&redis, "two", &[]).await,
    );
    meet(&[&one, &two]).await;

    let first = json_of(&one, "/media-servers/assign?broadcast=show").await;
    let second = json_of(&two, "/api/media-servers/assign?broadcast=show").await;
    assert_eq!(first["url"], second["url"]);
    assert!(
        first["reason"].as_str().unwrap().contains("most room"),
        "{first}"
    );
    let (there, elsewhere) = if first["serverId"] == "one" {
        (&one, &two)
    } else {
        (&two, &one)
    };
    let sent = elsewhere
        .post("/api/v1/broadcasts", &json!({ "id": "show" }))
        .await;
    assert_eq!(sent.status(), 307, "the place is kept elsewhere");
    there.create("show").await;
    let selected = elsewhere
        .post(
            "/api/media-servers/select",
            &json!({ "broadcastId": "show" }),
        )
        .await;
    let selected: Value = selected.json().await.unwrap();

    assert_eq!(first["url"], there.base);
    assert_eq!(selected["serverId"], first["serverId"]);
    assert_eq!(selected["reason"], "the broadcast lives there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_is_preferred_and_a_mistaken_method_is_told() {
    let redis = Redis::start().await;
    let one = node(&redis, "one", &[("REGION", "eu-west")]).await;
    let two = node(&redis, "two", &[("REGION", "us-east")]).await;
    meet(&[&one, &two]).await;

    for (region, expected) in [("eu-west", "one"), ("us-east", "two")] {
        for number in 0..3 {
            let path = format!("/media-servers/assign?broadcast={region}-{number}&region={region}");
            assert_eq!(json_of(&two, &path).await["serverId"], expected);
        }
    }
    let wrong = one
        .get("/media-servers/assign?broadcast=a&method=carrier-pigeon")
        .await;
    assert_eq!(
        problem(wrong).await,
        (422, "invalid_field".to_owned(), Some("method".to_owned()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_are_listed_as_streamlicks_backend_lists_its_servers() {
    let redis = Redis::start().await;
    let (one, two) = (
        node(&redis, "one", &[]).await,
        node(&redis, "two", &[]).await,
    );
    meet(&[&one, &two]).await;

    let list = json_of(&two, "/api/media-servers").await;
    let statistics = json_of(&two, "/media-servers/stats").await;
    let single = json_of(&two, "/media-servers/one").await;
    let absent = two.get("/media-servers/three").await;
    let known = two
        .post("/media-servers", &json!({ "url": one.base }))
        .await;
    let stranger = json!({ "url": "http://192.0.2.1:3001" });
    let unknown = two.post("/media-servers", &stranger).await;
    let nothing = two.post("/media-servers", &json!({})).await;
    let removed = two.delete("/media-servers/one").await;

    assert_eq!(list[0]["id"], "one");
    assert_eq!(list[1]["url"], two.base);
    assert_eq!(list[0]["isHealthy"], true);
    assert_eq!(
        (&statistics["totalServers"], &statistics["healthyServers"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(statistics["recommendation"]["action"], "none");
    assert_eq!(statistics["hasCapacity"], true);
    assert_eq!(single["url"], one.base);
    assert_eq!(absent.status(), 404);
    let absent: Value = absent.json().await.unwrap();
    assert_eq!(absent["error"], "Server not found");
    assert_eq!(known.status(), 200);
    assert_eq!(
        (unknown.status().as_u16(), nothing.status().as_u16()),
        (422, 400)
    );
    assert_eq!(removed.status(), 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_alone_assigns_itself() {
    let rig = Rig::start().await;

    let assigned = json_of(&rig, "/media-servers/assign?broadcast=show").await;
    let node = json_of(&rig, "/api/v1/node").await;

    assert_eq!(
        (&assigned["serverId"], &assigned["url"]),
        (&json!("node-1"), &json!(rig.base))
    );
    assert_eq!(
        (&node["registry"], &node["standing"]),
        (&json!("alone"), &json!("known"))
    );
    rig.create("show").await;
}
