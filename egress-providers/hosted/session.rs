//! The task of one broadcast at one hosted provider: performs what the [`Machine`] decides.

mod calls;
mod carriage;
mod line;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use broadcast::{BroadcastId, Failure, Reason};
use pipelines::rtmp::{BlackBox, Counters, MediaHints, What};
use tokio::{
    sync::{Notify, mpsc},
    task::{JoinError, JoinSet},
    time::sleep_until,
};
use tokio_util::sync::CancellationToken;

use self::{
    calls::{Called, Calls},
    carriage::{Carried, carry},
    line::{Line, Watched, watch},
};
use super::{
    Contribution, ContributionOrder, DirectJoin, Handle, HostedTarget, ProviderError, SessionState,
    TargetId,
    hosted::Shared,
    machine::{Answer, Effect, Machine, OrderId, Told},
    meter::Ledger,
};
use crate::{DestinationEvent, DestinationOrder, LetGo, Show, open_destination::Attempt};

/// What a session is told from outside.
#[derive(Debug)]
pub(super) enum Command {
    Carry(Box<DestinationOrder>, Attempt),
    /// Something has happened at the provider to the named thing, or to anything.
    Wake(Option<String>),
}

/// What can be seen of a session from outside.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) state: SessionState,
    pub(super) since: Instant,
    pub(super) arrival: super::ContributionState,
    pub(super) live: usize,
    pub(super) used: std::collections::BTreeMap<crate::Meter, Duration>,
    pub(super) using: std::collections::BTreeMap<crate::Meter, u32>,
    pub(super) join: Option<DirectJoin>,
    pub(super) counters: Arc<Counters>,
}

/// What a session brings to the provider.
#[derive(Debug)]
struct Programme {
    show: Show,
    hints: MediaHints,
}

/// One broadcast at one provider.
#[derive(Debug)]
pub(super) struct Session {
    broadcast: BroadcastId,
    shared: Arc<Shared>,
    machine: Machine,
    mailbox: mpsc::Receiver<Command>,
    lines: HashMap<OrderId, Line>,
    next_order: u64,
    watchers: JoinSet<(OrderId, Watched)>,
    calls: Calls,
    way: JoinSet<Carried>,
    end_way: CancellationToken,
    flowing: Arc<Notify>,
    handle: Option<Handle>,
    contribution: Option<Contribution>,
    programme: Option<Programme>,
    /// Of the way to the provider.
    counters: Arc<Counters>,
    black_box: Arc<BlackBox>,
    ledger: Ledger,
    /// When the destinations were asked for of which none is live yet.
    asked_at: Option<Instant>,
    shown: SessionState,
}

impl Session {
    pub(super) fn new(
        broadcast: BroadcastId,
        shared: Arc<Shared>,
        mailbox: mpsc::Receiver<Command>,
        seen: &Seen,
    ) -> Self {
        let capabilities = shared.parts.api.capabilities().clone();
        Self {
            broadcast,
            machine: Machine::new(capabilities, rand::random()),
            mailbox,
            lines: HashMap::new(),
            next_order: 0,
            watchers: JoinSet::new(),
            calls: Calls::default(),
            way: JoinSet::new(),
            end_way: CancellationToken::new(),
            flowing: Arc::default(),
            handle: None,
            contribution: None,
            programme: None,
            counters: Arc::clone(&seen.counters),
            black_box: Arc::default(),
            ledger: Ledger::new(seen.used.clone(), seen.since),
            asked_at: None,
            shown: seen.state,
            shared,
        }
    }

    /// Runs until there is nothing to be done any more and nobody has ordered anything.
    pub(super) async fn run(mut self) {
        let (provider, observer) = (self.provider(), Arc::clone(&self.shared.parts.observer));
        observer.session_changed(provider, None, Some(self.shown));
        let mut is_shut = false;
        loop {
            self.perform();
            self.show();
            if self.machine.is_over() && self.shared.retire(&self.broadcast, &mut self.mailbox) {
                break;
            }
            let due = self.machine.poll_timeout();
            // Every arm is cancel-safe: a channel, sets of tasks, a notification, a clock, a token.
            tokio::select! {
                Some(command) = self.mailbox.recv() => self.obey(command),
                Some(watched) = self.watchers.join_next() => self.handle_watched(watched),
                Some(called) = self.calls.next() => self.handle_called(called),
                Some(carried) = self.way.join_next() => self.handle_carried(carried),
                () = self.flowing.notified() => self.machine.handle_flowing(now()),
                () = sleep_until(due.unwrap_or_else(now).into()), if due.is_some() => {
                    self.machine.handle_timeout(now());
                }
                () = self.shared.stop.cancelled(), if !is_shut => {
                    is_shut = true;
                    self.machine.handle_shutdown(now());
                }
            }
        }
        observer.session_changed(provider, Some(self.shown), None);
    }

