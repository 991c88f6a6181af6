use super::*;
use crate::{
    AfterCut, BackupMode, BroadcastId, DestinationChange, Endpoint, Method, Platform, Reason,
    StreamKey,
};

pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) fn id(text: &str) -> DestinationId {
    DestinationId::new(text).unwrap()
}

pub(super) fn destination(name: &str) -> DestinationSpec {
    DestinationSpec {
        id: id(name),
        platform: Platform::new("custom").unwrap(),
        endpoint: Endpoint::parse("rtmp://host/live/first", None).unwrap(),
        backup: None,
        backup_mode: BackupMode::default(),
        required: false,
        enabled: true,
        paused: false,
        after_cut: AfterCut::default(),
        rendition: None,
        provider: None,
    }
}

pub(super) fn machine(auto_start: bool, names: &[&str], now: Instant) -> Machine {
    let destinations = names.iter().map(|name| destination(name)).collect();
    let spec = BroadcastSpec::new(
        BroadcastId::new("show").unwrap(),
        Method::default(),
        auto_start,
        destinations,
    );
    Machine::new(&spec.unwrap(), 1, now)
}

pub(super) fn effects(machine: &mut Machine) -> Vec<Effect> {
    std::iter::from_fn(|| machine.poll_effect()).collect()
}

pub(super) fn opened(effects: &[Effect]) -> Vec<(&str, Attempt)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Open {
                destination,
                attempt,
                ..
            } => Some((destination.as_str(), *attempt)),
            Effect::Close { .. }
            | Effect::RequestKeyframe
            | Effect::EndStudio
            | Effect::Changed(_) => None,
        })
        .collect()
}

pub(super) fn closed(effects: &[Effect]) -> Vec<&str> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Close { destination, .. } => Some(destination.as_str()),
            Effect::Open { .. }
            | Effect::RequestKeyframe
            | Effect::EndStudio
            | Effect::Changed(_) => None,
        })
        .collect()
}

pub(super) fn state(machine: &Machine, name: &str) -> DestinationState {
    machine.destination(&id(name)).unwrap().state()
}

/// Reports to the machine as the open attempt of the destination.
pub(super) fn report(machine: &mut Machine, name: &str, event: DestinationEvent, now: Instant) {
    let attempt = attempt(machine, name, LineName::Primary);
    machine.handle_destination(&id(name), attempt, event, now);
}

pub(super) fn attempt(machine: &Machine, name: &str, line: LineName) -> Attempt {
    let destination = machine.destination(&id(name)).unwrap();
    destination.line(line).unwrap().attempt().unwrap()
}

pub(super) fn primary<'a>(machine: &'a Machine, name: &str) -> &'a Line {
    let destination = machine.destination(&id(name)).unwrap();
    destination.line(LineName::Primary).unwrap()
}

/// A broadcast whose studio's media has gone out, so that the slate can stand in for it.
pub(super) fn on_air(names: &[&str], now: Instant) -> Machine {
    let mut machine = live(names, now);
    machine.handle_media_flows();
    machine
}

pub(super) fn backup_of(name: &str, mode: BackupMode) -> DestinationSpec {
    DestinationSpec {
        backup: Some(Endpoint::parse("rtmp://backup/live/first", None).unwrap()),
        backup_mode: mode,
        ..destination(name)
    }
}

pub(super) fn lost(reason: Reason) -> DestinationEvent {
    DestinationEvent::Lost(Failure::new(reason, "gone"))
}

pub(super) fn live(names: &[&str], now: Instant) -> Machine {
    let mut machine = machine(true, names, now);
    machine.handle_studio_connected(now);
    machine.handle_media_arrived(now);
    for name in names {
        report(&mut machine, name, DestinationEvent::Live, now);
    }
    effects(&mut machine);
    machine
}

