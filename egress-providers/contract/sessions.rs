//! What sessions at hosted providers do, against a provider in memory and in virtual time.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use broadcast::{BroadcastId, Provider, Reason, Rendition};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::stage::{PATIENCE, Stage, lost, next};
use crate::{
    Curtain, DestinationEvent, EgressProvider as _, Hot, LetGo, Meter,
    hosted::{
        ContributionState, Handle, HandleStore as _, ProviderError, SessionState, TargetState,
        WebhookEvent,
    },
};

fn unavailable() -> ProviderError {
    ProviderError::Unavailable {
        message: "503".to_owned(),
        retry_after: None,
    }
}

fn show() -> BroadcastId {
    BroadcastId::new("show").unwrap()
}

fn reason(event: &DestinationEvent) -> Option<Reason> {
    match event {
        DestinationEvent::Lost(failure) => Some(failure.reason),
        DestinationEvent::Connecting | DestinationEvent::Live | DestinationEvent::Closed => None,
    }
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
    let waited = timeout(Duration::from_secs(300), first[0].next_event()).await;
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
    let mut memory = stage.api.memory();
    memory.states.insert("a".to_owned(), interrupted);
    drop(memory);
    let since = Instant::now();

    let lost = next(&mut open[0]).await;

    assert_eq!(reason(&lost), Some(Reason::ProviderDestination));
    assert!(since.elapsed() >= Duration::from_secs(60));
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
    let mut failures = stage.courier.failures.lock().unwrap();
    failures.extend([lost(), lost()]);
    drop(failures);

    stage.courier.cut.lock().unwrap().take().unwrap().cancel();
    stage
        .until(|stage| *stage.courier.attempts.lock().unwrap() == 4)
        .await;

    let waited = timeout(Duration::from_secs(120), open[0].next_event()).await;
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

    let waited = timeout(Duration::from_secs(600), open[0].next_event()).await;

    assert!(waited.is_err(), "{waited:?}");
    assert_eq!(stage.sends(), ["a"]);
}

#[tokio::test]
async fn credentials_that_are_refused_for_a_minute_end_the_session() {
    let stage = Stage::new(Hot::Yes);
    let mut open = stage.live(&["a"]).await;
    let mut memory = stage.api.memory();
    memory.out_of_order.insert("status", ProviderError::Auth);
    drop(memory);

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
async fn what_comes_while_the_session_is_stopped_waits_for_its_end() {
    let stage = Stage::new(Hot::Yes);
    let mut open = stage.live(&["a"]).await;
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

    let waited = timeout(Duration::from_secs(60), open.next_event()).await;
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
async fn shutting_down_ends_everything_even_if_the_provider_does_not_answer() {
    let stage = Stage::new(Hot::Yes);
    let mut open = stage.live(&["a"]).await;
    stage.api.memory().delay = Duration::from_secs(3_600);
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
        let room = super::scripted::Room {
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

#[tokio::test]
async fn what_is_used_is_counted_over_all_sessions_of_a_broadcast() {
    let stage = Stage::new(Hot::Yes);
    let mut open = stage.live(&["a", "b"]).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let ended = Some(ProviderError::Quota("minutes".to_owned()));
    stage.api.memory().ended = ended;
    for one in &mut open {
        next(one).await;
    }
    stage.api.memory().ended = None;

    let _again = stage.live(&["a"]).await;
    tokio::time::sleep(Duration::from_secs(600)).await;

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
