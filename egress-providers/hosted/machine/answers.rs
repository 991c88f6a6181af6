//! What the provider's answers mean.

use std::time::{Duration, Instant};

use pipelines::rtmp::What;

use super::{
    Answer, CALM_POLL, Call, DESTINATION_LIMIT, EAGER_POLL, Effect, Machine, OrderId, Phase,
    TROUBLE_LIMIT, Told, WAKE_GAP,
};
use crate::{
    Hot,
    hosted::{ContributionState, EgressStatus, ProviderError, Stage, TargetState},
};

/// How often in a row there must be nothing until that is believed: lists lag behind.
const NOT_FOUND_LIMIT: u32 = 3;

impl Machine {
    /// The provider has answered, or a call to it has failed. An answer to what is not asked any more is nothing.
    pub(in crate::hosted) fn handle_answer(&mut self, answer: Answer, now: Instant) {
        match (self.call.take(), answer) {
            (Some(Call::Prepare), Answer::Prepared(result)) => self.handle_prepared(result, now),
            (Some(Call::Start(all)), Answer::Started(result)) => {
                self.handle_started(&all, result, now);
            }
            (Some(Call::Update { all, fresh }), Answer::Updated(result)) => match result {
                Ok(()) => self.handle_updated(&all, now),
                Err(error) => self.handle_refused_update(&fresh, &error, now),
            },
            (Some(Call::Status), Answer::Status(result)) => self.handle_status(result, now),
            (Some(Call::Stop), Answer::Stopped(result)) => self.handle_stopped(result, now),
            (call, _) => self.call = call,
        }
        self.advance(now);
    }

    fn handle_prepared(&mut self, result: Result<(), ProviderError>, now: Instant) {
        match result {
            Ok(()) => {
                self.phase = Phase::Contributing;
                if self.book.wanted().is_empty() {
                    self.begin_stop(now);
                    return;
                }
                self.way.begin(now);
                if self.is_direct() {
                    self.polls.next = Some(now);
                } else {
                    self.effects.push_back(Effect::Contribute { anew: false });
                }
            }
            Err(error) => {
                // It never had the show, so it sends nothing anywhere.
                self.clear(now);
                self.fail_begin(error, now);
            }
        }
    }

    fn handle_started(&mut self, all: &[OrderId], result: Result<(), ProviderError>, now: Instant) {
        match result {
            Ok(()) => {
                self.book.accept(all, now);
                if self.phase == Phase::Contributing {
                    self.phase = Phase::Running;
                    self.start_polling(now);
                }
            }
            Err(error) if self.phase == Phase::Contributing => self.fail_begin(error, now),
            Err(_) => {}
        }
    }

    /// A session could not begin. One bad destination must not keep the others from it.
    fn fail_begin(&mut self, error: ProviderError, now: Instant) {
        let hot = self.capabilities.hot_add == Hot::Yes;
        if error.fails_over() || !hot {
            self.fail(&error, now);
            return;
        }
        let wanted = self.book.wanted();
        match wanted.first() {
            Some(first) if self.one_by_one || wanted.len() == 1 => self.lose(*first, error, now),
            _ => self.one_by_one = true,
        }
        self.begin_stop(now);
    }

    fn handle_updated(&mut self, all: &[OrderId], now: Instant) {
        self.book.accept(all, now);
        self.update_after = None;
        self.removing_since = None;
        self.failures = 0;
        if self.phase == Phase::Running {
            self.start_polling(now);
        }
    }

    fn handle_refused_update(&mut self, fresh: &[OrderId], error: &ProviderError, now: Instant) {
        if self.phase != Phase::Running {
            return;
        }
        if matches!(error, ProviderError::NotFound(_)) {
            self.fail(error, now);
            return;
        }
        if *error == ProviderError::RestartRequired && (fresh.is_empty() || self.live() == 0) {
            self.begin_stop(now);
            return;
        }
        if fresh.len() > 1 && !error.fails_over() {
            self.one_by_one = true;
            return;
        }
        for id in fresh {
            self.lose(*id, error.clone(), now);
        }
        if fresh.is_empty() {
            self.handle_refused_removal(error, now);
        }
    }

    fn handle_refused_removal(&mut self, error: &ProviderError, now: Instant) {
        self.note(
            None,
            What::Stalled,
            format!("a destination was not taken away: {error}"),
        );
        self.failures += 1;
        let wish = error.retry_after().unwrap_or_default();
        let pause = self.pauses.after(self.failures).max(wish);
        self.update_after = Some(now + pause);
    }

    fn handle_stopped(&mut self, result: Result<(), ProviderError>, now: Instant) {
        match result {
            Ok(()) | Err(ProviderError::NotFound(_)) => self.clear(now),
            Err(error) => {
                let Phase::Stopping(stopping) = &mut self.phase else {
                    return;
                };
                self.failures += 1;
                let wish = error.retry_after().unwrap_or_default();
                let pause = self.pauses.after(self.failures).max(wish);
                stopping.next = now + pause;
                stopping.error = Some(error);
            }
        }
    }

    fn handle_status(&mut self, result: Result<EgressStatus, ProviderError>, now: Instant) {
        match result {
            Ok(status) => {
                self.polls.failing_since = None;
                self.polls.not_found = 0;
                self.take_status(status, now);
            }
            Err(error) => self.handle_failed_poll(&error, now),
        }
        if self.polls.next.is_some() {
            let pause = if std::mem::take(&mut self.polls.is_woken) {
                WAKE_GAP
            } else {
                self.poll_pause(now)
            };
            self.polls.next = Some(now + pause);
        }
    }

