//! What every board does: the one in memory, and the one in Redis.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::{TIMES, server::Server};
use crate::{Board, MemoryBoard, Pace, RedisRegistry};

type Any = Arc<dyn Board>;

async fn boards() -> (Any, Any, Vec<Server>) {
    let server = Server::start(&[]).await;
    let cluster = Server::cluster().await;
    let connect = async |server: &Server| {
        let registry = RedisRegistry::connect_under(&server.url(), "{test}", TIMES).await;
        Arc::new(registry.unwrap()) as Any
    };
    let boards = (connect(&server).await, connect(&cluster).await);
    (boards.0, boards.1, vec![server, cluster])
}

async fn sorted(board: &Any, shelf: &str) -> Vec<Vec<u8>> {
    let mut notes = board.notes(shelf).await.unwrap();
    notes.sort();
    notes
}

async fn keeps_notes(board: Any) {
    let note = |text: &'static [u8]| text;
    board.put_note("mux", "a", note(b"\0old")).await.unwrap();
    board
        .put_note("mux", "a", note(b"\0\xffnew"))
        .await
        .unwrap();
    board
        .put_note("mux", "b:c\0d", note(b"other"))
        .await
        .unwrap();
    board.put_note("daily", "a", note(b"third")).await.unwrap();

    let of_mux = sorted(&board, "mux").await;
    board.remove_note("mux", "a").await.unwrap();
    board.remove_note("mux", "never").await.unwrap();

    assert_eq!(of_mux, [b"\0\xffnew".to_vec(), b"other".to_vec()]);
    assert_eq!(sorted(&board, "mux").await, [b"other".to_vec()]);
    assert_eq!(sorted(&board, "daily").await, [b"third".to_vec()]);
    assert!(sorted(&board, "never").await.is_empty());
}

async fn lets_no_more_through_than_a_rate_allows(board: Any) {
    // Nothing comes back while a test runs.
    let pace = Pace {
        burst: 7,
        each: Duration::from_hours(24),
    };
    let mut asking = JoinSet::new();
    for _ in 0..30 {
        let board = Arc::clone(&board);
        asking.spawn(async move { board.take_turn("mux", pace).await.unwrap() });
    }
    let answers = asking.join_all().await;
    let other = board.take_turn("daily", pace).await.unwrap();

    let waits: Vec<Duration> = answers.iter().filter_map(|answer| answer.err()).collect();
    assert_eq!(waits.len(), 23);
    assert!(waits.iter().all(|wait| *wait <= pace.each), "{waits:?}");
    assert!(other.is_ok());
}

async fn gives_turns_back(board: Any) {
    let pace = Pace {
        burst: 1,
        each: Duration::from_millis(20),
    };
    let mut taken = 0;
    // Each wait is kept to, however long it takes beyond that.
    for _ in 0..5 {
        match board.take_turn("mux", pace).await.unwrap() {
            Ok(()) => taken += 1,
            Err(wait) => {
                assert!(wait > Duration::ZERO && wait <= pace.each, "{wait:?}");
                tokio::time::sleep(wait + Duration::from_millis(2)).await;
                board.take_turn("mux", pace).await.unwrap().unwrap();
                taken += 1;
            }
        }
    }
    assert_eq!(taken, 5);
}

#[tokio::test]
async fn notes_are_kept_by_shelf_and_name_until_they_are_removed() {
    let (server, cluster, _servers) = boards().await;

    keeps_notes(Arc::new(MemoryBoard::default())).await;
    keeps_notes(server).await;
    keeps_notes(cluster).await;
}

#[tokio::test]
async fn thirty_who_ask_at_once_get_no_more_turns_than_the_rate_allows() {
    let (server, cluster, _servers) = boards().await;

    lets_no_more_through_than_a_rate_allows(Arc::new(MemoryBoard::default())).await;
    lets_no_more_through_than_a_rate_allows(server).await;
    lets_no_more_through_than_a_rate_allows(cluster).await;
}

#[tokio::test]
async fn a_turn_comes_back_after_the_time_that_was_told() {
    let (server, _cluster, _servers) = boards().await;

    gives_turns_back(Arc::new(MemoryBoard::default())).await;
    gives_turns_back(server).await;
}
