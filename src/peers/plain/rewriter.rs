//! Makes one unbroken stream of what different studios send: SSRC, sequence and time. Pure; time is an argument.

use std::time::{Duration, Instant};

use media::{RtpPacket, SenderReport};

/// Packets after the beginning of a stream within which others are looked for that belong before it.
const BEGINNING: u16 = 1000;

/// What stays the same for one studio's stream.
#[derive(Debug, Clone, Copy)]
struct Offsets {
    ssrc: u32,
    /// The packet that it began with, as long as others may belong before it.
    first: Option<u16>,
    sequence: u16,
    timestamp: u32,
}

/// One stream as it goes out.
#[derive(Debug)]
pub(super) struct Rewriter {
    ssrc: u32,
    clock_rate: u32,
    offsets: Option<Offsets>,
    /// The newest that went out: sequence, timestamp, when.
    newest: (u16, u32, Instant),
    /// Where the studio's clocks stand: its wall clock, and the stream's time as it goes out.
    anchor: Option<(Duration, u32)>,
    packets: u32,
    octets: u32,
}

/// What a sender's report says of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) rtp_timestamp: u32,
    pub(super) packets: u32,
    pub(super) octets: u32,
}

impl Rewriter {
    /// `sequence` and `timestamp` are where it begins, at random (RFC 3550 § 5.1).
    pub(super) const fn new(
        ssrc: u32,
        clock_rate: u32,
        sequence: u16,
        timestamp: u32,
        now: Instant,
    ) -> Self {
        Self {
            ssrc,
            clock_rate,
            offsets: None,
            newest: (sequence, timestamp, now),
            anchor: None,
            packets: 0,
            octets: 0,
        }
    }

    /// The SSRC that goes out.
    pub(super) const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Whether packets of this SSRC go on where the last one ended; otherwise a beginning is needed.
    pub(super) fn follows(&self, ssrc: u32) -> bool {
        self.offsets.is_some_and(|offsets| offsets.ssrc == ssrc)
    }

    /// The studio is gone.
    pub(super) const fn interrupt(&mut self) {
        self.offsets = None;
        self.anchor = None;
    }

    /// Begins a studio's stream with this packet, right behind what went out, as much later as time has passed.
    pub(super) fn begin(&mut self, packet: &RtpPacket, now: Instant) {
        let (sequence, timestamp, at) = self.newest;
        let elapsed = self.ticks(now.saturating_duration_since(at)).max(1);
        self.offsets = Some(Offsets {
            ssrc: packet.ssrc,
            first: Some(packet.sequence),
            sequence: sequence.wrapping_add(1).wrapping_sub(packet.sequence),
            timestamp: timestamp
                .wrapping_add(elapsed)
                .wrapping_sub(packet.timestamp),
        });
        self.anchor = None;
    }

    /// Rewrites a packet. `None`: it belongs before the beginning.
    pub(super) fn rewrite(&mut self, packet: &RtpPacket, now: Instant) -> Option<RtpPacket> {
        let ours = |offsets: &&mut Offsets| offsets.ssrc == packet.ssrc;
        let offsets = self.offsets.as_mut().filter(ours)?;
        if let Some(first) = offsets.first {
            let behind = packet.sequence.wrapping_sub(first);
            if behind.cast_signed() < 0 {
                return None;
            }
            offsets.first = offsets.first.filter(|_| behind < BEGINNING);
        }
        let rewritten = RtpPacket {
            sequence: packet.sequence.wrapping_add(offsets.sequence),
            timestamp: packet.timestamp.wrapping_add(offsets.timestamp),
            ssrc: self.ssrc,
            marker: packet.marker,
            payload: packet.payload.clone(),
        };
        if rewritten.sequence.wrapping_sub(self.newest.0).cast_signed() > 0 {
            self.newest = (rewritten.sequence, rewritten.timestamp, now);
        }
        self.packets = self.packets.wrapping_add(1);
        let octets = u32::try_from(packet.payload.len()).unwrap_or(u32::MAX);
        self.octets = self.octets.wrapping_add(octets);
        Some(rewritten)
    }

    /// The studio told how its clocks relate.
    pub(super) fn handle_report(&mut self, report: &SenderReport) {
        if let Some(offsets) = self.offsets.filter(|offsets| offsets.ssrc == report.ssrc) {
            let timestamp = report.rtp_timestamp.wrapping_add(offsets.timestamp);
            self.anchor = Some((report.ntp_time, timestamp));
        }
    }

    /// Where the stream stands when the studio's wall clock says `studio`, if that is known. `None`: nothing went out yet.
    pub(super) fn standing(&self, studio: Option<Duration>, now: Instant) -> Option<Standing> {
        if self.packets == 0 {
            return None;
        }
        let rtp_timestamp = match (self.anchor, studio) {
            (Some((told, timestamp)), Some(studio)) if studio >= told => {
                timestamp.wrapping_add(self.ticks(studio.saturating_sub(told)))
            }
            (Some((told, timestamp)), Some(studio)) => {
                timestamp.wrapping_sub(self.ticks(told.saturating_sub(studio)))
            }
            _ => {
                let (_, timestamp, at) = self.newest;
                timestamp.wrapping_add(self.ticks(now.saturating_duration_since(at)))
            }
        };
        Some(Standing {
            rtp_timestamp,
            packets: self.packets,
            octets: self.octets,
        })
    }

