//! Tests of offers in SDP. The rooms in memory carry sound only.

use axum::http::StatusCode;
use proptest::prelude::*;
use rooms::{ConsumerId, ParticipantId, ProducerId, RoomEvent};
use serde_json::{Value, json};

use super::tests::{Bench, order, until};

const FIREFOX: &str = include_str!("../../ortc/fixtures/firefox-call.sdp");

/// An offer of sound in these sections.
fn offer(sections: &[(&str, &str)]) -> String {
    let mids: Vec<&str> = sections.iter().map(|(mid, _)| *mid).collect();
    let mut text = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\n",
        mids.join(" ")
    );
    for (mid, direction) in sections {
        let lines = [
            "m=audio 9 UDP/TLS/RTP/SAVPF 109".to_owned(),
            "c=IN IP4 0.0.0.0".to_owned(),
            "a=ice-ufrag:abcd".to_owned(),
            "a=ice-pwd:0123456789012345678901".to_owned(),
            format!("a=fingerprint:sha-256 {}", ["AB"; 32].join(":")),
            "a=setup:actpass".to_owned(),
            format!("a=mid:{mid}"),
            format!("a={direction}"),
            "a=rtcp-mux".to_owned(),
            "a=rtpmap:109 opus/48000/2".to_owned(),
            format!("a=ssrc:{}1 cname:c", mid.len()),
        ];
        for line in lines {
            text.push_str(&line);
            text.push_str("\r\n");
        }
    }
    text
}

fn offered(sdp: &str) -> Value {
    json!({ "type": "offer", "sdp": sdp })
}

/// The media lines and directions of an answer.
fn shape(told: &Value) -> Vec<String> {
    let answer = told["sdp_answer"].as_str().unwrap_or_default();
    let wanted = |line: &&str| {
        line.starts_with("m=")
            || ["a=sendonly", "a=recvonly", "a=inactive"]
                .iter()
                .any(|direction| line == direction)
    };
    answer.lines().filter(wanted).map(str::to_owned).collect()
}

#[tokio::test]
async fn what_a_browser_offers_to_send_is_published() {
    let bench = Bench::new(10);
    let session = bench.open("ann", "audio").await;

    let (status, answered) = bench
        .ask("POST", &format!("{session}/publish"), offered(FIREFOX))
        .await;

    assert_eq!(status, StatusCode::OK, "{answered}");
    let shape = shape(&answered);
    assert_eq!(
        shape[..2],
        ["m=audio 9 UDP/TLS/RTP/SAVPF 109", "a=recvonly"]
    );
    assert!(shape[2].starts_with("m=video 0 "), "{shape:?}");
    assert_eq!(answered["sdp"], answered["sdp_answer"]);
    assert_eq!(answered["type"], "answer");
    assert_eq!(
        answered["tracks"],
        json!([{ "track_id": "producer-3", "mid": "0", "kind": "audio", "direction": "publish" }])
    );
}

#[tokio::test]
async fn a_session_can_begin_with_an_offer() {
    let bench = Bench::new(10);
    let mut body = order("ann", "audio");
    body["sdp"] = json!(FIREFOX);

    let (status, opened) = bench.ask("POST", "/sessions", body).await;

    assert_eq!(status, StatusCode::CREATED, "{opened}");
    assert_eq!(opened["tracks"][0]["track_id"], "producer-3");
    assert!(
        opened["sdp_answer"]
            .as_str()
            .unwrap()
            .contains("a=ice-lite\r\n")
    );
    assert!(opened["ice_parameters"].is_object());
}

#[tokio::test]
async fn an_offer_to_receive_gets_what_others_send_by_the_browsers_payload_types() {
    let bench = Bench::new(10);
    let ann = bench.open("ann", "audio").await;
    let bob = bench.open("bob", "audio").await;
    let own = bench.publish(&bob).await;
    let (first, second) = (bench.publish(&ann).await, bench.publish(&ann).await);

    let path = format!("{bob}/subscribe");
    let sections = offer(&[("a", "recvonly"), ("bb", "recvonly"), ("ccc", "recvonly")]);
    let (status, answered) = bench.ask("POST", &path, offered(&sections)).await;

    assert_eq!(status, StatusCode::OK, "{answered}");
    assert_eq!(
        shape(&answered),
        [
            "m=audio 9 UDP/TLS/RTP/SAVPF 109",
            "a=sendonly",
            "m=audio 9 UDP/TLS/RTP/SAVPF 109",
            "a=sendonly",
            "m=audio 0 UDP/TLS/RTP/SAVPF 109",
            "a=inactive",
        ]
    );
    let tracks = answered["tracks"].as_array().unwrap();
    let received: Vec<&Value> = tracks.iter().map(|track| &track["track_id"]).collect();
    assert_eq!(received, [&json!(first), &json!(second)]);
    assert!(!received.contains(&&json!(own)));
}

