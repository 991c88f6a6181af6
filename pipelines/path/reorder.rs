//! Puts RTP packets back in order, and decides when a missing one is lost.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use media::RtpPacket;

/// How long a missing packet is waited for: long enough for a second request at a round trip of 100 ms, when the first
/// or its answer was lost too. It delays nothing unless a packet is missing.
const PATIENCE: Duration = Duration::from_millis(450);

/// The most packets that wait behind a missing one: 450 ms of 50 Mb/s. When full, the missing one is lost at once.
const WAITING_LIMIT: usize = 2_400;

/// A step of the sequence number that no loss or reordering explains.
const JUMP: i64 = 3_000;

/// A packet in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum InOrder {
    /// The next packet and when it came.
    Packet(RtpPacket, Instant),
    /// Packets before the next one never came.
    Lost,
    /// The sender began anew: nothing that follows belongs to what was before.
    Restarted,
}

/// The reorder buffer of one track.
#[derive(Debug, Default)]
pub(super) struct Reorder {
    stream: Option<Stream>,
    /// A packet that does not fit. It counts once its successor has come, too.
    stray: Option<(RtpPacket, Instant)>,
    ready: VecDeque<InOrder>,
}

#[derive(Debug)]
struct Stream {
    ssrc: u32,
    /// Unwrapped number of the packet that is due.
    next: i64,
    waiting: BTreeMap<i64, (RtpPacket, Instant)>,
    /// Since when a packet has been missing.
    missing_since: Option<Instant>,
}

impl Reorder {
    /// Takes a packet as it arrives. Duplicates and packets that are too late vanish.
    pub(super) fn push(&mut self, packet: RtpPacket, now: Instant) {
        let Some(stream) = &mut self.stream else {
            self.stream = Some(Stream::begin(packet, now, &mut self.ready));
            return;
        };
        let offset = i64::from(
            packet
                .sequence
                .wrapping_sub(stream.next_sequence())
                .cast_signed(),
        );
        if packet.ssrc == stream.ssrc && offset.abs() < JUMP {
            self.stray = None;
            if offset >= 0 {
                stream.insert(stream.next + offset, packet, now);
                stream.release(now, &mut self.ready);
            }
            return;
        }
        match self.stray.take() {
            Some((stray, arrival))
                if stray.ssrc == packet.ssrc
                    && stray.sequence.wrapping_add(1) == packet.sequence =>
            {
                self.ready.push_back(InOrder::Restarted);
                let mut stream = Stream::begin(stray, arrival, &mut self.ready);
                stream.insert(stream.next, packet, now);
                stream.release(now, &mut self.ready);
                self.stream = Some(stream);
            }
            Some(_) | None => self.stray = Some((packet, now)),
        }
    }

    /// Gives up what is missing before a packet that waits: nothing of before it is of any use. Unless some of what waits
    /// before it is of the same time: then it is in the middle of something.
    pub(super) fn skip_to(&mut self, sequence: u16, timestamp: u32) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        let offset = i64::from(sequence.wrapping_sub(stream.next_sequence()).cast_signed());
        let number = stream.next + offset;
        let mut before = stream.waiting.range(..number);
        let is_within = before.any(|(_, (packet, _))| packet.timestamp == timestamp);
        if stream.waiting.contains_key(&number) && !is_within {
            stream.waiting = stream.waiting.split_off(&number);
            stream.missing_since = None;
            stream.next = number;
            self.ready.push_back(InOrder::Lost);
        }
    }

    /// Returns the next packet or loss, if it is certain by now.
    pub(super) fn poll(&mut self, now: Instant) -> Option<InOrder> {
        if self.ready.is_empty()
            && let Some(stream) = &mut self.stream
        {
            stream.release(now, &mut self.ready);
        }
        self.ready.pop_front()
    }

    /// When a missing packet will be lost.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        Some(self.stream.as_ref()?.missing_since? + PATIENCE)
    }
}

impl Stream {
    fn begin(packet: RtpPacket, now: Instant, ready: &mut VecDeque<InOrder>) -> Self {
        let stream = Self {
            ssrc: packet.ssrc,
            next: i64::from(packet.sequence) + 1,
            waiting: BTreeMap::new(),
            missing_since: None,
        };
        ready.push_back(InOrder::Packet(packet, now));
        stream
    }

