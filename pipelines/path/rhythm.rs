//! How often the studio's pictures come, so that what stands in for them comes as often.

use std::time::Duration;

use super::timeline::{Nanoseconds, duration};

/// How many intervals are remembered: about a second.
const INTERVALS: usize = 31;

/// An interval beyond this is a pause, and says nothing.
const PAUSE: Nanoseconds = 2_000_000_000;

/// Between pictures that stand in when nothing is known: 30 a second.
const USUAL: Duration = Duration::from_nanos(33_333_333);

/// The shortest interval of pictures that stand in: 60 a second.
const SHORTEST: Duration = Duration::from_nanos(16_666_667);

/// The longest interval of pictures that stand in: 10 a second.
const LONGEST: Duration = Duration::from_millis(100);

/// The recent intervals between pictures.
#[derive(Debug, Default)]
pub(super) struct Rhythm {
    intervals: [Nanoseconds; INTERVALS],
    /// How many there have been.
    count: usize,
    latest: Option<Nanoseconds>,
}

impl Rhythm {
    /// Takes a picture's place by its sender's clock; `begins` when that clock is another than before.
    pub(super) fn record(&mut self, place: Nanoseconds, begins: bool) {
        let latest = self.latest.replace(place).filter(|_| !begins);
        let interval = latest.map_or(0, |latest| place - latest);
        if (1..PAUSE).contains(&interval) {
            self.intervals[self.count % INTERVALS] = interval;
            self.count += 1;
        }
    }

    /// Returns the median interval, if there has been any.
    pub(super) fn interval(&self) -> Option<Duration> {
        let mut known = self.intervals;
        let known = &mut known[..self.count.min(INTERVALS)];
        known.sort_unstable();
        known.get(known.len() / 2).copied().map(duration)
    }

    /// Returns the interval of pictures that stand in.
    pub(super) fn stand_in_interval(&self) -> Duration {
        bounded(self.interval().unwrap_or(USUAL))
    }
}

/// Returns an interval between 1/60 s and 1/10 s.
pub(super) fn bounded(interval: Duration) -> Duration {
    interval.clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Nanoseconds = 1_000_000;

    #[test]
    fn the_median_counts_and_pauses_do_not() {
        let mut rhythm = Rhythm::default();
        assert_eq!(rhythm.interval(), None);
        assert_eq!(rhythm.stand_in_interval(), USUAL);

        let mut place = 0;
        for step in [33, 40, 41, 33, 5_000, 40, 120, 40] {
            place += step * MILLISECOND;
            rhythm.record(place, false);
        }
        assert_eq!(rhythm.interval(), Some(Duration::from_millis(40)));

        rhythm.record(place + 1_900 * MILLISECOND, true);
        assert_eq!(rhythm.interval(), Some(Duration::from_millis(40)));
    }

    #[test]
    fn only_recent_pictures_count_and_the_rate_is_bounded() {
        let mut rhythm = Rhythm::default();
        let mut place = 0;
        for (step, interval, stand_in) in [(1_000, 1_000, LONGEST), (2, 2, SHORTEST)] {
            for _ in 0..40 {
                place += step * MILLISECOND;
                rhythm.record(place, false);
            }
            assert_eq!(rhythm.interval(), Some(Duration::from_millis(interval)));
            assert_eq!(rhythm.stand_in_interval(), stand_in);
        }
    }
}
