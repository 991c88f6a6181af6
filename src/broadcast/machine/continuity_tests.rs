use super::{
    tests::{
        SECOND, attempt, backup_of, closed, destination, effects, id, live, lost, machine, on_air,
        opened, primary, report, state,
    },
    *,
};
use crate::{BackupMode, BroadcastId, DestinationChange, Method, Reason, StreamKey};

#[test]
fn while_the_studio_is_away_the_slate_stands_in_and_its_return_ends_it() {
    let now = Instant::now();
    let mut machine = on_air(&["a"], now);

    machine.handle_studio_lost(now);

    assert_eq!(machine.state(), BroadcastState::Slate);
    assert_eq!(machine.ends_at(), Some(now + 600 * SECOND));
    machine.handle_studio_connected(now + 9 * SECOND);
    machine.handle_media_arrived(now + 9 * SECOND);
    assert_eq!(machine.state(), BroadcastState::Slate, "no keyframe yet");
    machine.handle_media_flows();
    assert_eq!(
        (machine.state(), machine.ends_at()),
        (BroadcastState::Live, None)
    );
    let all = effects(&mut machine);
    assert_eq!((opened(&all).len(), closed(&all).len()), (0, 0));
}

#[test]
fn the_broadcast_ends_when_the_slate_has_lasted_long_enough() {
    let now = Instant::now();
    let mut machine = on_air(&["a"], now);
    machine.handle_studio_lost(now);
    // A studio that connects and sends nothing gains no time.
    machine.handle_studio_connected(now + 300 * SECOND);
    machine.handle_studio_lost(now + 400 * SECOND);
    effects(&mut machine);

    machine.handle_timeout(now + 599 * SECOND);
    assert_eq!(machine.state(), BroadcastState::Slate);
    machine.handle_timeout(now + 600 * SECOND);

    let over = effects(&mut machine);
    assert_eq!(closed(&over), ["a"]);
    assert!(over.contains(&Effect::Changed(Change::Broadcast {
        state: BroadcastState::Ended,
        cause: Cause::SlateOver,
    })));
}

#[test]
fn a_connected_studio_that_sends_nothing_is_stood_in_for_too() {
    let now = Instant::now();
    let mut machine = on_air(&["a"], now);

    machine.handle_media_stopped(now);

    assert_eq!(machine.state(), BroadcastState::Slate);
    machine.handle_studio_lost(now + 30 * SECOND);
    assert_eq!(machine.ends_at(), Some(now + 600 * SECOND));
}

#[test]
fn a_destination_that_is_lost_or_added_during_the_slate_opens_all_the_same() {
    let now = Instant::now();
    let mut machine = on_air(&["a"], now);
    machine.handle_studio_lost(now);
    effects(&mut machine);

    report(&mut machine, "a", lost(Reason::ClosedByPeer), now);
    machine.handle_timeout(machine.poll_timeout().unwrap());
    machine.add_destination(destination("b"), now).unwrap();

    let all = effects(&mut machine);
    assert_eq!(opened(&all).len(), 2);
    assert!(
        !all.contains(&Effect::RequestKeyframe),
        "there is nobody to ask"
    );
}

#[test]
fn without_a_slate_the_broadcast_waits_and_does_not_end() {
    let now = Instant::now();
    let spec = BroadcastSpec::new(
        BroadcastId::new("show").unwrap(),
        Method::default(),
        true,
        vec![destination("a")],
    );
    let slate = SlateSpec::new(Some(false), None, None, None).unwrap();
    let mut machine = Machine::new(&spec.unwrap().with_slate(slate), 1, now);
    machine.handle_studio_connected(now);
    machine.handle_media_arrived(now);
    machine.handle_media_flows();

    machine.handle_studio_lost(now);

    assert_eq!(machine.state(), BroadcastState::Waiting);
    machine.handle_timeout(now + 3600 * SECOND);
    assert_eq!(machine.state(), BroadcastState::Waiting);
    assert_eq!(state(&machine, "a"), DestinationState::Pending);
}

