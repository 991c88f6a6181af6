//! Streamlick's routes for Daily, against a fake of Daily.

use fake_providers::{
    FakeSettings, NoMedia,
    daily::{DailyQuirks, FakeDaily},
};
use std::sync::Arc;

use super::*;

const BROADCAST: &str = "7d0b8c1e-show";

/// A gateway whose studios go to Daily themselves, and who is in the rooms there.
async fn direct() -> (Rig, FakeDaily, Arc<NoMedia>) {
    let media = Arc::new(NoMedia::arriving());
    let settings = FakeSettings {
        media: media.clone(),
        ..FakeSettings::default()
    };
    let fake = FakeDaily::start(&settings, DailyQuirks::default())
        .await
        .unwrap();
    let rig = Rig::with(&[
        ("DAILY_API_KEY", FakeDaily::API_KEY),
        ("DAILY_API_URL", fake.base().as_str()),
        ("DAILY_CONTRIBUTION", "direct"),
        ("MEDIA_SERVER_SECRET", "between-servers"),
    ])
    .await;
    (rig, fake, media)
}

fn path(rest: &str) -> String {
    format!("/api/daily/broadcasts/{BROADCAST}/{rest}")
}

fn to(host: &str) -> Value {
    json!({ "rtmpUrl": format!("rtmps://{host}.example/live"), "streamKey": "KEY-CANARY", "platform": "custom" })
}

async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

/// Where the only live stream goes.
fn outputs(fake: &FakeDaily) -> Vec<String> {
    let rooms = fake.rooms();
    let streams = rooms.iter().flat_map(|room| &room.streams);
    let mut outputs: Vec<_> = streams.flat_map(|(_, urls)| urls.clone()).collect();
    outputs.sort();
    outputs
}

async fn wait_for(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..400 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited in vain for {what}");
}

#[tokio::test]
async fn a_studio_goes_to_its_room_and_streams_from_there() {
    let (rig, fake, _media) = direct().await;

    let (status, room) = answer(rig.post(&path("room"), &json!({})).await).await;
    assert_eq!(status, 200, "{room}");
    let name = room["room"]["name"].as_str().unwrap();
    assert!(name.ends_with(BROADCAST), "{name}");
    assert!(room["room"]["url"].as_str().unwrap().ends_with(name));
    assert!(room["room"]["id"].is_string());
    assert!(fake.opens(room["token"].as_str().unwrap(), name));

    let wanted = json!({ "destinations": [to("a")], "layout": { "preset": "default" } });
    let started = answer(rig.post(&path("streaming/start"), &wanted).await).await;
    assert_eq!(started, (200, json!({ "success": true })));
    let a = "rtmps://a.example:443/live/KEY-CANARY".to_owned();
    wait_for("the live stream", || outputs(&fake) == [a.clone()]).await;
    // It is the room that the studio is in.
    assert_eq!(fake.rooms().len(), 1);
    assert_eq!(fake.records().count("delete_room"), 0);
    let again = answer(rig.post(&path("room"), &json!({})).await).await.1;
    assert_eq!(again["room"], room["room"]);

    let more = json!({ "destinations": [to("b")] });
    let added = answer(rig.post(&path("streaming/add-endpoints"), &more).await).await;
    assert_eq!(added, (200, json!({ "success": true })));
    wait_for("the second destination", || outputs(&fake).len() == 2).await;

    let stopped = answer(rig.post(&path("streaming/stop"), &json!({})).await).await;
    assert_eq!(stopped, (200, json!({ "success": true })));
    wait_for("the end", || outputs(&fake).is_empty()).await;
    let gone = answer(rig.delete(&path("room")).await).await;
    assert_eq!(gone, (200, json!({ "success": true })));
    wait_for("the room to be gone", || fake.rooms().is_empty()).await;
}

#[tokio::test]
async fn a_room_that_nothing_was_streamed_from_is_removed_with_the_broadcast() {
    let (rig, fake, _media) = direct().await;
    rig.post("/daily/broadcasts/early/room", &json!({})).await;
    assert_eq!(fake.rooms().len(), 1);

    let gone = answer(rig.delete("/daily/broadcasts/early/room").await).await;

    assert_eq!(gone, (200, json!({ "success": true })));
    assert_eq!(fake.rooms(), []);
    let status = rig
        .get("/api/daily/broadcasts/early/streaming/status")
        .await;
    let status = answer(status).await;
    assert_eq!(status, (200, json!({ "is_streaming": false })));
}

#[tokio::test]
async fn wrong_requests_have_streamlicks_answers() {
    let (rig, fake, _media) = direct().await;
    let required = "At least one destination is required";

    for (body, error) in [
        (json!({}), required),
        (json!({ "destinations": [] }), required),
        (json!({ "destinations": "all" }), "Invalid destinations"),
        (
            json!({ "destinations": [{ "rtmpUrl": "http://a/KEY-CANARY" }] }),
            "destination 1: the URL must start with rtmp:// or rtmps://",
        ),
    ] {
        let refused = answer(rig.post(&path("streaming/start"), &body).await).await;
        assert_eq!(refused, (400, json!({ "error": error })));
    }
    let more = json!({ "destinations": [to("a")] });
    let (status, body) = answer(rig.post(&path("streaming/add-endpoints"), &more).await).await;
    assert_eq!(status, 500);
    assert_eq!(body["error"], "Failed to add endpoints");
    assert_eq!(body["details"], "no_such_broadcast");
    assert_eq!(fake.rooms(), []);
}

#[tokio::test]
async fn without_daily_there_is_no_room() {
    let rig = Rig::start().await;

    let (status, body) = answer(rig.post(&path("room"), &json!({})).await).await;

    assert_eq!(status, 500);
    assert_eq!(body["error"], "Failed to create Daily room");
    assert_eq!(body["details"], "method_unavailable");
    assert!(body["message"].as_str().unwrap().contains("DAILY_API_KEY"));
}

#[tokio::test]
async fn the_media_server_needs_no_token_and_everybody_else_does() {
    let fake = FakeDaily::start(&FakeSettings::default(), DailyQuirks::default())
        .await
        .unwrap();
    let rig = Rig::with(&[
        ("DAILY_API_KEY", FakeDaily::API_KEY),
        ("DAILY_API_URL", fake.base().as_str()),
        ("DAILY_CONTRIBUTION", "direct"),
        ("MEDIA_SERVER_SECRET", "between-servers"),
        ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
    ])
    .await;
    let ask = |secret: &'static str| {
        let request = rig.request(Method::POST, &path("room"));
        request.header("x-media-server-secret", secret).send()
    };

    assert_eq!(ask("guessed").await.unwrap().status(), 401);
    assert_eq!(rig.post(&path("room"), &json!({})).await.status(), 401);
    assert_eq!(ask("between-servers").await.unwrap().status(), 200);
}
