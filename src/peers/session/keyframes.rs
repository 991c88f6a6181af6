//! The keyframe arbiter: one cadence for the platforms, wishes coalesced, lost requests repeated. Pure; time is an argument.

use std::time::{Duration, Instant};

/// Platforms ask for a keyframe every 2 s (at most 4 s).
const CADENCE: Duration = Duration::from_secs(2);
/// Wishes are granted at most this often; a keyframe costs the studio's uplink ten pictures.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// Chrome answers in 21 to 46 ms plus a round trip; a request unanswered for this long was lost.
const ANSWER_DEADLINE: Duration = Duration::from_millis(400);
/// What an idle arbiter waits: any time that is longer than its owner's own interval.
const IDLE: Duration = Duration::from_hours(1);
/// How often one request is repeated while no keyframe comes.
const MOST_REPEATS: u8 = 2;

/// Decides when to send a picture loss indication.
#[derive(Debug, Default)]
pub(crate) struct KeyframeArbiter {
    /// Without the cadence: nobody is asked unless somebody wishes.
    idle: bool,
    last_request: Option<Instant>,
    repeats: u8,
    answered: bool,
    wished: bool,
}

impl KeyframeArbiter {
    /// One that asks only when somebody wishes, until [`set_cadence`](Self::set_cadence).
    pub(crate) fn idle() -> Self {
        Self {
            idle: true,
            ..Self::default()
        }
    }

    /// Whether a keyframe is to come every so often, as platforms want it.
    pub(crate) const fn set_cadence(&mut self, on: bool) {
        self.idle = !on;
    }

    /// Somebody needs a keyframe.
    pub(crate) const fn wish(&mut self) {
        self.wished = true;
    }

    /// A keyframe has begun to arrive: all wishes are fulfilled.
    pub(crate) const fn handle_keyframe(&mut self) {
        self.answered = true;
        self.wished = false;
    }

    /// When to look again; at once before the first request. One that is idle is not to be looked at for long, unless
    /// somebody wishes.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Instant {
        let cadence = if self.idle { IDLE } else { CADENCE };
        let Some(last) = self.last_request else {
            return if self.idle && !self.wished {
                now + cadence
            } else {
                now
            };
        };
        let mut due = if self.idle { now } else { last } + cadence;
        if self.wished {
            due = due.min(last + SHORTEST_PAUSE);
        }
        if !self.answered && self.repeats < MOST_REPEATS {
            due = due.min(last + ANSWER_DEADLINE);
        }
        due
    }

    /// Whether to ask now. Asking is noted.
    pub(crate) fn take_request(&mut self, now: Instant) -> bool {
        if now < self.poll_timeout(now) {
            return false;
        }
        let repeated = self
            .last_request
            .is_some_and(|last| !self.answered && now < last + SHORTEST_PAUSE);
        self.repeats = if repeated { self.repeats + 1 } else { 0 };
        self.last_request = Some(now);
        self.answered = false;
        self.wished = false;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(
        arbiter: &mut KeyframeArbiter,
        start: Instant,
        until: Duration,
        answer: bool,
    ) -> Vec<u128> {
        let mut at = Vec::new();
        let mut now = start;
        while now < start + until {
            if arbiter.take_request(now) {
                at.push((now - start).as_millis());
                if answer {
                    arbiter.handle_keyframe();
                }
            }
            now += Duration::from_millis(1);
        }
        at
    }

    #[test]
    fn a_keyframe_is_asked_for_every_two_seconds() {
        let mut arbiter = KeyframeArbiter::default();

        assert_eq!(
            requests(&mut arbiter, Instant::now(), Duration::from_secs(5), true),
            [0, 2000, 4000]
        );
    }

    #[test]
    fn many_wishes_become_one_request_a_second() {
        let start = Instant::now();
        let mut arbiter = KeyframeArbiter::default();
        let mut asked = 0;
        for millisecond in 0..3000 {
            let now = start + Duration::from_millis(millisecond);
            arbiter.wish();
            if arbiter.take_request(now) {
                arbiter.handle_keyframe();
                asked += 1;
            }
        }

        assert_eq!(asked, 3);
    }

    #[test]
    fn an_idle_one_asks_when_somebody_wishes_and_not_otherwise() {
        let start = Instant::now();
        let mut arbiter = KeyframeArbiter::idle();
        assert!(requests(&mut arbiter, start, Duration::from_secs(9), true).is_empty());

        arbiter.wish();
        let at = requests(&mut arbiter, start, Duration::from_secs(9), true);
        assert_eq!(at, [0]);

        arbiter.set_cadence(true);
        let at = requests(
            &mut arbiter,
            start + Duration::from_secs(9),
            Duration::from_secs(4),
            true,
        );
        assert_eq!(at, [0, 2000]);
    }

    #[test]
    fn a_lost_request_is_repeated_twice() {
        let mut arbiter = KeyframeArbiter::default();

        let at = requests(
            &mut arbiter,
            Instant::now(),
            Duration::from_millis(2900),
            false,
        );

        assert_eq!(at, [0, 400, 800, 2800]);
    }
}
