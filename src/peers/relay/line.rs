//! Sequence numbers and timestamps without a break, over studios and their restarts.

use std::time::Instant;

use media::RtpPacket;

/// Where a packet stands in what the receiver gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
}

/// One track as its receiver sees it.
///
/// Within a studio's stream, the gaps of loss stay as they are. Another stream goes on right behind the highest packet so
/// far, as much later as it came later.
#[derive(Debug)]
pub(crate) struct Line {
    clock_rate: u32,
    first: Place,
    highest: Option<Highest>,
    stream: Option<Stream>,
}

#[derive(Debug, Clone, Copy)]
struct Highest {
    /// The sequence number, counted on beyond its wrap.
    index: i64,
    timestamp: u32,
    at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    ssrc: u32,
    sequence_offset: u16,
    timestamp_offset: u32,
    first_index: i64,
}

impl Line {
    /// A line of `clock_rate` Hz that begins with `first`.
    pub(crate) const fn new(clock_rate: u32, first: Place) -> Self {
        Self {
            clock_rate,
            first,
            highest: None,
            stream: None,
        }
    }

    /// What comes next is another stream, whatever its SSRC.
    pub(crate) const fn handle_source_change(&mut self) {
        self.stream = None;
    }

    /// Places a packet. `None`: it is older than the first of its stream.
    pub(crate) fn place(&mut self, packet: &RtpPacket, now: Instant) -> Option<Place> {
        let stream = match self.stream {
            Some(stream) if stream.ssrc == packet.ssrc => stream,
            Some(_) | None => self.begin_stream(packet, now),
        };
        let sequence = packet.sequence.wrapping_add(stream.sequence_offset);
        let timestamp = packet.timestamp.wrapping_add(stream.timestamp_offset);
        let index = match self.highest {
            Some(highest) => {
                let ahead = sequence.wrapping_sub(low_bits(highest.index)).cast_signed();
                highest.index + i64::from(ahead)
            }
            None => stream.first_index,
        };
        if index < stream.first_index {
            return None;
        }
        if self.highest.is_none_or(|highest| index > highest.index) {
            self.highest = Some(Highest {
                index,
                timestamp,
                at: now,
            });
        }
        Some(Place {
            sequence,
            timestamp,
        })
    }

    /// A timestamp of the stream `ssrc` as the receiver sees it; `None`: that stream is not the one on the line.
    pub(crate) fn timestamp_of(&self, ssrc: u32, timestamp: u32) -> Option<u32> {
        self.stream
            .filter(|stream| stream.ssrc == ssrc)
            .map(|stream| timestamp.wrapping_add(stream.timestamp_offset))
    }

    /// So many nanoseconds in the line's clock, wrapped; negative ones run backwards.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a timestamp wraps"
    )]
    pub(crate) fn ticks(&self, nanoseconds: i64) -> u32 {
        (i128::from(nanoseconds) * i128::from(self.clock_rate) / 1_000_000_000) as u32
    }

    fn begin_stream(&mut self, packet: &RtpPacket, now: Instant) -> Stream {
        let (first_index, timestamp) = match self.highest {
            Some(highest) => {
                let pause = now.saturating_duration_since(highest.at).as_nanos();
                let ticks = self.ticks(i64::try_from(pause).unwrap_or(i64::MAX));
                (
                    highest.index + 1,
                    highest.timestamp.wrapping_add(ticks.max(1)),
                )
            }
            None => (i64::from(self.first.sequence), self.first.timestamp),
        };
        let stream = Stream {
            ssrc: packet.ssrc,
            sequence_offset: low_bits(first_index).wrapping_sub(packet.sequence),
            timestamp_offset: timestamp.wrapping_sub(packet.timestamp),
            first_index,
        };
        self.stream = Some(stream);
        stream
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a sequence number wraps"
)]
const fn low_bits(index: i64) -> u16 {
    index as u16
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> RtpPacket {
        RtpPacket {
            sequence,
            timestamp,
            ssrc,
            marker: false,
            payload: Bytes::new(),
        }
    }

    fn line(sequence: u16, timestamp: u32) -> Line {
        Line::new(
            90_000,
            Place {
                sequence,
                timestamp,
            },
        )
    }

    #[test]
    fn gaps_and_late_packets_keep_their_places() {
        let now = Instant::now();
        let mut line = line(65_534, 10);
        let mut sequence = |number| {
            let place = line.place(&packet(1, number, 0), now);
            place.map(|place| place.sequence)
        };

        assert_eq!(sequence(65_000), Some(65_534));
        assert_eq!(sequence(65_003), Some(1));
        assert_eq!(sequence(65_001), Some(65_535));
        assert_eq!(sequence(64_999), None, "older than the first");
    }

    #[test]
    fn another_studio_goes_on_where_the_one_before_ended() {
        let start = Instant::now();
        let mut line = line(500, 1000);
        line.place(&packet(1, 9, 90_000), start);
        line.place(&packet(1, 10, 93_000), start);
        line.handle_source_change();

        let later = start + Duration::from_secs(3);
        let place = line.place(&packet(1, 60_000, 7), later).unwrap();

        assert_eq!(
            place,
            Place {
                sequence: 502,
                timestamp: 1000 + 3000 + 270_000
            }
        );
        assert_eq!(line.timestamp_of(1, 7), Some(place.timestamp));
        assert_eq!(line.timestamp_of(2, 7), None);
    }

    #[test]
    fn a_day_of_packets_is_never_taken_for_the_past() {
        let now = Instant::now();
        let mut line = line(1, 1);
        let mut sequence = 7_u16;
        for _ in 0..200_000 {
            assert!(line.place(&packet(1, sequence, 0), now).is_some());
            sequence = sequence.wrapping_add(1);
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_numbers_of_streams_never_overlap(
            packets in prop::collection::vec((0u32..3, any::<u16>(), any::<u32>(), 0u64..5000), 1..100)
        ) {
            let mut now = Instant::now();
            let mut line = line(65_000, u32::MAX);
            let mut ended_with: Option<i64> = None;
            for (ssrc, sequence, timestamp, pause) in packets {
                now += Duration::from_millis(pause);
                let before = line.highest.map(|highest| highest.index);
                let changed = line.stream.is_none_or(|stream| stream.ssrc != ssrc);
                let place = line.place(&packet(ssrc, sequence, timestamp), now);
                if changed {
                    ended_with = before;
                    prop_assert!(place.is_some());
                }
                if let (Some(_), Some(end)) = (place, ended_with) {
                    prop_assert!(line.highest.unwrap().index > end);
                    prop_assert_eq!(line.stream.unwrap().first_index, end + 1);
                }
            }
        }
    }
}
