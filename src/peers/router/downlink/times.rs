//! Timestamps of an outgoing stream: as much later as the pictures or the sound were captured later, whichever stream
//! they come from. Pure; time is an argument.

use std::time::Instant;

use media::SenderReport;

use crate::relay::Wallclock;

/// How far the senders' own reports may put a stream from where its arrival puts it, in nanoseconds. Streams of one
/// client arrive within a round trip of each other.
const FARTHEST: i64 = 1_000_000_000;

/// Gives each packet of the incoming streams its time in the outgoing one.
#[derive(Debug)]
pub(super) struct Times {
    clock_rate: u32,
    first: u32,
    offset: u32,
    /// The newest that went out, and when.
    newest: Option<(u32, Instant)>,
    /// A moment on the receiver's wall clock, in nanoseconds, and in the outgoing stream.
    anchor: Option<(i64, u32)>,
}

impl Times {
    /// Timestamps of `clock_rate` Hz that begin with `first`.
    pub(super) const fn new(clock_rate: u32, first: u32) -> Self {
        Self {
            clock_rate,
            first,
            offset: 0,
            newest: None,
            anchor: None,
        }
    }

    /// Another stream begins with this timestamp. `report` is its sender's, if one came.
    pub(super) fn begin(
        &mut self,
        timestamp: u32,
        report: Option<SenderReport>,
        clock: &Wallclock,
        now: Instant,
    ) {
        let told = report.and_then(|report| {
            let behind = timestamp.wrapping_sub(report.rtp_timestamp).cast_signed();
            let captured = clock.of_studio(report.ntp_time)?;
            Some(captured.saturating_add(self.nanoseconds(behind)))
        });
        let begins = match self.newest {
            None => self.first,
            Some((newest, at)) => {
                let pause = now.saturating_duration_since(at).as_nanos();
                let pause = i64::try_from(pause).unwrap_or(i64::MAX);
                let arrived = newest.wrapping_add(self.ticks(pause));
                let captured = told.zip(self.anchor).map(|(captured, (at, timestamp))| {
                    timestamp.wrapping_add(self.ticks(captured.saturating_sub(at)))
                });
                let is_near = |captured: &u32| {
                    let apart = captured.wrapping_sub(arrived).cast_signed();
                    self.nanoseconds(apart).abs() < FARTHEST
                };
                let begins = captured.filter(is_near).unwrap_or(arrived);
                if begins.wrapping_sub(newest).cast_signed() > 0 {
                    begins
                } else {
                    newest.wrapping_add(1)
                }
            }
        };
        self.offset = begins.wrapping_sub(timestamp);
        self.anchor = Some((told.unwrap_or_else(|| clock.ours(now)), begins));
    }

    /// The time of a packet of the current stream.
    pub(super) fn place(&mut self, timestamp: u32, now: Instant) -> u32 {
        let placed = timestamp.wrapping_add(self.offset);
        let is_newer = |(newest, _): (u32, Instant)| placed.wrapping_sub(newest).cast_signed() > 0;
        if self.newest.is_none_or(is_newer) {
            self.newest = Some((placed, now));
        }
        placed
    }

    /// The sender of the current stream told how its clocks relate.
    pub(super) fn handle_report(&mut self, report: &SenderReport, clock: &Wallclock) {
        if let Some(captured) = clock.of_studio(report.ntp_time) {
            let timestamp = report.rtp_timestamp.wrapping_add(self.offset);
            self.anchor = Some((captured, timestamp));
        }
    }

    /// Where the stream stands at a moment of the receiver's wall clock. `None`: nothing went out.
    pub(super) fn standing(&self, ours: i64) -> Option<u32> {
        let (at, timestamp) = self.anchor?;
        Some(timestamp.wrapping_add(self.ticks(ours.saturating_sub(at))))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a timestamp wraps"
    )]
    fn ticks(&self, nanoseconds: i64) -> u32 {
        (i128::from(nanoseconds) * i128::from(self.clock_rate) / 1_000_000_000) as u32
    }

    fn nanoseconds(&self, ticks: i32) -> i64 {
        i64::from(ticks) * 1_000_000_000 / i64::from(self.clock_rate.max(1))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(seconds: u64, rtp_timestamp: u32) -> SenderReport {
        SenderReport {
            ssrc: 1,
            ntp_time: Duration::from_secs(seconds),
            rtp_timestamp,
        }
    }

    #[test]
    fn without_reports_the_arrival_counts() {
        let start = Instant::now();
        let clock = Wallclock::new(start);
        let mut times = Times::new(90_000, 1000);
        times.begin(5, None, &clock, start);
        assert_eq!(times.place(5, start), 1000);
        assert_eq!(times.place(3005, start), 4000);

        let later = start + Duration::from_secs(2);
        times.begin(77, None, &clock, later);

        assert_eq!(times.place(77, later), 184_000);
        let second = clock.ours(later + Duration::from_secs(1));
        assert_eq!(times.standing(second), Some(274_000));
    }

    #[test]
    fn layers_of_one_moment_stay_together_by_their_reports() {
        let start = Instant::now();
        let mut clock = Wallclock::new(start);
        let mut times = Times::new(90_000, 0);
        clock.handle_report(&report(100, 0), start);
        times.begin(0, Some(report(100, 0)), &clock, start);
        times.place(0, start);

        // Captured one second after the other, but it came 300 ms late.
        let late = start + Duration::from_millis(1300);
        times.begin(500_000, Some(report(101, 500_000)), &clock, late);

        assert_eq!(times.place(500_000, late), 90_000);
        assert_eq!(times.standing(clock.ours(start)), Some(0));
    }

    #[test]
    fn reports_that_cannot_be_are_passed_over() {
        let start = Instant::now();
        let mut clock = Wallclock::new(start);
        let mut times = Times::new(90_000, 0);
        clock.handle_report(&report(100, 0), start);
        times.begin(0, Some(report(100, 0)), &clock, start);
        times.place(9000, start);

        times.begin(1, Some(report(u64::MAX, 7)), &clock, start);
        assert_eq!(times.place(1, start), 9001);
        times.begin(1, Some(report(100, 1)), &clock, start);
        assert_eq!(times.place(1, start), 9002, "never backwards");
    }
}
