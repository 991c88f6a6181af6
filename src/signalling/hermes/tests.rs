//! Tests of Hermes' sessions over rooms in memory.

use std::{future::Future, time::Duration};

use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use rooms::RoomEvent;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{sessions::CONNECT_PATIENCE, *};
use crate::stand_in::{StandInRooms, capabilities};

pub(super) struct Bench {
    rooms: Arc<StandInRooms>,
    router: Router,
}

impl Bench {
    pub(super) fn new(limit: usize) -> Self {
        Self::over(StandInRooms::default(), limit)
    }

    fn over(rooms: StandInRooms, limit: usize) -> Self {
        rooms.negotiate();
        let rooms = Arc::new(rooms);
        let sessions = sessions::Sessions::new(Arc::<StandInRooms>::clone(&rooms), limit);
        Self {
            rooms,
            router: router_of(sessions),
        }
    }

    pub(super) async fn ask(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        self.ask_as("", method, path, body).await
    }

    async fn ask_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Body::from(body.to_string())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }

    /// Opens a session and gives its path.
    pub(super) async fn open(&self, user: &str, medium: &str) -> String {
        let (status, opened) = self.ask("POST", "/sessions", order(user, medium)).await;
        assert_eq!(status, StatusCode::CREATED, "{opened}");
        format!("/sessions/{}", opened["session_id"].as_str().unwrap())
    }

    fn participants(&self) -> Vec<String> {
        let there = self.rooms.participants("lobby").into_iter();
        there.map(|(name, _)| name).collect()
    }

    pub(super) fn tell(&self, participant: &str, event: &RoomEvent) {
        self.rooms.tell("lobby", Some(participant), event);
    }

    /// The transport of a participant works.
    async fn connect(&self, participant: &str, transport: &str) {
        let transport = rooms::TransportId::new(transport);
        self.tell(participant, &RoomEvent::TransportConnected(transport));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    pub(super) async fn publish(&self, session: &str) -> String {
        let body = json!({ "kind": "audio", "rtp_parameters": opus() });
        let (status, published) = self.ask("POST", &format!("{session}/publish"), body).await;
        assert_eq!(status, StatusCode::CREATED, "{published}");
        published["track_id"].as_str().unwrap().to_owned()
    }
}

pub(super) fn order(user: &str, medium: &str) -> Value {
    json!({ "type": medium, "channel_id": "lobby", "user_id": user })
}

fn opus() -> Value {
    json!({
        "codecs": [{
            "mime_type": "audio/opus",
            "payload_type": 111,
            "clock_rate": 48000,
            "channels": 2,
        }],
        "encodings": [{ "ssrc": 1 }],
    })
}

fn dtls(value: &str) -> Value {
    json!({ "role": "client", "fingerprints": [{ "algorithm": "sha-256", "value": value }] })
}

/// Waits, at most 5 s of virtual time, until something is so.
pub(super) async fn until<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    for _ in 0..50 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it did not come to pass");
}

#[tokio::test]
async fn a_session_begins_with_all_that_a_client_needs_to_connect() {
    let bench = Bench::new(10);

    let (status, opened) = bench.ask("POST", "/sessions", order("ann", "audio")).await;

    assert_eq!(status, StatusCode::CREATED);
    let id = opened["session_id"].as_str().unwrap();
    let lengths: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12]);
    assert_eq!(id.as_bytes()[14], b'4');
    assert_eq!(opened["transport_id"], "transport-2");
    assert_eq!(opened["ice_parameters"]["iceLite"], true);
    assert!(opened["ice_candidates"].is_array());
    assert!(opened["dtls_parameters"]["fingerprints"].is_array());
    assert_eq!(opened["router_rtp_capabilities"], json!(capabilities()));
    assert_eq!(
        opened["ice_servers"][0],
        json!({ "urls": ["stun:stun.example.org"] })
    );
}

#[tokio::test]
async fn nobody_in_the_room_is_told_the_name_of_a_session() {
    let bench = Bench::new(10);

    let session = bench.open("ann", "audio").await;

    let id = session.rsplit('/').next().unwrap();
    assert!(!bench.participants().contains(&id.to_owned()));
}

