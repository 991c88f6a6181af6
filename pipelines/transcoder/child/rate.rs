//! Which pictures are encoded, and with how many bits: by their times alone.

use std::time::Duration;

/// Lets as many pictures pass as the canvas takes, each with the time it has.
///
/// A source that is slower stays so: pictures that are made twice would cost work, and come after their time.
#[derive(Debug)]
pub(crate) struct Rate {
    interval: Duration,
    due: Duration,
}

impl Rate {
    /// Lets at most so many pictures a second pass.
    pub(crate) fn new(frames_per_second: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / frames_per_second.max(1),
            due: Duration::ZERO,
        }
    }

    /// Whether the picture of this time is to be encoded. Times rise.
    pub(crate) fn admits(&mut self, time: Duration) -> bool {
        // Pictures of a studio come up to a third of their interval early.
        let slack = self.interval * 2 / 5;
        if time + slack < self.due {
            return false;
        }
        let next = self.due + self.interval;
        // After a pause the beat begins anew.
        self.due = if time > next {
            time + self.interval
        } else {
            next
        };
        true
    }
}

/// What the encoder has to be told for a bitrate to come out.
///
/// It counts pictures and not time: of a source at half the canvas's rate it would make half the bits.
#[derive(Debug)]
pub(super) struct Bitrate {
    kilobits_per_second: u32,
    interval: Duration,
    latest: Option<Duration>,
    average: Duration,
    told: u32,
}

impl Bitrate {
    /// The most that is told, in bitrates. A source that is slower still moves little.
    const MOST: u32 = 2;

    /// How many pictures an average is over.
    const PICTURES: u32 = 16;

    pub(super) fn new(kilobits_per_second: u32, frames_per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / frames_per_second.max(1);
        Self {
            kilobits_per_second,
            interval,
            latest: None,
            average: interval,
            told: kilobits_per_second,
        }
    }

    /// Another one is wanted; it is told with the next picture.
    pub(super) fn set(&mut self, kilobits_per_second: u32) {
        self.kilobits_per_second = kilobits_per_second;
        self.told = 0;
    }

    /// What to tell the encoder before the picture of this time, if that has changed by an eighth.
    pub(super) fn tell(&mut self, time: Duration) -> Option<u32> {
        if let Some(latest) = self.latest.replace(time) {
            let most = self.interval * Self::MOST;
            let step = time.saturating_sub(latest).clamp(self.interval, most);
            self.average = (self.average * (Self::PICTURES - 1) + step) / Self::PICTURES;
        }
        let bits = u128::from(self.kilobits_per_second) * self.average.as_nanos();
        let bitrate = bits / self.interval.as_nanos().max(1);
        let bitrate = u32::try_from(bitrate).unwrap_or(u32::MAX).max(1);
        let has_changed = bitrate.abs_diff(self.told) > self.told / 8;
        has_changed.then(|| {
            self.told = bitrate;
            bitrate
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times(frames_per_second: u32, count: u32) -> impl Iterator<Item = Duration> {
        (0..count).map(move |number| {
            Duration::from_secs(7) + Duration::from_secs(1) * number / frames_per_second
        })
    }

    fn admitted(rate: u32, times: impl Iterator<Item = Duration>) -> usize {
        let mut rate = Rate::new(rate);
        times.filter(|time| rate.admits(*time)).count()
    }

    #[test]
    fn a_source_of_the_canvas_s_rate_or_less_passes_whole() {
        for (canvas, source) in [(30, 30), (60, 30), (30, 15), (25, 24), (60, 60)] {
            assert_eq!(
                admitted(canvas, times(source, 300)),
                300,
                "{source} in {canvas}"
            );
        }
    }

    #[test]
    fn a_faster_source_is_thinned_out_to_the_canvas_s_rate() {
        for (canvas, source) in [(30, 60), (24, 30), (15, 30), (25, 30), (30, 50), (5, 60)] {
            let seconds = 10;

            let count = admitted(canvas, times(source, source * seconds));

            let expected = (canvas * seconds) as usize;
            assert!(
                count.abs_diff(expected) <= 1,
                "{source} in {canvas}: {count}"
            );
        }
    }

    #[test]
    fn after_a_pause_the_beat_begins_anew() {
        let mut rate = Rate::new(30);
        let mut admits = |milliseconds| rate.admits(Duration::from_millis(milliseconds));

        assert!(admits(0) && admits(5_000));
        assert!(!admits(5_010) && admits(5_034));
    }

    #[test]
    fn a_slow_source_has_more_bits_for_each_picture_and_no_more_than_twice_as_many() {
        for (source, expected) in [
            (60, 1_000),
            (30, 1_000),
            (20, 1_500),
            (15, 2_000),
            (5, 2_000),
        ] {
            let mut bitrate = Bitrate::new(1_000, 30);

            let told = times(source, 200).filter_map(|time| bitrate.tell(time));

            let last = told.last().unwrap_or(1_000);
            assert!(last.abs_diff(expected) <= expected / 8, "{source}: {last}");
        }
    }

    #[test]
    fn another_bitrate_is_told_with_the_next_picture() {
        let mut bitrate = Bitrate::new(1_000, 30);
        assert_eq!(bitrate.tell(Duration::ZERO), None);

        bitrate.set(1_010);

        assert_eq!(bitrate.tell(Duration::from_millis(33)), Some(1_010));
        assert_eq!(bitrate.tell(Duration::from_millis(66)), None);
    }

    proptest! {
        #[test]
        fn a_studio_s_uneven_times_lose_nothing(jitter in proptest::collection::vec(0..10_u64, 300)) {
            let uneven = times(30, 300).zip(jitter).map(|(time, jitter)| time + Duration::from_millis(jitter));

            prop_assert!(admitted(30, uneven) >= 299);
        }

        #[test]
        fn no_times_pass_more_than_the_canvas_takes(steps in proptest::collection::vec(1..50_u64, 1..500)) {
            let mut time = Duration::ZERO;
            let mut all = Vec::new();
            for step in steps {
                time += Duration::from_millis(step);
                all.push(time);
            }
            let most = time.as_millis() * 30 / 1_000 + 2;

            prop_assert!(admitted(30, all.into_iter()) as u128 <= most);
        }
    }
}
