//! What a receiver report says of a stream: losses and jitter (RFC 3550 § 6.4.1, appendix A). Pure; time is an argument.

use std::time::Instant;

use rtc::rtcp::reception_report::ReceptionReport;

/// A jump over more packets than this is a stream that began anew (RFC 3550 appendix A.1).
const LARGEST_GAP: i64 = 3000;
/// Units of a second in the delay since the last sender report.
const DELAY_UNITS: f64 = 65_536.0;
/// The most lost packets that a report can tell: 24 bits, signed.
const MOST_LOST: i64 = 0x7f_ffff;

/// The state of one stream.
#[derive(Debug)]
pub(crate) struct Reception {
    clock_rate: u32,
    started: Instant,
    base: i64,
    highest: i64,
    received: i64,
    expected_before: i64,
    received_before: i64,
    transit: Option<i64>,
    /// In sixteenths of a clock unit, as the RFC's own code keeps it.
    jitter: i64,
    last_sender_report: Option<(u32, Instant)>,
}

impl Reception {
    /// A stream whose first packet came.
    pub(crate) fn new(clock_rate: u32, sequence: u16, now: Instant) -> Self {
        let first = i64::from(sequence);
        Self {
            clock_rate,
            started: now,
            base: first,
            highest: first - 1,
            received: 0,
            expected_before: 0,
            received_before: 0,
            transit: None,
            jitter: 0,
            last_sender_report: None,
        }
    }

    /// A packet came, for the first time.
    pub(crate) fn handle_packet(&mut self, sequence: u16, timestamp: u32, now: Instant) {
        let near = self.highest.to_le_bytes();
        let distance = sequence
            .wrapping_sub(u16::from_le_bytes([near[0], near[1]]))
            .cast_signed();
        let extended = self.highest + i64::from(distance);
        if (extended - self.highest).abs() > LARGEST_GAP {
            let report = self.last_sender_report;
            *self = Self::new(self.clock_rate, sequence, now);
            self.last_sender_report = report;
            self.highest += 1;
        } else {
            self.highest = self.highest.max(extended);
            self.base = self.base.min(extended);
        }
        self.received += 1;
        self.measure_jitter(timestamp, now);
    }

    /// The sender told its time.
    pub(crate) fn handle_sender_report(&mut self, ntp_time: u64, now: Instant) {
        let middle = ntp_time.to_be_bytes();
        let middle = u32::from_be_bytes([middle[2], middle[3], middle[4], middle[5]]);
        self.last_sender_report = Some((middle, now));
    }

    /// What to tell of the stream, about the time since the last report.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "fields of the wire, each bounded before"
    )]
    pub(crate) fn report(&mut self, ssrc: u32, now: Instant) -> ReceptionReport {
        let expected = self.highest - self.base + 1;
        let lost = (expected - self.received).clamp(0, MOST_LOST);
        let expected_since = expected - self.expected_before;
        let lost_since = expected_since - (self.received - self.received_before);
        self.expected_before = expected;
        self.received_before = self.received;
        let fraction = if expected_since > 0 && lost_since > 0 {
            (lost_since * 256 / expected_since).min(255) as u8
        } else {
            0
        };
        let delay = self.last_sender_report.map_or(0.0, |(_, at)| {
            now.saturating_duration_since(at).as_secs_f64() * DELAY_UNITS
        });
        ReceptionReport {
            ssrc,
            fraction_lost: fraction,
            total_lost: lost as u32,
            last_sequence_number: self.highest as u32,
            jitter: (self.jitter >> 4) as u32,
            last_sender_report: self.last_sender_report.map_or(0, |(middle, _)| middle),
            delay: delay as u32,
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "clock units of a session")]
    fn measure_jitter(&mut self, timestamp: u32, now: Instant) {
        let elapsed = now.saturating_duration_since(self.started).as_secs_f64();
        let arrival = (elapsed * f64::from(self.clock_rate)) as i64;
        let transit = arrival - i64::from(timestamp);
        if let Some(before) = self.transit {
            // Timestamps wrap at 2^32.
            let difference = i64::from((transit - before) as i32).abs();
            self.jitter += difference - ((self.jitter + 8) >> 4);
        }
        self.transit = Some(transit);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn losses_are_told_in_all_and_since_the_last_report() {
        let now = Instant::now();
        let mut reception = Reception::new(90_000, 65_530, now);
        for sequence in (0..100_u16).filter(|number| number % 4 != 3) {
            reception.handle_packet(65_530_u16.wrapping_add(sequence), 0, now);
        }

        let first = reception.report(7, now);
        for sequence in 100..200_u16 {
            reception.handle_packet(65_530_u16.wrapping_add(sequence), 0, now);
        }
        let second = reception.report(7, now);

        assert_eq!((first.ssrc, first.total_lost), (7, 24));
        assert_eq!(first.fraction_lost, u8::try_from(24 * 256 / 99).unwrap());
        // The hundredth packet of the first lot was noticed as lost only now.
        assert_eq!(second.total_lost, 25);
        assert_eq!(second.fraction_lost, u8::try_from(256 / 101).unwrap());
        assert_eq!(second.last_sequence_number, 65_530 + 199);
    }

    #[test]
    fn an_even_stream_has_no_jitter_and_an_uneven_one_has() {
        let start = Instant::now();
        let at = |milliseconds: u64| start + Duration::from_millis(milliseconds);
        let mut even = Reception::new(90_000, 0, start);
        let mut uneven = Reception::new(90_000, 0, start);
        for number in 0..200_u16 {
            let timestamp = u32::from(number) * 900;
            let due = u64::from(number) * 10;
            even.handle_packet(number, timestamp, at(due));
            uneven.handle_packet(number, timestamp, at(due + u64::from(number % 2) * 4));
        }

        assert!(even.report(1, at(2000)).jitter <= 1);
        let jitter = uneven.report(1, at(2000)).jitter;
        assert!((340..=360).contains(&jitter), "{jitter}: 4 ms are 360");
    }

    #[test]
    fn the_last_sender_report_is_named_with_its_age() {
        let now = Instant::now();
        let mut reception = Reception::new(48_000, 0, now);
        reception.handle_sender_report(0x1122_3344_5566_7788, now);

        let report = reception.report(1, now + Duration::from_millis(500));

        assert_eq!(report.last_sender_report, 0x3344_5566);
        assert_eq!(report.delay, 32_768);
    }

    #[test]
    fn a_long_jump_begins_anew() {
        let now = Instant::now();
        let mut reception = Reception::new(90_000, 10, now);
        reception.handle_packet(10, 0, now);
        reception.handle_packet(20_000, 0, now);

        assert_eq!(reception.report(1, now).total_lost, 0);
    }
}
