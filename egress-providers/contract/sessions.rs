//! What sessions at hosted providers do, against a provider in memory and in virtual time.

use std::{sync::Arc, time::Duration};

use broadcast::{BroadcastId, Provider, Reason, Rendition};
use tokio::time::{Instant, timeout};

use super::stage::{Stage, next, reason};
use crate::{
    Curtain, DestinationEvent, EgressProvider as _, Hot, LetGo, Meter,
    hosted::{
        ContributionState, HandleStore as _, ProviderError, SessionState, TargetState, WebhookEvent,
    },
};

fn show() -> BroadcastId {
    BroadcastId::new("show").unwrap()
}

#[tokio::test]
async fn destinations_that_are_opened_together_are_one_session() {
    let stage = Stage::new(Hot::Yes);

    let open = stage.live(&["a", "b"]).await;

    assert_eq!(stage.sends(), ["a", "b"]);
    assert_eq!(stage.api.count("prepare"), 1);
    assert_eq!(
        (stage.api.count("start"), stage.api.count("update")),
        (1, 0)
    );
    assert_eq!(*stage.courier.attempts.lock().unwrap(), 1);
    let view = stage.hosted.view(&show()).unwrap();
    assert_eq!((view.state, view.live), (SessionState::Live, 2));
    assert_eq!(view.arrival, ContributionState::Arriving);
    drop(open);
}

#[tokio::test]
async fn the_handle_is_written_down_before_the_show_goes_there_and_forgotten_at_the_end() {
    let stage = Stage::new(Hot::Yes);
    let mut open = stage.live(&["a"]).await;
    let written = stage.store.list(Provider::Restream).await.unwrap();
    assert_eq!(written[0].remote["room"], "castgate-node1-show");
    assert_eq!(written[0].remote["started"], true);

    open[0].close();
    assert_eq!(next(&mut open[0]).await, DestinationEvent::Closed);

    assert_eq!(open[0].let_go(), LetGo::Now);
    assert!(stage.api.memory().rooms.is_empty());
    assert_eq!(*stage.courier.at_work.lock().unwrap(), 0);
    stage
        .until(|stage| stage.hosted.sessions().is_empty())
        .await;
    let written = stage.store.list(Provider::Restream).await.unwrap();
    assert_eq!(written, []);
}

#[tokio::test]
async fn a_destination_that_nobody_holds_is_taken_away() {
    let stage = Stage::new(Hot::Yes);
    let mut open = stage.live(&["a", "b"]).await;

    drop(open.remove(0));

    stage.until(|stage| stage.sends() == ["b"]).await;
    assert_eq!(stage.api.count("stop"), 0);
    drop(open);
    stage
        .until(|stage| stage.hosted.sessions().is_empty())
        .await;
    assert_eq!(stage.api.count("stop"), 1);
}

#[tokio::test]
async fn a_destination_is_added_while_the_others_go_on() {
    let stage = Stage::new(Hot::Yes);
    let _first = stage.live(&["a"]).await;

    let _second = stage.live(&["b"]).await;

    assert_eq!(stage.sends(), ["a", "b"]);
    assert_eq!(
        (stage.api.count("start"), stage.api.count("update")),
        (1, 1)
    );
}

#[tokio::test]
async fn a_provider_that_cannot_add_while_live_says_so_and_the_others_notice_nothing() {
    let stage = Stage::new(Hot::RestartRequired);
    let mut first = stage.live(&["a"]).await;

    let mut second = stage.open("b").await;
    assert_eq!(next(&mut second).await, DestinationEvent::Connecting);
    let lost = next(&mut second).await;

    assert_eq!(reason(&lost), Some(Reason::ProviderRestartRequired));
    assert_eq!(second.let_go(), LetGo::Now);
    let waited = timeout(Duration::from_mins(5), first[0].next_event()).await;
    assert!(waited.is_err(), "{waited:?}");
    assert_eq!(
        (stage.api.count("prepare"), stage.api.count("stop")),
        (1, 0)
    );
}

