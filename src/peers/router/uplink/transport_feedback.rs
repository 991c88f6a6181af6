//! Tells a sender what of its transport's packets came, and when (draft-holmer-rmcat-transport-wide-cc-extensions-01).
//! Pure; time is an argument.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::{BufMut, BytesMut};

/// How often it is told while something comes; Chrome's own receiver uses 50 to 250 ms.
const INTERVAL: Duration = Duration::from_millis(100);
/// A jump over more packets than this is a sender that began anew.
const LARGEST_GAP: i64 = 0x1000;
/// Arrivals in one message: their deltas and states fit a datagram.
const MOST_ARRIVALS: usize = 400;
/// Arrivals that may wait to be told: a tenth of a second at 40,000 packets a second.
const MOST_WAITING: usize = 4000;
/// Microseconds of a unit of the reference time.
const REFERENCE_UNIT: i64 = 64_000;
/// Microseconds of a unit of a delta.
const DELTA_UNIT: i64 = 250;
/// Packets that one vector chunk tells of.
const VECTOR: usize = 7;
/// Packets that one run chunk tells of at most.
const LONGEST_RUN: usize = 0x1fff;
/// Of the header: RTCP's own, two SSRCs, base, count, reference time and number.
const HEADER_BYTES: usize = 20;

/// What came on one transport.
#[derive(Debug)]
pub(super) struct TransportFeedback {
    began: Instant,
    /// When packets came that have not been told yet, in microseconds.
    waiting: BTreeMap<i64, i64>,
    /// Behind the newest that has been told.
    next: Option<i64>,
    highest: i64,
    number: u8,
    due: Option<Instant>,
}

/// What is said of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Symbol {
    Missing = 0,
    Small = 1,
    Large = 2,
}

impl TransportFeedback {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            began: now,
            waiting: BTreeMap::new(),
            next: None,
            highest: 0,
            number: 0,
            due: None,
        }
    }

    /// A packet came that has this number.
    pub(super) fn handle_packet(&mut self, sequence: u16, now: Instant) {
        let near = self.highest.rem_euclid(1 << 16);
        let distance = sequence
            .wrapping_sub(u16::try_from(near).unwrap_or(0))
            .cast_signed();
        let extended = self.highest + i64::from(distance);
        let is_jump = (extended - self.highest).abs() > LARGEST_GAP;
        if self.next.is_none() || is_jump {
            self.waiting.clear();
            self.next = Some(extended);
            self.highest = extended;
        }
        self.highest = self.highest.max(extended);
        if self.waiting.len() < MOST_WAITING {
            let elapsed = now.saturating_duration_since(self.began).as_micros();
            self.waiting
                .entry(extended)
                .or_insert(i64::try_from(elapsed).unwrap_or(i64::MAX));
        }
        self.due.get_or_insert(now + INTERVAL);
    }

    /// When something is to be told, if ever.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// The next message, if it is due; there may be more. `sender` is our SSRC, `media` one of the sender's.
    pub(super) fn poll_message(
        &mut self,
        sender: u32,
        media: u32,
        now: Instant,
    ) -> Option<BytesMut> {
        if self.due.is_none_or(|due| now < due) {
            return None;
        }
        let message = self.message(sender, media);
        if message.is_none() {
            self.due = None;
        }
        message
    }

    fn message(&mut self, sender: u32, media: u32) -> Option<BytesMut> {
        let (&first, &at) = self.waiting.first_key_value()?;
        // What is late is told again from there on: those who know already pass over it.
        let base = self.next.map_or(first, |next| next.min(first));
        let reference = at / REFERENCE_UNIT;
        let mut symbols: Vec<Symbol> = Vec::new();
        let mut deltas = BytesMut::new();
        let mut before = reference * REFERENCE_UNIT;
        for (&sequence, &at) in self.waiting.iter().take(MOST_ARRIVALS) {
            let ticks = (at - before + DELTA_UNIT / 2).div_euclid(DELTA_UNIT);
            let Ok(ticks) = i16::try_from(ticks) else {
                break;
            };
            let place = usize::try_from(sequence - base).unwrap_or(0);
            symbols.resize(place.max(symbols.len()), Symbol::Missing);
            if let Ok(small) = u8::try_from(ticks) {
                symbols.push(Symbol::Small);
                deltas.put_u8(small);
            } else {
                symbols.push(Symbol::Large);
                deltas.put_i16(ticks);
            }
            before += i64::from(ticks) * DELTA_UNIT;
        }
        let end = base + i64::try_from(symbols.len()).unwrap_or(0);
        self.waiting = self.waiting.split_off(&end);
        self.next = Some(self.next.map_or(end, |next| next.max(end)));
        self.number = self.number.wrapping_add(1);
        Some(self.write(sender, media, base, reference, &symbols, &deltas))
    }

    fn write(
        &self,
        sender: u32,
        media: u32,
        base: i64,
        reference: i64,
        symbols: &[Symbol],
        deltas: &[u8],
    ) -> BytesMut {
        const FORMAT: u8 = 15;
        const TRANSPORT_FEEDBACK: u8 = 205;
        const PADDING: u8 = 0x20;
        let chunks = chunks(symbols);
        let bytes = HEADER_BYTES + chunks.len() * 2 + deltas.len();
        let padding = bytes.next_multiple_of(4) - bytes;
        let words = (bytes + padding) / 4 - 1;
        let mut message = BytesMut::with_capacity(bytes + padding);
        message.put_u8(0x80 | FORMAT | if padding > 0 { PADDING } else { 0 });
        message.put_u8(TRANSPORT_FEEDBACK);
        message.put_u16(u16::try_from(words).unwrap_or(u16::MAX));
        message.put_u32(sender);
        message.put_u32(media);
        message.put_u16(u16::try_from(base.rem_euclid(1 << 16)).unwrap_or(0));
        message.put_u16(u16::try_from(symbols.len()).unwrap_or(u16::MAX));
        let reference = u32::try_from(reference.rem_euclid(1 << 24)).unwrap_or(0);
        message.put_u32((reference << 8) | u32::from(self.number.wrapping_sub(1)));
        for chunk in chunks {
            message.put_u16(chunk);
        }
        message.put_slice(deltas);
        for left in (1..=padding).rev() {
            message.put_u8(if left == 1 {
                u8::try_from(padding).unwrap_or(0)
            } else {
                0
            });
        }
        message
    }
}

