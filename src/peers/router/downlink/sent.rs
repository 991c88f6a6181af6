//! The packets that went out with transport-wide numbers, and what the client tells of them
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01). Pure; time is an argument.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use rtc::{
    interceptor::convert_twcc, rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc,
};

/// Packets that are remembered: two seconds of 20 Mb/s.
const PACKETS: usize = 4096;
/// The reference time wraps at 2^24 units of 64 ms.
const REFERENCE_UNIT: Duration = Duration::from_millis(64);
const REFERENCES: u32 = 1 << 24;

/// Numbers what goes out, and remembers it.
#[derive(Debug)]
pub(super) struct Sent {
    next: i64,
    /// The packets in front of `next`, in their order.
    packets: VecDeque<Entry>,
    /// The reference time of the last feedback, counted on beyond its wrap.
    reference: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    bytes: u16,
    left: Instant,
    told: Told,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Lost,
    Arrived,
}

/// What became of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    /// Its number, counted on beyond its wrap.
    pub(super) number: i64,
    pub(super) bytes: u16,
    /// When it went out.
    pub(super) left: Instant,
    /// When it came, on the client's clock; `None`: it did not come.
    pub(super) arrived: Option<Duration>,
    /// Whether it was told to be lost before.
    pub(super) was_lost: bool,
}

impl Sent {
    pub(super) fn new(first: u16) -> Self {
        Self {
            next: i64::from(first),
            packets: VecDeque::new(),
            reference: None,
        }
    }

    /// The number of the next packet, counted on beyond its wrap.
    pub(super) const fn next(&self) -> i64 {
        self.next
    }

