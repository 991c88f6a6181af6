use super::{
    tests::{SECOND, closed, destination, effects, live, lost, opened, primary, report, state},
    *,
};
use crate::{BroadcastId, Method, Reason};

fn spec(auto_start: bool, slate: bool) -> BroadcastSpec {
    let spec = BroadcastSpec::new(
        BroadcastId::new("show").unwrap(),
        Method::default(),
        auto_start,
        vec![destination("a"), destination("b")],
    );
    let slate = SlateSpec::new(Some(slate), None, None, None).unwrap();
    spec.unwrap().with_slate(slate)
}

#[test]
fn a_broadcast_that_goes_on_elsewhere_opens_at_once_with_the_slate() {
    let now = Instant::now();

    let mut machine = Machine::resume(&spec(true, true), Some(now), 1, now);

    assert_eq!(machine.state(), BroadcastState::Slate);
    assert_eq!(machine.ends_at(), Some(now + 600 * SECOND));
    assert_eq!(machine.first_live(), Some(now));
    let all = effects(&mut machine);
    assert_eq!(opened(&all).len(), 2);
    assert!(all.contains(&Effect::Changed(Change::Broadcast {
        state: BroadcastState::Slate,
        cause: Cause::Adopted,
    })));
    machine.handle_studio_connected(now + SECOND);
    machine.handle_media_arrived(now + SECOND);
    machine.handle_media_flows();
    assert_eq!(machine.state(), BroadcastState::Live);
    let all = effects(&mut machine);
    assert_eq!((opened(&all).len(), closed(&all).len()), (0, 0));
}

#[test]
fn what_was_stopped_stays_stopped_elsewhere() {
    let now = Instant::now();

    let mut machine = Machine::resume(&spec(false, true), None, 1, now);

    assert_eq!(opened(&effects(&mut machine)), []);
    assert_eq!(state(&machine, "a"), DestinationState::Stopped);
    machine.start(now).unwrap();
    assert_eq!(opened(&effects(&mut machine)).len(), 2);
}

#[test]
fn without_a_slate_it_waits_for_its_studio() {
    let now = Instant::now();

    let mut machine = Machine::resume(&spec(true, false), None, 1, now);

    assert_eq!(machine.state(), BroadcastState::Waiting);
    assert_eq!(opened(&effects(&mut machine)), []);
    machine.handle_studio_connected(now + SECOND);
    assert_eq!(opened(&effects(&mut machine)).len(), 2);
}

#[test]
fn whoever_is_taken_over_closes_everything_and_sends_the_studio_away() {
    let now = Instant::now();
    let mut machine = live(&["a"], now);
    effects(&mut machine);

    machine.give_way(now);

    let all = effects(&mut machine);
    assert_eq!(closed(&all), ["a"]);
    assert!(all.contains(&Effect::EndStudio));
    assert!(all.contains(&Effect::Changed(Change::Broadcast {
        state: BroadcastState::Ended,
        cause: Cause::TakenOver,
    })));
}

#[test]
fn a_connection_that_was_cut_for_the_nodes_sake_is_not_held_against_its_destination() {
    let mut now = Instant::now();
    let mut machine = live(&["a"], now);

    for _ in 0..5 {
        report(&mut machine, "a", DestinationEvent::Live, now);
        report(&mut machine, "a", lost(Reason::Fenced), now);
        let due = machine.poll_timeout().unwrap();
        assert!(due - now <= SECOND, "{:?}", due - now);
        assert!(!primary(&machine, "a").is_held_back());
        now = due;
        machine.handle_timeout(now);
    }
}
