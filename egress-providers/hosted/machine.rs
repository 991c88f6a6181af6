//! One broadcast at one hosted provider, as a pure machine: what happened and when goes in, what is to be done comes out.

mod answers;
mod book;
#[cfg(test)]
mod model_tests;
mod pauses;
mod steps;
mod way;

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use pipelines::rtmp::What;

use self::{
    book::{Book, Order},
    pauses::Pauses,
    way::Way,
};
use super::{ContributionState, EgressStatus, ProviderError, SessionState, TargetId};
use crate::{Capabilities, ContributionKind, LetGo, Meter};

/// How long the first destination waits for the others, which are opened in the same moment.
const GATHERING: Duration = Duration::from_millis(50);

/// How long a destination's end may wait for the provider to confirm that it has let go of it.
///
/// A provider's answer takes a second, and ten at most; a carrier has to wait this long and a little more.
pub const GOODBYE_LIMIT: Duration = Duration::from_secs(10);

/// How long something may be out of order while the session stays as it is: the way there, the answers to polls, a
/// destination that the provider tries to bring back, a removal. Platforms wait about as long for a lost encoder.
const TROUBLE_LIMIT: Duration = Duration::from_mins(1);

/// The longest from the wish that a destination be let go of until the show is taken away because it was not: a call that
/// is under way, [`TROUBLE_LIMIT`], and the farewell of the contribution.
pub(super) const REMOVAL_LIMIT: Duration = Duration::from_secs(110);

/// How long a session is kept without destinations when all of them were lost: longer than the longest pause before a
/// destination is tried again.
const LINGER: Duration = Duration::from_secs(40);

/// How long a destination may wait for an older session of its broadcast to be gone.
const STOPPING_PATIENCE: Duration = Duration::from_secs(15);

/// How long stopping is tried when the process ends; what is left is the reaper's.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(8);

/// The first poll after the start: a provider that is quick is live by then.
const FIRST_POLL: Duration = Duration::from_millis(300);

/// Between polls until everything is live.
const EAGER_POLL: Duration = Duration::from_secs(2);

/// Between polls of a show that is on, or that nobody has come to for a minute.
const CALM_POLL: Duration = Duration::from_secs(10);

/// Between the beginnings of two polls, however many webhooks ask for them.
const WAKE_GAP: Duration = Duration::from_millis(250);

/// The least time that a destination has from its acceptance to its first sign: an RTMP handshake over the world, twice.
const DESTINATION_LIMIT: Duration = Duration::from_secs(30);

/// One attempt of one destination; a later one is larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct OrderId(pub(super) u64);

/// What a destination is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Connecting,
    Live,
    /// It ends: as it was asked to, or because of an error.
    Ended(Option<ProviderError>, LetGo),
}

/// What is to be done. Of `Prepare`, `Start`, `Update`, `Status` and `Stop` one is under way at a time; a later one takes
/// the place of a `Status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    Prepare(Vec<OrderId>),
    Start(Vec<OrderId>),
    Update(Vec<OrderId>),
    Status,
    Stop,
    /// Brings the show there.
    Contribute {
        /// By a new way in, since the old one is not good any more.
        anew: bool,
    },
    /// Takes it away.
    EndContribution,
    Tell(OrderId, Told),
    /// For the black box of one destination, or of all.
    Note(Option<OrderId>, What, String),
}

/// What has come of it.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Prepared(Result<(), ProviderError>),
    Started(Result<(), ProviderError>),
    Updated(Result<(), ProviderError>),
    Status(Result<EgressStatus, ProviderError>),
    Stopped(Result<(), ProviderError>),
}

/// What the provider is being asked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Call {
    Prepare,
    Start(Vec<OrderId>),
    Update {
        all: Vec<OrderId>,
        fresh: Vec<OrderId>,
    },
    Status,
    Stop,
}

/// Where the session is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Nothing of it is at the provider; `at`: when to begin.
    Waiting {
        at: Option<Instant>,
    },
    Preparing,
    /// Until the provider has accepted to send the show on.
    Contributing,
    Running,
    Stopping(Stopping),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stopping {
    since: Instant,
    /// When to ask again.
    next: Instant,
    /// What came of it the last time.
    error: Option<ProviderError>,
}