#[test]
fn three_short_lives_hold_a_destination_back_and_an_edit_frees_it() {
    let mut now = Instant::now();
    let mut machine = live(&["a"], now);
    let mut pauses = Vec::new();
    for _ in 0..4 {
        report(&mut machine, "a", DestinationEvent::Live, now);
        now += 20 * SECOND;
        report(&mut machine, "a", lost(Reason::ClosedByPeer), now);
        let is_held_back = primary(&machine, "a").is_held_back();
        let due = machine.poll_timeout().unwrap();
        pauses.push((is_held_back, due - now));
        now = due;
        machine.handle_timeout(now);
    }

    assert!(!pauses[1].0 && pauses[1].1 <= 2 * SECOND, "{pauses:?}");
    assert!(pauses[2].0 && pauses[2].1 >= 30 * SECOND, "{pauses:?}");
    assert!(pauses[3].0 && pauses[3].1 >= 60 * SECOND, "{pauses:?}");
    report(&mut machine, "a", DestinationEvent::Live, now);
    report(&mut machine, "a", lost(Reason::ClosedByPeer), now);
    effects(&mut machine);
    let enable = DestinationChange {
        enabled: Some(true),
        ..DestinationChange::default()
    };
    machine.change_destination(&id("a"), enable, now).unwrap();
    assert_eq!(opened(&effects(&mut machine)).len(), 1);
}

#[test]
fn refusals_before_media_flows_hold_nothing_back() {
    let mut now = Instant::now();
    let mut machine = live(&["a"], now);
    for _ in 0..5 {
        report(&mut machine, "a", lost(Reason::ConnectRefused), now);
        now = machine.poll_timeout().unwrap();
        machine.handle_timeout(now);
    }

    assert!(!primary(&machine, "a").is_held_back());
}

#[test]
fn a_simultaneous_backup_is_a_line_of_its_own() {
    let mut now = Instant::now();
    let mut machine = machine(true, &[], now);
    let two = backup_of("a", BackupMode::Simultaneous);
    machine.add_destination(two, now).unwrap();
    machine.handle_studio_connected(now);
    let hosts: Vec<String> = effects(&mut machine)
        .iter()
        .filter_map(|effect| match effect {
            Effect::Open { endpoint, .. } => Some(endpoint.host().to_owned()),
            Effect::Close { .. }
            | Effect::RequestKeyframe
            | Effect::EndStudio
            | Effect::Changed(_) => None,
        })
        .collect();
    assert_eq!(hosts, ["host", "backup"]);
    let backup = attempt(&machine, "a", LineName::Backup);
    report(&mut machine, "a", DestinationEvent::Live, now);
    machine.handle_destination(&id("a"), backup, DestinationEvent::Live, now);

    machine.handle_destination(&id("a"), backup, lost(Reason::ClosedByPeer), now);

    assert_eq!(state(&machine, "a"), DestinationState::Live);
    let lines = |machine: &Machine| {
        let destination = machine.destination(&id("a")).unwrap();
        destination
            .lines()
            .map(|(_, line)| line.state())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        lines(&machine),
        [DestinationState::Live, DestinationState::Retrying]
    );
    effects(&mut machine);
    now = machine.poll_timeout().unwrap();
    machine.handle_timeout(now);
    assert!(matches!(
        effects(&mut machine)[0],
        Effect::Open { line: LineName::Backup, ref endpoint, .. } if endpoint.host() == "backup"
    ));
    let rotate = DestinationChange {
        stream_key: Some(StreamKey::new("second")),
        ..DestinationChange::default()
    };
    machine.change_destination(&id("a"), rotate, now).unwrap();
    let rotated = effects(&mut machine);
    assert_eq!((closed(&rotated).len(), opened(&rotated).len()), (2, 2));
    machine.remove_destination(&id("a")).unwrap();
    assert_eq!(closed(&effects(&mut machine)).len(), 2);
}

#[test]
fn pausing_touches_no_connection() {
    let now = Instant::now();
    let mut machine = live(&["a"], now);
    let pause = DestinationChange {
        paused: Some(true),
        ..DestinationChange::default()
    };

    machine.change_destination(&id("a"), pause, now).unwrap();

    assert_eq!(effects(&mut machine), []);
    assert!(machine.destination(&id("a")).unwrap().spec().paused);
}