    fn provider(&self) -> broadcast::Provider {
        self.shared.parts.api.provider()
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Carry(order, attempt) => self.carry(*order, attempt),
            Command::Wake(subject) => {
                let concerned = match (&subject, &self.handle) {
                    (Some(subject), Some(handle)) => self.shared.parts.api.matches(handle, subject),
                    (None, _) => true,
                    (Some(_), None) => false,
                };
                if concerned {
                    self.machine.handle_wake(now());
                }
            }
        }
    }

    fn carry(&mut self, order: DestinationOrder, attempt: Attempt) {
        self.next_order += 1;
        let id = OrderId(self.next_order);
        let target = TargetId::new(&order.destination, order.line);
        order.black_box.begin(&order.endpoint);
        self.asked_at.get_or_insert_with(now);
        self.programme = Some(Programme {
            show: order.show,
            hints: order.hints,
        });
        let paused = order.curtain.borrow().is_some();
        self.watchers
            .spawn(watch(id, attempt.stop.clone(), order.curtain, paused));
        let line = Line {
            attempt,
            target: HostedTarget {
                id: target.clone(),
                endpoint: order.endpoint,
            },
            destination: order.destination,
            black_box: order.black_box,
            was_asked_for: false,
        };
        self.lines.insert(id, line);
        self.machine.handle_order(id, target, paused, now());
    }

    fn handle_watched(&mut self, watched: Result<(OrderId, Watched), JoinError>) {
        match watched {
            Ok((id, Watched::Closed)) => self.machine.handle_close(id, now()),
            Ok((id, Watched::Paused(paused, curtain))) => {
                if let Some(line) = self.lines.get(&id) {
                    let stop = line.attempt.stop.clone();
                    self.watchers.spawn(watch(id, stop, curtain, paused));
                }
                self.machine.handle_pause(id, paused, now());
            }
            // It waits, and compares: there is nothing in it that panics, and nobody aborts it.
            Err(error) => tracing::error!(%error, "a destination is not watched any more"),
        }
    }

    fn handle_called(&mut self, called: Called) {
        let answer = match called {
            Called::Prepared(result) => Answer::Prepared(result.map(|prepared| {
                self.handle = Some(prepared.handle);
                self.contribution = Some(prepared.contribution);
            })),
            Called::Started(handle, result) => {
                self.handle = Some(handle);
                Answer::Started(result)
            }
            Called::Updated(handle, result) => {
                self.handle = Some(handle);
                Answer::Updated(result)
            }
            Called::Status(result) => Answer::Status(result),
            Called::Stopped(result) => {
                if result.is_ok() {
                    self.handle = None;
                    self.contribution = None;
                }
                Answer::Stopped(result)
            }
        };
        if let Some(error) = answer.error() {
            tracing::debug!(%error, "the provider refused, or failed");
        }
        self.machine.handle_answer(answer, now());
    }

    fn handle_carried(&mut self, carried: Result<Carried, JoinError>) {
        let Carried { renewed, result } = carried.unwrap_or_else(|error| {
            tracing::error!(%error, "the way to the provider broke");
            Carried::broken()
        });
        if renewed.is_some() {
            self.contribution = renewed;
        }
        if let Err(error) = &result {
            tracing::debug!(%error, "the show does not get to the provider");
        }
        self.machine.handle_carried(result, now());
    }

    /// Does what the machine asks for.
    fn perform(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                call @ (Effect::Prepare(_)
                | Effect::Start(_)
                | Effect::Update(_)
                | Effect::Status
                | Effect::Stop)
                    if !self.may_act() =>
                {
                    self.leave_alone(&call);
                }
                Effect::Prepare(ids) => {
                    let targets = self.targets(&ids);
                    let free = self.shared.when_free(&self.broadcast);
                    self.calls
                        .prepare(&self.shared.parts, &self.broadcast, targets, free);
                }
                Effect::Start(ids) => {
                    let targets = self.targets_to_send(&ids);
                    self.calls
                        .start(&self.shared.parts, self.handle.clone(), targets);
                }
                Effect::Update(ids) => {
                    let targets = self.targets_to_send(&ids);
                    self.calls
                        .update(&self.shared.parts, self.handle.clone(), targets);
                }
                Effect::Status => self.calls.status(&self.shared.parts, self.handle.clone()),
                Effect::Stop => self.calls.stop(&self.shared.parts, self.handle.clone()),
                Effect::Contribute { anew } => self.contribute(anew),
                Effect::EndContribution => self.end_way.cancel(),
                Effect::Tell(id, told) => self.tell(id, told),
                Effect::Note(Some(id), what, words) => {
                    if let Some(line) = self.lines.get(&id) {
                        line.black_box.note(what, None, &words);
                    }
                }
                Effect::Note(None, what, words) => {
                    for line in self.lines.values() {
                        line.black_box.note(what, None, &words);
                    }
                }
            }
        }
    }

    /// Whether what is at the provider is certainly this process's.
    fn may_act(&self) -> bool {
        let programme = self.programme.as_ref();
        programme.is_none_or(|programme| programme.show.permit.allows(now()))
    }

    /// Asks the provider for nothing: it may be another process's show by now, and is to stay as it is. What was written
    /// down of it stays, for whoever goes on.
    fn leave_alone(&mut self, call: &Effect) {
        let words = "this node may have been taken over by another, and asks for nothing";
        let error = || ProviderError::Contribution(Failure::new(Reason::Fenced, words));
        let answer = match call {
            Effect::Prepare(_) => Answer::Prepared(Err(error())),
            Effect::Start(_) => Answer::Started(Err(error())),
            Effect::Update(_) => Answer::Updated(Err(error())),
            Effect::Status => Answer::Status(Err(error())),
            Effect::Stop => {
                (self.handle, self.contribution) = (None, None);
                Answer::Stopped(Ok(()))
            }
            Effect::Contribute { .. }
            | Effect::EndContribution
            | Effect::Tell(..)
            | Effect::Note(..) => {
                return;
            }
        };
        self.machine.handle_answer(answer, now());
    }

    fn targets(&self, ids: &[OrderId]) -> Vec<HostedTarget> {
        ids.iter()
            .filter_map(|id| self.lines.get(id))
            .map(|line| line.target.clone())
            .collect()
    }

    /// The same, for the provider to send there: from now on it may.
    fn targets_to_send(&mut self, ids: &[OrderId]) -> Vec<HostedTarget> {
        for id in ids {
            if let Some(line) = self.lines.get_mut(id) {
                line.was_asked_for = true;
            }
        }
        self.targets(ids)
    }

    fn contribute(&mut self, anew: bool) {
        let (Some(contribution), Some(programme)) = (&self.contribution, &self.programme) else {
            return;
        };
        self.end_way = CancellationToken::new();
        self.flowing = Arc::default();
        let order = ContributionOrder {
            broadcast: self.broadcast.clone(),
            contribution: contribution.clone(),
            show: programme.show.clone(),
            hints: programme.hints,
            counters: Arc::clone(&self.counters),
            black_box: Arc::clone(&self.black_box),
            flowing: Arc::clone(&self.flowing),
            stop: self.end_way.clone(),
        };
        let permit = programme.show.permit.clone();
        let renew = self.handle.clone().filter(|_| anew);
        self.way
            .spawn(carry(self.shared.parts.clone(), permit, renew, order));
    }

    fn tell(&mut self, id: OrderId, told: Told) {
        let Some(line) = self.lines.get(&id) else {
            return;
        };
        match told {
            Told::Connecting => line.attempt.tell(DestinationEvent::Connecting),
            Told::Live => {
                tracing::info!(destination = %line.destination, "destination went live at the provider");
                if let Some(asked_at) = self.asked_at.take() {
                    let elapsed = now().saturating_duration_since(asked_at);
                    let provider = self.provider();
                    self.shared.parts.observer.went_live(provider, elapsed);
                }
                if let Some(line) = self.lines.get(&id) {
                    line.attempt.tell(DestinationEvent::Live);
                }
            }
            Told::Ended(why, let_go) => {
                if let Some(line) = self.lines.remove(&id) {
                    self.end(&line, why, let_go);
                }
            }
        }
    }

    fn end(&mut self, line: &Line, why: Option<ProviderError>, let_go: LetGo) {
        let lets_go_within = if line.was_asked_for {
            self.shared.parts.api.lets_go_within()
        } else {
            Duration::ZERO
        };
        line.attempt.set_let_go(let_go.at_least(lets_go_within));
        let event = if let Some(error) = why {
            let failure = error.failure(self.provider());
            tracing::debug!(destination = %line.destination, error = %failure, "destination failed");
            line.black_box.note_failure(&failure, None);
            DestinationEvent::Lost(failure)
        } else {
            line.black_box.note(What::Closed, None, "");
            DestinationEvent::Closed
        };
        line.attempt.tell(event);
        // Its watcher ends, too.
        line.attempt.stop.cancel();
    }

    /// Shows how it is, and tells what was used.
    fn show(&mut self) {
        let (now, provider) = (now(), self.provider());
        let observer = &self.shared.parts.observer;
        for (meter, units) in self.ledger.count(self.machine.using(), now) {
            observer.carried(provider, meter, units);
        }
        let state = self.machine.state();
        let join = match &self.contribution {
            Some(Contribution::Direct { url, token }) => Some(DirectJoin {
                url: url.clone(),
                token: token.clone(),
            }),
            Some(Contribution::Push(_) | Contribution::Whip(_) | Contribution::Sidecar(_))
            | None => None,
        };
        if state != self.shown {
            tracing::debug!(state = state.as_str(), "session changed");
            observer.session_changed(provider, Some(self.shown), Some(state));
        }
        self.shared.show(&self.broadcast, |seen| {
            if state != seen.state {
                seen.since = now;
            }
            seen.state = state;
            seen.arrival = self.machine.arrival();
            seen.live = self.machine.live();
            seen.used.clone_from(self.ledger.used());
            seen.using.clone_from(self.ledger.using());
            seen.join = join;
        });
        self.shown = state;
    }
}

/// Reads the monotonic clock; follows tokio's when a test pauses it.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
