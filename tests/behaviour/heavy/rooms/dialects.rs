//! Two guests and a host in a room, in each dialect's own words.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::{Gateway, SCREEN, Sight};

use super::{
    CAMEL, Dialect, HERMES, HERMES_SDP, MEETLITE, MEETLITE2, NSELF, Room, SOME_PICTURES, STREAMLICK,
};

/// Three people meet; the last of them leaves again.
async fn three_meet(dialect: Dialect, clients: &'static str) -> Result<()> {
    let mut room = Room::with(dialect, clients, 2).await?;

    room.all_see_and_hear_all().await?;

    // The last who came found the others' pictures on the way already.
    let seen = room.rooms.seen("bob").await?;
    let pictures = seen.iter().filter(|sight| sight.kind == "video");
    for picture in pictures {
        let after = picture.first_frame_ms;
        ensure!(after.is_some(), "never decoded: {picture:#?}");
        // The goal is a second, which a busy machine may miss.
        tests::tell(format_args!("first picture after {after:?} ms"));
    }
    let codec = seen.iter().find_map(|sight| sight.codec.clone());
    ensure!(codec.is_some(), "{seen:#?}");
    if dialect.tells_owner {
        let owned = |name: &str| {
            let theirs = |kind: &str| {
                let mut all = seen.iter();
                all.any(|sight| sight.participant.as_deref() == Some(name) && sight.kind == kind)
            };
            theirs("video") && theirs("audio")
        };
        ensure!(owned("host") && owned("ann"), "{seen:#?}");
    }

    if dialect.tells_owner {
        room.rooms.tell("bob", "leave", json!({})).await?;
        room.people.pop();
        for name in ["host", "ann"] {
            let what = format!("{name} sees nothing of bob any more");
            let left = room.rooms.seen_until(name, &what, |seen| seen.len() == 2);
            left.await?;
        }
        room.all_see_and_hear_all().await?;
    }
    room.end().await
}

#[tokio::test]
async fn streamlicks_studio_and_its_guests_see_and_hear_each_other() -> Result<()> {
    three_meet(STREAMLICK, "newest").await
}

#[tokio::test]
async fn three_clients_of_the_camel_case_sfu_see_and_hear_each_other() -> Result<()> {
    three_meet(CAMEL, "newest").await
}

#[tokio::test]
async fn three_old_clients_of_the_camel_case_sfu_see_and_hear_each_other() -> Result<()> {
    three_meet(CAMEL, "old").await
}

#[tokio::test]
async fn three_of_nself_chat_see_and_hear_each_other() -> Result<()> {
    three_meet(NSELF, "newest").await
}

#[tokio::test]
async fn three_of_meetlite_to_which_all_is_pushed_see_and_hear_each_other() -> Result<()> {
    three_meet(MEETLITE, "newest").await
}

#[tokio::test]
async fn three_old_clients_of_meetlite_see_and_hear_each_other() -> Result<()> {
    three_meet(MEETLITE, "old").await
}

#[tokio::test]
async fn three_of_the_later_meetlite_see_and_hear_each_other() -> Result<()> {
    three_meet(MEETLITE2, "newest").await
}

#[tokio::test]
async fn clients_of_four_servers_meet_in_one_room() -> Result<()> {
    let mut room = Room::open(Gateway::start(&[]).await?, "newest").await?;
    let people = [
        ("host", STREAMLICK),
        ("ann", CAMEL),
        ("bob", NSELF),
        ("cleo", MEETLITE2),
    ];
    for (name, dialect) in people {
        room.enter(name, dialect).await?;
    }

    room.all_see_and_hear_all().await?;
    room.end().await
}

/// Looks in a row, at least 25 ms apart, in which nothing new comes of what has stopped: several times what lies between two
/// pictures.
const STILL_LOOKS: u32 = 20;

/// Waits until nothing more comes of what the host sees.
async fn stands_still(
    room: &mut Room,
    what: &str,
    is_it: impl Fn(&Sight) -> bool,
) -> Result<Vec<Sight>> {
    let mut last = (u64::MAX, 0);
    let stopped = room.rooms.seen_until("host", what, |seen| {
        let sight = seen.iter().find(|sight| is_it(sight));
        let now = sight.map_or(0, |sight| sight.packets_received);
        last = (now, if now == last.0 { last.1 + 1 } else { 0 });
        last.1 >= STILL_LOOKS
    });
    stopped.await
}

/// A guest's picture stops when it is paused and goes on when it is resumed; a screen comes beside it.
async fn a_guest_pauses_and_shares(dialect: Dialect) -> Result<()> {
    let mut room = Room::with(dialect, "newest", 1).await?;
    room.all_see_and_hear_all().await?;

    let paused = json!({ "name": "video" });
    room.rooms.tell("ann", "pause", paused.clone()).await?;
    let is_picture = |sight: &Sight| sight.kind == "video";
    let stopped = stands_still(&mut room, "the picture stops", is_picture).await?;
    room.rooms.hears("host", 1).await?;
    room.rooms.tell("ann", "resume", paused).await?;
    let ann = room.others("host");
    let back = room.rooms.watches("host", &ann, SOME_PICTURES).await?;

    let keyframes = |seen: &[Sight]| {
        let picture = seen.iter().find(|sight| sight.kind == "video");
        picture.map(|sight| sight.key_frames_decoded)
    };
    let (before, after) = (keyframes(&stopped), keyframes(&back));
    ensure!(
        after > before,
        "it goes on without a keyframe: {before:?}, {after:?}"
    );

    room.rooms.tell("ann", "share", json!({})).await?;
    let both = [ann, vec![SCREEN]].concat();
    room.rooms.watches("host", &both, SOME_PICTURES).await?;
    room.end().await
}

