//! What was sent lately, to be sent again. Pure; time is an argument.

use std::time::{Duration, Instant};

use bytes::Bytes;

/// Packets that are kept, a power of two; two seconds of 4.5 Mb/s.
const PACKETS: usize = 1024;
/// Longer packets are not kept: no network carries them in one piece, and the memory is to be bounded (1.5 MB).
const LONGEST_BYTES: usize = 1500;
/// Packets that are sent again in a second, at most: whoever asks for more could not receive the show either.
const RESENDS_LIMIT: u32 = 512;
const SECOND: Duration = Duration::from_secs(1);

/// The packets of one stream, as they went to the network.
#[derive(Debug)]
pub(super) struct History {
    slots: Vec<Option<(u16, Bytes)>>,
    resent: u32,
    since: Instant,
}

impl History {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            slots: vec![None; PACKETS],
            resent: 0,
            since: now,
        }
    }

    /// Keeps a packet.
    pub(super) fn keep(&mut self, sequence: u16, datagram: &Bytes) {
        if datagram.len() <= LONGEST_BYTES {
            let slot = usize::from(sequence) % PACKETS;
            self.slots[slot] = Some((sequence, datagram.clone()));
        }
    }

    /// The packet of this number, if it is still there and not too many were asked for.
    pub(super) fn find(&mut self, sequence: u16, now: Instant) -> Option<Bytes> {
        if now.saturating_duration_since(self.since) >= SECOND {
            self.since = now;
            self.resent = 0;
        }
        if self.resent >= RESENDS_LIMIT {
            return None;
        }
        let slot = self.slots.get(usize::from(sequence) % PACKETS)?.as_ref();
        let (_, datagram) = slot.filter(|(kept, _)| *kept == sequence)?;
        self.resent += 1;
        Some(datagram.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_packets_are_found_and_older_ones_are_not() {
        let now = Instant::now();
        let mut history = History::new(now);
        for number in 0..=1024_u16 {
            let sequence = 65_000_u16.wrapping_add(number);
            history.keep(sequence, &Bytes::from(sequence.to_be_bytes().to_vec()));
        }

        assert_eq!(history.find(65_000, now), None);
        for number in [1, 535, 536, 1024_u16] {
            let sequence = 65_000_u16.wrapping_add(number);
            assert_eq!(
                history.find(sequence, now).unwrap()[..],
                sequence.to_be_bytes()
            );
        }
        assert_eq!(history.find(1000, now), None);
    }

    #[test]
    fn a_second_has_a_bound() {
        let now = Instant::now();
        let mut history = History::new(now);
        history.keep(1, &Bytes::from_static(b"x"));

        let found = (0..1000).filter(|_| history.find(1, now).is_some()).count();

        assert_eq!(found, 512);
        assert!(history.find(1, now + SECOND).is_some());
    }

    #[test]
    fn packets_longer_than_any_network_s_are_not_kept() {
        let now = Instant::now();
        let mut history = History::new(now);
        history.keep(1, &Bytes::from(vec![0; LONGEST_BYTES]));
        history.keep(2, &Bytes::from(vec![0; LONGEST_BYTES + 1]));

        assert!(history.find(1, now).is_some() && history.find(2, now).is_none());
    }
}