    /// The wrapped number of the packet that is due.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "wrapping is meant"
    )]
    fn next_sequence(&self) -> u16 {
        self.next as u16
    }

    fn insert(&mut self, number: i64, packet: RtpPacket, now: Instant) {
        self.waiting.entry(number).or_insert((packet, now));
    }

    /// Moves all that is in order to `ready`; gives up what has been missing for too long.
    fn release(&mut self, now: Instant, ready: &mut VecDeque<InOrder>) {
        while let Some((&first, _)) = self.waiting.first_key_value() {
            if first > self.next {
                let since = *self.missing_since.get_or_insert_with(|| {
                    // Known to be missing since the first packet came that is behind it.
                    self.waiting
                        .values()
                        .map(|(_, arrival)| *arrival)
                        .min()
                        .unwrap_or(now)
                });
                if now < since + PATIENCE && self.waiting.len() <= WAITING_LIMIT {
                    return;
                }
                ready.push_back(InOrder::Lost);
                self.next = first;
            }
            self.missing_since = None;
            if let Some((packet, arrival)) = self.waiting.remove(&self.next) {
                ready.push_back(InOrder::Packet(packet, arrival));
                self.next += 1;
            }
        }
        self.missing_since = None;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn packet(sequence: u16) -> RtpPacket {
        RtpPacket {
            sequence,
            timestamp: 0,
            ssrc: 1,
            marker: false,
            payload: Bytes::new(),
        }
    }

    fn drain(reorder: &mut Reorder, now: Instant) -> Vec<Option<u16>> {
        std::iter::from_fn(|| reorder.poll(now))
            .map(|event| match event {
                InOrder::Packet(packet, _) => Some(packet.sequence),
                InOrder::Lost | InOrder::Restarted => None,
            })
            .collect()
    }

    #[test]
    fn nothing_waits_when_nothing_is_missing() {
        let now = Instant::now();
        let mut reorder = Reorder::default();

        for sequence in [65_534, 65_535, 0, 1] {
            reorder.push(packet(sequence), now);
            assert_eq!(drain(&mut reorder, now), [Some(sequence)]);
        }
        assert_eq!(reorder.poll_timeout(), None);
    }

    #[test]
    fn a_late_packet_takes_its_place_and_a_second_copy_vanishes() {
        let now = Instant::now();
        let mut reorder = Reorder::default();

        for sequence in [7, 9, 10, 9, 8, 8, 7] {
            reorder.push(packet(sequence), now);
        }

        assert_eq!(
            drain(&mut reorder, now),
            [Some(7), Some(8), Some(9), Some(10)]
        );
    }

    #[test]
    fn a_packet_that_never_comes_is_lost_when_patience_ends() {
        let now = Instant::now();
        let mut reorder = Reorder::default();
        reorder.push(packet(1), now);
        reorder.push(packet(3), now + Duration::from_millis(10));
        reorder.push(packet(6), now + Duration::from_millis(100));

        let due = reorder.poll_timeout().unwrap();
        assert_eq!(due, now + Duration::from_millis(460));
        assert_eq!(
            drain(&mut reorder, now + Duration::from_millis(459)),
            [Some(1)]
        );
        assert_eq!(drain(&mut reorder, due), [None, Some(3)]);
        assert_eq!(
            reorder.poll_timeout(),
            Some(now + Duration::from_millis(550))
        );
        assert_eq!(
            drain(&mut reorder, now + Duration::from_millis(550)),
            [None, Some(6)]
        );
    }

    #[test]
    fn what_is_missing_before_a_new_beginning_is_not_waited_for() {
        let now = Instant::now();
        let mut reorder = Reorder::default();
        for sequence in [1, 3, 6, 8] {
            reorder.push(packet(sequence), now);
        }
        assert_eq!(drain(&mut reorder, now), [Some(1)]);

        reorder.skip_to(7, 1);
        assert_eq!(drain(&mut reorder, now), [], "it has not come");
        reorder.skip_to(6, 0);
        assert_eq!(drain(&mut reorder, now), [], "it is in the middle");
        reorder.skip_to(6, 1);
        reorder.push(packet(5), now);

        assert_eq!(drain(&mut reorder, now), [None, Some(6)]);
        assert_eq!(
            reorder.poll_timeout(),
            Some(now + PATIENCE),
            "its own packets are waited for"
        );
        reorder.push(packet(7), now);
        assert_eq!(drain(&mut reorder, now), [Some(7), Some(8)]);
    }

    #[test]
    fn too_many_waiting_packets_end_the_wait() {
        let now = Instant::now();
        let mut reorder = Reorder::default();
        reorder.push(packet(0), now);

        for sequence in 2..=2_402 {
            reorder.push(packet(sequence), now);
        }

        assert_eq!(drain(&mut reorder, now).len(), 2_403);
    }

    #[test]
    fn a_new_sender_counts_from_its_second_packet_on_and_a_stray_one_never() {
        let now = Instant::now();
        let mut reorder = Reorder::default();
        reorder.push(packet(100), now);
        reorder.push(packet(40_000), now);
        reorder.push(packet(101), now);
        assert_eq!(drain(&mut reorder, now), [Some(100), Some(101)]);

        reorder.push(
            RtpPacket {
                ssrc: 2,
                ..packet(500)
            },
            now,
        );
        reorder.push(
            RtpPacket {
                ssrc: 2,
                ..packet(501)
            },
            now,
        );

        assert_eq!(drain(&mut reorder, now), [None, Some(500), Some(501)]);
    }

    proptest! {
        #[test]
        fn what_comes_within_patience_comes_out_in_order(
            start in any::<u16>(),
            order in prop::collection::vec(0..40_u16, 2..500),
            lost in prop::collection::hash_set(1..500_u16, 0..20),
        ) {
            let begin = Instant::now();
            // Each packet is late by up to 40 places of 2 ms.
            let mut arrivals: Vec<(u32, u16)> = order
                .iter()
                .zip(0_u16..)
                .map(|(late, number)| (if number == 0 { 0 } else { u32::from(number) + u32::from(*late) }, number))
                .filter(|(_, number)| !lost.contains(number))
                .collect();
            arrivals.sort_unstable();
            let mut reorder = Reorder::default();
            let mut events = Vec::new();
            let mut now = begin;
            for (tick, number) in &arrivals {
                now = begin + Duration::from_millis(2) * *tick;
                reorder.push(packet(start.wrapping_add(*number)), now);
                events.extend(drain(&mut reorder, now));
            }
            events.extend(drain(&mut reorder, now + Duration::from_secs(1)));

            let came: Vec<u16> = events.iter().flatten().map(|sequence| sequence.wrapping_sub(start)).collect();
            let mut expected: Vec<u16> = arrivals.iter().map(|(_, number)| *number).collect();
            expected.sort_unstable();
            prop_assert_eq!(came, expected);
            prop_assert_eq!(reorder.poll_timeout(), None);
        }
    }
}

#[cfg(test)]
#[path = "reorder_loss_tests.rs"]
mod loss_tests;
