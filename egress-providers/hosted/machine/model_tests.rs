//! Random lives of a session against a model of a provider: whatever happens, nobody is published to twice, everything is
//! stopped, and each destination is told a sensible story.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use broadcast::{Failure, Reason};
use proptest::prelude::*;

use super::{
    Answer, ContributionState, Effect, EgressStatus, Machine, OrderId, ProviderError, TargetId,
    Told,
};
use crate::{
    Capabilities, ContributionKind, Hot, LetGo,
    hosted::{TargetState, TargetStatus},
};

const FORGETS_AFTER: Duration = Duration::from_secs(40);

/// How long the session's task lets a call take.
const CALL_LIMIT: Duration = Duration::from_secs(40);

/// How long the task lets a contribution say goodbye.
const FAREWELL_LIMIT: Duration = Duration::from_secs(3);

/// What may happen. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Happening {
    Order {
        target: u8,
        paused: bool,
    },
    Close(u8),
    Pause(u8, bool),
    /// The call under way is answered; when it is refused, it may have been done.
    Answer {
        refusal: Option<u8>,
        done: bool,
    },
    /// An answer to a poll: states of destinations by target.
    States([u8; 3], u8),
    Flow,
    Carried(u8),
    Wake,
    Pass(u64),
    Shutdown,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0..3_u8, prop::bool::weighted(0.1)).prop_map(|(target, paused)| Happening::Order { target, paused }),
        2 => any::<u8>().prop_map(Happening::Close),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(order, paused)| Happening::Pause(order, paused)),
        6 => (prop::option::weighted(0.3, any::<u8>()), any::<bool>())
            .prop_map(|(refusal, done)| Happening::Answer { refusal, done }),
        4 => (any::<[u8; 3]>(), any::<u8>()).prop_map(|(states, arrival)| Happening::States(states, arrival)),
        4 => Just(Happening::Flow),
        1 => any::<u8>().prop_map(Happening::Carried),
        1 => Just(Happening::Wake),
        6 => prop_oneof![0..100_u64, 0..3_000_u64, 0..70_000_u64].prop_map(Happening::Pass),
        1 => prop::bool::weighted(0.05).prop_map(|shut| if shut { Happening::Shutdown } else { Happening::Wake }),
    ]
}

fn error(number: u8) -> ProviderError {
    match number % 8 {
        0 => ProviderError::Auth,
        1 => ProviderError::Invalid("no".to_owned()),
        2 => ProviderError::NotFound("room"),
        3 => ProviderError::RestartRequired,
        4 => ProviderError::RateLimited {
            retry_after: Some(Duration::from_secs(5)),
        },
        5 => ProviderError::Destination("no".to_owned()),
        6 => ProviderError::Contribution(Failure::new(Reason::ClosedByPeer, "closed")),
        _ => ProviderError::Unavailable {
            message: "503".to_owned(),
            retry_after: None,
        },
    }
}

/// A destination's story so far.
#[derive(Debug, Default)]
struct Story {
    target: Option<TargetId>,
    told: Vec<Told>,
}

/// The provider as it really is, which the machine cannot see.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are facts, each of its own"
)]
struct World {
    machine: Machine,
    now: Instant,
    next_order: u64,
    stories: BTreeMap<OrderId, Story>,
    open: BTreeSet<OrderId>,
    /// What is asked.
    call: Option<Effect>,
    called_at: Instant,
    left_at: Instant,
    exists: bool,
    /// It was brought the show.
    has_show: bool,
    /// Who is really sent to, and on whose behalf.
    published: BTreeMap<TargetId, OrderId>,
    carrying: bool,
    leaving: bool,
    carried_until: Option<Instant>,
    /// From when on nobody may be sent to on behalf of an attempt.
    promises: Vec<(TargetId, OrderId, Instant)>,
}

