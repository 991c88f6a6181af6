use super::{
    access::{SECRET, token},
    *,
};

/// What Chromium offers for a canvas with sound, turned round.
fn offer() -> String {
    include_str!("../../../peers/fixtures/chrome-offer.sdp").replace("a=sendonly", "a=recvonly")
}

async fn rig() -> Rig {
    let rig = Rig::start().await;
    rig.create("show").await;
    rig
}

fn has_place(rig: &Rig, broadcast: &str) -> bool {
    let id = broadcast::BroadcastId::new(broadcast).unwrap();
    let handle = rig.gateway.broadcasts().find(&id);
    handle.is_none_or(|handle| handle.sink().is_some())
}

async fn watches(rig: &Rig, broadcast: &str, token: Option<&str>) -> Response {
    let mut request = rig
        .request(Method::POST, &format!("/whep/{broadcast}"))
        .header("content-type", "application/sdp")
        .body(offer());
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let attempts = async {
        loop {
            let answer = request.try_clone().unwrap().send().await.unwrap();
            // In the first moment of its life a broadcast has no worker.
            if answer.status() != 503 || has_place(rig, broadcast) {
                return answer;
            }
        }
    };
    tokio::time::timeout(PATIENCE, attempts).await.unwrap()
}

fn session_path(answer: &Response) -> String {
    answer.headers()["location"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_viewer_waits_where_there_is_no_studio_yet() {
    let rig = rig().await;

    let answer = watches(&rig, "show", None).await;

    assert_eq!(answer.status(), 201);
    assert!(session_path(&answer).contains("/whep/show/"));
    let etag = answer.headers()["etag"].to_str().unwrap().to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'));
    let sdp = answer.text().await.unwrap();
    assert!(sdp.contains("a=sendonly") && sdp.contains("a=ice-lite"));
    assert_eq!(watches(&rig, "other", None).await.status(), 404);
    rig.gateway.shutdown().await;
}

#[tokio::test]
async fn a_viewers_session_is_trickled_restarted_and_ended_by_its_own_url_only() {
    let rig = rig().await;
    let answer = watches(&rig, "show", None).await;
    let path = session_path(&answer);
    let path = path.strip_prefix(&rig.base).unwrap_or(&path).to_owned();
    let etag = answer.headers()["etag"].clone();
    let change = |path: &str, tag: &str, ufrag: &str| {
        rig.request(Method::PATCH, path)
            .header("content-type", "application/trickle-ice-sdpfrag")
            .header("if-match", tag)
            .body(format!(
                "a=ice-ufrag:{ufrag}\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
            ))
            .send()
    };

    let restarted = change(&path, "*", "news").await.unwrap();
    assert_eq!(restarted.status(), 200);
    let renewed = restarted.headers()["etag"].clone();
    assert_ne!(renewed, etag);
    let stale = change(&path, etag.to_str().unwrap(), "news").await.unwrap();
    assert_eq!(stale.status(), 412);
    let trickled = change(&path, renewed.to_str().unwrap(), "news")
        .await
        .unwrap();
    assert_eq!(trickled.status(), 204);
    let elsewhere = path.replace("/whep/show/", "/whip/show/");
    assert_eq!(change(&elsewhere, "*", "a").await.unwrap().status(), 404);

    let ended = rig.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(ended.status(), 200);
    assert_eq!(change(&path, "*", "more").await.unwrap().status(), 404);
    rig.gateway.shutdown().await;
}

#[tokio::test]
async fn the_fifty_first_viewer_is_told_to_come_back() {
    let rig = rig().await;
    for _ in 0..peers::VIEWERS_LIMIT {
        assert_eq!(watches(&rig, "show", None).await.status(), 201);
    }

    let refused = watches(&rig, "show", None).await;

    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let refused = problem(refused).await;
    assert_eq!(refused, (503, "too_many_viewers".to_owned(), None));
    rig.gateway.shutdown().await;
}

#[tokio::test]
async fn whoever_may_read_a_broadcast_may_watch_it() {
    let rig = Rig::with(&[("AUTH_MODE", "jwt"), ("JWT_SECRET", SECRET)]).await;
    let created = rig
        .request(Method::POST, "/api/v1/broadcasts")
        .bearer_auth(token("studio", "show"))
        .json(&json!({ "id": "show" }))
        .send()
        .await
        .unwrap();
    assert_eq!(created.status(), 201);

    for role in ["viewer", "studio", "operator"] {
        let token = token(role, "show");
        assert_eq!(watches(&rig, "show", Some(&token)).await.status(), 201);
    }

    let stranger = watches(&rig, "show", None).await;
    assert_eq!(stranger.status(), 401);
    let elsewhere = token("viewer", "another");
    assert_eq!(watches(&rig, "show", Some(&elsewhere)).await.status(), 403);
    let viewer = token("viewer", "show");
    let publishing = rig
        .request(Method::POST, "/whip/show")
        .bearer_auth(viewer)
        .header("content-type", "application/sdp")
        .body(offer())
        .send()
        .await
        .unwrap();
    assert_eq!(publishing.status(), 403);
    rig.gateway.shutdown().await;
}
