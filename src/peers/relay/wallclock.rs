//! One wall clock for a receiver, over studios whose own clocks differ.

use std::time::{Duration, Instant};

use media::SenderReport;

/// What the clock shows when it begins: a wall clock may be any that runs on (RFC 3550 § 6.4.1), and some receivers take
/// zero for unknown.
const BEGINNING: Duration = Duration::from_hours(24);

/// Tells the receiver's time, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Wallclock {
    began: Instant,
    /// How far it is ahead of the studio's, as of the studio's first report. One for both tracks, so that they stay
    /// together.
    ahead: Option<i64>,
}

impl Wallclock {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            began: now,
            ahead: None,
        }
    }

    /// The studio is gone, or another has come.
    pub(crate) const fn handle_source_change(&mut self) {
        self.ahead = None;
    }

    /// The studio told its time, on any track.
    pub(crate) fn handle_report(&mut self, report: &SenderReport, now: Instant) {
        if self.ahead.is_none() {
            self.ahead = Some(self.ours(now).saturating_sub(nanoseconds(report.ntp_time)));
        }
    }

    /// The receiver's time, also of a moment before it began.
    pub(crate) fn ours(&self, now: Instant) -> i64 {
        let before = self.began.saturating_duration_since(now);
        let since = now.saturating_duration_since(self.began);
        nanoseconds(BEGINNING + since).saturating_sub(nanoseconds(before))
    }

    /// The receiver's time at a time of the studio's; `None` before its first report.
    pub(crate) fn of_studio(&self, ntp_time: Duration) -> Option<i64> {
        Some(nanoseconds(ntp_time).saturating_add(self.ahead?))
    }
}

/// An NTP timestamp: 32 bits of seconds, 32 bits of fraction.
pub(crate) fn ntp(nanoseconds: i64) -> u64 {
    let time = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0));
    let fraction = (u64::from(time.subsec_nanos()) << 32) / 1_000_000_000;
    ((time.as_secs() & u64::from(u32::MAX)) << 32) | fraction
}

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_on_and_never_shows_zero() {
        let start = Instant::now();
        let clock = Wallclock::new(start);

        assert_eq!(ntp(clock.ours(start)), 86_400 << 32);
        assert_eq!(
            ntp(clock.ours(start + Duration::from_millis(1500))),
            (86_401 << 32) | (1 << 31)
        );
    }

    #[test]
    fn the_first_report_of_a_studio_ties_its_clock() {
        let start = Instant::now();
        let mut clock = Wallclock::new(start);
        let report = |seconds| SenderReport {
            ssrc: 1,
            ntp_time: Duration::from_secs(seconds),
            rtp_timestamp: 0,
        };
        assert_eq!(clock.of_studio(Duration::ZERO), None);

        clock.handle_report(&report(500), start);
        clock.handle_report(&report(900), start);

        let after = clock.of_studio(Duration::from_secs(502)).unwrap();
        assert_eq!(after, clock.ours(start + Duration::from_secs(2)));
        clock.handle_source_change();
        assert_eq!(clock.of_studio(Duration::ZERO), None);
    }

    #[test]
    fn a_report_that_came_before_the_receiver_ties_its_clock_as_well() {
        let came = Instant::now();
        let start = came + Duration::from_secs(4);
        let mut clock = Wallclock::new(start);
        let report = SenderReport {
            ssrc: 1,
            ntp_time: Duration::from_secs(500),
            rtp_timestamp: 0,
        };

        clock.handle_report(&report, came);

        assert_eq!(
            clock.of_studio(Duration::from_secs(504)),
            Some(clock.ours(start))
        );
    }

    #[test]
    fn the_strangest_clock_overflows_nothing() {
        let start = Instant::now();
        let mut clock = Wallclock::new(start);
        let strange = SenderReport {
            ssrc: 1,
            ntp_time: Duration::MAX,
            rtp_timestamp: 0,
        };

        clock.handle_report(&strange, start);

        assert!(clock.of_studio(Duration::ZERO).is_some());
        assert!(clock.of_studio(Duration::MAX).is_some());
    }
}
