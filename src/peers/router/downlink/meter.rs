//! How many bits a second pass. Pure; time is an argument.

use std::time::{Duration, Instant};

/// How long one slot of the window is, and how many there are: one second, so that a keyframe weighs what it costs.
const SLOT: Duration = Duration::from_millis(100);
const SLOTS: usize = 10;
/// What has lasted for less is taken for this long: the first burst is not a rate.
const SHORTEST: Duration = Duration::from_millis(300);
/// A stream that was silent for so long does not exist: a screen shared at one picture a second does.
const SILENCE: Duration = Duration::from_secs(2);

/// Counts what passed within the last second.
#[derive(Debug)]
pub(super) struct Meter {
    began: Option<Instant>,
    last: Option<Instant>,
    /// The number of the newest slot since the beginning.
    slot: u64,
    bytes: [u64; SLOTS],
}

impl Meter {
    pub(super) const fn new() -> Self {
        Self {
            began: None,
            last: None,
            slot: 0,
            bytes: [0; SLOTS],
        }
    }

    /// So much passed.
    pub(super) fn count(&mut self, bytes: usize, now: Instant) {
        if !self.is_active(now) {
            *self = Self::new();
        }
        let began = *self.began.get_or_insert(now);
        self.advance(began, now);
        self.last = Some(now);
        self.bytes[place_of(self.slot)] += u64::try_from(bytes).unwrap_or(0);
    }

    /// Whether something passed lately.
    pub(super) fn is_active(&self, now: Instant) -> bool {
        self.last
            .is_some_and(|last| now.saturating_duration_since(last) < SILENCE)
    }

    /// Bit/s of the last second, or since the beginning.
    pub(super) fn rate(&mut self, now: Instant) -> u64 {
        let Some(began) = self.began else { return 0 };
        self.advance(began, now);
        let elapsed = now.saturating_duration_since(began);
        let whole = SLOT * u32::try_from(SLOTS - 1).unwrap_or(0);
        let in_slot = elapsed.saturating_sub(SLOT * u32::try_from(self.slot).unwrap_or(u32::MAX));
        let span = elapsed.min(whole + in_slot.min(SLOT)).max(SHORTEST);
        let bits = u128::from(self.bytes.iter().sum::<u64>()) * 8_000_000;
        u64::try_from(bits / span.as_micros()).unwrap_or(u64::MAX)
    }

    fn advance(&mut self, began: Instant, now: Instant) {
        let elapsed = now.saturating_duration_since(began).as_millis() / SLOT.as_millis();
        let slot = u64::try_from(elapsed).unwrap_or(u64::MAX).max(self.slot);
        let passed = (slot - self.slot).min(SLOTS as u64);
        for behind in 0..passed {
            self.bytes[place_of(slot - behind)] = 0;
        }
        self.slot = slot;
    }
}

fn place_of(slot: u64) -> usize {
    usize::try_from(slot % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_stream_is_measured_from_its_first_third_of_a_second_on() {
        let start = Instant::now();
        let mut meter = Meter::new();
        for millisecond in 0..5000_u64 {
            let now = start + Duration::from_millis(millisecond);
            if millisecond % 10 == 0 {
                meter.count(1250, now);
            }
            if millisecond >= 300 {
                let rate = meter.rate(now);
                assert!(
                    (950_000..=1_060_000).contains(&rate),
                    "{rate} at {millisecond}"
                );
            }
        }

        assert_eq!(meter.rate(start + Duration::from_secs(6)), 0);
    }

    #[test]
    fn a_silent_stream_is_not_active_and_begins_anew() {
        let start = Instant::now();
        let mut meter = Meter::new();
        assert!(!meter.is_active(start));
        meter.count(1000, start);

        assert!(meter.is_active(start + Duration::from_millis(1999)));
        let later = start + Duration::from_mins(10);
        assert!(!meter.is_active(later));
        meter.count(1000, later);
        assert_eq!(meter.rate(later), 8000 * 10 / 3);
    }
}