#[tokio::test]
async fn what_one_publishes_another_subscribes_to() {
    let bench = Bench::new(10);
    let ann = bench.open("ann", "audio").await;
    let bob = bench.open("bob", "audio").await;

    let connected = bench
        .ask(
            "POST",
            &format!("{ann}/connect"),
            json!({ "dtls_parameters": dtls("11") }),
        )
        .await;
    let track = bench.publish(&ann).await;
    let (status, subscribed) = bench
        .ask(
            "POST",
            &format!("{bob}/subscribe"),
            json!({
                "track_id": track,
                "rtp_capabilities": capabilities(),
                "dtls_parameters": dtls("22"),
            }),
        )
        .await;

    assert_eq!(connected.0, StatusCode::OK);
    assert_eq!(connected.1["connected"], true);
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(subscribed["track_id"], track.as_str());
    assert_eq!(subscribed["consumer_id"], "consumer-6");
    assert_eq!(subscribed["kind"], "audio");
    assert_eq!(subscribed["rtp_parameters"]["mid"], "0");
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_and_received_is_counted() {
    let bench = Bench::new(10);
    let ann = bench.open("ann", "audio").await;
    let bob = bench.open("bob", "audio").await;
    let track = bench.publish(&ann).await;
    let own = bench.publish(&bob).await;
    let body = json!({ "track_id": &track, "rtp_capabilities": capabilities() });
    bench.ask("POST", &format!("{bob}/subscribe"), body).await;
    bench.connect("participant-1", "transport-2").await;
    bench.connect("participant-3", "transport-4").await;
    tokio::time::advance(Duration::from_mins(2)).await;

    let (status, read) = bench.ask("GET", &format!("{bob}/stats"), json!({})).await;

    assert_eq!(status, StatusCode::OK);
    assert_eq!(read["session_id"], bob.rsplit('/').next().unwrap());
    assert_eq!(read["duration"], 120);
    assert_eq!(
        read["tracks"],
        json!([
            { "track_id": own, "kind": "audio", "direction": "publish", "paused": false },
            {
                "track_id": track,
                "consumer_id": "consumer-7",
                "kind": "audio",
                "direction": "subscribe",
                "paused": false,
                "bitrate": 40_000,
                "packets_sent": 50,
                "packets_lost": 1,
                "rtt_ms": 20.0,
            },
        ])
    );
}

#[tokio::test(start_paused = true)]
async fn a_track_that_ended_is_counted_no_more() {
    let bench = Bench::new(10);
    let ann = bench.open("ann", "audio").await;
    let bob = bench.open("bob", "audio").await;
    let track = bench.publish(&ann).await;
    let body = json!({ "track_id": &track, "rtp_capabilities": capabilities() });
    bench.ask("POST", &format!("{bob}/subscribe"), body).await;

    let ended = RoomEvent::ConsumerClosed {
        consumer: rooms::ConsumerId::new("consumer-6"),
        producer: rooms::ProducerId::new(track),
        participant: rooms::ParticipantId::new("participant-1"),
        kind: ortc::MediaKind::Audio,
    };
    bench.tell("participant-3", &ended);

    until(async || {
        let (_, read) = bench.ask("GET", &format!("{bob}/stats"), json!({})).await;
        read["tracks"] == json!([])
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_connect_within_a_minute_loses_its_session() {
    let bench = Bench::new(10);
    let ann = bench.open("ann", "audio").await;
    let bob = bench.open("bob", "audio").await;
    bench.connect("participant-3", "transport-4").await;

    tokio::time::sleep(CONNECT_PATIENCE.saturating_sub(Duration::from_secs(1))).await;
    let before = bench.ask("GET", &format!("{ann}/stats"), json!({})).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = bench.ask("GET", &format!("{ann}/stats"), json!({})).await;
    let other = bench.ask("GET", &format!("{bob}/stats"), json!({})).await;

    assert_eq!(before.0, StatusCode::OK);
    assert_eq!(after.0, StatusCode::NOT_FOUND);
    assert_eq!(other.0, StatusCode::OK);
    assert_eq!(bench.participants(), ["participant-3"]);
}

#[tokio::test]
async fn a_session_that_ends_again_is_no_error() {
    let bench = Bench::new(10);
    let session = bench.open("ann", "video").await;

    let first = bench.ask("DELETE", &session, json!({})).await;
    let second = bench.ask("DELETE", &session, json!({})).await;
    let read = bench
        .ask("GET", &format!("{session}/stats"), json!({}))
        .await;

    assert_eq!(first.0, StatusCode::NO_CONTENT);
    assert_eq!(second.0, StatusCode::NO_CONTENT);
    assert_eq!(read.0, StatusCode::NOT_FOUND);
    assert_eq!(read.1, json!({ "error": "Session not found" }));
    assert!(bench.participants().is_empty());
}

#[tokio::test]
async fn a_user_has_one_session_for_sound_and_one_for_pictures() {
    let bench = Bench::new(10);
    let first = bench.open("ann", "audio").await;
    let pictures = bench.open("ann", "video").await;
    let again = bench.open("ann", "audio").await;

    for (session, status) in [
        (first, StatusCode::NOT_FOUND),
        (pictures, StatusCode::OK),
        (again, StatusCode::OK),
    ] {
        let read = bench
            .ask("GET", &format!("{session}/stats"), json!({}))
            .await;
        assert_eq!(read.0, status);
    }
    assert_eq!(bench.participants().len(), 2);
}

#[tokio::test]
async fn a_session_belongs_to_whom_it_was_opened_for() {
    let bench = Bench::over(StandInRooms::with_tokens(), 10);
    let (_, opened) = bench
        .ask_as("ann", "POST", "/sessions", order("ann", "audio"))
        .await;
    let session = format!("/sessions/{}", opened["session_id"].as_str().unwrap());

    let nobodys = bench.ask("DELETE", &session, json!({})).await;
    let strange = bench.ask_as("bob", "DELETE", &session, json!({})).await;
    let still = bench
        .ask_as("ann", "GET", &format!("{session}/stats"), json!({}))
        .await;
    let opened_by_bob = bench
        .ask_as("bob", "POST", "/sessions", order("ann", "audio"))
        .await;
    let own = bench.ask_as("ann", "DELETE", &session, json!({})).await;

    assert_eq!(nobodys.0, StatusCode::UNAUTHORIZED);
    assert_eq!(strange.0, StatusCode::NO_CONTENT);
    assert_eq!(still.0, StatusCode::OK);
    assert_eq!(opened_by_bob.0, StatusCode::CREATED);
    assert_eq!(own.0, StatusCode::NO_CONTENT);
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_transport_or_room_has_ended_is_gone() {
    let bench = Bench::new(10);
    let ann = bench.open("ann", "audio").await;
    let bob = bench.open("bob", "audio").await;
    let names = bench.participants();

    let closed =
        |id: &str| RoomEvent::TransportClosed(rooms::TransportId::new(id), "silent".to_owned());
    bench.tell(&names[0], &closed("transport-2"));
    bench.tell(&names[1], &closed("transport-2"));

    until(async || bench.participants() == names[1..]).await;
    let read = bench.ask("GET", &format!("{ann}/stats"), json!({})).await;
    assert_eq!(read.0, StatusCode::NOT_FOUND);
    let read = bench.ask("GET", &format!("{bob}/stats"), json!({})).await;
    assert_eq!(read.0, StatusCode::OK);

    let closed = RoomEvent::Closed("it was closed".to_owned());
    bench.tell(&names[1], &closed);

    until(async || {
        let read = bench.ask("GET", &format!("{bob}/stats"), json!({})).await;
        read.0 == StatusCode::NOT_FOUND
    })
    .await;
}

#[tokio::test]
async fn there_is_an_end_to_sessions_and_a_place_comes_free() {
    let bench = Bench::new(2);
    let first = bench.open("ann", "audio").await;
    bench.open("bob", "audio").await;

    let full = bench.ask("POST", "/sessions", order("cy", "audio")).await;
    bench.ask("DELETE", &first, json!({})).await;
    let free = bench.ask("POST", "/sessions", order("cy", "audio")).await;

    assert_eq!(full.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(full.1, json!({ "error": "all 2 sessions are taken" }));
    assert_eq!(free.0, StatusCode::CREATED);
}

#[tokio::test]
async fn a_session_that_cannot_begin_leaves_nothing_behind() {
    let bench = Bench::new(1);
    // Of a request, the first command admits and the second joins.
    bench.rooms.fail_after(2, rooms::RoomError::Timeout);

    let failed = bench.ask("POST", "/sessions", order("ann", "audio")).await;
    let broken =
        json!({ "type": "audio", "channel_id": "lobby", "user_id": "ann", "dtls_parameters": 7 });
    let refused = bench.ask("POST", "/sessions", broken).await;

    assert_eq!(failed.0, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(refused.0, StatusCode::BAD_REQUEST);
    assert!(bench.participants().is_empty());
    bench.open("ann", "audio").await;
}

#[tokio::test]
async fn bad_bodies_and_unknown_tracks_are_refused() {
    let bench = Bench::new(10);
    let session = bench.open("ann", "audio").await;

    for (path, body, status) in [
        ("/sessions", json!({}), StatusCode::BAD_REQUEST),
        ("/sessions", json!([]), StatusCode::BAD_REQUEST),
        ("/sessions", order("ann", "smell"), StatusCode::BAD_REQUEST),
        (
            "/sessions",
            json!({ "type": "audio", "channel_id": "no name", "user_id": "ann" }),
            StatusCode::BAD_REQUEST,
        ),
        ("connect", json!({}), StatusCode::BAD_REQUEST),
        (
            "publish",
            json!({ "kind": "audio" }),
            StatusCode::BAD_REQUEST,
        ),
        (
            "subscribe",
            json!({ "track_id": "nothing", "rtp_capabilities": capabilities() }),
            StatusCode::NOT_FOUND,
        ),
        (
            "subscribe",
            json!({ "track_id": "nothing" }),
            StatusCode::BAD_REQUEST,
        ),
    ] {
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("{session}/{path}")
        };
        let (told, refused) = bench.ask("POST", &path, body.clone()).await;

        assert_eq!(told, status, "{path} {body}");
        assert!(refused["error"].is_string(), "{refused}");
    }
}

#[tokio::test]
async fn another_certificate_than_the_first_is_refused() {
    let bench = Bench::new(10);
    let session = bench.open("ann", "audio").await;
    let path = format!("{session}/connect");
    let first = bench.ask("POST", &path, json!({ "dtlsParameters": dtls("11") }));
    let first = first.await;
    let same = bench.ask("POST", &path, json!({ "dtlsParameters": dtls("11") }));
    let same = same.await;
    let other = bench.ask("POST", &path, json!({ "dtlsParameters": dtls("22") }));
    let other = other.await;

    assert_eq!((first.0, same.0), (StatusCode::OK, StatusCode::OK));
    assert_eq!(other.0, StatusCode::CONFLICT);
}
