//! When the synthetic studio flashes and beeps, so that a receiver can measure lip-sync.

use std::time::Duration;

/// From the start of one flash and beep to the start of the next; the first comes after one period.
pub const CUE_PERIOD: Duration = Duration::from_secs(1);

/// How long a flash and its beep last.
///
/// At least two pictures at 25 a second, so that one lost picture does not lose the flash.
pub const CUE_LENGTH: Duration = Duration::from_millis(100);

/// Whether there is a flash and a beep at `time` since the start.
pub(super) fn is_on(time: Duration) -> bool {
    time >= CUE_PERIOD && time.as_nanos() % CUE_PERIOD.as_nanos() < CUE_LENGTH.as_nanos()
}

/// When the `count`th of `per_second` equal steps begins.
///
/// Whole seconds come out exact, so that rounding never moves a flash by a picture.
pub(super) fn time_of(count: u64, per_second: u32) -> Duration {
    let rate = u64::from(per_second);
    Duration::from_secs(count / rate) + Duration::from_nanos(count % rate * 1_000_000_000 / rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cue_is_on_for_its_length_at_each_whole_second() {
        assert!(is_on(Duration::from_secs(1)));
        assert!(is_on(Duration::from_millis(5099)));

        assert!(!is_on(Duration::ZERO));
        assert!(!is_on(Duration::from_millis(1100)));
        assert!(!is_on(Duration::from_millis(999)));
    }

    #[test]
    fn the_first_picture_of_a_second_is_exactly_on_it() {
        for rate in [24, 25, 30, 60] {
            assert_eq!(time_of(u64::from(rate) * 7, rate), Duration::from_secs(7));
        }
    }
}
