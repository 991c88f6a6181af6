//! How late a track's packets come, without the jitter of their way: what can be known of a sender's clock without its help.
#![expect(clippy::cast_possible_wrap, reason = "there are ten buckets")]

use std::time::Duration;

use super::Nanoseconds;

/// The earliest packet in this long counts: among as many packets there is one that was hardly held up.
const BUCKET: Nanoseconds = 2_000_000_000;

/// How many stretches of [`BUCKET`] are looked at.
const BUCKETS: usize = 10;

/// All of it: a track that pauses for longer is measured anew.
pub(super) const WINDOW: Duration = Duration::from_secs(20);

/// How fast two clocks are believed to drift apart: five parts in ten thousand, a few times what crystals do.
///
/// What changes faster is not the clock but the way, or an encoder that takes longer: most of it is gone before it moves
/// anything by much.
const DRIFT_PER_SECOND: Nanoseconds = 500_000;

/// The difference between arrival and place of the packets that were held up least, as it drifts.
///
/// In the first [`WINDOW`] it is the least that was seen; from then on it follows the least of the latest [`WINDOW`], at
/// most as fast as a clock drifts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    began: Nanoseconds,
    latest: Nanoseconds,
    least: Nanoseconds,
    /// What was followed since the first window.
    drift: Nanoseconds,
    /// The least of each stretch, by its number.
    buckets: [Option<Nanoseconds>; BUCKETS],
    bucket: i64,
}

impl Pace {
    /// Begins with a packet that came `lateness` after its place.
    pub(super) fn begin(arrival: Nanoseconds, lateness: Nanoseconds) -> Self {
        let mut pace = Self {
            began: arrival,
            latest: arrival,
            least: lateness,
            drift: 0,
            buckets: [None; BUCKETS],
            bucket: arrival.div_euclid(BUCKET),
        };
        pace.note(lateness);
        pace
    }

    /// Takes the next packet. Returns by how much the guess of the first window has become better.
    pub(super) fn observe(&mut self, arrival: Nanoseconds, lateness: Nanoseconds) -> Nanoseconds {
        let bucket = arrival.div_euclid(BUCKET);
        let skipped = (bucket - self.bucket).clamp(0, BUCKETS as i64);
        for step in 1..=skipped {
            self.buckets[index(self.bucket + step)] = None;
        }
        self.bucket = self.bucket.max(bucket);
        self.note(lateness);
        let elapsed = (arrival - self.latest).clamp(0, BUCKET);
        self.latest = self.latest.max(arrival);
        if self.is_guess() {
            let better = (self.least - lateness).max(0);
            self.least -= better;
            return better;
        }
        let limit = elapsed / 1_000 * DRIFT_PER_SECOND / 1_000_000;
        let step = (self.recent() - self.least).clamp(-limit, limit);
        self.least += step;
        self.drift += step;
        0
    }

    /// All places are later by `by`.
    pub(super) fn shift(&mut self, by: Nanoseconds) {
        self.least -= by;
        for bucket in self.buckets.iter_mut().flatten() {
            *bucket -= by;
        }
    }

    /// How much later than their places packets come at the earliest.
    pub(super) fn least(&self) -> Nanoseconds {
        self.least
    }

    /// The same of the latest [`WINDOW`] alone, whatever the reason.
    pub(super) fn recent(&self) -> Nanoseconds {
        let least = self.buckets.iter().flatten().min();
        least.copied().unwrap_or(self.least)
    }

    /// By how much the sender's clock has fallen behind, as far as it was followed.
    pub(super) fn drift(&self) -> Nanoseconds {
        self.drift
    }

    /// Whether the first window is not over yet.
    fn is_guess(&self) -> bool {
        self.latest - self.began < super::nanoseconds(WINDOW)
    }

    fn note(&mut self, lateness: Nanoseconds) {
        let bucket = &mut self.buckets[index(self.bucket)];
        *bucket = Some(bucket.map_or(lateness, |least| least.min(lateness)));
    }
}

fn index(bucket: i64) -> usize {
    usize::try_from(bucket.rem_euclid(BUCKETS as i64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    const MILLISECOND: Nanoseconds = 1_000_000;

    /// Feeds packets of every 20 ms, whose lateness is `of` their arrival in ms, over a range of ms.
    fn feed(pace: &mut Pace, milliseconds: std::ops::Range<i64>, of: impl Fn(i64) -> Nanoseconds) {
        for time in milliseconds.step_by(20) {
            pace.observe(time * MILLISECOND, of(time));
        }
    }

    #[test]
    fn the_least_of_the_first_window_is_believed_at_once() {
        let mut pace = Pace::begin(0, 90 * MILLISECOND);

        assert_eq!(pace.observe(MILLISECOND, 95 * MILLISECOND), 0);
        assert_eq!(
            pace.observe(2 * MILLISECOND, 10 * MILLISECOND),
            80 * MILLISECOND
        );

        assert_eq!((pace.least(), pace.drift()), (10 * MILLISECOND, 0));
    }

    #[test]
    fn a_clock_that_drifts_is_followed_through_jitter_for_a_day() {
        for parts_per_million in [-200, 200] {
            let mut random = StdRng::seed_from_u64(1);
            let mut pace = Pace::begin(0, 0);
            for time in (0..86_400_000).step_by(40) {
                let drifted = time * parts_per_million;
                let jitter = random.random_range(0..100 * MILLISECOND);
                pace.observe(time * MILLISECOND, drifted + jitter);
                if time > 5_000 {
                    let error = pace.least() - drifted;
                    assert!(error.abs() < 8 * MILLISECOND, "{error} at {time}");
                }
            }
            let error = pace.drift() - 86_400_000 * parts_per_million;
            assert!(error.abs() < 10 * MILLISECOND, "{error}");
        }
    }

    #[test]
    fn a_way_that_takes_longer_for_a_while_moves_hardly_anything() {
        let mut pace = Pace::begin(0, 0);
        feed(&mut pace, 0..60_000, |_| 0);
        feed(&mut pace, 60_000..75_000, |_| 300 * MILLISECOND);
        assert_eq!(pace.least(), 0, "the window remembers");
        feed(&mut pace, 75_000..90_000, |_| 300 * MILLISECOND);

        assert_eq!(pace.recent(), 300 * MILLISECOND);
        assert!((0..=6 * MILLISECOND).contains(&pace.least()), "{pace:?}");
        feed(&mut pace, 90_000..150_000, |_| 0);
        assert_eq!(pace.least(), 0);
    }

    #[test]
    fn what_is_shifted_is_no_drift() {
        let mut pace = Pace::begin(0, 0);
        feed(&mut pace, 0..30_000, |_| 0);

        pace.shift(500 * MILLISECOND);
        feed(&mut pace, 30_000..60_000, |_| -500 * MILLISECOND);

        assert_eq!((pace.least(), pace.drift()), (-500 * MILLISECOND, 0));
    }

    proptest! {
        #[test]
        fn any_packets_leave_it_between_what_was_seen(packets in prop::collection::vec((0..5_000_i64, -4_000_000_000..4_000_000_000_i64), 1..300)) {
            let mut arrival = 0;
            let mut pace = Pace::begin(0, 0);
            let (mut least, mut most) = (0, 0);
            for (step, lateness) in packets {
                arrival += step * MILLISECOND;
                pace.observe(arrival, lateness);
                (least, most) = (least.min(lateness), most.max(lateness));
                prop_assert!((least..=most).contains(&pace.least()));
            }
        }
    }
}
