//! What the machine does next, given where it is.

use std::time::{Duration, Instant};

use pipelines::rtmp::What;

use super::{
    Call, Effect, FIRST_POLL, GATHERING, LINGER, Machine, OrderId, Phase, REMOVAL_LIMIT,
    SHUTDOWN_LIMIT, STOPPING_PATIENCE, Stopping, TROUBLE_LIMIT, Told,
};
use crate::{
    Hot, LetGo,
    hosted::{ContributionState, ProviderError, Stage},
};

/// The most steps that follow one another at once: from the end of one session into the next.
const STEPS_LIMIT: usize = 8;

impl Machine {
    /// Does what is due.
    pub(super) fn advance(&mut self, now: Instant) {
        for _ in 0..STEPS_LIMIT {
            if !self.step(now) {
                break;
            }
        }
        self.tell_ends(now);
    }

    /// When time comes for something.
    pub(in crate::hosted) fn poll_timeout(&self) -> Option<Instant> {
        let of_phase = match &self.phase {
            Phase::Waiting { at } => *at,
            Phase::Preparing => None,
            Phase::Contributing | Phase::Running => {
                let linger = self.idle_since.map(|since| since + LINGER);
                let update = self.update_after.filter(|_| self.may_call());
                let poll = self.polls.next.filter(|_| self.call.is_none());
                let way = self.way.poll_timeout();
                let removal = self.removal_ends_at();
                [linger, update, poll, way, removal]
                    .into_iter()
                    .flatten()
                    .min()
            }
            Phase::Stopping(stopping) if self.may_call() && !self.way.is_leaving() => {
                let patience = self
                    .book
                    .open()
                    .filter(|_| stopping.error.is_some())
                    .map(|(_, order)| order.since.max(stopping.since) + STOPPING_PATIENCE)
                    .min();
                let gives_up = self.gives_up_stopping_at(stopping);
                [Some(stopping.next), Some(gives_up), patience]
                    .into_iter()
                    .flatten()
                    .min()
            }
            Phase::Stopping(_) => None,
        };
        [of_phase, self.book.poll_timeout(self.can_wait())]
            .into_iter()
            .flatten()
            .min()
    }