/// How polls go.
#[derive(Debug, Default)]
struct Polls {
    next: Option<Instant>,
    asked: Option<Instant>,
    failing_since: Option<Instant>,
    /// Something happened while an answer was awaited.
    is_woken: bool,
    /// How often in a row there was nothing.
    not_found: u32,
}

/// A session of one broadcast. It is over when all its destinations have been told their end and nothing of it is at the
/// provider, as far as can be known; a destination that comes later begins it anew.
#[derive(Debug)]
pub(super) struct Machine {
    capabilities: Capabilities,
    pauses: Pauses,
    phase: Phase,
    call: Option<Call>,
    way: Way,
    book: Book,
    polls: Polls,
    arrival: ContributionState,
    /// Since when the show flows there and the provider says that it does not.
    absent_since: Option<Instant>,
    idle_since: Option<Instant>,
    update_after: Option<Instant>,
    /// Since when a destination is to be taken away.
    removing_since: Option<Instant>,
    /// Of removals or of stops, in a row.
    failures: u32,
    /// One of several destinations was not taken: one is added after the other, to find out which.
    one_by_one: bool,
    shutting_down: Option<Instant>,
    effects: VecDeque<Effect>,
}

impl Machine {
    /// A session without destinations. `seed` is for the pauses between tries.
    pub(super) fn new(capabilities: Capabilities, seed: u64) -> Self {
        let way = Way::new(&capabilities);
        Self {
            capabilities,
            pauses: Pauses::new(seed),
            phase: Phase::Waiting { at: None },
            call: None,
            way,
            book: Book::default(),
            polls: Polls::default(),
            arrival: ContributionState::Unknown,
            absent_since: None,
            idle_since: None,
            update_after: None,
            removing_since: None,
            failures: 0,
            one_by_one: false,
            shutting_down: None,
            effects: VecDeque::new(),
        }
    }

    /// A destination is to be sent to; while it is paused, nothing is.
    pub(super) fn handle_order(
        &mut self,
        id: OrderId,
        target: TargetId,
        paused: bool,
        now: Instant,
    ) {
        self.tell(id, Told::Connecting);
        for (_, other) in self.book.open_of(&target) {
            other.end(None, now);
        }
        let limit = self.capabilities.destinations_limit;
        let excess = self.book.open().count() >= limit;
        let mut order = Order::new(target, paused, now);
        if excess {
            let words = format!("a broadcast may have {limit} destinations there");
            order.end(Some(ProviderError::Invalid(words)), now);
        } else if self.shutting_down.is_some() {
            order.end(None, now);
        }
        self.book.orders.insert(id, order);
        self.advance(now);
    }

    /// A destination is not to be sent to any more.
    pub(super) fn handle_close(&mut self, id: OrderId, now: Instant) {
        if let Some(order) = self.book.orders.get_mut(&id) {
            order.end(None, now);
        }
        self.advance(now);
    }

    /// A destination is not to be sent to for a while, or is again.
    pub(super) fn handle_pause(&mut self, id: OrderId, paused: bool, now: Instant) {
        if let Some(order) = self.book.orders.get_mut(&id)
            && order.paused != paused
            && order.ending.is_none()
        {
            order.paused = paused;
            order.is_live = false;
            let (what, words) = if paused {
                (
                    What::Paused,
                    "the provider is told to leave the destination",
                )
            } else {
                (What::Resumed, "the provider is told to send there again")
            };
            self.note(Some(id), what, words);
        }
        self.advance(now);
    }

    /// The provider's server takes the show.
    pub(super) fn handle_flowing(&mut self, now: Instant) {
        if self.way.flow(now) {
            self.note(None, What::Connect, "the provider takes the show");
        }
        self.advance(now);
    }

