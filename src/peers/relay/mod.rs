//! A studio's packets on their way to one receiver, whoever the studio is: numbered and timed without a break, their
//! clocks told. Pure; time is an argument.

mod history;
mod line;
mod wallclock;

use std::time::Instant;

use media::{RtpPacket, SenderReport};

pub(crate) use history::{History, Sent};
pub(crate) use line::{Line, Place};
pub(crate) use wallclock::{Wallclock, ntp};

/// One track on its way to one receiver.
#[derive(Debug)]
pub(crate) struct Relay {
    line: Line,
    /// The first packet of this studio on the receiver's clocks; what there is as long as the studio has not reported.
    first: Option<(i64, u32)>,
    report: Option<SenderReport>,
    packets: u32,
    octets: u32,
}

/// What a sender report to the receiver says (RFC 3550 § 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// 32 bits of seconds, 32 bits of fraction.
    pub(crate) ntp_time: u64,
    pub(crate) rtp_timestamp: u32,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
}

impl Relay {
    /// A track of `clock_rate` Hz whose first packet has this place; both are to be random.
    pub(crate) const fn new(clock_rate: u32, first: Place) -> Self {
        Self {
            line: Line::new(clock_rate, first),
            first: None,
            report: None,
            packets: 0,
            octets: 0,
        }
    }

    /// The studio is gone, or another has come: its clocks mean nothing any more.
    pub(crate) fn handle_source_change(&mut self) {
        self.line.handle_source_change();
        self.first = None;
        self.report = None;
    }

    /// Places a packet of the studio's. `None`: it is older than the first that was placed.
    pub(crate) fn handle_packet(
        &mut self,
        packet: &RtpPacket,
        clock: &Wallclock,
        now: Instant,
    ) -> Option<Place> {
        let place = self.line.place(packet, now)?;
        self.first
            .get_or_insert_with(|| (clock.ours(now), place.timestamp));
        self.packets = self.packets.wrapping_add(1);
        let octets = u32::try_from(packet.payload.len()).unwrap_or(u32::MAX);
        self.octets = self.octets.wrapping_add(octets);
        Some(place)
    }

    /// The studio told how its clocks relate.
    pub(crate) const fn handle_report(&mut self, report: SenderReport) {
        self.report = Some(report);
    }

    /// What to report now. `None`: nothing of this studio has been placed.
    pub(crate) fn report(&self, clock: &Wallclock, now: Instant) -> Option<Told> {
        let told = self.report.and_then(|report| {
            let timestamp = self.line.timestamp_of(report.ssrc, report.rtp_timestamp)?;
            Some((clock.of_studio(report.ntp_time)?, timestamp))
        });
        let (at, timestamp) = told.or(self.first)?;
        let ours = clock.ours(now);
        Some(Told {
            ntp_time: ntp(ours),
            rtp_timestamp: timestamp.wrapping_add(self.line.ticks(ours.saturating_sub(at))),
            packets: self.packets,
            octets: self.octets,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    fn packet(ssrc: u32, timestamp: u32) -> RtpPacket {
        RtpPacket {
            sequence: 1,
            timestamp,
            ssrc,
            marker: true,
            payload: Bytes::from_static(b"1234"),
        }
    }

    const FIRST: Place = Place {
        sequence: 100,
        timestamp: 5000,
    };

    /// The time of capture, on the receiver's wall clock in milliseconds, of a timestamp that it got.
    fn captured(told: Told, timestamp: u32, clock_rate: i64) -> i64 {
        let at = i64::try_from((u128::from(told.ntp_time) * 1000) >> 32).unwrap();
        let behind = i64::from(told.rtp_timestamp.wrapping_sub(timestamp).cast_signed());
        at - behind * 1000 / clock_rate
    }

    #[test]
    fn picture_and_sound_of_one_moment_stay_together_over_a_takeover() {
        let start = Instant::now();
        let mut clock = Wallclock::new(start);
        let mut video = Relay::new(90_000, FIRST);
        let mut audio = Relay::new(48_000, FIRST);
        for (studio, ntp_seconds) in [(1_u32, 3_900_000_000_u64), (2, 1000)] {
            let now = start + Duration::from_secs(u64::from(studio) * 10);
            clock.handle_source_change();
            video.handle_source_change();
            audio.handle_source_change();
            // Captured at once; the sound comes 60 ms later than the picture.
            let picture = video
                .handle_packet(&packet(studio, 900_000 * studio), &clock, now)
                .unwrap();
            let late = now + Duration::from_millis(60);
            let sound = audio
                .handle_packet(&packet(studio + 10, 77 * studio), &clock, late)
                .unwrap();
            for (relay, ssrc, rtp_timestamp) in [
                (&mut video, studio, 900_000 * studio),
                (&mut audio, studio + 10, 77 * studio),
            ] {
                let report = SenderReport {
                    ssrc,
                    ntp_time: Duration::from_secs(ntp_seconds),
                    rtp_timestamp,
                };
                clock.handle_report(&report, late);
                relay.handle_report(report);
            }

            let later = now + Duration::from_secs(5);
            let pictures = video.report(&clock, later).unwrap();
            let sounds = audio.report(&clock, later).unwrap();

            let apart = captured(pictures, picture.timestamp, 90_000)
                - captured(sounds, sound.timestamp, 48_000);
            assert!(apart.abs() <= 1, "{apart} ms in studio {studio}");
            assert_eq!((pictures.packets, pictures.octets), (studio, studio * 4));
        }
    }

    #[test]
    fn without_reports_the_arrival_counts() {
        let start = Instant::now();
        let clock = Wallclock::new(start);
        let mut relay = Relay::new(90_000, FIRST);
        assert_eq!(relay.report(&clock, start), None);
        let place = relay.handle_packet(&packet(1, 7), &clock, start).unwrap();

        let told = relay
            .report(&clock, start + Duration::from_secs(2))
            .unwrap();

        assert_eq!(told.rtp_timestamp, place.timestamp + 180_000);
    }
}
