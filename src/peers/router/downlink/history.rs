//! What was sent lately, to be sent again. Pure; time is an argument.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::packet::{Packet, Stamp};

/// Packets kept at most: 1.2 s of 1080p60 at 8 Mb/s. Their payloads are shared by all consumers.
const PACKETS: usize = 1024;
/// A receiver that has waited for longer shows something newer.
const LONGEST: Duration = Duration::from_secs(2);
/// A packet is sent again at most this often, as long as the round trip is unknown.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
/// Packets that are sent again in a second, at most: whoever asks for more could not receive the picture either.
const REPEATS_LIMIT: u32 = 512;
const SECOND: Duration = Duration::from_secs(1);

/// The last packets of one stream, as many as there are and no more memory than they take.
#[derive(Debug)]
pub(super) struct History {
    /// By their number, ascending.
    entries: VecDeque<Entry>,
    repeats: u32,
    since: Instant,
}

#[derive(Debug)]
struct Entry {
    packet: Packet,
    stamp: Stamp,
    sent: Instant,
    repeated: Option<Instant>,
}

impl History {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            entries: VecDeque::new(),
            repeats: 0,
            since: now,
        }
    }

    /// Keeps a packet. Its number was not given before within the last 2^15.
    pub(super) fn keep(&mut self, packet: Packet, stamp: Stamp, now: Instant) {
        while self.entries.front().is_some_and(|oldest| {
            self.entries.len() >= PACKETS || now.saturating_duration_since(oldest.sent) > LONGEST
        }) {
            self.entries.pop_front();
        }
        let place = self.place_of(packet.sequence);
        let entry = Entry {
            packet,
            stamp,
            sent: now,
            repeated: None,
        };
        self.entries.insert(place, entry);
    }

    /// A packet to send again, with what it was first sent with. `None`: it was never sent, is forgotten, has just been
    /// sent again, or too many were asked for.
    pub(super) fn take(
        &mut self,
        sequence: u16,
        round_trip: Option<Duration>,
        now: Instant,
    ) -> Option<(&Packet, Stamp)> {
        if now.saturating_duration_since(self.since) >= SECOND {
            self.since = now;
            self.repeats = 0;
        }
        if self.repeats >= REPEATS_LIMIT {
            return None;
        }
        let place = self.place_of(sequence);
        let entry = self.entries.get_mut(place)?;
        if entry.packet.sequence != sequence {
            return None;
        }
        let pause = round_trip.map_or(SHORTEST_PAUSE, |round_trip| {
            (round_trip * 3 / 4).max(SHORTEST_PAUSE)
        });
        let is_early = |last: Instant| now.saturating_duration_since(last) < pause;
        if entry.repeated.is_some_and(is_early) {
            return None;
        }
        entry.repeated = Some(now);
        self.repeats += 1;
        Some((&entry.packet, entry.stamp))
    }

    /// One of the newest packets, the `number`th from the end, to measure the network with. `None`: there is none.
    pub(super) fn recent(&self, number: usize) -> Option<&Packet> {
        let count = self.entries.len();
        let place = count.checked_sub(1 + number % count.max(1))?;
        self.entries.get(place).map(|entry| &entry.packet)
    }

    /// The first place whose number is not below.
    fn place_of(&self, sequence: u16) -> usize {
        self.entries
            .partition_point(|entry| sequence.wrapping_sub(entry.packet.sequence).cast_signed() > 0)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::router::{downlink::vp8::Front, extensions::Extensions};

    fn packet(sequence: u16) -> Packet {
        Packet {
            sequence,
            timestamp: 0,
            payload_type: 96,
            marker: false,
            extensions: Extensions::default(),
            front: Front::default(),
            payload: Bytes::new(),
        }
    }

    fn history(sequences: impl IntoIterator<Item = u16>, now: Instant) -> History {
        let mut history = History::new(now);
        for sequence in sequences {
            history.keep(packet(sequence), Stamp::default(), now);
        }
        history
    }

    #[test]
    fn the_last_packets_are_kept_and_no_more() {
        let now = Instant::now();
        let first = u16::MAX - 10;
        let history = history((0..=1024).map(|number| first.wrapping_add(number)), now);

        assert_eq!(history.entries.len(), PACKETS);
        let places: Vec<usize> = [1, 1024_u16]
            .map(|number| history.place_of(first.wrapping_add(number)))
            .into();
        assert_eq!(places, [0, 1023]);
    }

    #[test]
    fn what_is_too_old_is_forgotten() {
        let now = Instant::now();
        let mut history = history([1, 2], now);

        history.keep(
            packet(3),
            Stamp::default(),
            now + LONGEST + Duration::from_millis(1),
        );

        assert_eq!(history.entries.len(), 1);
        assert_eq!(history.recent(0).unwrap().sequence, 3);
        assert_eq!(history.recent(7).unwrap().sequence, 3);
    }

    #[test]
    fn a_packet_is_not_sent_again_before_it_can_have_come() {
        let now = Instant::now();
        let mut history = history([7], now);
        let round_trip = Some(Duration::from_millis(100));
        let at = |milliseconds| now + Duration::from_millis(milliseconds);

        assert!(history.take(8, None, now).is_none());
        assert!(history.take(7, None, now).is_some());
        assert!(history.take(7, None, at(19)).is_none());
        assert!(history.take(7, round_trip, at(74)).is_none());
        assert!(history.take(7, round_trip, at(75)).is_some());
    }

    #[test]
    fn a_second_has_a_bound() {
        let now = Instant::now();
        let mut history = history(0..1000, now);

        let taken = (0..1000)
            .filter(|sequence| history.take(*sequence, None, now).is_some())
            .count();

        assert_eq!(taken, 512);
        assert!(history.take(999, None, now + SECOND).is_some());
    }

    proptest! {
        #[test]
        fn late_packets_are_found_in_their_places(mut order in Just((0..60_u16).collect::<Vec<_>>()).prop_shuffle(), first: u16) {
            let now = Instant::now();
            for sequence in &mut order {
                *sequence = sequence.wrapping_add(first);
            }
            let mut history = history(order.clone(), now);

            for sequence in order {
                let (found, _) = history.take(sequence, None, now).unwrap();
                prop_assert_eq!(found.sequence, sequence);
            }
        }
    }
}