#[test]
fn destinations_open_when_the_studio_is_connected_and_not_only_when_its_media_comes() {
    let now = Instant::now();
    let mut machine = machine(true, &["a", "b"], now);
    assert_eq!(state(&machine, "a"), DestinationState::Pending);

    machine.handle_studio_connected(now);

    assert_eq!(opened(&effects(&mut machine)).len(), 2);
    assert_eq!(machine.state(), BroadcastState::Waiting);
    machine.handle_media_arrived(now);
    assert_eq!(machine.state(), BroadcastState::Live);
    assert_eq!(machine.first_live(), Some(now));
}

#[test]
fn without_auto_start_destinations_wait_for_start() {
    let now = Instant::now();
    let mut machine = machine(false, &["a"], now);
    machine.handle_studio_connected(now);
    assert_eq!(state(&machine, "a"), DestinationState::Stopped);
    assert_eq!(effects(&mut machine), []);

    machine.start(now).unwrap();

    assert_eq!(opened(&effects(&mut machine)).len(), 1);
    machine.start(now).unwrap();
    assert_eq!(effects(&mut machine), [], "starting twice changes nothing");
}

#[test]
fn stop_closes_all_and_start_opens_them_again_while_the_studio_stays() {
    let now = Instant::now();
    let mut machine = live(&["a", "b"], now);

    machine.stop(now).unwrap();

    let stopped = effects(&mut machine);
    assert_eq!(closed(&stopped), ["a", "b"]);
    assert!(!stopped.contains(&Effect::EndStudio));
    assert_eq!(machine.state(), BroadcastState::Live);
    machine.start(now).unwrap();
    assert_eq!(opened(&effects(&mut machine)).len(), 2);
}

#[test]
fn an_opened_destination_begins_with_a_new_keyframe() {
    let now = Instant::now();
    let mut machine = machine(true, &["a"], now);

    machine.handle_studio_connected(now);

    let effects = effects(&mut machine);
    assert!(
        matches!(effects[..2], [Effect::Open { .. }, Effect::RequestKeyframe]),
        "{effects:?}"
    );
}

#[test]
fn a_lost_connection_opens_again_within_the_first_second() {
    let now = Instant::now();
    let mut machine = live(&["a"], now);

    report(&mut machine, "a", lost(Reason::ClosedByPeer), now);

    assert_eq!(state(&machine, "a"), DestinationState::Retrying);
    let due = machine.poll_timeout().unwrap();
    assert!(due <= now + SECOND);
    effects(&mut machine);
    machine.handle_timeout(due);
    assert_eq!(opened(&effects(&mut machine)).len(), 1);
    assert_eq!(primary(&machine, "a").reconnects(), 1);
}

#[test]
fn pauses_grow_to_thirty_seconds_and_no_further() {
    let mut now = Instant::now();
    let mut machine = live(&["a"], now);
    let mut pauses = Vec::new();

    for _ in 0..200 {
        report(&mut machine, "a", lost(Reason::ConnectRefused), now);
        let due = machine.poll_timeout().unwrap_or(now);
        pauses.push(due - now);
        now = due;
        machine.handle_timeout(now);
        assert_eq!(state(&machine, "a"), DestinationState::Connecting);
    }

    assert!(pauses.iter().all(|pause| *pause <= 30 * SECOND));
    assert!(pauses.iter().any(|pause| *pause > 20 * SECOND));
}

#[test]
fn sixty_healthy_seconds_forget_earlier_losses() {
    let mut now = Instant::now();
    let mut machine = live(&["a"], now);
    for _ in 0..6 {
        report(&mut machine, "a", lost(Reason::ClosedByPeer), now);
        now = machine.poll_timeout().unwrap_or(now);
        machine.handle_timeout(now);
    }
    report(&mut machine, "a", DestinationEvent::Live, now);

    report(
        &mut machine,
        "a",
        lost(Reason::ClosedByPeer),
        now + 60 * SECOND,
    );

    assert!(machine.poll_timeout().unwrap() <= now + 61 * SECOND);
}