#[tokio::test]
async fn before_it_is_live_it_begins_anew_with_the_new_destination() {
    let stage = Stage::new(Hot::RestartRequired);
    stage
        .api
        .memory()
        .states
        .insert("a".to_owned(), TargetState::Connecting);
    let mut first = stage.open("a").await;
    stage.until(|stage| stage.api.count("status") > 0).await;

    let mut second = stage.open("b").await;
    stage.until(|stage| stage.sends() == ["a", "b"]).await;
    stage.api.memory().states.clear();

    for open in [&mut first, &mut second] {
        assert_eq!(next(open).await, DestinationEvent::Connecting);
        assert_eq!(next(open).await, DestinationEvent::Live);
    }
    assert_eq!(
        (stage.api.count("prepare"), stage.api.count("stop")),
        (2, 1)
    );
}

#[tokio::test]
async fn a_destination_that_the_provider_gives_up_is_lost_alone_and_can_come_back() {
    let stage = Stage::new(Hot::Yes);
    let mut open = stage.live(&["a", "b"]).await;
    let failed = TargetState::Failed("the server refused it".to_owned());
    stage.api.memory().states.insert("a".to_owned(), failed);

    let lost = next(&mut open[0]).await;

    assert_eq!(reason(&lost), Some(Reason::ProviderDestination));
    assert_eq!(open[0].let_go(), LetGo::Now);
    stage.until(|stage| stage.sends() == ["b"]).await;
    stage.api.memory().states.clear();
    let _again = stage.live(&["a"]).await;
    assert_eq!(stage.sends(), ["a", "b"]);
    assert_eq!(stage.api.count("prepare"), 1);
}

#[tokio::test]
async fn the_last_destination_that_is_given_up_leaves_the_session_for_a_while() {
    let stage = Stage::new(Hot::Yes);
    let mut open = stage.live(&["a"]).await;
    let failed = TargetState::Failed("the server refused it".to_owned());
    stage.api.memory().states.insert("a".to_owned(), failed);

    let lost = next(&mut open[0]).await;
    let lost_at = Instant::now();
    assert_eq!(reason(&lost), Some(Reason::ProviderDestination));
    assert_eq!(stage.api.count("stop"), 0);

    stage
        .until(|stage| stage.hosted.sessions().is_empty())
        .await;
    let kept = lost_at.elapsed();
    assert!(kept >= Duration::from_secs(40), "{kept:?}");
    assert!(kept < Duration::from_secs(42), "{kept:?}");
    assert!(stage.api.memory().rooms.is_empty());
}

#[tokio::test]
async fn an_interrupted_destination_is_waited_for_a_minute() {
    let stage = Stage::new(Hot::Yes);
    let mut open = stage.live(&["a", "b"]).await;
    let interrupted = TargetState::Interrupted;
    stage
        .api
        .memory()
        .states
        .insert("a".to_owned(), interrupted);
    let since = Instant::now();

    let lost = next(&mut open[0]).await;

    assert_eq!(reason(&lost), Some(Reason::ProviderDestination));
    assert!(since.elapsed() >= Duration::from_mins(1));
    assert!(since.elapsed() < Duration::from_secs(85));
    stage.until(|stage| stage.sends() == ["b"]).await;
}