    /// The number that the next packet carries.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a transport-wide number wraps"
    )]
    pub(super) const fn next_on_the_wire(&self) -> u16 {
        self.next as u16
    }

    /// The packet with the next number went out.
    pub(super) fn push(&mut self, bytes: usize, now: Instant) {
        if self.packets.len() >= PACKETS {
            self.packets.pop_front();
        }
        self.packets.push_back(Entry {
            bytes: u16::try_from(bytes).unwrap_or(u16::MAX),
            left: now,
            told: Told::Nothing,
        });
        self.next += 1;
    }

    /// What the client tells, of each packet once, or twice if it came after it was told to be lost. In the order of
    /// their going out.
    pub(super) fn handle_feedback(&mut self, feedback: &TransportLayerCc) -> Vec<Fate> {
        let base = Duration::from_millis(64 * u64::from(feedback.reference_time % REFERENCES));
        let Some(reference) = self.count_reference(feedback.reference_time) else {
            return Vec::new();
        };
        let first = self.next - i64::try_from(self.packets.len()).unwrap_or(0);
        let mut fates = Vec::new();
        // The library also tells of the symbols that only fill the last chunk.
        let told = convert_twcc(feedback);
        for told in told.iter().take(usize::from(feedback.packet_status_count)) {
            let behind = self.next_on_the_wire().wrapping_sub(told.sequence_number);
            let number = self.next - i64::from(behind);
            let place = usize::try_from(number - first).ok();
            let Some(entry) = place.and_then(|place| self.packets.get_mut(place)) else {
                continue;
            };
            let state = if told.arrived {
                Told::Arrived
            } else {
                Told::Lost
            };
            if entry.told == state || entry.told == Told::Arrived {
                continue;
            }
            let arrived = told.arrival.map(|arrival| {
                let offset =
                    REFERENCE_UNIT * u32::try_from(reference % i64::from(u32::MAX)).unwrap_or(0);
                (offset + arrival).saturating_sub(base)
            });
            if told.arrived && arrived.is_none() {
                continue;
            }
            let was_lost = entry.told == Told::Lost;
            entry.told = state;
            fates.push(Fate {
                number,
                was_lost,
                bytes: entry.bytes,
                left: entry.left,
                arrived,
            });
        }
        fates
    }

    /// Counts the reference time on. `None`: it is behind the first by more than it can be.
    fn count_reference(&mut self, wire: u32) -> Option<i64> {
        let wire = i64::from(wire % REFERENCES);
        let round = i64::from(REFERENCES);
        let counted = match self.reference {
            None => wire,
            Some(last) => {
                let ahead = (wire - last).rem_euclid(round);
                last + if ahead >= round / 2 {
                    ahead - round
                } else {
                    ahead
                }
            }
        };
        self.reference = Some(counted);
        (counted >= 0).then_some(counted)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
        PacketStatusChunk, RecvDelta, StatusChunkTypeTcc, StatusVectorChunk, SymbolSizeTypeTcc,
        SymbolTypeTcc,
    };
    use rtc::shared::marshal::{Marshal, Unmarshal};

    use super::*;

    /// Feedback of a client, over the wire: when packets came since its beginning, `None` if they did not.
    pub(crate) fn feedback(first: u16, arrivals: &[Option<Duration>]) -> TransportLayerCc {
        let begin = arrivals
            .iter()
            .flatten()
            .next()
            .copied()
            .unwrap_or_default();
        let reference = u32::try_from(begin.as_millis() / 64).unwrap();
        let mut last = REFERENCE_UNIT * reference;
        let mut deltas = Vec::new();
        let symbols: Vec<_> = arrivals
            .iter()
            .map(|arrival| {
                let Some(arrival) = arrival else {
                    return SymbolTypeTcc::PacketNotReceived;
                };
                let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap() / 250 * 250;
                let delta = micros(*arrival) - micros(last);
                last = *arrival;
                deltas.push(RecvDelta {
                    type_tcc_packet: SymbolTypeTcc::PacketReceivedLargeDelta,
                    delta,
                });
                SymbolTypeTcc::PacketReceivedLargeDelta
            })
            .collect();
        let chunks = symbols.chunks(7).map(|symbols| {
            let mut symbol_list = symbols.to_vec();
            symbol_list.resize(7, SymbolTypeTcc::PacketNotReceived);
            PacketStatusChunk::StatusVectorChunk(StatusVectorChunk {
                type_tcc: StatusChunkTypeTcc::StatusVectorChunk,
                symbol_size: SymbolSizeTypeTcc::TwoBit,
                symbol_list,
            })
        });
        let feedback = TransportLayerCc {
            sender_ssrc: 1,
            media_ssrc: 2,
            base_sequence_number: first,
            packet_status_count: u16::try_from(arrivals.len()).unwrap(),
            reference_time: reference,
            fb_pkt_count: 0,
            packet_chunks: chunks.collect(),
            recv_deltas: deltas,
        };
        let bytes = feedback.marshal().unwrap();
        TransportLayerCc::unmarshal(&mut &bytes[..]).unwrap()
    }

    const fn milliseconds(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    #[test]
    fn each_packets_fate_is_told_once_and_a_late_arrival_again() {
        let start = Instant::now();
        let mut sent = Sent::new(65_535);
        for number in 0..4_u16 {
            sent.push(100 + usize::from(number), start);
        }
        let fates = |sent: &mut Sent, arrivals: &[Option<Duration>]| -> Vec<_> {
            let fates = sent.handle_feedback(&feedback(65_535, arrivals));
            let told = |fate: &Fate| (fate.number - 65_535, fate.bytes, fate.arrived);
            fates.iter().map(told).collect()
        };

        let first = fates(
            &mut sent,
            &[Some(milliseconds(500)), None, Some(milliseconds(520))],
        );
        let second = fates(
            &mut sent,
            &[
                Some(milliseconds(500)),
                Some(milliseconds(530)),
                Some(milliseconds(520)),
                None,
            ],
        );

        assert_eq!(
            first,
            [
                (0, 100, Some(milliseconds(500))),
                (1, 101, None),
                (2, 102, Some(milliseconds(520)))
            ]
        );
        assert_eq!(second, [(1, 101, Some(milliseconds(530))), (3, 103, None)]);
    }

    #[test]
    fn the_clients_clock_goes_on_over_its_wrap() {
        let start = Instant::now();
        let mut sent = Sent::new(0);
        let mut arrivals = Vec::new();
        for reference in [REFERENCES - 1, 0] {
            sent.push(100, start);
            let number = u16::try_from(sent.next() - 1).unwrap();
            let mut told = feedback(number, &[Some(milliseconds(0))]);
            told.reference_time = reference;
            arrivals.push(sent.handle_feedback(&told)[0].arrived.unwrap());
        }

        assert_eq!(arrivals[1].checked_sub(arrivals[0]), Some(REFERENCE_UNIT));
    }

    #[test]
    fn only_the_last_packets_are_remembered() {
        let start = Instant::now();
        let mut sent = Sent::new(0);
        for _ in 0..5000 {
            sent.push(100, start);
        }

        assert_eq!(sent.packets.len(), PACKETS);
        assert_eq!(
            sent.handle_feedback(&feedback(5000 - 4097, &[Some(milliseconds(1))])),
            []
        );
        assert_eq!(
            sent.handle_feedback(&feedback(5000, &[Some(milliseconds(1))])),
            []
        );
        assert_eq!(
            sent.handle_feedback(&feedback(5000 - 4096, &[Some(milliseconds(1))]))
                .len(),
            1
        );
    }

    proptest! {
        #[test]
        fn hostile_feedback_tells_nothing_twice(
            feedbacks in prop::collection::vec((any::<u16>(), prop::collection::vec(any::<u8>(), 20..80)), 1..40)
        ) {
            let start = Instant::now();
            let mut sent = Sent::new(0);
            let mut told = 0;
            for _ in 0..100 {
                sent.push(100, start);
            }
            for (length, mut bytes) in feedbacks {
                bytes[0] = 0x8f;
                bytes[1] = 205;
                bytes[2..4].copy_from_slice(&(length % 19).to_be_bytes());
                bytes[12] = 0;
                if let Ok(feedback) = TransportLayerCc::unmarshal(&mut &bytes[..]) {
                    told += sent.handle_feedback(&feedback).len();
                }
            }
            prop_assert!(told <= 200);
        }
    }
}
