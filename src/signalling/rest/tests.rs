//! Tests of the REST trees over rooms in memory.

use ::rooms::RoomError;
use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::stand_in::{StandInRooms, capabilities};

struct Outcome {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

fn tree(rooms: &Arc<StandInRooms>) -> Router {
    let settings = RestSettings {
        origins: Origins::List(vec!["https://studio.example".to_owned()]),
        figures: Arc::new(|| NodeFigures {
            workers: 2,
            uptime: Duration::from_millis(3_600_500),
            memory_bytes: 128_000_000,
        }),
    };
    router(Arc::<StandInRooms>::clone(rooms), settings)
}

async fn ask(router: &Router, method: &str, path: &str, token: &str, body: &str) -> Outcome {
    let mut request = Request::builder().method(method).uri(path);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    Outcome {
        status: parts.status,
        headers: parts.headers,
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    }
}

fn error(text: &str) -> Value {
    json!({ "error": text })
}

#[tokio::test]
async fn a_streamlick_client_reads_what_can_be_sent() {
    let tree = tree(&Arc::default());

    let read = ask(&tree, "GET", "/broadcasts/show/rtp-capabilities", "", "").await;

    assert_eq!(read.status, StatusCode::OK);
    let expected = json!({ "rtpCapabilities": capabilities() });
    assert_eq!(read.body, expected);
    assert_eq!(read.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn capabilities_that_cannot_be_had_are_told_in_streamlicks_words() {
    let rooms = Arc::new(StandInRooms::default());
    let tree = tree(&rooms);

    rooms.fail_next(RoomError::Internal);
    let broken = ask(&tree, "GET", "/broadcasts/show/rtp-capabilities", "", "").await;
    rooms.fail_next(RoomError::NodeFull("100 rooms".to_owned()));
    let full = ask(&tree, "GET", "/broadcasts/show/rtp-capabilities", "", "").await;
    let unnamed = ask(
        &tree,
        "GET",
        "/broadcasts/no%20name/rtp-capabilities",
        "",
        "",
    )
    .await;

    assert_eq!(broken.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(broken.body, error("Failed to get RTP capabilities"));
    assert_eq!(full.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(full.headers["retry-after"], "5");
    assert_eq!(unnamed.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_room_is_made_listed_read_and_closed() {
    let tree = tree(&Arc::default());

    let made = ask(&tree, "POST", "/api/rooms", "", r#"{"roomId":"show"}"#).await;
    let again = ask(&tree, "POST", "/api/rooms", "", r#"{"roomId":"show"}"#).await;
    let list = ask(&tree, "GET", "/api/rooms", "", "").await;
    let read = ask(&tree, "GET", "/api/rooms/show", "", "").await;
    let closed = ask(&tree, "DELETE", "/api/rooms/show", "", "").await;
    let gone = ask(&tree, "DELETE", "/api/rooms/show", "", "").await;

    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!(made.body["roomId"], "show");
    assert_eq!(made.body["created"], "1970-01-01T00:16:40.000Z");
    assert_eq!(made.body["rtpCapabilities"]["codecs"][0]["kind"], "audio");
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert_eq!(again.body, error("Room already exists"));
    assert_eq!(
        list.body,
        json!({ "rooms": [{ "roomId": "show", "peerCount": 0, "created": "1970-01-01T00:16:40.000Z" }] })
    );
    assert_eq!(read.body["peersCount"], 0);
    assert_eq!(read.body["peers"], json!([]));
    assert_eq!(closed.body, json!({ "success": true }));
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert_eq!(gone.body, error("Room not found"));
}

#[tokio::test]
async fn a_room_tells_who_is_in_it() {
    let rooms = Arc::new(StandInRooms::default());
    let tree = tree(&rooms);
    let guest = rooms.admit(None).await.unwrap();
    let order = ::rooms::JoinOrder {
        room: broadcast::BroadcastId::new("show").unwrap(),
        participant: Some(::rooms::ParticipantId::new("ann")),
        display_name: Some("Ann".to_owned()),
        details: json!({}),
    };
    let _membership = rooms.join(&guest, order).await.unwrap();

    let read = ask(&tree, "GET", "/api/rooms/show", "", "").await;

    assert_eq!(
        read.body["peers"],
        json!([{
            "id": "ann",
            "displayName": "Ann",
            "joined": true,
            "joinedAt": "1970-01-01T00:16:40.000Z",
            "producersCount": 0,
            "consumersCount": 0,
        }])
    );
}

#[tokio::test]
async fn a_room_without_a_name_is_refused_in_the_sfus_words() {
    let tree = tree(&Arc::default());

    for body in [
        "",
        "{}",
        r#"{"roomId":""}"#,
        r#"{"roomId":7}"#,
        r#"{"roomId":"  "}"#,
    ] {
        let refused = ask(&tree, "POST", "/api/rooms", "", body).await;

        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(
            refused.body,
            error("roomId is required and must be a non-empty string")
        );
    }
}

#[tokio::test]
async fn nself_makes_a_room_or_takes_the_one_that_is_there() {
    let tree = tree(&Arc::default());

    let first = ask(&tree, "POST", "/api/rooms/room-123", "", "").await;
    let second = ask(&tree, "POST", "/api/rooms/room-123", "", "").await;

    assert_eq!(
        (first.status, second.status),
        (StatusCode::OK, StatusCode::OK)
    );
    assert_eq!(second.body["roomId"], "room-123");
    assert_eq!(second.body["participantCount"], 0);
    assert!(second.body["routerId"].is_string());
}

#[tokio::test]
async fn where_tokens_are_needed_none_and_a_bad_one_are_refused() {
    let tree = tree(&Arc::new(StandInRooms::with_tokens()));

    for path in [
        "/api/rooms",
        "/api/rooms/show",
        "/api/stats",
        "/api/ice-servers",
        "/stats",
    ] {
        let without = ask(&tree, "GET", path, "", "").await;
        let bad = ask(&tree, "GET", path, "bad", "").await;
        let broken = ask(&tree, "GET", path, "a b", "").await;

        for refused in [without, bad, broken] {
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(refused.headers["www-authenticate"], "Bearer");
            assert!(refused.body["error"].is_string());
        }
    }
    let good = ask(&tree, "GET", "/api/ice-servers", "ann", "").await;
    assert_eq!(good.status, StatusCode::OK);
}

#[tokio::test]
async fn nself_gets_ice_servers() {
    let tree = tree(&Arc::default());

    let read = ask(&tree, "GET", "/api/ice-servers", "ann", "").await;

    let expected = json!({ "iceServers": [{ "urls": "stun:stun.example.org" }] });
    assert_eq!(read.body, expected);
}

#[tokio::test]
async fn nself_gets_statistics() {
    let tree = tree(&Arc::default());
    ask(&tree, "POST", "/api/rooms/show", "", "").await;

    let read = ask(&tree, "GET", "/api/stats", "ann", "").await;

    assert_eq!(
        read.body,
        json!({
            "workers": { "total": 2 },
            "rooms": { "total": 1, "list": [
                { "roomId": "show", "peerCount": 0, "created": "1970-01-01T00:16:40.000Z" },
            ] },
            "participants": { "total": 0 },
            "recordings": { "active": 0 },
            "uptime": 3600,
            "memory": { "heapUsed": 128_000_000 },
        })
    );
}

#[tokio::test]
async fn meetlite_gets_statistics() {
    let tree = tree(&Arc::default());
    ask(&tree, "POST", "/api/rooms/show", "", "").await;

    let read = ask(&tree, "GET", "/stats", "", "").await;

    assert_eq!(read.body["workers"], 2);
    assert_eq!(read.body["rooms"], 1);
    assert_eq!(read.body["totalParticipants"], 0);
    assert_eq!(read.body["roomStats"][0]["roomId"], "show");
    assert_eq!(read.body["workerStats"][1]["index"], 1);
}

#[tokio::test]
async fn nobody_records() {
    let tree = tree(&Arc::default());

    for (method, path) in [
        ("POST", "/api/rooms/show/recordings"),
        ("POST", "/api/rooms/show/recordings/1/stop"),
        ("GET", "/api/rooms/show/recordings/1"),
        ("POST", "/channels/lobby/recording/start"),
        ("POST", "/channels/lobby/recording/stop"),
    ] {
        let refused = ask(&tree, method, path, "", "").await;

        assert_eq!(refused.status, StatusCode::NOT_IMPLEMENTED, "{path}");
        assert_eq!(refused.body, error("recording is not available"));
    }
}

#[tokio::test]
async fn a_meetlite_client_makes_and_reads_a_room() {
    let rooms = Arc::new(StandInRooms::default());
    let tree = tree(&rooms);

    let early = ask(&tree, "GET", "/api/media/rooms/show", "ann", "").await;
    let made = ask(&tree, "POST", "/api/media/rooms/show", "ann", "").await;
    let read = ask(&tree, "GET", "/api/media/rooms/show", "ann", "").await;
    rooms.fail_next(RoomError::Forbidden("not this room".to_owned()));
    let refused = ask(&tree, "POST", "/api/media/rooms/show", "ann", "").await;

    assert_eq!(early.status, StatusCode::NOT_FOUND);
    assert_eq!(
        early.body,
        json!({ "success": false, "message": "Room not found" })
    );
    assert_eq!(made.body["success"], true);
    assert_eq!(made.body["roomId"], "show");
    assert_eq!(
        made.body["iceServers"],
        json!([{ "urls": ["stun:stun.example.org"] }])
    );
    assert!(made.body["rtpCapabilities"]["codecs"].is_array());
    assert_eq!(read.body["participants"], json!([]));
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(
        refused.body,
        json!({ "success": false, "message": "Access denied to this room" })
    );
}

#[tokio::test]
async fn a_body_that_is_too_large_or_no_object_is_refused() {
    let tree = tree(&Arc::default());

    let large = "x".repeat(BODY_LIMIT_BYTES + 1);
    let fitting = format!(
        r#"{{"roomId":"show","x":"{}"}}"#,
        "x".repeat(BODY_LIMIT_BYTES - 24)
    );
    let too_large = ask(&tree, "POST", "/api/rooms", "", &large).await;
    let broken = ask(&tree, "POST", "/api/rooms", "", "[1]").await;
    let fits = ask(&tree, "POST", "/api/rooms", "", &fitting).await;

    assert_eq!(fitting.len(), BODY_LIMIT_BYTES);
    assert_eq!(too_large.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(broken.status, StatusCode::BAD_REQUEST);
    assert_eq!(broken.body, error("the body must be a JSON object"));
    assert_eq!(fits.status, StatusCode::CREATED);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let tree = tree(&Arc::default());
    let (_sender, receiver) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
    let body = Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(receiver));
    let request = Request::post("/api/rooms").body(body).unwrap();

    let response = tree.oneshot(request).await.unwrap();

    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn another_method_is_refused_as_json() {
    let tree = tree(&Arc::default());

    for (method, path) in [
        ("PUT", "/api/rooms"),
        ("PATCH", "/sessions"),
        ("POST", "/stats"),
    ] {
        let refused = ask(&tree, method, path, "", "").await;

        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert!(refused.body["error"].is_string(), "{path}");
    }
}

#[tokio::test]
async fn pages_of_the_allowed_origins_may_ask() {
    let tree = tree(&Arc::default());
    let preflight = |origin: &str| {
        Request::options("/api/rooms/show")
            .header("origin", origin)
            .header("access-control-request-method", "DELETE")
            .header("access-control-request-headers", "authorization")
            .body(Body::empty())
            .unwrap()
    };

    let ours = tree.clone().oneshot(preflight("https://studio.example"));
    let ours = ours.await.unwrap();
    let strange = tree.oneshot(preflight("https://strange.example"));
    let strange = strange.await.unwrap();

    let allowed = "access-control-allow-origin";
    assert_eq!(ours.headers()[allowed], "https://studio.example");
    assert!(!strange.headers().contains_key(allowed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_break_a_body(body in proptest::collection::vec(any::<u8>(), 0..256)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();

        let status = runtime.block_on(async {
            let request = Request::post("/api/rooms").body(Body::from(body)).unwrap();
            let response = tree(&Arc::default()).oneshot(request).await.unwrap();
            response.status()
        });

        prop_assert!(status.is_client_error() || status.is_success());
    }
}