impl World {
    fn new(capabilities: Capabilities) -> Self {
        Self {
            machine: Machine::new(capabilities, 7),
            now: Instant::now(),
            next_order: 0,
            stories: BTreeMap::new(),
            open: BTreeSet::new(),
            call: None,
            called_at: Instant::now(),
            left_at: Instant::now(),
            exists: false,
            has_show: false,
            published: BTreeMap::new(),
            carrying: false,
            leaving: false,
            carried_until: None,
            promises: Vec::new(),
        }
    }

    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Order { target, paused } => self.order(*target, *paused),
            Happening::Close(number) => {
                if let Some(id) = self.pick(*number) {
                    self.machine.handle_close(id, self.now);
                }
            }
            Happening::Pause(number, paused) => {
                if let Some(id) = self.pick(*number) {
                    self.machine.handle_pause(id, *paused, self.now);
                }
            }
            Happening::Answer { refusal, done } => self.answer(refusal.map(error), *done),
            Happening::States(states, arrival) => self.tell_states(*states, *arrival),
            Happening::Flow => {
                if self.carrying && !self.leaving {
                    self.machine.handle_flowing(self.now);
                }
            }
            Happening::Carried(number) => self.carried(match number % 4 {
                0 if self.leaving => Ok(()),
                0 => Err(error(0)),
                1 => Ok(()),
                _ => Err(error(6)),
            }),
            Happening::Wake => self.machine.handle_wake(self.now),
            Happening::Pass(milliseconds) => self.pass(Duration::from_millis(*milliseconds)),
            Happening::Shutdown => self.machine.handle_shutdown(self.now),
        }
        self.perform();
    }

    fn order(&mut self, target: u8, paused: bool) {
        self.next_order += 1;
        let id = OrderId(self.next_order);
        let target = TargetId::known(format!("d{target}"));
        // A broadcast has one attempt of a line at a time: the one before has ended, or was asked to.
        let before: Vec<OrderId> = self.open.iter().copied().collect();
        for other in before {
            if self.stories[&other].target.as_ref() == Some(&target) {
                self.machine.handle_close(other, self.now);
            }
        }
        self.open.insert(id);
        let story = self.stories.entry(id).or_default();
        story.target = Some(target.clone());
        self.machine.handle_order(id, target, paused, self.now);
    }

    fn pick(&self, number: u8) -> Option<OrderId> {
        let place = usize::from(number) % self.open.len().max(1);
        self.open.iter().nth(place).copied()
    }

    fn carried(&mut self, result: Result<(), ProviderError>) {
        if self.carrying {
            (self.carrying, self.leaving) = (false, false);
            self.carried_until = Some(self.now);
            self.machine.handle_carried(result, self.now);
        }
    }

    /// Time passes, and the machine is woken whenever it wishes.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        for _ in 0..10_000 {
            let cut = self.call.as_ref().map(|_| self.called_at + CALL_LIMIT);
            let farewell = self.leaving.then(|| self.left_at + FAREWELL_LIMIT);
            let next = [self.machine.poll_timeout(), cut, farewell]
                .into_iter()
                .flatten()
                .min();
            let Some(due) = next.filter(|due| *due <= end) else {
                self.now = end;
                self.settle();
                return;
            };
            self.now = self.now.max(due);
            self.settle();
            self.machine.handle_timeout(self.now);
            self.perform();
            if self.call.is_some() && self.now >= self.called_at + CALL_LIMIT {
                // What a call that is cut has done is not known.
                let slow = ProviderError::Timeout(crate::hosted::Stage::Answer);
                self.answer(Some(slow), true);
                self.perform();
            }
            let next = self.machine.poll_timeout();
            assert!(
                next.is_none_or(|next| next > self.now),
                "it spins: {:?}",
                self.machine
            );
            if self.leaving && self.now >= self.left_at + FAREWELL_LIMIT {
                self.carried(Ok(()));
                self.perform();
            }
        }
        panic!("it is woken too often");
    }

    /// The provider forgets a show that does not come any more.
    fn settle(&mut self) {
        let forgotten = self.carried_until.map(|until| until + FORGETS_AFTER);
        if !self.carrying && forgotten.is_none_or(|at| self.now >= at) {
            self.published.clear();
        }
        for (target, order, from) in &self.promises {
            let is_kept = self.now < *from || self.published.get(target) != Some(order);
            assert!(is_kept, "{target} is still sent to on behalf of {order:?}");
        }
    }

    fn answer(&mut self, refusal: Option<ProviderError>, done: bool) {
        let Some(call) = self.call.take() else {
            return;
        };
        let is_done = refusal.is_none() || done;
        let result = refusal.map_or(Ok(()), Err);
        let answer = match call {
            Effect::Prepare(_) => {
                self.exists |= is_done;
                Answer::Prepared(result)
            }
            Effect::Start(ids) => {
                if is_done {
                    self.publish(&ids);
                }
                Answer::Started(result)
            }
            Effect::Update(ids) => {
                if is_done {
                    self.publish(&ids);
                }
                Answer::Updated(result)
            }
            Effect::Stop => {
                let removed = is_done || matches!(result, Err(ProviderError::NotFound(_)));
                if removed {
                    (self.exists, self.has_show) = (false, false);
                    self.published.clear();
                }
                Answer::Stopped(result)
            }
            Effect::Status
            | Effect::Contribute { .. }
            | Effect::EndContribution
            | Effect::Tell(..)
            | Effect::Note(..) => Answer::Status(result.map(|()| EgressStatus {
                contribution: ContributionState::Unknown,
                targets: Vec::new(),
                ended: None,
            })),
        };
        self.machine.handle_answer(answer, self.now);
    }

    fn publish(&mut self, ids: &[OrderId]) {
        self.published.clear();
        for id in ids {
            let target = self.stories[id].target.clone().unwrap();
            self.published.insert(target, *id);
        }
    }

    fn tell_states(&mut self, states: [u8; 3], arrival: u8) {
        if self.call != Some(Effect::Status) {
            return;
        }
        self.call = None;
        let mut targets = Vec::new();
        for (number, state) in states.into_iter().enumerate() {
            let id = TargetId::known(format!("d{number}"));
            let state = match state % 8 {
                0..4 => TargetState::Live,
                4 => TargetState::Connecting,
                5 => TargetState::Interrupted,
                6 => TargetState::Unknown,
                _ => {
                    self.published.remove(&id);
                    TargetState::Failed("gone".to_owned())
                }
            };
            targets.push(TargetStatus { id, state });
        }
        let contribution = match arrival % 4 {
            0 => ContributionState::Unknown,
            1 => ContributionState::Absent,
            _ => ContributionState::Arriving,
        };
        let ended = (arrival > 250).then_some(ProviderError::Timeout(crate::hosted::Stage::Answer));
        let told = EgressStatus {
            contribution,
            targets,
            ended,
        };
        self.machine
            .handle_answer(Answer::Status(Ok(told)), self.now);
    }

    fn perform(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Prepare(_) => {
                    assert!(!self.carrying, "two sessions");
                    let forgotten = self.carried_until.map(|until| until + FORGETS_AFTER);
                    let is_free = !self.has_show || forgotten.is_none_or(|at| self.now >= at);
                    assert!(is_free, "a session while another may be at the provider");
                    self.ask(effect);
                }
                Effect::Start(ref ids) | Effect::Update(ref ids) => {
                    assert!(self.exists, "nothing was prepared");
                    assert!(!ids.is_empty(), "it is told to send nowhere");
                    let targets: BTreeSet<_> =
                        ids.iter().map(|id| &self.stories[id].target).collect();
                    assert_eq!(targets.len(), ids.len(), "a destination twice");
                    self.ask(effect);
                }
                Effect::Status | Effect::Stop => {
                    assert!(!self.leaving || effect == Effect::Status, "no goodbye");
                    self.ask(effect);
                }
                Effect::Contribute { .. } => {
                    assert!(!self.carrying && self.exists, "it is brought there twice");
                    (self.carrying, self.has_show) = (true, true);
                }
                Effect::EndContribution => {
                    assert!(self.carrying && !self.leaving, "nothing to end");
                    self.leaving = true;
                    self.left_at = self.now;
                }
                Effect::Tell(id, told) => self.tell(id, told),
                Effect::Note(..) => {}
            }
        }
        self.settle();
    }

    fn ask(&mut self, effect: Effect) {
        let is_free = matches!(self.call, None | Some(Effect::Status));
        assert!(is_free, "{effect:?} while {:?} is under way", self.call);
        self.call = Some(effect);
        self.called_at = self.now;
    }

    fn tell(&mut self, id: OrderId, told: Told) {
        let story = self.stories.get_mut(&id).unwrap();
        let is_next = matches!(
            (&told, story.told.last()),
            (Told::Connecting, None)
                | (Told::Live, Some(Told::Connecting))
                | (Told::Ended(..), Some(Told::Connecting | Told::Live))
        );
        assert!(is_next, "{told:?} after {:?}", story.told);
        if let Told::Ended(_, let_go) = &told {
            let target = story.target.clone().unwrap();
            self.open.remove(&id);
            let from = match let_go {
                LetGo::Now => self.now,
                LetGo::After(pause) => self.now + *pause,
            };
            self.promises.push((target, id, from));
        }
        story.told.push(told);
    }

    /// Everything is closed, and the provider does what it is asked.
    fn finish(&mut self) {
        for id in self.open.clone() {
            self.machine.handle_close(id, self.now);
        }
        self.perform();
        for _ in 0..200 {
            if self.leaving {
                self.carried(Ok(()));
            }
            self.answer(None, true);
            self.perform();
            if self.machine.is_over() {
                break;
            }
            self.pass(Duration::from_secs(1));
        }
    }
}

