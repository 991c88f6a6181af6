//! What becomes of a room when a connection breaks or a page is loaded again.

use anyhow::{Result, ensure};
use serde_json::json;
use tests::SCREEN;

use super::{CAMEL, Dialect, MEETLITE, MEETLITE2, NSELF, Room, SOME_PICTURES, STREAMLICK};

/// The socket breaks and comes back: nobody misses a picture, and the place in the room is the same.
async fn a_socket_breaks(dialect: Dialect) -> Result<()> {
    let mut room = Room::with(dialect, "newest", 1).await?;
    room.all_see_and_hear_all().await?;
    let before = room.rooms.seen("host").await?;

    room.rooms.tell("ann", "break", json!({})).await?;
    room.all_see_and_hear_all().await?;

    // The very consumers went on, both ways.
    let after = room.rooms.seen("host").await?;
    for sight in before {
        let same = after.iter().any(|then| then.id == sight.id);
        ensure!(same, "{} is gone: {after:#?}", sight.id);
    }
    // And the new socket speaks for the old place.
    room.rooms.tell("ann", "share", json!({})).await?;
    let both = [room.others("host"), vec![SCREEN]].concat();
    room.rooms.watches("host", &both, SOME_PICTURES).await?;
    room.end().await
}

#[tokio::test]
async fn streamlicks_place_outlives_its_socket() -> Result<()> {
    a_socket_breaks(STREAMLICK).await
}

#[tokio::test]
async fn the_camel_case_sfus_place_outlives_its_socket() -> Result<()> {
    a_socket_breaks(CAMEL).await
}

#[tokio::test]
async fn nself_chats_place_outlives_its_socket() -> Result<()> {
    a_socket_breaks(NSELF).await
}

#[tokio::test]
async fn meetlites_place_outlives_its_socket() -> Result<()> {
    a_socket_breaks(MEETLITE).await
}

#[tokio::test]
async fn the_later_meetlites_place_outlives_its_socket() -> Result<()> {
    a_socket_breaks(MEETLITE2).await
}

/// Somebody's page is loaded again: the others see the new picture in place of the old one.
async fn a_page_is_reloaded(dialect: Dialect) -> Result<()> {
    let mut room = Room::with(dialect, "newest", 1).await?;
    room.all_see_and_hear_all().await?;
    let before = room.rooms.seen("host").await?;

    room.rooms.tell("ann", "reload", json!({})).await?;
    room.come("ann", dialect).await?;

    let ann = room.colour("ann");
    let what = "the host sees ann's new picture";
    room.rooms
        .seen_until("host", what, |seen| {
            seen.iter().any(|sight| {
                let new = before.iter().all(|then| then.producer != sight.producer);
                new && sight.shows(ann) && sight.frames_decoded >= SOME_PICTURES
            })
        })
        .await?;
    if dialect.tells_owner {
        let what = "and nothing of the old one";
        let gone = room.rooms.seen_until("host", what, |seen| seen.len() == 2);
        gone.await?;
    }
    let host = room.others("ann");
    room.rooms.watches("ann", &host, SOME_PICTURES).await?;
    room.end().await
}

#[tokio::test]
async fn a_streamlick_guest_reloads_the_page() -> Result<()> {
    a_page_is_reloaded(STREAMLICK).await
}

#[tokio::test]
async fn a_client_of_the_camel_case_sfu_reloads_the_page() -> Result<()> {
    a_page_is_reloaded(CAMEL).await
}

#[tokio::test]
async fn one_of_nself_chat_reloads_the_page() -> Result<()> {
    a_page_is_reloaded(NSELF).await
}

#[tokio::test]
async fn one_of_meetlite_reloads_the_page() -> Result<()> {
    a_page_is_reloaded(MEETLITE).await
}

#[tokio::test]
async fn one_of_the_later_meetlite_reloads_the_page() -> Result<()> {
    a_page_is_reloaded(MEETLITE2).await
}