#[tokio::test]
async fn the_tracks_that_are_named_come_in_their_order() {
    let bench = Bench::new(10);
    let ann = bench.open("ann", "audio").await;
    let bob = bench.open("bob", "audio").await;
    let (first, second) = (bench.publish(&ann).await, bench.publish(&ann).await);

    let mut body = offered(&offer(&[("a", "recvonly"), ("bb", "recvonly")]));
    body["track_ids"] = json!([second, first, "nothing"]);
    let (_, both) = bench.ask("POST", &format!("{bob}/subscribe"), body).await;

    assert_eq!(both["tracks"][0]["track_id"], second.as_str());
    assert_eq!(both["tracks"][1]["track_id"], first.as_str());
}

#[tokio::test]
async fn an_offer_again_goes_on_and_ends_what_it_stops() {
    let bench = Bench::new(10);
    let ann = bench.open("ann", "audio").await;
    let bob = bench.open("bob", "audio").await;
    let track = bench.publish(&bob).await;
    let path = format!("{ann}/publish");

    let first = offer(&[("a", "sendonly"), ("bb", "recvonly")]);
    let (_, first) = bench.ask("POST", &path, offered(&first)).await;
    let again = offer(&[("a", "sendonly"), ("bb", "recvonly"), ("ccc", "sendonly")]);
    let (_, again) = bench.ask("POST", &path, offered(&again)).await;
    let stopped = offer(&[("a", "inactive"), ("bb", "recvonly"), ("ccc", "sendonly")]);
    let (_, stopped) = bench.ask("POST", &path, offered(&stopped)).await;

    assert_eq!(first["tracks"][1]["track_id"], track.as_str());
    assert_eq!(again["tracks"][0], first["tracks"][0]);
    assert_eq!(again["tracks"][1], first["tracks"][1]);
    assert_eq!(again["tracks"].as_array().unwrap().len(), 3);
    assert_eq!(stopped["tracks"].as_array().unwrap().len(), 2);
    assert_eq!(stopped["tracks"][0], again["tracks"][1]);
    let version = |told: &Value| {
        let origin = told["sdp"].as_str().unwrap().lines().nth(1).unwrap();
        let fields: Vec<String> = origin.split(' ').map(str::to_owned).collect();
        (fields[1].clone(), fields[2].clone())
    };
    let (name, one) = version(&first);
    assert_eq!(one, "1");
    assert_eq!(version(&stopped), (name, "3".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_section_whose_track_ended_can_get_another() {
    let bench = Bench::new(10);
    let ann = bench.open("ann", "audio").await;
    let bob = bench.open("bob", "audio").await;
    let first = bench.publish(&ann).await;
    let path = format!("{bob}/subscribe");
    let sections = offer(&[("a", "recvonly")]);
    let (_, before) = bench.ask("POST", &path, offered(&sections)).await;
    let consumer = before["tracks"][0]["consumer_id"].as_str().unwrap();
    let second = bench.publish(&ann).await;

    let ended = RoomEvent::ConsumerClosed {
        consumer: ConsumerId::new(consumer),
        producer: ProducerId::new(first.as_str()),
        participant: ParticipantId::new("participant-1"),
        kind: ortc::MediaKind::Audio,
    };
    bench.tell("participant-3", &ended);
    until(async || {
        let (_, read) = bench.ask("GET", &format!("{bob}/stats"), json!({})).await;
        read["tracks"] == json!([])
    })
    .await;
    let mut body = offered(&sections);
    body["track_id"] = json!(second);
    let (_, after) = bench.ask("POST", &path, body).await;

    assert_eq!(before["tracks"][0]["track_id"], first.as_str());
    assert_eq!(after["tracks"][0]["track_id"], second.as_str());
}

#[tokio::test]
async fn offers_that_cannot_be_used_are_refused() {
    let bench = Bench::new(10);
    let session = bench.open("ann", "audio").await;
    let path = format!("{session}/publish");

    for (sdp, status) in [
        ("v=0".to_owned(), StatusCode::BAD_REQUEST),
        ("hello".to_owned(), StatusCode::BAD_REQUEST),
        (
            offer(&[("a", "recvonly")]),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            offer(&[("a", "inactive")]),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
    ] {
        let (told, refused) = bench.ask("POST", &path, offered(&sdp)).await;

        assert_eq!(told, status, "{refused}");
        assert!(refused["error"].is_string());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_offer_breaks_a_session(cut in 0..FIREFOX.len(), junk in "[ -~\r\n]{0,64}") {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let sdp = format!("{}{junk}{}", &FIREFOX[..cut], &FIREFOX[cut..]);

        let status = runtime.block_on(async {
            let bench = Bench::new(1);
            let session = bench.open("ann", "audio").await;
            let path = format!("{session}/publish");
            bench.ask("POST", &path, offered(&sdp)).await.0
        });

        prop_assert!(status.is_success() || status.is_client_error(), "{}", status);
    }
}
