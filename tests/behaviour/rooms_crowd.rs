//! Rooms full of people: what they have is there, and is given back; where a room, a node or a participant is full, the
//! next one is refused in the dialect's words. Signalling only: nobody comes by ICE.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::{Crowd, Footprint, Gateway};

/// A second address of the same machine: 250 connections of one are its share.
const ELSEWHERE: &str = "127.0.0.2";

/// Rounds whose memory is compared.
const ROUNDS: usize = 4;

/// What a gateway has once it has had everything, so that nothing is made for the first time later.
async fn settled(gateway: &Gateway, crowd: &mut Crowd) -> Result<Footprint> {
    let nobody = Footprint {
        descriptors: u64::MAX,
        threads: u64::MAX,
        ..Footprint::default()
    };
    crowd
        .gather(json!([{ "room": "warm", "dialect": "sfu", "size": 2 }]))
        .await?;
    crowd.tell("scatter", json!({ "byWord": true })).await?;
    Footprint::comes_back(&nobody, gateway).await?;
    Footprint::of(gateway).await
}

/// Comes as the named dialect's client would, into a room that has no place or cannot be made: the answer.
async fn late(crowd: &mut Crowd, dialect: &str, room: &str) -> Result<Value> {
    let name = format!("late-{dialect}-{room}");
    let auth = json!({ "dialect": dialect, "userId": name });
    crowd
        .connect(&name, json!({ "auth": auth, "address": ELSEWHERE }))
        .await?;
    let ask = match dialect {
        "sfu" => json!(["joinRoom", { "roomId": room, "peerId": name }]),
        "nself" => json!(["join-room", { "roomId": room, "userId": name }]),
        "streamlick" => json!(["create-transport", { "broadcastId": room, "direction": "send" }]),
        "meetlite" => json!(["join-room", { "roomId": room }]),
        _ => json!(["mediasoup:join-room", { "roomId": room }]),
    };
    let answer = crowd.ask(&name, ask).await?;
    if dialect.starts_with("meetlite") {
        // These have no answers but events.
        let told = crowd.heard(&name, "error").await?;
        assert_eq!(told[0]["message"], answer["error"], "{dialect}: {told:?}");
    }
    crowd
        .tell("go", json!({ "name": name, "how": "close" }))
        .await?;
    Ok(answer)
}

