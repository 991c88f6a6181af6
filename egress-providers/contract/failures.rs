//! What becomes of sessions when something fails, and of what they leave behind.

use std::{collections::VecDeque, time::Duration};

use broadcast::{Provider, Reason};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::{
    scripted::Room,
    stage::{PATIENCE, Stage, lost, next, reason},
};
use crate::{
    DestinationEvent, EgressProvider as _, Hot, LetGo,
    hosted::{Handle, HandleStore as _, ProviderError},
};

fn unavailable() -> ProviderError {
    ProviderError::Unavailable {
        message: "503".to_owned(),
        retry_after: None,
    }
}

#[tokio::test]
async fn when_it_cannot_be_prepared_all_are_lost_with_the_providers_reason() {
    let stage = Stage::new(Hot::Yes);
    stage
        .api
        .memory()
        .out_of_order
        .insert("prepare", ProviderError::Auth);

    let mut open = [stage.open("a").await, stage.open("b").await];

    for open in &mut open {
        assert_eq!(next(open).await, DestinationEvent::Connecting);
        assert_eq!(reason(&next(open).await), Some(Reason::ProviderAuth));
        assert_eq!(open.let_go(), LetGo::Now);
    }
    assert_eq!(*stage.courier.attempts.lock().unwrap(), 0);
}

#[tokio::test]
async fn one_bad_destination_does_not_keep_the_others_from_starting() {
    let stage = Stage::new(Hot::Yes);
    let invalid = ProviderError::Invalid("a url is wrong".to_owned());
    // Both together, and then the first of them alone, are refused.
    let refusals = VecDeque::from([invalid.clone(), invalid]);
    stage.api.memory().refusals.insert("start", refusals);

    let mut bad = stage.open("a").await;
    let mut good = stage.open("b").await;

    assert_eq!(next(&mut bad).await, DestinationEvent::Connecting);
    assert_eq!(reason(&next(&mut bad).await), Some(Reason::ProviderInvalid));
    assert_eq!(next(&mut good).await, DestinationEvent::Connecting);
    assert_eq!(next(&mut good).await, DestinationEvent::Live);
    assert_eq!(stage.sends(), ["b"]);
}

