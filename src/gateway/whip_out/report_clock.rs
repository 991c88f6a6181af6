//! Ties the broadcast's timeline to the wall clock, once for picture and sound, so that receivers play them together.

use std::time::{Duration, Instant};

/// How much the tie moves from one report to the next, to follow a studio's clock: 1 ms a second is a thousand parts in a million.
const SLEW: i128 = 500_000;

/// The timeline has jumped: the tie follows at once.
const JUMP: i128 = 2_000_000_000;

/// What receivers are told of how media and wall clock relate.
///
/// Both tracks are reported by the same tie in the same moment, so that whatever it does, they stay together.
#[derive(Debug)]
pub(super) struct ReportClock {
    started: Instant,
    /// The wall clock at the start, since 1900.
    ntp: Duration,
    /// How much earlier than the time since the start the timeline is, in nanoseconds.
    behind: Option<i128>,
    /// The least of what was measured since the latest report: what was held up least.
    measured: Option<i128>,
}

impl ReportClock {
    pub(super) fn new(started: Instant, ntp: Duration) -> Self {
        Self {
            started,
            ntp,
            behind: None,
            measured: None,
        }
    }

    /// Media of this time on the timeline are there.
    pub(super) fn handle_media(&mut self, timestamp: Duration, now: Instant) {
        let since = now.saturating_duration_since(self.started);
        let behind = signed(since) - signed(timestamp);
        let least = self.measured.map_or(behind, |least| least.min(behind));
        self.measured = Some(least);
    }

    /// Returns the wall clock since 1900 and the place on the timeline that belong together now.
    pub(super) fn report(&mut self, now: Instant) -> Option<(Duration, Duration)> {
        if let Some(measured) = self.measured.take() {
            let behind = *self.behind.get_or_insert(measured);
            let error = measured - behind;
            let step = if error.abs() > JUMP {
                error
            } else {
                error.clamp(-SLEW, SLEW)
            };
            self.behind = Some(behind + step);
        }
        let since = now.saturating_duration_since(self.started);
        let place = signed(since) - self.behind?;
        let place = u64::try_from(place).ok()?;
        Some((self.ntp + since, Duration::from_nanos(place)))
    }
}

fn signed(duration: Duration) -> i128 {
    duration.as_nanos().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NTP: Duration = Duration::from_secs(4_000_000_000);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn there_is_nothing_to_report_before_media() {
        let start = Instant::now();

        assert_eq!(ReportClock::new(start, NTP).report(start), None);
    }

    #[test]
    fn media_that_are_held_up_do_not_move_the_tie() {
        let start = Instant::now();
        let mut clock = ReportClock::new(start, NTP);
        clock.handle_media(1_000 * MS, start);
        clock.report(start);

        for (timestamp, arrival) in [(1_500, 900), (1_600, 650), (1_700, 700)] {
            clock.handle_media(timestamp * MS, start + arrival * MS);
        }

        let later = start + 1_000 * MS;
        assert_eq!(clock.report(later), Some((NTP + 1_000 * MS, 2_000 * MS)));
    }

    #[test]
    fn a_studio_whose_clock_is_slow_is_followed() {
        let start = Instant::now();
        let mut clock = ReportClock::new(start, NTP);
        let mut reported = None;

        // 200 parts in a million for an hour and a half.
        for half in 0..10_800_u32 {
            let now = start + half * 500 * MS;
            let timestamp = (half * 500 * MS).mul_f64(0.999_8);
            clock.handle_media(timestamp, now);
            reported = clock.report(now).map(|(_, place)| (place, timestamp));
        }

        let (place, timestamp) = reported.unwrap();
        assert!(place.abs_diff(timestamp) < MS, "{place:?} {timestamp:?}");
    }

    #[test]
    fn a_jump_of_the_timeline_is_followed_at_once() {
        let start = Instant::now();
        let mut clock = ReportClock::new(start, NTP);
        clock.handle_media(Duration::ZERO, start);
        clock.report(start);

        clock.handle_media(60_000 * MS, start + 500 * MS);

        let reported = clock.report(start + 500 * MS);
        assert_eq!(reported, Some((NTP + 500 * MS, 60_000 * MS)));
    }
}
