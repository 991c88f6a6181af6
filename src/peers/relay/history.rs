//! The packets last sent to a receiver, for those that it asks for again.

use std::time::{Duration, Instant};

use bytes::Bytes;

/// Packets kept: 1.2 s of 1080p60 at 8 Mb/s. Their payloads are shared by all receivers.
const PACKETS: usize = 1024;
/// A packet is sent again at most this often: a receiver that asks more often has not waited for the answer.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// A packet as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) payload_type: u8,
    pub(crate) marker: bool,
    pub(crate) payload: Bytes,
}

/// The last packets of one stream.
#[derive(Debug)]
pub(crate) struct History {
    places: Vec<Option<Entry>>,
}

#[derive(Debug)]
struct Entry {
    sent: Sent,
    again: Option<Instant>,
}

impl History {
    pub(crate) fn new() -> Self {
        Self {
            places: std::iter::repeat_with(|| None).take(PACKETS).collect(),
        }
    }

    /// Keeps a packet in place of the one sent [`PACKETS`] ago.
    pub(crate) fn push(&mut self, sent: Sent) {
        let place = usize::from(sent.sequence) % PACKETS;
        self.places[place] = Some(Entry { sent, again: None });
    }

    /// A packet to send again. `None`: it was never sent, is forgotten, or has just been sent again.
    pub(crate) fn take(&mut self, sequence: u16, now: Instant) -> Option<&Sent> {
        let entry = self.places[usize::from(sequence) % PACKETS]
            .as_mut()
            .filter(|entry| entry.sent.sequence == sequence)?;
        let is_early = entry
            .again
            .is_some_and(|last| now.saturating_duration_since(last) < SHORTEST_PAUSE);
        if is_early {
            return None;
        }
        entry.again = Some(now);
        Some(&entry.sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(sequence: u16) -> Sent {
        Sent {
            sequence,
            timestamp: 0,
            payload_type: 96,
            marker: false,
            payload: Bytes::new(),
        }
    }

    #[test]
    fn the_last_packets_are_kept_and_no_more() {
        let now = Instant::now();
        let mut history = History::new();
        let count = u16::try_from(PACKETS).unwrap();
        let first = u16::MAX - 10;
        for number in 0..=count {
            history.push(sent(first.wrapping_add(number)));
        }

        assert_eq!(history.take(first, now), None);
        for number in 1..=count {
            let sequence = first.wrapping_add(number);
            assert_eq!(history.take(sequence, now), Some(&sent(sequence)));
        }
        assert_eq!(history.take(first.wrapping_add(count + 1), now), None);
    }

    #[test]
    fn a_packet_is_not_sent_again_in_the_same_breath() {
        let now = Instant::now();
        let mut history = History::new();
        history.push(sent(7));

        assert!(history.take(7, now).is_some());
        assert!(history.take(7, now).is_none());
        assert!(history.take(7, now + SHORTEST_PAUSE).is_some());
    }
}