#[tokio::test]
async fn in_the_camel_case_sfu_a_guest_pauses_and_shares_a_screen() -> Result<()> {
    a_guest_pauses_and_shares(CAMEL).await
}

#[tokio::test]
async fn in_nself_chat_a_guest_pauses_and_shares_a_screen() -> Result<()> {
    a_guest_pauses_and_shares(NSELF).await
}

#[tokio::test]
async fn in_meetlite_a_guest_pauses_and_shares_a_screen() -> Result<()> {
    a_guest_pauses_and_shares(MEETLITE).await
}

#[tokio::test]
async fn in_the_later_meetlite_a_guest_pauses_and_shares_a_screen() -> Result<()> {
    a_guest_pauses_and_shares(MEETLITE2).await
}

#[tokio::test]
async fn in_streamlick_only_the_browser_knows_of_a_pause() -> Result<()> {
    let mut room = Room::with(STREAMLICK, "newest", 1).await?;
    room.all_see_and_hear_all().await?;

    room.rooms
        .tell("ann", "pause", json!({ "name": "video" }))
        .await?;
    room.rooms.hears("host", 1).await?;
    room.rooms
        .tell("ann", "resume", json!({ "name": "video" }))
        .await?;
    room.all_see_and_hear_all().await?;

    room.rooms.tell("ann", "share", json!({})).await?;
    let both = [room.others("host"), vec![SCREEN]].concat();
    room.rooms.watches("host", &both, SOME_PICTURES).await?;
    room.end().await
}

#[tokio::test]
async fn the_camel_case_sfu_tells_who_speaks_and_what_its_transports_do() -> Result<()> {
    let mut room = Room::with(CAMEL, "newest", 1).await?;
    room.all_see_and_hear_all().await?;

    room.rooms
        .tell("host", "listenForSpeakers", json!({}))
        .await?;
    room.rooms
        .tell("ann", "reportLevel", json!({ "level": 0.7 }))
        .await?;
    let speaks = room.rooms.event("host", "activeSpeakerChanged", |told| {
        told["activeSpeakerId"] == "ann" && told["timestamp"].is_number()
    });
    speaks.await?;

    let state = json!({ "direction": "recv" });
    let state = room.rooms.tell("host", "transportState", state).await?;
    ensure!(state["connectionState"] == "connected", "{state}");
    ensure!(state["dtlsState"] == "connected", "{state}");
    let seen = room.rooms.seen("host").await?;
    let picture = seen
        .iter()
        .find(|sight| sight.kind == "video")
        .context("a picture")?;
    let statistics = json!({ "id": picture.id });
    let statistics = room
        .rooms
        .tell("host", "consumerStatistics", statistics)
        .await?;
    ensure!(statistics["kind"] == "video", "{statistics}");
    ensure!(statistics["paused"] == false, "{statistics}");

    // What a consumer pauses, only that consumer does without.
    room.rooms
        .tell("host", "pauseSight", json!({ "id": picture.id }))
        .await?;
    let what = "the host's own consumer stops";
    stands_still(&mut room, what, |sight| sight.id == picture.id).await?;
    room.rooms
        .tell("host", "resumeSight", json!({ "id": picture.id }))
        .await?;
    room.all_see_and_hear_all().await?;
    room.end().await
}

#[tokio::test]
async fn the_later_meetlite_restarts_ice_and_picks_layers() -> Result<()> {
    let mut room = Room::with(MEETLITE2, "newest", 1).await?;
    room.all_see_and_hear_all().await?;

    room.rooms.tell("ann", "restartIce", json!({})).await?;

    room.all_see_and_hear_all().await?;
    room.end().await
}

#[tokio::test]
async fn two_of_hermes_see_and_hear_each_other_by_rest_alone() -> Result<()> {
    two_by_rest(HERMES).await?.end().await
}

#[tokio::test]
async fn two_bare_connections_see_and_hear_each_other_by_hermes_words_and_sdp() -> Result<()> {
    two_by_rest(HERMES_SDP).await?.end().await
}

async fn two_by_rest(dialect: Dialect) -> Result<Room> {
    let mut room = Room::with(dialect, "newest", 1).await?;

    for (name, other) in [("host", "ann"), ("ann", "host")] {
        let tracks = room.rooms.tell(other, "produced", json!({})).await?;
        let tracks = json!({ "tracks": [tracks["video"], tracks["audio"]] });
        room.rooms.tell(name, "subscribe", tracks).await?;
    }
    room.all_see_and_hear_all().await?;
    Ok(room)
}

#[tokio::test]
async fn hermes_tells_what_it_sent() -> Result<()> {
    let mut room = two_by_rest(HERMES).await?;

    let statistics = room.rooms.tell("host", "statistics", json!({})).await?;

    let tracks = statistics["tracks"].as_array().context("tracks")?;
    ensure!(tracks.len() == 2, "{statistics}");
    let counted = |track: &serde_json::Value| track["packets_sent"].as_u64() > Some(0);
    ensure!(tracks.iter().all(counted), "{statistics}");
    room.end().await
}