    fn poll_pause(&mut self, now: Instant) -> Duration {
        let all_live = self
            .book
            .staying()
            .iter()
            .all(|id| self.book.orders[id].is_live);
        let since = self.way.flowing_since();
        let is_awaited = match self.phase {
            // Whoever goes there itself may come late.
            Phase::Contributing => self
                .book
                .open()
                .any(|(_, order)| now.saturating_duration_since(order.since) < TROUBLE_LIMIT),
            Phase::Waiting { .. } | Phase::Preparing | Phase::Running | Phase::Stopping(_) => {
                since.is_some() && !all_live
            }
        };
        self.pauses
            .about(if is_awaited { EAGER_POLL } else { CALM_POLL })
    }

    /// A show that is on is not taken from its audience because its provider cannot be asked about it.
    fn handle_failed_poll(&mut self, error: &ProviderError, now: Instant) {
        if matches!(error, ProviderError::NotFound(_)) {
            self.polls.not_found += 1;
            if self.polls.not_found >= NOT_FOUND_LIMIT {
                self.fail(error, now);
            }
            return;
        }
        let first = self.polls.failing_since.is_none();
        let since = *self.polls.failing_since.get_or_insert(now);
        if first {
            self.note(
                None,
                What::Stalled,
                format!("it does not say how it is: {error}"),
            );
        }
        let is_out_of_reach = matches!(
            error,
            ProviderError::Unavailable { .. }
                | ProviderError::Timeout(_)
                | ProviderError::RateLimited { .. }
        );
        let is_on = !self.is_direct() && self.way.is_flowing() && self.live() > 0;
        let too_long = now.saturating_duration_since(since) >= TROUBLE_LIMIT;
        if too_long && !(is_on && is_out_of_reach) {
            self.fail(error, now);
        }
    }

    fn take_status(&mut self, status: EgressStatus, now: Instant) {
        self.arrival = status.contribution;
        if let Some(error) = status.ended {
            self.fail(&error, now);
            return;
        }
        if self.is_direct() && self.arrival == ContributionState::Arriving {
            self.way.flow(now);
        }
        if let Some(error) = self.is_lost_on_the_way(now) {
            self.fail(&error, now);
            return;
        }
        if self.phase != Phase::Running {
            return;
        }
        for id in self.book.staying() {
            let target = &self.book.orders[&id].target;
            let told = status.targets.iter().find(|told| told.id == *target);
            let state = told.map_or(TargetState::Unknown, |told| told.state.clone());
            self.take_target(id, state, now);
        }
    }

    fn take_target(&mut self, id: OrderId, state: TargetState, now: Instant) {
        let target = self.book.orders[&id].target.clone();
        let was_live = self.book.orders[&id].is_live;
        let limit = self.capabilities.start_limit.max(DESTINATION_LIMIT);
        let arrives = match self.arrival {
            ContributionState::Arriving => true,
            ContributionState::Unknown => self.way.is_flowing(),
            ContributionState::Absent => false,
        };
        let is_flowing = self.way.is_flowing();
        let tells = self.capabilities.destination_status;
        let Some(sent) = self.book.sent.get_mut(&target) else {
            return;
        };
        let Some(accepted) = sent.accepted else {
            return;
        };
        let is_late = now.saturating_duration_since(accepted) >= limit;
        match state {
            TargetState::Live => {
                if sent.interrupted.take().is_some() {
                    self.note(Some(id), What::CaughtUp, "the provider has it back");
                }
                self.go_live(id, "");
            }
            TargetState::Failed(words) => {
                sent.given_up = true;
                self.lose(id, ProviderError::Destination(words), now);
            }
            TargetState::Interrupted | TargetState::Connecting if was_live => {
                // While the show itself does not get there, that is what is to be mended.
                if !is_flowing {
                    sent.interrupted = None;
                    return;
                }
                let is_news = sent.interrupted.is_none();
                let since = *sent.interrupted.get_or_insert(now);
                if is_news {
                    self.note(Some(id), What::Lost, "the provider tries to bring it back");
                } else if now.saturating_duration_since(since) >= TROUBLE_LIMIT {
                    let words = "the provider did not bring it back within a minute";
                    self.lose(id, ProviderError::Destination(words.to_owned()), now);
                }
            }
            TargetState::Unknown if !was_live && arrives && (!tells || is_late) => {
                self.go_live(id, "assumed: the provider does not say how it is");
            }
            TargetState::Interrupted | TargetState::Connecting if is_late && is_flowing => {
                self.lose(id, ProviderError::Timeout(Stage::Destination), now);
            }
            TargetState::Interrupted | TargetState::Connecting | TargetState::Unknown => {}
        }
    }

    fn go_live(&mut self, id: OrderId, words: &str) {
        let Some(order) = self.book.orders.get_mut(&id) else {
            return;
        };
        if !order.is_live {
            order.is_live = true;
            let is_told = std::mem::replace(&mut order.is_told_live, true);
            self.note(Some(id), What::Live, words);
            if !is_told {
                self.tell(id, Told::Live);
            }
        }
    }
}