#[test]
fn a_refused_key_is_not_tried_again_until_it_is_edited() {
    let now = Instant::now();
    let mut machine = live(&["a"], now);
    report(&mut machine, "a", lost(Reason::KeyRefused), now);
    assert_eq!(state(&machine, "a"), DestinationState::Failed);
    assert_eq!(machine.poll_timeout(), None);
    effects(&mut machine);

    machine.handle_timeout(now + 3600 * SECOND);
    machine.handle_studio_connected(now);
    machine.stop(now).unwrap();
    machine.start(now).unwrap();
    assert_eq!(opened(&effects(&mut machine)), []);
    let change = DestinationChange {
        stream_key: Some(StreamKey::new("second")),
        ..DestinationChange::default()
    };
    machine.change_destination(&id("a"), change, now).unwrap();

    let edited = effects(&mut machine);
    let keys: Vec<&str> = edited
        .iter()
        .filter_map(|effect| match effect {
            Effect::Open { endpoint, .. } => Some(endpoint.stream_key().expose()),
            Effect::Close { .. }
            | Effect::RequestKeyframe
            | Effect::EndStudio
            | Effect::Changed(_) => None,
        })
        .collect();
    assert_eq!(keys, ["second"]);
}

#[test]
fn what_failed_by_the_studios_fault_is_tried_with_the_next_studio() {
    let now = Instant::now();
    let mut machine = live(&["a"], now);
    report(&mut machine, "a", lost(Reason::UnsupportedCodec), now);
    machine.handle_studio_lost(now);
    effects(&mut machine);

    machine.handle_studio_connected(now);

    assert_eq!(opened(&effects(&mut machine)).len(), 1);
}

#[test]
fn without_a_slate_destinations_stay_open_while_the_studio_may_come_back() {
    let now = Instant::now();
    let mut machine = live(&["a"], now);

    machine.handle_studio_lost(now);

    assert_eq!(machine.state(), BroadcastState::Waiting);
    assert_eq!(state(&machine, "a"), DestinationState::Live);
    assert_eq!(closed(&effects(&mut machine)), [""; 0]);
    machine.handle_studio_connected(now + 30 * SECOND);
    machine.handle_media_arrived(now + 30 * SECOND);
    assert_eq!(machine.poll_timeout(), None);
    let back = effects(&mut machine);
    assert_eq!((opened(&back).len(), closed(&back).len()), (0, 0));
}

#[test]
fn a_studio_that_stays_away_frees_its_destinations() {
    let now = Instant::now();
    let mut machine = live(&["a"], now);
    machine.handle_studio_lost(now);
    effects(&mut machine);
    assert_eq!(machine.poll_timeout(), Some(now + STUDIO_GRACE));

    machine.handle_timeout(now + STUDIO_GRACE);

    assert_eq!(closed(&effects(&mut machine)), ["a"]);
    assert_eq!(state(&machine, "a"), DestinationState::Pending);
    machine.handle_studio_connected(now + 2 * STUDIO_GRACE);
    assert_eq!(opened(&effects(&mut machine)).len(), 1);
}

#[test]
fn nothing_is_opened_without_a_studio() {
    let now = Instant::now();
    let mut machine = live(&["a"], now);
    machine.handle_studio_lost(now);

    report(&mut machine, "a", lost(Reason::ClosedByPeer), now);
    machine.handle_timeout(now + 40 * SECOND);

    assert_eq!(opened(&effects(&mut machine)), []);
    assert_eq!(state(&machine, "a"), DestinationState::Pending);
}

#[test]
fn the_backup_address_is_tried_in_turn() {
    let mut now = Instant::now();
    let mut machine = machine(true, &[], now);
    machine
        .add_destination(backup_of("a", BackupMode::Failover), now)
        .unwrap();
    machine.handle_studio_connected(now);
    let mut hosts = Vec::new();

    for _ in 0..3 {
        for effect in effects(&mut machine) {
            if let Effect::Open { endpoint, .. } = effect {
                hosts.push(endpoint.host().to_owned());
            }
        }
        report(&mut machine, "a", lost(Reason::ConnectRefused), now);
        now = machine.poll_timeout().unwrap_or(now);
        machine.handle_timeout(now);
    }

    assert_eq!(hosts, ["host", "backup", "host"]);
}

