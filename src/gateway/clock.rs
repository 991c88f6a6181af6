//! Wall-clock times for people, from the monotonic clock that everything else runs on.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// Reads the monotonic clock; follows tokio's when a test pauses it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// One moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WallClock {
    instant: Instant,
    timestamp: Timestamp,
}

impl WallClock {
    /// Ties both clocks together now.
    pub(crate) fn start() -> Self {
        Self {
            instant: now(),
            timestamp: Timestamp::now(),
        }
    }

    /// The instant of a wall-clock time; `None` for one that is too far away to be reckoned with.
    pub(crate) fn when(&self, timestamp: Timestamp) -> Option<Instant> {
        let offset = timestamp.duration_since(self.timestamp);
        if offset.is_negative() {
            self.instant.checked_sub(offset.unsigned_abs())
        } else {
            self.instant.checked_add(offset.unsigned_abs())
        }
    }

    /// The wall-clock time of an instant, in whole milliseconds.
    pub(crate) fn at(&self, instant: Instant) -> Timestamp {
        let after = instant.saturating_duration_since(self.instant);
        let before = self.instant.saturating_duration_since(instant);
        let offset = SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX)
            - SignedDuration::try_from(before).unwrap_or(SignedDuration::ZERO);
        let exact = self.timestamp.checked_add(offset).unwrap_or(self.timestamp);
        Timestamp::from_millisecond(exact.as_millisecond()).unwrap_or(exact)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_instant_has_a_wall_clock_time_before_and_after_the_start() {
        let clock = WallClock {
            instant: Instant::now(),
            timestamp: Timestamp::UNIX_EPOCH,
        };

        let later = clock.at(clock.instant + Duration::from_millis(1500));

        assert_eq!(later.to_string(), "1970-01-01T00:00:01.5Z");
        assert_eq!(
            clock.when(later),
            Some(clock.instant + Duration::from_millis(1500))
        );
        assert_eq!(clock.when(clock.at(clock.instant)), Some(clock.instant));
    }
}