#[tokio::test]
async fn a_show_that_loses_its_way_is_brought_again_and_the_session_stays() {
    let stage = Stage::new(Hot::Yes);
    let mut open = stage.live(&["a"]).await;
    let failures = [lost(), lost()];
    stage.courier.failures.lock().unwrap().extend(failures);

    stage.courier.cut.lock().unwrap().take().unwrap().cancel();
    stage
        .until(|stage| *stage.courier.attempts.lock().unwrap() == 4)
        .await;

    let waited = timeout(Duration::from_mins(2), open[0].next_event()).await;
    assert!(waited.is_err(), "{waited:?}");
    assert_eq!(
        (stage.api.count("prepare"), stage.api.count("stop")),
        (1, 0)
    );
    assert_eq!(*stage.courier.at_work.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_way_that_is_not_found_again_within_a_minute_ends_the_session() {
    let stage = Stage::new(Hot::Yes);
    let mut open = stage.live(&["a"]).await;
    let failures = std::iter::repeat_with(lost).take(1_000);
    stage.courier.failures.lock().unwrap().extend(failures);
    let since = Instant::now();

    stage.courier.cut.lock().unwrap().take().unwrap().cancel();
    let event = next(&mut open[0]).await;

    assert_eq!(reason(&event), Some(Reason::ProviderContribution));
    assert!(
        since.elapsed() >= Duration::from_secs(59),
        "{:?}",
        since.elapsed()
    );
    assert!(since.elapsed() < Duration::from_secs(75));
    assert_eq!(open[0].let_go(), LetGo::Now);
    assert!(stage.api.memory().rooms.is_empty());
}

#[tokio::test]
async fn a_way_that_is_never_found_is_given_up_in_the_providers_time() {
    let stage = Stage::new(Hot::Yes);
    let failures = std::iter::repeat_with(lost).take(1_000);
    stage.courier.failures.lock().unwrap().extend(failures);
    let since = Instant::now();

    let mut open = stage.open("a").await;
    assert_eq!(next(&mut open).await, DestinationEvent::Connecting);
    let event = next(&mut open).await;

    assert!(reason(&event).is_some());
    assert!(
        since.elapsed() < Duration::from_secs(32),
        "{:?}",
        since.elapsed()
    );
}

#[tokio::test]
async fn a_provider_that_has_ended_the_show_loses_all_and_is_begun_anew() {
    let stage = Stage::new(Hot::Yes);
    let mut open = stage.live(&["a"]).await;
    stage.api.memory().ended = Some(ProviderError::Quota("minutes".to_owned()));

    let event = next(&mut open[0]).await;
    stage.api.memory().ended = None;

    assert_eq!(reason(&event), Some(Reason::ProviderQuota));
    let _again = stage.live(&["a"]).await;
    assert_eq!(stage.api.count("prepare"), 2);
}

#[tokio::test]
async fn a_show_that_is_on_outlives_a_provider_that_cannot_be_asked() {
    let stage = Stage::new(Hot::Yes);
    let mut open = stage.live(&["a"]).await;
    let error = unavailable();
    stage.api.memory().out_of_order.insert("status", error);

    let waited = timeout(Duration::from_mins(10), open[0].next_event()).await;

    assert!(waited.is_err(), "{waited:?}");
    assert_eq!(stage.sends(), ["a"]);
}

#[tokio::test]
async fn credentials_that_are_refused_for_a_minute_end_the_session() {
    let stage = Stage::new(Hot::Yes);
    let mut open = stage.live(&["a"]).await;
    let error = ProviderError::Auth;
    stage.api.memory().out_of_order.insert("status", error);

    let event = next(&mut open[0]).await;

    assert_eq!(reason(&event), Some(Reason::ProviderAuth));
}

#[tokio::test]
async fn a_key_is_not_let_go_of_while_the_provider_cannot_be_asked_to_stop() {
    let stage = Stage::new(Hot::Yes);
    let mut open = stage.live(&["a"]).await;
    let error = unavailable();
    stage.api.memory().out_of_order.insert("stop", error);

    open[0].close();
    assert_eq!(next(&mut open[0]).await, DestinationEvent::Closed);

    let LetGo::After(pause) = open[0].let_go() else {
        panic!("it may still be sent to");
    };
    assert!(pause <= Duration::from_secs(40), "{pause:?}");
    assert!(pause >= Duration::from_secs(29), "{pause:?}");
    // It is tried until the provider has forgotten it, and then it is the reaper's.
    stage
        .until(|stage| stage.hosted.sessions().is_empty())
        .await;
    assert!(stage.api.count("stop") >= 5);
    assert_eq!(stage.api.memory().rooms.len(), 1);
    stage.api.memory().out_of_order.clear();
    let reaped = stage.hosted.reap().await.unwrap();
    assert_eq!((reaped.stopped, reaped.failed), (1, 0));
    assert!(stage.api.memory().rooms.is_empty());
}

#[tokio::test]
async fn shutting_down_ends_everything_even_if_the_provider_does_not_answer() {
    let stage = Stage::new(Hot::Yes);
    let mut open = stage.live(&["a"]).await;
    stage.api.memory().delay = Duration::from_hours(1);
    let begun = Instant::now();

    timeout(PATIENCE, stage.hosted.shutdown()).await.unwrap();

    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(*stage.courier.at_work.lock().unwrap(), 0);
    assert_eq!(next(&mut open[0]).await, DestinationEvent::Closed);
    assert!(matches!(open[0].let_go(), LetGo::After(_)));
}

#[tokio::test]
async fn what_a_dead_process_left_is_reaped_and_what_is_carried_is_not() {
    let stage = Stage::new(Hot::Yes);
    let _open = stage.live(&["a"]).await;
    let left = |owner: &str, broadcast: &str| Handle {
        broadcast: broadcast.to_owned(),
        owner: owner.to_owned(),
        remote: json!({ "room": format!("castgate-{owner}-{broadcast}") }),
    };
    for (owner, broadcast) in [
        ("node1", "dead"),
        ("node1", "unwritten"),
        ("node2", "alien"),
    ] {
        let room = Room {
            owner: owner.to_owned(),
            ..Default::default()
        };
        let mut memory = stage.api.memory();
        memory.rooms.insert(broadcast.to_owned(), room);
    }
    for handle in [left("node1", "dead"), left("node2", "alien")] {
        stage.store.put(Provider::Restream, &handle).await.unwrap();
    }

    let reaped = stage.hosted.reap().await.unwrap();

    assert_eq!((reaped.stopped, reaped.failed), (2, 0));
    let rooms: Vec<String> = stage.api.memory().rooms.keys().cloned().collect();
    assert_eq!(rooms, ["alien", "show"]);
    let written = stage.store.list(Provider::Restream).await.unwrap();
    let written: Vec<&str> = written
        .iter()
        .map(|handle| handle.broadcast.as_str())
        .collect();
    assert_eq!(written, ["show", "alien"]);
    assert_eq!(stage.hosted.reap().await.unwrap().stopped, 0);
}

#[tokio::test]
async fn what_is_written_down_is_reaped_even_if_the_provider_does_not_tell_what_there_is() {
    let stage = Stage::new(Hot::Yes);
    let handle = Handle {
        broadcast: "dead".to_owned(),
        owner: "node1".to_owned(),
        remote: json!({}),
    };
    stage.store.put(Provider::Restream, &handle).await.unwrap();
    let error = unavailable();
    stage.api.memory().out_of_order.insert("owned", error);

    assert!(stage.hosted.reap().await.is_err());

    assert_eq!(stage.api.count("stop"), 1);
    assert_eq!(stage.store.list(Provider::Restream).await.unwrap(), []);
}

#[tokio::test]
async fn a_session_does_not_begin_while_what_was_left_of_its_broadcast_is_removed() {
    let stage = Stage::new(Hot::Yes);
    let handle = Handle {
        broadcast: "show".to_owned(),
        owner: "node1".to_owned(),
        remote: json!({}),
    };
    stage.store.put(Provider::Restream, &handle).await.unwrap();
    stage.api.memory().delay = Duration::from_secs(5);
    let reaping = async { stage.hosted.reap().await.unwrap() };
    let opening = async {
        stage.until(|stage| stage.api.count("stop") == 1).await;
        stage.live(&["a"]).await
    };

    let (reaped, _open) = tokio::join!(reaping, opening);

    assert_eq!(reaped.stopped, 1);
    let asked = stage.api.memory().asked.clone();
    assert_eq!(asked[..3], ["owned", "stop", "prepare"]);
    assert_eq!(stage.sends(), ["a"]);
}