fn capabilities(hot: bool, status: bool) -> Capabilities {
    let hot = if hot { Hot::Yes } else { Hot::RestartRequired };
    Capabilities {
        contribution: ContributionKind::Push,
        hot_add: hot,
        hot_remove: hot,
        destination_status: status,
        destination_pause: false,
        renditions: false,
        destinations_limit: 3,
        longest_show: None,
        forgets_after: FORGETS_AFTER,
        start_limit: Duration::from_secs(30),
        webhooks: true,
        meters: &[],
    }
}

/// Whoever waits for a time that has passed spins, which a world does not let pass.
#[test]
fn a_removal_that_failed_and_is_not_wanted_any_more_is_not_waited_for() {
    let mut world = World::new(capabilities(true, false));
    let order = |target| Happening::Order {
        target,
        paused: false,
    };
    let answer = Happening::Answer {
        refusal: None,
        done: false,
    };

    for happening in [order(1), order(0), Happening::Pass(50), answer.clone()] {
        world.happen(&happening);
    }
    for happening in [Happening::Flow, answer, Happening::Pause(1, true)] {
        world.happen(&happening);
    }
    world.happen(&Happening::Pause(1, false));
    world.happen(&Happening::Pass(45_000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn nobody_is_sent_to_twice_and_everything_ends(
        hot in any::<bool>(),
        status in any::<bool>(),
        happenings in prop::collection::vec(happening(), 0..120),
    ) {
        let mut world = World::new(capabilities(hot, status));
        for happening in &happenings {
            world.happen(happening);
        }

        world.finish();
        // A process that ends does not wait for a provider that does not answer: that one forgets by itself.
        world.pass(FORGETS_AFTER);

        prop_assert!(world.machine.is_over(), "{:?}", world.machine);
        prop_assert!(world.open.is_empty());
        prop_assert!(world.published.is_empty());
        prop_assert!(!world.carrying);
        let ended = |story: &Story| matches!(story.told.last(), Some(Told::Ended(..)));
        prop_assert!(world.stories.values().all(ended), "{:?}", world.stories);
    }
}
