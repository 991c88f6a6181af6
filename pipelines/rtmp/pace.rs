//! How fast a destination catches up after a cut.

use std::time::{Duration, Instant};

/// How often it is looked whether more may be sent, when nothing else happens.
const STEP: Duration = Duration::from_millis(50);

/// How much may be sent at once when the connection was blocked for longer.
const CREDIT: Duration = Duration::from_millis(250);

/// Lets media out at one and a half times their own speed, by their timestamps.
#[derive(Debug)]
pub(super) struct Pace {
    at: Instant,
    /// Up to where media may be sent; nothing has been sent before there is one.
    allowed: Option<Duration>,
    step: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            at: now,
            allowed: None,
            step: now + STEP,
        }
    }

    /// Up to which timestamp media may be sent now, when `next` is the next to be sent.
    pub(super) fn allow(&mut self, next: Option<Duration>, now: Instant) -> Duration {
        let elapsed = now.saturating_duration_since(self.at);
        self.at = now;
        let allowed = match (self.allowed, next) {
            (Some(allowed), Some(next)) => (allowed + elapsed * 3 / 2).min(next + CREDIT),
            (Some(allowed), None) => allowed + elapsed * 3 / 2,
            (None, Some(next)) => next,
            (None, None) => return Duration::ZERO,
        };
        self.allowed = Some(allowed);
        allowed
    }

    /// When to look again.
    pub(super) const fn poll_timeout(&self) -> Instant {
        self.step
    }

    /// Time has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if now >= self.step {
            self.step = now + STEP;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn ten_seconds_take_two_thirds_of_ten_seconds() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut next = ms(60_000);
        let mut elapsed = Duration::ZERO;

        while next < ms(70_000) {
            let allowed = pace.allow(Some(next), start + elapsed);
            while next <= allowed {
                next += ms(33);
            }
            elapsed += ms(50);
        }

        assert!((ms(6_550)..=ms(6_800)).contains(&elapsed), "{elapsed:?}");
    }

    #[test]
    fn what_was_blocked_does_not_come_in_a_burst() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.allow(Some(ms(1_000)), start);

        let allowed = pace.allow(Some(ms(1_033)), start + ms(20_000));

        assert_eq!(allowed, ms(1_033) + CREDIT);
    }

    #[test]
    fn nothing_is_allowed_before_it_is_known_where_to_begin() {
        let start = Instant::now();
        let mut pace = Pace::new(start);

        assert_eq!(pace.allow(None, start + ms(900)), Duration::ZERO);
        assert_eq!(pace.allow(Some(ms(5_000)), start + ms(1_000)), ms(5_000));
    }
}
