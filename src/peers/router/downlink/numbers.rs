//! Sequence numbers of an outgoing stream: without a break over streams, pauses and packets that are left out, and never
//! one twice. Pure.

use std::collections::VecDeque;

/// How far behind the newest a packet may come: two seconds of 8 Mb/s.
const WINDOW: i64 = 2048;
const WINDOW_WORDS: usize = 32;
/// A jump over more than this is a stream that began anew (RFC 3550 appendix A.1); its gap is not kept.
const LARGEST_JUMP: i64 = 3000;

/// Gives each packet of the incoming streams its number in the outgoing one.
#[derive(Debug)]
pub(super) struct Numbers {
    /// The highest number given, counted on beyond its wrap; before the first packet, the one in front of it.
    highest: i64,
    stream: Option<Stream>,
}

/// One incoming stream. Its numbers are counted on beyond their wrap.
#[derive(Debug)]
struct Stream {
    first: i64,
    highest: i64,
    /// What is added to a number, as of the oldest of the window.
    offset: i64,
    /// Numbers within the window that were left out, ascending.
    left_out: VecDeque<i64>,
    /// Which of the window have come, by their remainder.
    came: [u64; WINDOW_WORDS],
    /// The number of the last packet that was too late; the next one behind it means that the sender began anew.
    stale: Option<u16>,
}

impl Numbers {
    /// Numbers that begin with `first`.
    pub(super) fn new(first: u16) -> Self {
        Self {
            highest: i64::from(first) - 1,
            stream: None,
        }
    }

    /// What comes next is another stream.
    pub(super) fn interrupt(&mut self) {
        self.stream = None;
    }

    /// The number of a packet that goes out. `None`: it came before, or is too old.
    pub(super) fn place(&mut self, sequence: u16) -> Option<u16> {
        let begins_at = self.highest + 1;
        let stream = self
            .stream
            .get_or_insert_with(|| Stream::new(sequence, begins_at));
        let number = match stream.arrive(sequence) {
            Arrival::New(number) => number,
            Arrival::Old => return None,
            Arrival::Anew => {
                *stream = Stream::new(sequence, begins_at);
                let Arrival::New(number) = stream.arrive(sequence) else {
                    return None;
                };
                number
            }
        };
        let placed = stream.placed(number);
        self.highest = self.highest.max(placed);
        Some(low_bits(placed))
    }

    /// A packet is left out. What comes behind it closes up, unless that has gone out already.
    pub(super) fn leave_out(&mut self, sequence: u16) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        let before = stream.highest;
        match stream.arrive(sequence) {
            Arrival::New(number) if number > before => stream.left_out.push_back(number),
            Arrival::New(_) | Arrival::Old => {}
            Arrival::Anew => self.stream = None,
        }
    }
}

enum Arrival {
    New(i64),
    Old,
    /// The sender began anew.
    Anew,
}

impl Stream {
    fn new(sequence: u16, begins_at: i64) -> Self {
        let first = i64::from(sequence);
        Self {
            first,
            highest: first - 1,
            offset: begins_at - first,
            left_out: VecDeque::new(),
            came: [0; WINDOW_WORDS],
            stale: None,
        }
    }

    fn arrive(&mut self, sequence: u16) -> Arrival {
        let distance = sequence.wrapping_sub(low_bits(self.highest)).cast_signed();
        let number = self.highest + i64::from(distance);
        if number > self.highest + LARGEST_JUMP {
            return Arrival::Anew;
        }
        if number <= self.highest - WINDOW {
            let follows = self.stale == Some(sequence.wrapping_sub(1));
            self.stale = Some(sequence);
            return if follows { Arrival::Anew } else { Arrival::Old };
        }
        self.stale = None;
        if number < self.first {
            return Arrival::Old;
        }
        for next in self.highest + 1..=number {
            self.set(next, false);
        }
        self.highest = self.highest.max(number);
        if self.has(number) {
            return Arrival::Old;
        }
        self.set(number, true);
        while let Some(oldest) = self.left_out.front() {
            if *oldest > self.highest - WINDOW {
                break;
            }
            self.offset -= 1;
            self.left_out.pop_front();
        }
        Arrival::New(number)
    }

