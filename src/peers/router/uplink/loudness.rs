//! How loud a producer is, as its packets say (RFC 6464), told as often as somebody can make use of it. Pure.

use std::time::{Duration, Instant};

/// How often it is told at most.
const INTERVAL: Duration = Duration::from_millis(100);
/// Silence.
const SILENCE: u8 = 127;
/// The level without the bit that says whether it is voice.
const LEVEL: u8 = 0x7f;

/// The loudness of one producer.
#[derive(Debug, Default)]
pub(super) struct Loudness {
    /// The loudest since it was last told; 0 is loudest.
    loudest: Option<u8>,
    told: Option<(u8, Instant)>,
}

impl Loudness {
    /// A packet said this. Returns what is to be told now.
    pub(super) fn handle_level(&mut self, byte: u8, now: Instant) -> Option<u8> {
        let level = byte & LEVEL;
        self.loudest = Some(self.loudest.map_or(level, |loudest| loudest.min(level)));
        let is_due = self
            .told
            .is_none_or(|(_, at)| now.saturating_duration_since(at) >= INTERVAL);
        if !is_due {
            return None;
        }
        let loudest = self.loudest.take()?;
        self.tell(loudest, now)
    }

    /// Nothing comes any more. Returns what is to be told now.
    pub(super) fn fall_silent(&mut self, now: Instant) -> Option<u8> {
        self.loudest = None;
        self.told.and_then(|_| self.tell(SILENCE, now))
    }

    fn tell(&mut self, level: u8, now: Instant) -> Option<u8> {
        let before = self.told.replace((level, now)).map(|(level, _)| level);
        (before != Some(level)).then_some(level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loudest_of_a_tenth_of_a_second_is_told_when_it_changed() {
        let start = Instant::now();
        let mut loudness = Loudness::default();
        let mut told = Vec::new();
        let levels = [
            40, 0x9e, 50, 45, 60, 40, 40, 30, 40, 40, 40, 40, 40, 30, 40, 40,
        ];
        for (packet, level) in (0..).zip(levels) {
            let at = start + Duration::from_millis(20 * packet);
            if let Some(level) = loudness.handle_level(level, at) {
                told.push((20 * packet, level));
            }
        }

        assert_eq!(told, [(0, 40), (100, 30)]);
    }

    #[test]
    fn silence_is_told_once() {
        let start = Instant::now();
        let mut loudness = Loudness::default();
        assert_eq!(loudness.fall_silent(start), None);
        loudness.handle_level(20, start);

        assert_eq!(loudness.fall_silent(start), Some(127));
        assert_eq!(loudness.fall_silent(start), None);
    }
}
