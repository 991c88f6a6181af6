use futures_util::{Stream, StreamExt as _};

use super::*;

/// Reads events until the stream ends: name and data. Counters, which may come at any time, are passed over.
struct Events<S> {
    stream: S,
    text: String,
}

impl<S: Stream<Item = String> + Unpin> Events<S> {
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(|text| text.trim().to_owned())
                };
                let found = field("event:").zip(field("data:"));
                self.text = rest.to_owned();
                if let Some((name, data)) = found.filter(|(name, _)| name != "statistics") {
                    return Some((name, serde_json::from_str(&data).unwrap()));
                }
            }
            let more = tokio::time::timeout(PATIENCE, self.stream.next())
                .await
                .unwrap()?;
            self.text.push_str(&more);
        }
    }
}

async fn events(request: RequestBuilder) -> Events<impl Stream<Item = String> + Unpin> {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let chunks = futures_util::stream::unfold(response, |mut response| async {
        let chunk = response.chunk().await.unwrap()?;
        Some((String::from_utf8(chunk.to_vec()).unwrap(), response))
    });
    Events {
        stream: Box::pin(chunks),
        text: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_what_is_then_every_change_and_the_end() {
    let rig = Rig::start().await;
    rig.create("show").await;
    let mut events = events(rig.request(Method::GET, "/api/v1/broadcasts/show/events")).await;

    let (name, data) = events.next().await.unwrap();
    assert_eq!(
        (name.as_str(), &data["broadcast"]["state"]),
        ("snapshot", &json!("waiting"))
    );
    assert!(data.get("change").is_none());

    rig.post(
        "/api/v1/broadcasts/show/destinations",
        &json!({ "id": "a", "rtmpUrl": "rtmp://10.0.0.1/a/k" }),
    )
    .await;
    let (name, data) = events.next().await.unwrap();
    assert_eq!(name, "destination");
    assert_eq!(data["change"]["destination"], "a");
    assert_eq!(
        (&data["change"]["state"], &data["change"]["reason"]),
        (&json!("pending"), &json!("added"))
    );
    assert_eq!(data["broadcast"]["destinations"][0]["id"], "a");

    rig.patch(
        "/api/v1/broadcasts/show/destinations/a",
        &json!({ "enabled": false }),
    )
    .await;
    let (_, data) = events.next().await.unwrap();
    assert_eq!(
        (&data["change"]["state"], &data["change"]["reason"]),
        (&json!("stopped"), &json!("edited"))
    );

    rig.delete("/api/v1/broadcasts/show/destinations/a").await;
    let (_, data) = events.next().await.unwrap();
    assert_eq!(
        (&data["change"]["state"], &data["change"]["reason"]),
        (&json!("removed"), &json!("removed"))
    );

    rig.delete("/api/v1/broadcasts/show").await;
    let (name, data) = events.next().await.unwrap();
    assert_eq!(name, "broadcast");
    assert_eq!(
        (&data["change"]["state"], &data["broadcast"]["state"]),
        (&json!("ended"), &json!("ended"))
    );
    assert!(
        events.next().await.is_none(),
        "the stream ends with the broadcast"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_of_a_broken_broadcast_are_told() {
    let rig = Rig::start().await;
    rig.create("show").await;
    let mut events = events(rig.request(Method::GET, "/api/v1/broadcasts/show/events")).await;
    events.next().await.unwrap();
    let id = broadcast::BroadcastId::new("show").unwrap();

    rig.gateway.broadcasts().find(&id).unwrap().panic().await;

    let (_, data) = events.next().await.unwrap();
    assert_eq!(
        (&data["change"]["state"], &data["change"]["reason"]),
        (&json!("ended"), &json!("broken"))
    );
    assert!(events.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_ends_broadcasts_and_their_watchers() {
    let rig = Rig::start().await;
    rig.create("show").await;
    let mut events = events(rig.request(Method::GET, "/api/v1/broadcasts/show/events")).await;
    events.next().await.unwrap();

    tokio::time::timeout(PATIENCE, rig.gateway.shutdown())
        .await
        .unwrap();

    let (_, data) = events.next().await.unwrap();
    assert_eq!(data["broadcast"]["state"], "ended");
    assert!(events.next().await.is_none());
    assert!(
        rig.client
            .get(format!("{}/livez", rig.base))
            .send()
            .await
            .is_err(),
        "nobody listens any more"
    );
}