    /// Clock units in a time; wraps as timestamps do.
    #[expect(clippy::cast_possible_truncation, reason = "timestamps wrap")]
    fn ticks(&self, time: Duration) -> u32 {
        (time.as_nanos() * u128::from(self.clock_rate) / 1_000_000_000) as u32
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> RtpPacket {
        RtpPacket {
            sequence,
            timestamp,
            ssrc,
            marker: false,
            payload: Bytes::from_static(b"abcd"),
        }
    }

    fn rewriter(now: Instant) -> Rewriter {
        Rewriter::new(9, 90_000, 65_533, u32::MAX - 10, now)
    }

    #[test]
    fn one_stream_goes_on_over_studios() {
        let start = Instant::now();
        let mut rewriter = rewriter(start);
        assert!(!rewriter.follows(1));
        rewriter.begin(&packet(1, 100, 5_000), start);
        let mut seen = Vec::new();
        for number in 0..5 {
            let next = packet(1, 100 + number, 5_000 + u32::from(number) * 3000);
            seen.push(rewriter.rewrite(&next, start).unwrap());
        }
        let last = seen.last().unwrap().clone();

        rewriter.interrupt();
        assert!(rewriter.rewrite(&packet(1, 105, 0), start).is_none());
        let later = start + Duration::from_secs(2);
        rewriter.begin(&packet(2, 7, 77), later);
        let next = rewriter.rewrite(&packet(2, 7, 77), later).unwrap();

        let sequences: Vec<u16> = seen.iter().map(|packet| packet.sequence).collect();
        assert_eq!(sequences, [65_534, 65_535, 0, 1, 2]);
        assert!(seen.iter().all(|packet| packet.ssrc == 9));
        assert_eq!(next.sequence, 3);
        assert_eq!(next.timestamp.wrapping_sub(last.timestamp), 180_000);
    }

    #[test]
    fn what_belongs_before_the_beginning_is_left_out() {
        let now = Instant::now();
        let mut rewriter = rewriter(now);
        rewriter.begin(&packet(1, 100, 0), now);

        assert!(rewriter.rewrite(&packet(1, 99, 0), now).is_none());
        assert!(rewriter.rewrite(&packet(1, 101, 0), now).is_some());
        assert!(rewriter.rewrite(&packet(1, 100, 0), now).is_some());
        assert!(rewriter.rewrite(&packet(2, 100, 0), now).is_none());
    }

    #[test]
    fn the_numbers_may_go_round_more_than_once() {
        let now = Instant::now();
        let mut rewriter = rewriter(now);
        rewriter.begin(&packet(1, 0, 0), now);

        for number in 0..200_000_u32 {
            let sequence = u16::try_from(number % 65_536).unwrap();
            assert!(
                rewriter.rewrite(&packet(1, sequence, 0), now).is_some(),
                "{number}"
            );
        }
    }

    #[test]
    fn reports_follow_the_studio_s_clock_or_else_the_time_that_passes() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut rewriter = rewriter(start);
        assert_eq!(rewriter.standing(None, start), None);
        rewriter.begin(&packet(1, 0, 500), start);
        let first = rewriter.rewrite(&packet(1, 0, 500), start).unwrap();

        let by_time = rewriter.standing(None, start + second).unwrap();
        rewriter.handle_report(&SenderReport {
            ssrc: 1,
            ntp_time: Duration::from_secs(1000),
            rtp_timestamp: 500,
        });
        let studio = |seconds| Some(Duration::from_secs(seconds));
        let after = rewriter.standing(studio(1002), start + second).unwrap();
        let before = rewriter.standing(studio(999), start + second).unwrap();

        let since = |standing: Standing| standing.rtp_timestamp.wrapping_sub(first.timestamp);
        assert_eq!(since(by_time), 90_000);
        assert_eq!(since(after), 180_000);
        assert_eq!(since(before), 0_u32.wrapping_sub(90_000));
        assert_eq!((after.packets, after.octets), (1, 4));
    }

    proptest! {
        #[test]
        fn gaps_and_reordering_stay_as_they_were(first: u16, steps in prop::collection::vec(-3_i16..10, 1..100)) {
            let now = Instant::now();
            let mut rewriter = rewriter(now);
            rewriter.begin(&packet(1, first, 0), now);
            let mut sequence = first;
            let Some(begin) = rewriter.rewrite(&packet(1, first, 0), now) else {
                return Err(TestCaseError::fail("the beginning"));
            };
            for step in steps {
                sequence = sequence.wrapping_add_signed(step);
                if let Some(next) = rewriter.rewrite(&packet(1, sequence, 0), now) {
                    prop_assert_eq!(next.sequence.wrapping_sub(begin.sequence), sequence.wrapping_sub(first));
                }
            }
        }
    }
}
