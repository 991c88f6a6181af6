//! Clients that do not read what they are told.

use ::rooms::RoomEvent;
use tokio::time::{Duration, sleep};

use super::{Client, Node, join};

/// Somebody in a room who does not read, and has been told so many things there.
async fn deaf(node: &Node, told: usize) -> Client<'_> {
    let ada = node.enter().await;
    ada.ask(join("ada")).await;
    for _ in 0..told {
        let speaker = RoomEvent::ActiveSpeaker(None, std::time::SystemTime::UNIX_EPOCH);
        node.rooms.tell("r", None, &speaker);
        sleep(Duration::from_millis(1)).await;
    }
    ada
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_given_up() {
    let node = Node::start();
    deaf(&node, 1100).await;

    assert_eq!(node.server.counts().stalled, 1);
    assert_eq!(node.rooms.participants("r"), [("ada".to_owned(), false)]);
    node.until("the end", |node| node.server.connections() == 0)
        .await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_answers_is_given_up() {
    let node = Node::start();
    let ada = deaf(&node, 1020).await;
    assert_eq!(node.server.counts().stalled, 0);

    for number in 0..10 {
        ada.say(&format!("42{number}[\"nonsense\"]")).await;
    }

    // An answer for which there is no room would be waited for in vain.
    node.until("the end", |node| node.server.connections() == 0)
        .await;
    assert_eq!(node.server.counts().stalled, 1);
}