    fn placed(&self, number: i64) -> i64 {
        let before = self.left_out.partition_point(|left_out| *left_out < number);
        let before = i64::try_from(before).unwrap_or(WINDOW);
        number + self.offset - before
    }

    fn has(&self, number: i64) -> bool {
        let (word, bit) = bit_of(number);
        self.came[word] & bit != 0
    }

    fn set(&mut self, number: i64, came: bool) {
        let (word, bit) = bit_of(number);
        if came {
            self.came[word] |= bit;
        } else {
            self.came[word] &= !bit;
        }
    }
}

fn bit_of(number: i64) -> (usize, u64) {
    let place = usize::try_from(number.rem_euclid(WINDOW)).unwrap_or(0);
    (place / 64, 1 << (place % 64))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a sequence number wraps"
)]
const fn low_bits(number: i64) -> u16 {
    number as u16
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn gaps_and_late_packets_keep_their_places() {
        let mut numbers = Numbers::new(65_534);

        assert_eq!(numbers.place(100), Some(65_534));
        assert_eq!(numbers.place(103), Some(1));
        assert_eq!(numbers.place(101), Some(65_535));
        assert_eq!(numbers.place(101), None, "a second time");
        assert_eq!(numbers.place(99), None, "before the first");
    }

    #[test]
    fn what_is_left_out_leaves_no_gap() {
        let mut numbers = Numbers::new(1);

        assert_eq!(numbers.place(10), Some(1));
        numbers.leave_out(11);
        numbers.leave_out(13);
        assert_eq!(numbers.place(14), Some(3));
        assert_eq!(numbers.place(12), Some(2));
        numbers.leave_out(11);
        assert_eq!(numbers.place(15), Some(4));
    }

    #[test]
    fn another_stream_goes_on_where_the_one_before_ended() {
        let mut numbers = Numbers::new(1);
        numbers.place(10);
        numbers.place(13);

        numbers.interrupt();

        assert_eq!(numbers.place(60_000), Some(5));
        assert_eq!(numbers.place(59_999), None);
        assert_eq!(numbers.place(60_001), Some(6));
    }

    #[test]
    fn a_sender_that_begins_anew_goes_on_without_a_gap() {
        let mut numbers = Numbers::new(1);
        numbers.place(10);
        assert_eq!(numbers.place(20_000), Some(2), "far ahead");
        numbers.place(20_001);

        let behind: Vec<_> = [500, 501, 502].map(|number| numbers.place(number)).into();

        assert_eq!(behind, [None, Some(4), Some(5)]);
    }

    #[test]
    fn a_day_of_packets_is_never_taken_for_the_past() {
        let mut numbers = Numbers::new(7);
        let mut expected = 7_u16;
        for number in 0..300_000_u32 {
            let sequence = low_bits(i64::from(number));
            if number % 3 == 2 {
                numbers.leave_out(sequence);
            } else {
                assert_eq!(numbers.place(sequence), Some(expected));
                expected = expected.wrapping_add(1);
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_no_number_is_given_twice_and_streams_follow_each_other(
            events in prop::collection::vec((0..10_u8, -40_i16..60, any::<u16>()), 1..400)
        ) {
            let mut numbers = Numbers::new(65_000);
            let mut sequence = 0_u16;
            let mut given = HashSet::new();
            let mut floor = i64::MIN;
            for (kind, step, anywhere) in events {
                sequence = sequence.wrapping_add_signed(step);
                match kind {
                    0 => {
                        numbers.interrupt();
                        floor = numbers.highest;
                    }
                    1 => sequence = anywhere,
                    2 | 3 => numbers.leave_out(sequence),
                    _ => {
                        let before = numbers.highest;
                        if let Some(placed) = numbers.place(sequence) {
                            let index = before + i64::from(placed.wrapping_sub(low_bits(before)).cast_signed());
                            prop_assert!(given.insert(index), "{} was given before", index);
                            prop_assert!(index > floor, "behind the stream before");
                        }
                    }
                }
            }
        }
    }
}
