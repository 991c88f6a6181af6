//! Leaves a provider alone that does not answer, instead of asking it again for every broadcast.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How many failures within [`WINDOW`] open it.
const FAILURES: usize = 5;

/// How long a failure counts.
const WINDOW: Duration = Duration::from_secs(30);

/// How long it stays open before one request may try.
const REST: Duration = Duration::from_secs(30);

/// How long one trying request keeps the others out; its answer may never come when its caller has gone.
///
/// Longer than any one answer is waited for.
const TRIAL_LIMIT: Duration = Duration::from_secs(15);

/// Whether a provider is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// It is.
    Closed,
    /// It is not: it failed too often.
    Open,
    /// It is asked by one request at a time, to see whether it is back.
    HalfOpen,
}

impl BreakerState {
    /// The word of metrics and views.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "halfOpen",
        }
    }
}

/// Counts failures of availability: five within 30 s open it for 30 s; then one request at a time tries.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: State,
    /// Counts the changes of state, so that an answer to an earlier one's request changes nothing.
    epoch: u64,
}

#[derive(Debug)]
enum State {
    /// When the last failures were; at most [`FAILURES`].
    Closed(VecDeque<Instant>),
    Open {
        until: Instant,
    },
    HalfOpen {
        /// When the request that tries is given up.
        trial: Option<Instant>,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed(VecDeque::new())
    }
}

/// Leave to ask, to be given back with [`Breaker::settle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leave {
    epoch: u64,
}

impl Breaker {
    /// Lets a request through, or says how long none will be.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Leave, Duration> {
        if let State::Open { until } = self.state
            && now >= until
        {
            self.change(State::HalfOpen { trial: None });
        }
        match &mut self.state {
            State::Closed(_) => {}
            State::Open { until } => return Err(*until - now),
            State::HalfOpen { trial } => {
                if let Some(until) = *trial
                    && now < until
                {
                    return Err(until - now);
                }
                *trial = Some(now + TRIAL_LIMIT);
            }
        }
        Ok(Leave { epoch: self.epoch })
    }

    /// Tells how a request went: whether the provider was there, whatever it said.
    pub(super) fn settle(&mut self, leave: Leave, available: bool, now: Instant) {
        if leave.epoch != self.epoch {
            return;
        }
        match (&mut self.state, available) {
            (State::Closed(failures), true) => failures.clear(),
            (State::Closed(failures), false) => {
                failures.retain(|failure| now.saturating_duration_since(*failure) < WINDOW);
                failures.push_back(now);
                if failures.len() >= FAILURES {
                    self.change(State::Open { until: now + REST });
                }
            }
            (State::HalfOpen { .. }, true) => self.change(State::default()),
            (State::HalfOpen { .. }, false) => self.change(State::Open { until: now + REST }),
            (State::Open { .. }, _) => {}
        }
    }

    /// Whether it lets requests through.
    pub(super) fn state(&self, now: Instant) -> BreakerState {
        match &self.state {
            State::Closed(_) => BreakerState::Closed,
            State::Open { until } if now < *until => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &mut Breaker, now: Instant) {
        let leave = breaker.admit(now).unwrap();
        breaker.settle(leave, false, now);
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            fail(&mut breaker, now);
        }
        breaker
    }

    #[test]
    fn five_failures_within_the_window_open_it_and_four_do_not() {
        let now = Instant::now();
        let mut breaker = Breaker::default();

        for _ in 1..FAILURES {
            fail(&mut breaker, now);
        }
        assert_eq!(breaker.state(now), BreakerState::Closed);
        fail(&mut breaker, now);

        assert_eq!(breaker.state(now), BreakerState::Open);
        assert_eq!(breaker.admit(now), Err(REST));
    }

    #[test]
    fn failures_that_are_far_apart_do_not_open_it() {
        let now = Instant::now();
        let mut breaker = Breaker::default();

        for nth in 0..20 {
            fail(&mut breaker, now + nth * WINDOW / 4);
        }

        assert_eq!(breaker.state(now + 5 * WINDOW), BreakerState::Closed);
    }

    #[test]
    fn a_success_forgets_the_failures() {
        let now = Instant::now();
        let mut breaker = Breaker::default();

        for _ in 0..3 {
            for _ in 1..FAILURES {
                fail(&mut breaker, now);
            }
            let leave = breaker.admit(now).unwrap();
            breaker.settle(leave, true, now);
        }

        assert_eq!(breaker.state(now), BreakerState::Closed);
    }

    #[test]
    fn after_its_rest_one_request_tries_and_its_success_closes_it() {
        let now = Instant::now();
        let mut breaker = opened(now);

        let later = now + REST;
        assert_eq!(breaker.state(later), BreakerState::HalfOpen);
        let trial = breaker.admit(later).unwrap();
        assert_eq!(breaker.admit(later), Err(TRIAL_LIMIT));
        breaker.settle(trial, true, later);

        assert_eq!(breaker.state(later), BreakerState::Closed);
        assert!(breaker.admit(later).is_ok());
        assert!(breaker.admit(later).is_ok());
    }

    #[test]
    fn a_failed_trial_opens_it_for_another_rest() {
        let now = Instant::now();
        let mut breaker = opened(now);

        fail(&mut breaker, now + REST);

        assert_eq!(breaker.admit(now + REST), Err(REST));
    }

    #[test]
    fn a_trial_whose_caller_has_gone_does_not_keep_it_shut_for_ever() {
        let now = Instant::now();
        let mut breaker = opened(now);

        let _lost = breaker.admit(now + REST).unwrap();

        assert!(breaker.admit(now + REST + TRIAL_LIMIT).is_ok());
    }

    #[test]
    fn an_answer_from_before_it_opened_does_not_close_it() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        let slow = breaker.admit(now).unwrap();
        for _ in 0..FAILURES {
            fail(&mut breaker, now);
        }

        breaker.settle(slow, true, now);

        assert_eq!(breaker.state(now), BreakerState::Open);
    }
}