    /// An attempt to bring the show there is over: as it was asked to, because the media have ended, or by an error.
    pub(super) fn handle_carried(&mut self, result: Result<(), ProviderError>, now: Instant) {
        let was_leaving = self.way.is_leaving();
        match result {
            Err(error) if !was_leaving => self.handle_lost_way(&error, now),
            Ok(()) if !was_leaving => {
                self.way.leave(now);
                self.way.gone(now);
                self.end_all(None, now);
                self.begin_stop(now);
            }
            Ok(()) | Err(_) => self.way.gone(now),
        }
        self.advance(now);
    }

    /// Something has happened at the provider.
    pub(super) fn handle_wake(&mut self, now: Instant) {
        self.polls.is_woken = self.call == Some(Call::Status);
        if self.polls.next.is_some() {
            let earliest = self.polls.asked.map_or(now, |asked| asked + WAKE_GAP);
            self.polls.next = Some(earliest.max(now));
        }
        self.advance(now);
    }

    /// Time has come for something.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    /// The process ends: everything is closed, and what comes later is closed at once.
    pub(super) fn handle_shutdown(&mut self, now: Instant) {
        self.shutting_down.get_or_insert(now);
        self.end_all(None, now);
        self.advance(now);
    }

    /// What is to be done next.
    pub(super) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Where it is.
    pub(super) fn state(&self) -> SessionState {
        match &self.phase {
            Phase::Waiting { .. } => SessionState::Waiting,
            Phase::Preparing => SessionState::Preparing,
            Phase::Contributing if self.way.is_flowing() => SessionState::Starting,
            Phase::Contributing => SessionState::Contributing,
            Phase::Running if !self.way.is_flowing() => SessionState::Interrupted,
            Phase::Running if self.live() == 0 => SessionState::Starting,
            Phase::Running => SessionState::Live,
            Phase::Stopping(_) => SessionState::Stopping,
        }
    }

    /// Whether the provider says that it has the show.
    pub(super) const fn arrival(&self) -> ContributionState {
        self.arrival
    }

    /// How many destinations are live.
    pub(super) fn live(&self) -> usize {
        self.book.open().filter(|(_, order)| order.is_live).count()
    }

    /// Whether there is nothing to be done any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Waiting { .. })
            && self.book.orders.is_empty()
            && self.call.is_none()
            && self.effects.is_empty()
    }

    /// What is being used at the provider, in units.
    pub(super) fn using(&self) -> BTreeMap<Meter, u32> {
        if self.way.flowing_since().is_none() {
            return BTreeMap::new();
        }
        let outputs = u32::try_from(self.book.sent.len()).unwrap_or(u32::MAX);
        let units = |&(meter, units): &(Meter, u32)| match meter {
            // Each destination is one, whatever there is without destinations.
            Meter::Output => (meter, outputs),
            Meter::Participant | Meter::Show => (meter, units),
        };
        self.capabilities.meters.iter().map(units).collect()
    }

    fn is_direct(&self) -> bool {
        self.capabilities.contribution == ContributionKind::Direct
    }

    fn tell(&mut self, id: OrderId, told: Told) {
        self.effects.push_back(Effect::Tell(id, told));
    }

    fn note(&mut self, id: Option<OrderId>, what: What, words: impl Into<String>) {
        self.effects.push_back(Effect::Note(id, what, words.into()));
    }

    /// The whole of it has failed: all destinations are lost, and what is at the provider is stopped.
    fn fail(&mut self, error: &ProviderError, now: Instant) {
        self.end_all(Some(error), now);
        self.begin_stop(now);
    }

    fn end_all(&mut self, error: Option<&ProviderError>, now: Instant) {
        for order in self.book.orders.values_mut() {
            order.end(error.cloned(), now);
        }
    }

    fn handle_lost_way(&mut self, error: &ProviderError, now: Instant) {
        match self.way.lose(error, &mut self.pauses, now) {
            Some(pause) => {
                let seconds = pause.as_secs_f64();
                let words = format!("{error}; tried again in {seconds:.1} s");
                self.note(None, What::Lost, words);
            }
            None => self.fail(error, now),
        }
    }
}
