//! Spreads the packets of a large picture over time.

use std::time::{Duration, Instant};

/// Pictures are sent at no more than this multiple of the bitrate, as Chrome does: a keyframe in one burst overflows sockets.
const PACING_PERCENT: u64 = 250;

/// Says when the next packet may leave.
#[derive(Debug)]
pub(crate) struct Pacer {
    bytes_per_second: u64,
    burst: Duration,
    /// When everything sent so far would have left at the pace.
    clear_at: Option<Instant>,
    ready_at: Option<Instant>,
}

impl Pacer {
    /// A pace for media of so many bit/s that sending may be ahead of by `burst`.
    pub(crate) fn new(bits_per_second: u64, burst: Duration) -> Self {
        let mut pacer = Self {
            bytes_per_second: 1,
            burst,
            clear_at: None,
            ready_at: None,
        };
        pacer.set_bits_per_second(bits_per_second);
        pacer
    }

    /// The media have another bitrate.
    pub(crate) fn set_bits_per_second(&mut self, bits_per_second: u64) {
        self.bytes_per_second = (bits_per_second * PACING_PERCENT / 800).max(1);
    }

    /// When the next packet may be sent; `None`: at once.
    pub(crate) fn ready_at(&self) -> Option<Instant> {
        self.ready_at
    }

    /// A packet of so many bytes has been sent.
    pub(crate) fn handle_sent(&mut self, octets: usize, now: Instant) {
        let nanoseconds =
            u64::try_from(octets).unwrap_or_default() * 1_000_000_000 / self.bytes_per_second;
        let from = self.clear_at.map_or(now, |clear_at| clear_at.max(now));
        let clear_at = from + Duration::from_nanos(nanoseconds);
        self.clear_at = Some(clear_at);
        self.ready_at = (clear_at > now + self.burst).then_some(clear_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BURST: Duration = Duration::from_millis(5);

    #[test]
    fn a_small_picture_is_not_held_back() {
        let now = Instant::now();
        let mut pacer = Pacer::new(3_000_000, BURST);

        for _ in 0..4 {
            assert_eq!(pacer.ready_at(), None);
            pacer.handle_sent(1_100, now);
        }
    }

    #[test]
    fn a_keyframe_leaves_at_two_and_a_half_times_the_bitrate() {
        let mut now = Instant::now();
        let begun = now;
        let mut pacer = Pacer::new(3_000_000, BURST);

        for _ in 0..100 {
            now = pacer.ready_at().unwrap_or(now).max(now);
            pacer.handle_sent(1_000, now);
        }

        let took = now - begun;
        assert!(took > Duration::from_millis(95), "{took:?}");
        assert!(took < Duration::from_millis(107), "{took:?}");
    }

    #[test]
    fn the_pace_forgets_a_pause() {
        let begun = Instant::now();
        let mut pacer = Pacer::new(3_000_000, BURST);
        for _ in 0..20 {
            pacer.handle_sent(1_000, begun);
        }
        assert!(pacer.ready_at().is_some());

        pacer.handle_sent(1_000, begun + Duration::from_secs(1));

        assert_eq!(pacer.ready_at(), None);
    }
}