    /// Stops what is at the provider. Destinations that are wanted then are sent to anew.
    pub(super) fn begin_stop(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Stopping(_)) {
            return;
        }
        if self.way.leave(now) {
            self.effects.push_back(Effect::EndContribution);
        }
        if self.call == Some(Call::Status) {
            self.call = None;
        }
        self.polls = super::Polls::default();
        self.arrival = ContributionState::Unknown;
        self.absent_since = None;
        self.idle_since = None;
        self.update_after = None;
        self.removing_since = None;
        self.failures = 0;
        for order in self.book.orders.values_mut() {
            order.is_live = false;
        }
        // What could not be made, and sent nothing, is not there to be stopped: if it is after all, the reaper finds it.
        if matches!(self.phase, Phase::Waiting { .. }) {
            return;
        }
        self.phase = Phase::Stopping(Stopping {
            since: now,
            next: now,
            error: None,
        });
    }

    /// The same, for others to be sent to in place of what is there.
    fn restart(&mut self, why: &str, now: Instant) {
        self.note(None, What::Lost, format!("the provider begins anew: {why}"));
        self.begin_stop(now);
    }

    /// Whether a call can be made in place of what is under way.
    fn may_call(&self) -> bool {
        matches!(self.call, None | Some(Call::Status))
    }

    fn call(&mut self, call: Call) {
        let effect = match &call {
            Call::Prepare => Effect::Prepare(self.first_wanted()),
            Call::Start(all) | Call::Update { all, .. } => {
                let all = all.clone();
                match call {
                    Call::Start(_) => Effect::Start(all),
                    Call::Update { .. } | Call::Prepare | Call::Status | Call::Stop => {
                        Effect::Update(all)
                    }
                }
            }
            Call::Status => Effect::Status,
            Call::Stop => Effect::Stop,
        };
        self.call = Some(call);
        self.effects.push_back(effect);
    }

    /// Those that a session begins with.
    fn first_wanted(&self) -> Vec<OrderId> {
        let mut wanted = self.book.wanted();
        if self.one_by_one && self.capabilities.hot_add == Hot::Yes {
            wanted.truncate(1);
        }
        wanted
    }

    fn step(&mut self, now: Instant) -> bool {
        match &self.phase {
            Phase::Waiting { at } => self.step_waiting(*at, now),
            Phase::Preparing => false,
            Phase::Contributing => self.step_contributing(now),
            Phase::Running => self.step_running(now),
            Phase::Stopping(stopping) => {
                let stopping = stopping.clone();
                self.step_stopping(&stopping, now)
            }
        }
    }

    fn step_waiting(&mut self, at: Option<Instant>, now: Instant) -> bool {
        if self.book.wanted().is_empty() {
            self.phase = Phase::Waiting { at: None };
            return false;
        }
        let at = at.unwrap_or(now + GATHERING);
        if now < at {
            self.phase = Phase::Waiting { at: Some(at) };
            return false;
        }
        let first = self.first_wanted();
        if self.capabilities.hot_add != Hot::Yes {
            // It takes them with what is made, and sends to them as soon as it has the show.
            self.book.send(&first);
        }
        self.phase = Phase::Preparing;
        self.call(Call::Prepare);
        true
    }

    fn step_contributing(&mut self, now: Instant) -> bool {
        if self.step_way(now) {
            return true;
        }
        if self.book.wanted().is_empty() {
            self.begin_stop(now);
            return true;
        }
        if self.call == Some(Call::Prepare) || !self.may_call() {
            return false;
        }
        let first = self.first_wanted();
        if self.capabilities.hot_add != Hot::Yes
            && (self.book.staying() != first || self.book.sent.len() != first.len())
        {
            self.restart("it takes destinations only at the begin", now);
            return true;
        }
        if self.way.is_flowing() {
            self.book.send(&first);
            self.call(Call::Start(first));
            return true;
        }
        self.step_polls(now)
    }

    fn step_running(&mut self, now: Instant) -> bool {
        if self.step_way(now) || self.step_removal(now) {
            return true;
        }
        if !self.may_call() {
            return false;
        }
        if self.book.wanted().is_empty() {
            return self.step_idle(now);
        }
        self.idle_since = None;
        if self.update_after.is_none_or(|after| now >= after) {
            // There may be nothing left to be done when its time comes.
            self.update_after = None;
            if self.step_destinations(now) {
                return true;
            }
        }
        self.step_polls(now)
    }

    /// Looks after the way: tries it again, or gives it up.
    fn step_way(&mut self, now: Instant) -> bool {
        if let Some(error) = self.way.overdue(now) {
            self.fail(&error, now);
            return true;
        }
        if self.way.try_again(now) {
            let anew = self.way.is_refused();
            self.effects.push_back(Effect::Contribute { anew });
        }
        false
    }

    /// What cannot be taken away from the provider ends the whole: its key is not ours to use any more. What was perhaps
    /// never accepted has its key until that is known.
    fn step_removal(&mut self, now: Instant) -> bool {
        let due = self.removal_ends_at().is_some_and(|at| now >= at);
        if due {
            self.fail(&ProviderError::Timeout(Stage::Destination), now);
        }
        due
    }

    fn removal_ends_at(&self) -> Option<Instant> {
        let since = self.removing_since?;
        self.book.must_remove().then_some(since + TROUBLE_LIMIT)
    }

    /// Nobody is sent to. When all were lost, one of them may come back soon.
    fn step_idle(&mut self, now: Instant) -> bool {
        let let_go = self.book.sent.values().all(|sent| sent.given_up);
        let since = *self.idle_since.get_or_insert(now);
        if let_go && now < since + LINGER && self.shutting_down.is_none() {
            return self.step_polls(now);
        }
        self.begin_stop(now);
        true
    }

    /// Has the provider send to what is wanted, and to nothing else.
    fn step_destinations(&mut self, now: Instant) -> bool {
        let staying = self.book.staying();
        let wanted = self.book.wanted();
        let fresh: Vec<OrderId> = wanted
            .into_iter()
            .filter(|id| !staying.contains(id))
            .collect();
        let removes_hot = self.capabilities.hot_remove == Hot::Yes;
        let someone_goes = self
            .book
            .sent
            .values()
            .any(|sent| !staying.contains(&sent.order) && (removes_hot || !sent.given_up));
        if someone_goes {
            if !removes_hot {
                self.restart("a destination has left, which it cannot do otherwise", now);
            } else if staying.is_empty() {
                self.replace_all(fresh, now);
            } else {
                let (all, fresh) = (staying, Vec::new());
                self.removing_since.get_or_insert(now);
                self.call(Call::Update { all, fresh });
            }
            return true;
        }
        if fresh.is_empty() {
            return false;
        }
        if self.capabilities.hot_add == Hot::Yes {
            self.add(staying, fresh);
        } else if self.live() > 0 {
            for id in fresh {
                self.lose(id, ProviderError::RestartRequired, now);
            }
        } else {
            self.restart("it takes destinations only at the begin", now);
        }
        true
    }

    /// All that is there goes. The last one cannot be taken away alone, but others can take its place.
    fn replace_all(&mut self, fresh: Vec<OrderId>, now: Instant) {
        let is_there = |id: &OrderId| {
            let target = self.book.orders.get(id).map(|order| &order.target);
            target.is_some_and(|target| self.book.sent.contains_key(target))
        };
        let fresh: Vec<OrderId> = fresh.into_iter().filter(|id| !is_there(id)).collect();
        if fresh.is_empty() {
            self.restart("its last destination is opened again", now);
        } else {
            self.add(Vec::new(), fresh);
        }
    }

    fn add(&mut self, staying: Vec<OrderId>, mut fresh: Vec<OrderId>) {
        if self.one_by_one {
            fresh.truncate(1);
        }
        let mut all = staying;
        all.extend(&fresh);
        self.book.send(&fresh);
        self.call(Call::Update { all, fresh });
    }

    fn step_polls(&mut self, now: Instant) -> bool {
        let due = self.polls.next.is_some_and(|next| now >= next);
        if due && self.call.is_none() {
            self.polls.asked = Some(now);
            self.call(Call::Status);
        }
        false
    }

    fn step_stopping(&mut self, stopping: &Stopping, now: Instant) -> bool {
        if self.way.is_leaving() || !self.may_call() {
            return false;
        }
        if let Some(error) = &stopping.error {
            self.give_up_waiting(stopping.since, error, now);
            if now >= self.gives_up_stopping_at(stopping) {
                self.rest(now);
                return true;
            }
        }
        if now >= stopping.next {
            self.call(Call::Stop);
        }
        false
    }

    /// Until the provider has forgotten the show by itself; what is left is the reaper's.
    fn gives_up_stopping_at(&self, stopping: &Stopping) -> Instant {
        let begin = self.way.ended_at().unwrap_or(stopping.since);
        let forgotten = begin.max(stopping.since) + self.capabilities.forgets_after;
        match self.shutting_down {
            Some(since) => forgotten.min(since + SHUTDOWN_LIMIT),
            None => forgotten,
        }
    }

    /// Destinations do not wait forever for an older session to be gone.
    fn give_up_waiting(&mut self, since: Instant, error: &ProviderError, now: Instant) {
        for order in self.book.orders.values_mut() {
            if now >= order.since.max(since) + STOPPING_PATIENCE {
                order.end(Some(error.clone()), now);
            }
        }
    }

    /// Nothing is at the provider any more, as far as can be known.
    pub(super) fn rest(&mut self, now: Instant) {
        self.tell_ends(now);
        let held_for = self.held_for(now);
        let gone: Vec<OrderId> = self.book.sent.values().map(|sent| sent.order).collect();
        for id in gone {
            // What may still be sent to is told so, although it might be told later.
            let ending = self
                .book
                .orders
                .get_mut(&id)
                .and_then(|order| order.ending.take());
            if let Some(ending) = ending {
                self.book.orders.remove(&id);
                self.tell(id, Told::Ended(ending.why, let_go(held_for)));
            }
        }
        self.clear(now);
    }

    /// Nothing is at the provider any more.
    pub(super) fn clear(&mut self, now: Instant) {
        self.book.sent.clear();
        let at = (!self.book.wanted().is_empty()).then_some(now);
        self.phase = Phase::Waiting { at };
    }

    /// The provider has accepted a set of destinations.
    pub(super) fn start_polling(&mut self, now: Instant) {
        let first = now + FIRST_POLL;
        self.polls.next = Some(self.polls.next.map_or(first, |next| next.min(first)));
    }

    /// One destination has failed.
    pub(super) fn lose(&mut self, id: OrderId, error: ProviderError, now: Instant) {
        if let Some(order) = self.book.orders.get_mut(&id) {
            order.end(Some(error), now);
        }
    }

    /// How long a destination may be sent to that the provider was not heard to let go of.
    fn held_for(&self, now: Instant) -> Duration {
        let forgets_after = self.capabilities.forgets_after;
        match self.way.ended_at() {
            Some(ended) => (ended + forgets_after).saturating_duration_since(now),
            None => REMOVAL_LIMIT + forgets_after,
        }
    }

    /// Whether what was perhaps never accepted can wait until that is known.
    fn can_wait(&self) -> bool {
        self.phase == Phase::Running
    }

    fn tell_ends(&mut self, now: Instant) {
        let held_for = self.held_for(now);
        for (id, why, held_for) in self.book.take_ended(held_for, self.can_wait(), now) {
            self.tell(id, Told::Ended(why, let_go(held_for)));
        }
    }

    /// The show flows there, but the provider has not seen it for too long.
    pub(super) fn is_lost_on_the_way(&mut self, now: Instant) -> Option<ProviderError> {
        if self.is_direct() || self.arrival != ContributionState::Absent {
            self.absent_since = None;
            return None;
        }
        let since = *self.absent_since.get_or_insert(now);
        let first = self.way.first()?;
        let limit = if since > first + self.capabilities.start_limit {
            since + TROUBLE_LIMIT
        } else {
            first + self.capabilities.start_limit
        };
        (now >= limit).then_some(ProviderError::Timeout(Stage::Contribution))
    }
}

pub(super) fn let_go(held_for: Duration) -> LetGo {
    if held_for.is_zero() {
        LetGo::Now
    } else {
        LetGo::After(held_for)
    }
}