#[tokio::test]
async fn a_webhook_has_the_provider_asked_at_once() {
    let stage = Stage::new(Hot::Yes);
    let _open = stage.live(&["a"]).await;
    let before = stage.api.count("status");
    let event = |subject: &str| WebhookEvent {
        id: "1".to_owned(),
        kind: "updated".to_owned(),
        subject: Some(subject.to_owned()),
    };

    stage.hosted.wake(&event("castgate-node1-other"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let of_another = stage.api.count("status");
    stage.hosted.wake(&event("castgate-node1-show"));
    tokio::time::sleep(Duration::from_secs(1)).await;

    assert_eq!(of_another, before);
    assert_eq!(stage.api.count("status"), before + 1);
}

#[tokio::test]
async fn what_comes_while_the_session_is_stopped_waits_for_its_end() {
    let stage = Stage::new(Hot::Yes);
    let open = stage.live(&["a"]).await;
    stage.api.memory().delay = Duration::from_secs(2);
    open[0].close();
    stage.until(|stage| stage.api.count("stop") == 1).await;

    let _next = stage.live(&["b"]).await;

    let memory = stage.api.memory();
    let order: Vec<&str> = memory
        .asked
        .iter()
        .map(String::as_str)
        .filter(|asked| *asked != "status")
        .collect();
    assert_eq!(order, ["prepare", "start", "stop", "prepare", "start"]);
}

#[tokio::test]
async fn a_paused_destination_is_taken_away_and_comes_back() {
    let stage = Stage::new(Hot::Yes);
    let _other = stage.live(&["b"]).await;
    let ordered = stage.order("show", "a");
    let mut open = stage.hosted.open(ordered.order).await.unwrap();
    assert_eq!(next(&mut open).await, DestinationEvent::Connecting);
    assert_eq!(next(&mut open).await, DestinationEvent::Live);

    let curtain = Curtain { stand_in: None };
    ordered.curtain.send_replace(Some(Arc::new(curtain)));
    stage.until(|stage| stage.sends() == ["b"]).await;
    ordered.curtain.send_replace(None);
    stage.until(|stage| stage.sends() == ["a", "b"]).await;

    let waited = timeout(Duration::from_mins(1), open.next_event()).await;
    assert!(waited.is_err(), "{waited:?}");
    let events = ordered.black_box.view().events;
    let told: Vec<&str> = events.iter().map(|event| event.what.as_str()).collect();
    assert!(
        told.contains(&"paused") && told.contains(&"resumed"),
        "{told:?}"
    );
}

#[tokio::test]
async fn what_a_provider_cannot_do_is_refused_before_it_is_asked() {
    let stage = Stage::new(Hot::Yes);
    let mut shaped = stage.order("show", "a");
    shaped.order.rendition = Some(Rendition::new(640, 360, 30, 1_000).unwrap());
    let wrong = stage.order("show", "refused");

    for ordered in [shaped, wrong] {
        let refused = stage.hosted.open(ordered.order).await.unwrap_err();
        assert_eq!(refused.reason, Reason::ProviderInvalid);
        assert_eq!(ordered.black_box.view().events.len(), 1);
    }
    assert!(stage.api.memory().asked.is_empty());
}

#[tokio::test]
async fn a_destination_more_than_the_provider_takes_is_refused() {
    let stage = Stage::new(Hot::Yes);
    let _open = stage.live(&["a", "b", "c", "d"]).await;

    let mut fifth = stage.open("e").await;

    assert_eq!(next(&mut fifth).await, DestinationEvent::Connecting);
    let event = next(&mut fifth).await;
    assert_eq!(reason(&event), Some(Reason::ProviderInvalid));
    assert_eq!(stage.sends().len(), 4);
}

#[tokio::test]
async fn the_end_of_the_media_closes_the_destinations() {
    let stage = Stage::new(Hot::Yes);
    let mut open = stage.live(&["a"]).await;
    // A way that ends without an error and unasked is one whose media have ended.
    stage.courier.end();

    assert_eq!(next(&mut open[0]).await, DestinationEvent::Closed);
    assert!(stage.api.memory().rooms.is_empty());
}

#[tokio::test]
async fn what_is_used_is_counted_over_all_sessions_of_a_broadcast() {
    let stage = Stage::new(Hot::Yes);
    let mut open = stage.live(&["a", "b"]).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    let ended = Some(ProviderError::Quota("minutes".to_owned()));
    stage.api.memory().ended = ended;
    for one in &mut open {
        next(one).await;
    }
    stage.api.memory().ended = None;

    let _again = stage.live(&["a"]).await;
    tokio::time::sleep(Duration::from_mins(10)).await;

    let used = stage.hosted.view(&show()).unwrap().used;
    // A session is seen as it was when something last happened.
    let minutes = |meter| (used[&meter].as_secs() + 30) / 60;
    assert_eq!(
        (minutes(Meter::Participant), minutes(Meter::Output)),
        (40, 30)
    );
}

#[tokio::test]
async fn nothing_that_is_shown_holds_a_key() {
    let stage = Stage::new(Hot::Yes);
    let open = stage.live(&["a"]).await;

    let shown = format!(
        "{:?} {:?} {:?} {:?}",
        stage.hosted,
        stage.hosted.sessions(),
        stage.store,
        open
    );

    assert!(shown.contains("castgate-node1-show"));
    assert!(!shown.contains("canary"), "{shown}");
}
