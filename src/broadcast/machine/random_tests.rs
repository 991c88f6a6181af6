use proptest::prelude::*;

use super::{
    tests::{backup_of, destination, id, lost},
    *,
};
use crate::{BackupMode, BroadcastId, DestinationChange, Method, Reason, StreamKey};

#[derive(Debug, Clone)]
enum Step {
    StudioConnected,
    MediaArrived,
    MediaFlows,
    MediaStopped,
    StudioLost,
    Start,
    Stop,
    Add(usize),
    Remove(usize),
    Enable(usize, bool),
    Rotate(usize, u8),
    Report(usize, LineName, Reported, bool),
    Wait(u64),
    Timeout,
    End,
}

#[derive(Debug, Clone, Copy)]
enum Reported {
    Live,
    Lost,
    Refused,
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn any_step() -> impl Strategy<Value = Step> {
    let reported = prop_oneof![
        Just(Reported::Live),
        Just(Reported::Lost),
        Just(Reported::Refused)
    ];
    let line = prop_oneof![Just(LineName::Primary), Just(LineName::Backup)];
    prop_oneof![
        3 => Just(Step::StudioConnected),
        3 => Just(Step::MediaArrived),
        3 => Just(Step::MediaFlows),
        1 => Just(Step::MediaStopped),
        2 => Just(Step::StudioLost),
        2 => Just(Step::Start),
        1 => Just(Step::Stop),
        2 => (0..3_usize).prop_map(Step::Add),
        1 => (0..3_usize).prop_map(Step::Remove),
        2 => (0..3_usize, any::<bool>()).prop_map(|(index, enabled)| Step::Enable(index, enabled)),
        2 => (0..3_usize, any::<u8>()).prop_map(|(index, key)| Step::Rotate(index, key)),
        8 => (0..3_usize, line, reported, any::<bool>()).prop_map(|(index, line, what, late)| Step::Report(index, line, what, late)),
        3 => (0..250_000_u64).prop_map(Step::Wait),
        3 => Just(Step::Timeout),
        1 => Just(Step::End),
    ]
}

/// What must be true of every sequence of effects.
#[derive(Debug, Default)]
struct Watcher {
    open: [[Option<Attempt>; 2]; 3],
    refused: [[bool; 2]; 3],
    last_attempt: Option<Attempt>,
    studio: bool,
    has_begun: bool,
    ended: bool,
}

/// The third destination has two lines.
fn spec(index: usize) -> DestinationSpec {
    if index == 2 {
        backup_of(NAMES[index], BackupMode::Simultaneous)
    } else {
        destination(NAMES[index])
    }
}

impl Watcher {
    fn check(&mut self, effect: &Effect, only: Option<usize>) {
        let index =
            |id: &DestinationId| NAMES.iter().position(|name| *name == id.as_str()).unwrap();
        let about = match effect {
            Effect::Open {
                destination,
                line,
                attempt,
                ..
            } => {
                let (at, line) = (index(destination), *line as usize);
                let has_media = self.studio || self.has_begun;
                assert!(has_media && !self.ended, "opened without media");
                assert!(!self.refused[at][line], "opened although it was refused");
                assert_eq!(self.open[at][line], None, "opened while open");
                assert!(
                    self.last_attempt.is_none_or(|last| last < *attempt),
                    "attempt used twice"
                );
                self.open[at][line] = Some(*attempt);
                self.last_attempt = Some(*attempt);
                Some(at)
            }
            Effect::Close {
                destination,
                attempt,
            } => {
                let at = index(destination);
                let line = self.open[at]
                    .iter_mut()
                    .find(|open| **open == Some(*attempt));
                *line.expect("closed what was not open") = None;
                Some(at)
            }
            Effect::Changed(Change::Destination { id, .. }) => Some(index(id)),
            Effect::RequestKeyframe => {
                assert!(self.studio, "asked nobody for a keyframe");
                None
            }
            Effect::Changed(Change::Broadcast {
                state: BroadcastState::Ended,
                ..
            }) => {
                self.ended = true;
                self.studio = false;
                None
            }
            Effect::EndStudio | Effect::Changed(Change::Broadcast { .. } | Change::Alarm(_)) => {
                None
            }
        };
        if let (Some(about), Some(only)) = (about, only) {
            assert_eq!(about, only, "one destination's event touched another");
        }
    }
}

fn apply(
    machine: &mut Machine,
    watcher: &mut Watcher,
    step: &Step,
    now: &mut Instant,
) -> Option<usize> {
    match *step {
        Step::StudioConnected => {
            watcher.studio = !watcher.ended;
            machine.handle_studio_connected(*now);
        }
        Step::MediaArrived => machine.handle_media_arrived(*now),
        Step::MediaFlows => {
            watcher.has_begun |= watcher.studio;
            machine.handle_media_flows();
        }
        Step::MediaStopped => machine.handle_media_stopped(*now),
        Step::StudioLost => {
            watcher.studio = false;
            machine.handle_studio_lost(*now);
        }
        Step::Start => drop(machine.start(*now)),
        Step::Stop => drop(machine.stop(*now)),
        Step::Add(index) => {
            if machine.add_destination(spec(index), *now).is_ok() {
                watcher.refused[index] = [false; 2];
            }
            return Some(index);
        }
        Step::Remove(index) => {
            drop(machine.remove_destination(&id(NAMES[index])));
            return Some(index);
        }
        Step::Enable(index, enabled) => {
            watcher.refused[index] = [false; 2];
            let change = DestinationChange {
                enabled: Some(enabled),
                ..DestinationChange::default()
            };
            drop(machine.change_destination(&id(NAMES[index]), change, *now));
            return Some(index);
        }
        Step::Rotate(index, key) => {
            watcher.refused[index] = [false; 2];
            let change = DestinationChange {
                stream_key: Some(StreamKey::new(key.to_string())),
                ..DestinationChange::default()
            };
            drop(machine.change_destination(&id(NAMES[index]), change, *now));
            return Some(index);
        }
        Step::Report(index, line, reported, late) => {
            let line = line as usize;
            let attempt = if late {
                Some(Attempt(0))
            } else {
                watcher.open[index][line]
            };
            if let Some(attempt) = attempt {
                let event = match reported {
                    Reported::Live => DestinationEvent::Live,
                    Reported::Lost => lost(Reason::ClosedByPeer),
                    Reported::Refused => lost(Reason::KeyRefused),
                };
                if !late && matches!(reported, Reported::Lost | Reported::Refused) {
                    watcher.open[index][line] = None;
                    watcher.refused[index][line] = matches!(reported, Reported::Refused);
                }
                machine.handle_destination(&id(NAMES[index]), attempt, event, *now);
            }
            return Some(index);
        }
        Step::Wait(milliseconds) => {
            *now += Duration::from_millis(milliseconds);
            machine.handle_timeout(*now);
        }
        Step::Timeout => {
            if let Some(due) = machine.poll_timeout() {
                *now = (*now).max(due);
                machine.handle_timeout(*now);
            }
        }
        Step::End => {
            machine.end(*now);
            watcher.ended = true;
            watcher.studio = false;
        }
    }
    None
}

proptest! {
    #[test]
    fn any_sequence_of_events_keeps_the_rules(auto_start: bool, seed: u64, steps in prop::collection::vec(any_step(), 1..120)) {
        let mut now = Instant::now();
        let spec = BroadcastSpec::new(
            BroadcastId::new("show").unwrap(),
            Method::default(),
            auto_start,
            (1..3).map(spec).collect(),
        );
        let mut machine = Machine::new(&spec.unwrap(), seed, now);
        let mut watcher = Watcher::default();

        for step in &steps {
            let only = apply(&mut machine, &mut watcher, step, &mut now);
            while let Some(effect) = machine.poll_effect() {
                watcher.check(&effect, only);
            }

            for destination in machine.destinations() {
                let at = NAMES.iter().position(|name| *name == destination.spec().id.as_str()).unwrap();
                let attempts = LineName::ALL.map(|line| destination.line(line).and_then(Line::attempt));
                prop_assert_eq!(attempts, watcher.open[at], "the machine and the world differ");
            }
            if let Some(due) = machine.poll_timeout().filter(|due| *due <= now) {
                machine.handle_timeout(due.max(now));
                while let Some(effect) = machine.poll_effect() {
                    watcher.check(&effect, None);
                }
                prop_assert!(machine.poll_timeout().is_none_or(|next| next > now), "a timeout that changes nothing");
            }
        }

        if watcher.ended {
            prop_assert_eq!(watcher.open, [[None; 2]; 3], "something stayed open after the end");
            prop_assert_eq!(machine.poll_timeout(), None);
        }
    }
}