/// That every dialect refuses in its own words, with the reason beside them where it has a place for it.
async fn is_full(crowd: &mut Crowd, room: &str, reason: &str) -> Result<()> {
    for (dialect, error) in [
        (
            "sfu",
            if reason.starts_with("the limit") {
                "Failed to add peer to room"
            } else {
                "Failed to join room"
            },
        ),
        ("nself", reason),
        ("streamlick", "Failed to create transport"),
        ("meetlite", "Failed to join room"),
        ("meetlite2", "Failed to join room"),
    ] {
        let answer = late(crowd, dialect, room).await?;

        assert_eq!(answer["error"], error, "{dialect}: {answer}");
        if ["sfu", "streamlick"].contains(&dialect) {
            assert_eq!(answer["reason"], reason, "{dialect}: {answer}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn fifty_people_in_one_room_leave_nothing_behind() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let mut crowd = Crowd::open(&gateway.url("")).await?;
    let before = settled(&gateway, &mut crowd).await?;

    let received = crowd
        .gather(json!([{ "room": "hall", "dialect": "sfu", "size": 50 }]))
        .await?;
    let full = Footprint::of(&gateway).await?;
    is_full(
        &mut crowd,
        "hall",
        "the limit is reached: 50 participants in a room",
    )
    .await?;
    let connected = crowd.tell("connected", Value::Null).await?;
    crowd.tell("scatter", json!({})).await?;

    assert_eq!(received, 50 * 49 * 2);
    assert_eq!(connected, 50);
    assert_eq!(
        full,
        Footprint {
            rooms: 1,
            participants: 50,
            transports: 100,
            producers: 100,
            consumers: 4900,
            sockets: 50,
            descriptors: full.descriptors,
            threads: full.threads,
        }
    );
    assert!(
        full.threads <= before.threads + Footprint::IDLE_THREADS,
        "{full:?}, before {before:?}"
    );
    Footprint::comes_back(&before, &gateway).await?;
    untroubled(&gateway).await
}

#[tokio::test]
async fn a_hundred_rooms_leave_nothing_behind() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let mut crowd = Crowd::open(&gateway.url("")).await?;
    let before = settled(&gateway, &mut crowd).await?;
    let dialects = ["sfu", "nself", "streamlick", "meetlite2"];
    let rooms: Vec<Value> = (0..100)
        .map(|number| {
            let dialect = dialects[number % dialects.len()];
            json!({ "room": format!("room-{number}"), "dialect": dialect, "size": 2 + number % 2 })
        })
        .collect();

    let received = crowd.gather(json!(rooms)).await?;
    let full = Footprint::of(&gateway).await?;
    is_full(
        &mut crowd,
        "one-more",
        "this node is full: it has 100 rooms, which is the most",
    )
    .await?;
    crowd.tell("scatter", json!({})).await?;

    // Of two, each receives two tracks, of three four.
    assert_eq!(received, 50 * 2 * 2 + 50 * 3 * 4);
    assert_eq!(
        full,
        Footprint {
            rooms: 100,
            participants: 250,
            transports: 500,
            producers: 500,
            consumers: 800,
            sockets: 250,
            descriptors: full.descriptors,
            threads: full.threads,
        }
    );
    assert!(
        full.threads <= before.threads + Footprint::IDLE_THREADS,
        "{full:?}, before {before:?}"
    );
    Footprint::comes_back(&before, &gateway).await?;
    untroubled(&gateway).await
}

#[tokio::test]
async fn memory_does_not_grow_with_every_crowd() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let mut crowd = Crowd::open(&gateway.url("")).await?;
    let before = settled(&gateway, &mut crowd).await?;
    let rooms: Vec<Value> = (0..10)
        .map(|number| json!({ "room": format!("room-{number}"), "dialect": "sfu", "size": 8 }))
        .collect();

    let mut resident = vec![Footprint::resident_kib(&gateway)?];
    for _ in 0..ROUNDS {
        crowd.gather(json!(rooms)).await?;
        crowd.tell("scatter", json!({ "byWord": true })).await?;
        Footprint::comes_back(&before, &gateway).await?;
        resident.push(Footprint::resident_kib(&gateway)?);
    }

    let first = resident[1].saturating_sub(resident[0]);
    let later = resident[ROUNDS].saturating_sub(resident[1]);
    println!("{resident:?} KiB");
    assert!(first > 0, "the rounds are too small to tell: {resident:?}");
    // What is kept of a round would be kept of each.
    assert!(later < first, "{resident:?} KiB");
    untroubled(&gateway).await
}

#[tokio::test]
async fn a_participant_has_so_many_transports_and_tracks_and_no_more() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let mut crowd = Crowd::open(&gateway.url("")).await?;
    let limits = [
        ("transport", 64, "64 transports of a participant"),
        ("producer", 16, "16 sent tracks of a participant"),
        ("consumer", 128, "128 received tracks of a participant"),
    ];

    for (dialect, errors) in [
        (
            "sfu",
            [
                "Failed to add transport to peer",
                "Failed to produce",
                "Failed to consume",
            ],
        ),
        (
            "streamlick",
            [
                "Failed to create transport",
                "Failed to produce",
                "Failed to consume",
            ],
        ),
        ("nself", [""; 3]),
        (
            "meetlite2",
            [
                "Failed to create transport",
                "Failed to create producer",
                "Failed to create consumer",
            ],
        ),
    ] {
        let room = format!("limits-{dialect}");
        let filled = crowd.fill(dialect, &room).await?;
        for ((what, most, words), error) in limits.into_iter().zip(errors) {
            let outcome = &filled[what];
            let reason = format!("the limit is reached: {words}");
            let error = if error.is_empty() { &reason } else { error };

            assert_eq!(outcome["granted"], most, "{dialect}: {what} {outcome}");
            assert_eq!(
                outcome["refusal"]["error"], *error,
                "{dialect}: {what} {outcome}"
            );
            let told = outcome["refusal"].get("reason");
            let told = told.and_then(Value::as_str);
            assert!(
                told.is_none_or(|told| told == reason),
                "{dialect}: {outcome}"
            );
        }
    }
    untroubled(&gateway).await
}

/// That nothing of the gateway broke, and no event was late.
async fn untroubled(gateway: &Gateway) -> Result<()> {
    let metrics = gateway.get("/metrics").await?.body;
    for name in [
        "castgate_panics_total",
        "castgate_worker_panics",
        "castgate_socketio_faults_total{outcome=\"late\"}",
        "castgate_socketio_faults_total{outcome=\"stalled\"}",
        "castgate_socketio_faults_total{outcome=\"flooded\"}",
        "castgate_socketio_faults_total{outcome=\"unknown\"}",
    ] {
        let line = metrics.lines().find(|line| line.starts_with(name));
        let line = line.with_context(|| format!("no {name}"))?;
        assert!(line.ends_with(" 0"), "{line}");
    }
    Ok(())
}