/// Runs where they are longer than a vector, vectors of two bits elsewhere.
fn chunks(symbols: &[Symbol]) -> Vec<u16> {
    const VECTOR_OF_TWO_BITS: u16 = 0xc000;
    let mut chunks = Vec::new();
    let mut rest = symbols;
    while let Some(&first) = rest.first() {
        let run = rest
            .iter()
            .take(LONGEST_RUN)
            .take_while(|symbol| **symbol == first)
            .count();
        let taken = if run >= VECTOR || run == rest.len() {
            chunks.push(((first as u16) << 13) | u16::try_from(run).unwrap_or(0));
            run
        } else {
            let taken = rest.len().min(VECTOR);
            let vector = rest[..taken]
                .iter()
                .enumerate()
                .fold(VECTOR_OF_TWO_BITS, |vector, (place, symbol)| {
                    vector | ((*symbol as u16) << (12 - 2 * place))
                });
            chunks.push(vector);
            taken
        };
        rest = &rest[taken..];
    }
    chunks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtc::{
        rtcp::transport_feedbacks::transport_layer_cc::{
            PacketStatusChunk, SymbolTypeTcc, TransportLayerCc,
        },
        shared::marshal::Unmarshal,
    };

    use super::*;

    fn after(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// What a message says: numbers and when each came in microseconds, `None` for those that did not; read by the library.
    fn read(message: &[u8]) -> Vec<(u16, Option<i64>)> {
        assert_eq!(message.len() % 4, 0);
        let told = TransportLayerCc::unmarshal(&mut &message[..]).unwrap();
        let symbols: Vec<SymbolTypeTcc> = told
            .packet_chunks
            .iter()
            .flat_map(|chunk| match chunk {
                PacketStatusChunk::RunLengthChunk(run) => {
                    vec![run.packet_status_symbol; usize::from(run.run_length)]
                }
                PacketStatusChunk::StatusVectorChunk(vector) => vector.symbol_list.clone(),
            })
            .take(usize::from(told.packet_status_count))
            .collect();
        assert_eq!(symbols.len(), usize::from(told.packet_status_count));
        let mut at = i64::from(told.reference_time) * REFERENCE_UNIT;
        let mut deltas = told.recv_deltas.iter();
        symbols
            .into_iter()
            .enumerate()
            .map(|(place, symbol)| {
                let number = told
                    .base_sequence_number
                    .wrapping_add(u16::try_from(place).unwrap());
                let came = symbol != SymbolTypeTcc::PacketNotReceived;
                (
                    number,
                    came.then(|| {
                        at += deltas.next().unwrap().delta;
                        at
                    }),
                )
            })
            .collect()
    }

    fn messages(feedback: &mut TransportFeedback, now: Instant) -> Vec<(u16, Option<i64>)> {
        let mut told = Vec::new();
        while let Some(message) = feedback.poll_message(1, 2, now) {
            assert!(message.len() < 1200, "{} bytes", message.len());
            told.extend(read(&message));
        }
        told
    }

    #[test]
    fn what_came_and_what_did_not_is_told_after_a_tenth_of_a_second() {
        let start = Instant::now();
        let mut feedback = TransportFeedback::new(start);
        feedback.handle_packet(65_534, start + after(200));
        feedback.handle_packet(65_535, start + after(201));
        feedback.handle_packet(2, start + after(290));
        assert_eq!(feedback.poll_timeout(), Some(start + after(300)));
        assert!(messages(&mut feedback, start + after(299)).is_empty());

        let told = messages(&mut feedback, start + after(300));

        assert_eq!(
            told,
            [
                (65_534, Some(200_000)),
                (65_535, Some(201_000)),
                (0, None),
                (1, None),
                (2, Some(290_000)),
            ]
        );
        assert_eq!(feedback.poll_timeout(), None);
    }

    #[test]
    fn the_next_message_begins_where_the_last_ended() {
        let start = Instant::now();
        let mut feedback = TransportFeedback::new(start);
        feedback.handle_packet(10, start);
        messages(&mut feedback, start + after(100));
        feedback.handle_packet(12, start + after(150));

        let told = messages(&mut feedback, start + after(250));

        assert_eq!(told, [(11, None), (12, Some(150_000))]);
    }

    #[test]
    fn a_late_packet_is_told_after_all() {
        let start = Instant::now();
        let mut feedback = TransportFeedback::new(start);
        feedback.handle_packet(10, start);
        feedback.handle_packet(12, start);
        messages(&mut feedback, start + after(100));
        feedback.handle_packet(11, start + after(120));

        let told = messages(&mut feedback, start + after(220));

        assert_eq!(told, [(11, Some(120_000))]);
    }

    #[test]
    fn long_pauses_are_told_in_messages_of_their_own() {
        let start = Instant::now();
        let mut feedback = TransportFeedback::new(start);
        feedback.handle_packet(1, start);
        feedback.handle_packet(2, start + after(60_000));

        let told = messages(&mut feedback, start + after(60_100));

        assert_eq!(told, [(1, Some(0)), (2, Some(60_000_000))]);
    }

    #[test]
    fn a_sender_that_begins_anew_is_followed() {
        let start = Instant::now();
        let mut feedback = TransportFeedback::new(start);
        feedback.handle_packet(1, start);
        feedback.handle_packet(30_000, start + after(1));

        assert_eq!(
            messages(&mut feedback, start + after(101)),
            [(30_000, Some(1000))]
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_is_told_once_and_at_its_time(
            packets in prop::collection::vec((0u16..300, 0u64..400), 1..200)
        ) {
            let start = Instant::now();
            let mut feedback = TransportFeedback::new(start);
            let mut now = start;
            let mut expected = BTreeMap::new();
            for (sequence, pause) in packets {
                now += Duration::from_micros(pause * 250);
                feedback.handle_packet(sequence, now);
                expected.entry(sequence).or_insert((now - start).as_micros());
            }
            let told: Vec<_> = messages(&mut feedback, now + INTERVAL)
                .into_iter()
                .filter_map(|(number, at)| Some((number, at?)))
                .collect();
            prop_assert_eq!(told.len(), expected.len());
            for (number, at) in told {
                let came = i64::try_from(expected[&number]).unwrap();
                prop_assert!((at - came).abs() <= DELTA_UNIT, "{} told at {}, came at {}", number, at, came);
            }
        }

        #[test]
        fn hostile_numbers_never_panic_and_are_bounded(
            numbers in prop::collection::vec((any::<u16>(), 0u64..100_000), 1..2000)
        ) {
            let mut now = Instant::now();
            let mut feedback = TransportFeedback::new(now);
            for (number, pause) in numbers {
                now += Duration::from_micros(pause);
                feedback.handle_packet(number, now);
                prop_assert!(feedback.waiting.len() <= MOST_WAITING);
                let mut count = 0;
                while let Some(message) = feedback.poll_message(1, 2, now) {
                    prop_assert!(message.len() < 1500);
                    count += 1;
                }
                prop_assert!(count <= 4096);
            }
        }
    }
}
