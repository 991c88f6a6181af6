//! What was sent to a child and has not come back: by it, what comes back gets its place on the timeline again.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use media::CodecConfig;

use crate::packetise::nal_units;

/// The most pictures that are on their way; at 60 a second, more than four seconds.
pub(super) const PICTURES_LIMIT: usize = 256;

/// Between the labels of two pictures there is at least this much, so that a child's milliseconds tell them apart.
const LEAST_STEP_MS: u64 = 2;

/// A picture that was sent.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    /// Which one of the engine's it was.
    pub(super) number: u64,
    /// Milliseconds since the child's first picture, by which it was labelled.
    pub(super) label_ms: u64,
    pub(super) timestamp: Duration,
    pub(super) keyframe: bool,
    pub(super) config: Option<Arc<CodecConfig>>,
    pub(super) data: Bytes,
    pub(super) arrival: Instant,
}

/// What a picture that came back is.
#[derive(Debug, Clone)]
pub(super) struct Recognised {
    pub(super) sent: Sent,
    /// Whether some of those before it did not come back.
    pub(super) after_loss: bool,
}

/// The pictures of one child's life.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    first: Option<Duration>,
    latest_label_ms: u64,
    waiting: VecDeque<Sent>,
}

impl Ledger {
    /// Gives the label for a picture of this time: its distance from the first one, and more than the one before.
    pub(super) fn label(&mut self, timestamp: Duration) -> u64 {
        let Some(first) = self.first else {
            self.first = Some(timestamp);
            return 0;
        };
        let distance = timestamp.saturating_sub(first).as_millis();
        let distance = u64::try_from(distance).unwrap_or(u64::MAX);
        self.latest_label_ms = distance.max(self.latest_label_ms + LEAST_STEP_MS);
        self.latest_label_ms
    }

    /// Notes a picture that was sent. Fails when as many are on their way as can be.
    pub(super) fn note(&mut self, sent: Sent) -> Result<(), Sent> {
        if self.waiting.len() >= PICTURES_LIMIT {
            return Err(sent);
        }
        self.waiting.push_back(sent);
        Ok(())
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Finds the picture that was copied: the first one with the same slices. `None`: there is none, so it was damaged.
    pub(super) fn recognise_copy(&mut self, data: &[u8]) -> Option<Recognised> {
        let place = self
            .waiting
            .iter()
            .position(|sent| slices(&sent.data).eq(slices(data)))?;
        let sent = self.waiting.drain(..=place).next_back()?;
        Some(Recognised {
            sent,
            after_loss: place > 0,
        })
    }

    /// Finds what an encoder's picture of this label was made of. Those before it were left out. `None`: there is none.
    pub(super) fn recognise_encoded(&mut self, label_ms: u32) -> Option<Sent> {
        let label = self.unwrapped(label_ms);
        while let Some(sent) = self.waiting.front() {
            if sent.label_ms > label {
                return None;
            }
            let sent = self.waiting.pop_front()?;
            if sent.label_ms == label {
                return Some(sent);
            }
        }
        None
    }

    /// FLV's milliseconds have 32 bits, and a studio stays longer than 49 days if it likes.
    fn unwrapped(&self, timestamp_ms: u32) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_possible_wrap,
            reason = "the difference of wrapping clocks is signed"
        )]
        let change = timestamp_ms.wrapping_sub(self.latest_label_ms as u32) as i32;
        self.latest_label_ms.saturating_add_signed(change.into())
    }
}

/// Pictures are made of these; what stands between them may be put elsewhere.
fn slices(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    nal_units(data).filter(|unit| matches!(unit[0] & 0x1f, 1..=5))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(ledger: &mut Ledger, number: u64, timestamp_ms: u64, content: u8) -> Sent {
        let timestamp = Duration::from_millis(timestamp_ms);
        Sent {
            number,
            label_ms: ledger.label(timestamp),
            timestamp,
            keyframe: number == 0,
            config: None,
            data: Bytes::copy_from_slice(&[0, 0, 0, 2, 0x61, content]),
            arrival: Instant::now(),
        }
    }

    fn ledger(contents: &[u8]) -> Ledger {
        let mut ledger = Ledger::default();
        for (number, &content) in (0..).zip(contents) {
            let sent = sent(&mut ledger, number, 7_000 + number * 33, content);
            ledger.note(sent).unwrap();
        }
        ledger
    }

    #[test]
    fn a_copy_gets_its_exact_place_back_whatever_stands_between_its_slices() {
        let mut ledger = ledger(&[1, 2]);

        let first = ledger
            .recognise_copy(&[0, 0, 0, 2, 9, 0xf0, 0, 0, 0, 2, 0x61, 1])
            .unwrap();

        assert_eq!((first.sent.number, first.after_loss), (0, false));
        assert_eq!(first.sent.timestamp, Duration::from_secs(7));
        assert_eq!(ledger.len(), 1);
    }

    #[test]
    fn a_picture_that_did_not_come_back_is_noticed_at_the_next() {
        let mut ledger = ledger(&[1, 2, 3]);

        let third = ledger.recognise_copy(&[0, 0, 0, 2, 0x61, 3]).unwrap();

        assert_eq!((third.sent.number, third.after_loss), (2, true));
        assert_eq!(ledger.len(), 0);
    }

    #[test]
    fn a_damaged_picture_is_nobodys_copy() {
        let mut ledger = ledger(&[1, 2]);

        assert!(ledger.recognise_copy(&[0, 0, 0, 2, 0x61, 9]).is_none());
        assert!(ledger.recognise_copy(&[0, 0, 0, 1, 0x61]).is_none());
        assert_eq!(ledger.len(), 2);
    }

    #[test]
    fn pictures_of_one_millisecond_have_labels_that_rise() {
        let mut ledger = Ledger::default();
        let mut label = |micros| ledger.label(Duration::from_micros(micros));

        assert_eq!([label(5_000), label(5_100), label(5_200)], [0, 2, 4]);
        assert_eq!(label(105_000), 100);
    }

    #[test]
    fn an_encoders_picture_gets_the_exact_place_of_what_it_was_made_of() {
        let mut ledger = Ledger::default();
        for (number, micros) in (0..).zip([7_000_400, 7_033_900, 7_066_100]) {
            let timestamp = Duration::from_micros(micros);
            let sent = Sent {
                label_ms: ledger.label(timestamp),
                timestamp,
                ..sent(&mut Ledger::default(), number, 0, 1)
            };
            ledger.note(sent).unwrap();
        }

        let third = ledger.recognise_encoded(65).unwrap();

        assert_eq!((third.number, third.timestamp.as_micros()), (2, 7_066_100));
        assert_eq!(ledger.len(), 0);
    }

    #[test]
    fn what_an_encoder_made_of_nothing_is_nobodys() {
        let mut ledger = ledger(&[1, 2, 3]);

        assert!(ledger.recognise_encoded(32).is_none());
        assert_eq!(ledger.recognise_encoded(33).unwrap().number, 1);
        assert!(ledger.recognise_encoded(33).is_none());
        assert_eq!(ledger.recognise_encoded(66).unwrap().number, 2);
    }

    #[test]
    fn a_child_that_keeps_everything_is_noticed_at_the_bound() {
        let mut ledger = ledger(&[0; PICTURES_LIMIT]);
        let one_more = sent(&mut ledger, 999, 99_000, 1);

        assert!(ledger.note(one_more).is_err());
        assert_eq!(ledger.len(), PICTURES_LIMIT);
    }
}