#[test]
fn editing_one_destination_leaves_the_others_alone() {
    let now = Instant::now();
    let mut machine = live(&["a", "b"], now);
    let others = |effects: &[Effect]| {
        effects
            .iter()
            .all(|effect| !format!("{effect:?}").contains("\"b\""))
    };

    let rotate = DestinationChange {
        stream_key: Some(StreamKey::new("new")),
        ..DestinationChange::default()
    };
    machine.change_destination(&id("a"), rotate, now).unwrap();
    let rotated = effects(&mut machine);
    assert_eq!((closed(&rotated).len(), opened(&rotated).len()), (1, 1));
    assert!(others(&rotated));

    let disable = DestinationChange {
        enabled: Some(false),
        ..DestinationChange::default()
    };
    machine.change_destination(&id("a"), disable, now).unwrap();
    let disabled = effects(&mut machine);
    assert_eq!(closed(&disabled), ["a"]);
    assert!(others(&disabled));

    machine.add_destination(destination("c"), now).unwrap();
    machine.remove_destination(&id("c")).unwrap();
    assert!(others(&effects(&mut machine)));
    assert_eq!(state(&machine, "b"), DestinationState::Live);
}

#[test]
fn the_same_key_again_disturbs_nothing() {
    let now = Instant::now();
    let mut machine = live(&["a"], now);

    let same = DestinationChange {
        stream_key: Some(StreamKey::new("first")),
        enabled: Some(true),
        ..DestinationChange::default()
    };
    machine.change_destination(&id("a"), same, now).unwrap();

    assert_eq!(effects(&mut machine), []);
}

#[test]
fn what_a_closed_attempt_still_tells_is_ignored() {
    let now = Instant::now();
    let mut machine = live(&["a"], now);
    let old = attempt(&machine, "a", LineName::Primary);
    machine.stop(now).unwrap();
    machine.start(now).unwrap();
    effects(&mut machine);

    machine.handle_destination(&id("a"), old, lost(Reason::KeyRefused), now);
    machine.handle_destination(&id("gone"), old, DestinationEvent::Live, now);

    assert_eq!(effects(&mut machine), []);
    assert_eq!(state(&machine, "a"), DestinationState::Connecting);
}

#[test]
fn the_end_closes_everything_once_and_nothing_happens_after_it() {
    let now = Instant::now();
    let mut machine = live(&["a"], now);

    machine.end(now);

    let ended = effects(&mut machine);
    assert_eq!(closed(&ended), ["a"]);
    assert!(ended.contains(&Effect::EndStudio));
    machine.end(now);
    machine.handle_studio_connected(now);
    machine.handle_timeout(now + 3600 * SECOND);
    assert_eq!(machine.start(now), Err(SpecError::Ended));
    assert_eq!(effects(&mut machine), []);
    assert_eq!(machine.poll_timeout(), None);
}

#[test]
fn a_broadcast_takes_no_destination_twice_and_no_more_than_twenty() {
    let now = Instant::now();
    let mut machine = live(&["a"], now);

    assert_eq!(
        machine.add_destination(destination("a"), now),
        Err(SpecError::DestinationExists(id("a")))
    );
    for number in 1..20 {
        machine
            .add_destination(destination(&format!("d{number}")), now)
            .unwrap();
    }
    assert_eq!(
        machine.add_destination(destination("z"), now),
        Err(SpecError::TooManyDestinations)
    );
    assert_eq!(
        machine.remove_destination(&id("z")),
        Err(SpecError::NoSuchDestination(id("z")))
    );
}
