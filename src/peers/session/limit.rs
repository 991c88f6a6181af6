//! Back-pressure on the studio: the most that it is to send, told by REMB (draft-alvestrand-rmcat-remb-03). Pure.
//!
//! Chrome obeys it beside its own estimate from transport-cc, and keeps to the last one it has heard.

use std::time::{Duration, Instant};

use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;

/// How often a limit is told anew, since any of them may be lost.
const REPEAT: Duration = Duration::from_millis(500);
/// How often it is told that there is no limit any more.
const LIFT_REPEATS: u8 = 4;
/// What no studio reaches, in bit/s; fits 32 bits with a sign.
const NO_LIMIT: u64 = 1_000_000_000;

/// What one session has been told.
#[derive(Debug, Default)]
pub(crate) struct BitrateLimit {
    limit: Option<u64>,
    due: Option<Instant>,
    lifts_left: u8,
}

impl BitrateLimit {
    /// The limit changes, in bit/s. A session that never had one is told nothing.
    pub(crate) fn set(&mut self, limit: Option<u64>, now: Instant) {
        if limit == self.limit {
            return;
        }
        self.limit = limit;
        self.due = Some(now);
        self.lifts_left = if limit.is_none() { LIFT_REPEATS } else { 0 };
    }

    /// When the studio is to be told next, if ever.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// What to tell the studio now, about the streams with these SSRCs.
    pub(crate) fn take_estimate(
        &mut self,
        ssrcs: impl Iterator<Item = u32>,
        now: Instant,
    ) -> Option<ReceiverEstimatedMaximumBitrate> {
        if self.due.is_none_or(|due| now < due) {
            return None;
        }
        if self.limit.is_none() {
            self.lifts_left = self.lifts_left.saturating_sub(1);
        }
        let is_last = self.limit.is_none() && self.lifts_left == 0;
        self.due = (!is_last).then(|| now + REPEAT);
        #[expect(clippy::cast_precision_loss, reason = "the wire has 18 bits of it")]
        let bitrate = self.limit.unwrap_or(NO_LIMIT).min(NO_LIMIT) as f32;
        Some(ReceiverEstimatedMaximumBitrate {
            sender_ssrc: 1,
            bitrate,
            ssrcs: ssrcs.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use rtc::shared::marshal::Marshal;

    use super::*;

    /// What is told within so many milliseconds, and when.
    fn told(limit: &mut BitrateLimit, from: Instant, milliseconds: u64) -> Vec<(u64, f32)> {
        (0..milliseconds)
            .filter_map(|at| {
                let estimate =
                    limit.take_estimate([7].into_iter(), from + Duration::from_millis(at))?;
                Some((at, estimate.bitrate))
            })
            .collect()
    }

    #[test]
    fn a_limit_is_told_at_once_and_every_half_second() {
        let start = Instant::now();
        let mut limit = BitrateLimit::default();
        assert_eq!(told(&mut limit, start, 5000), []);

        limit.set(Some(1_000_000), start);

        let every = [(0, 1e6), (500, 1e6), (1000, 1e6), (1500, 1e6)];
        assert_eq!(told(&mut limit, start, 2000), every);
    }

    #[test]
    fn a_changed_limit_is_told_at_once() {
        let start = Instant::now();
        let mut limit = BitrateLimit::default();
        limit.set(Some(1_000_000), start);
        told(&mut limit, start, 100);

        limit.set(Some(800_000), start);
        limit.set(Some(800_000), start);

        assert_eq!(told(&mut limit, start, 100), [(0, 8e5)]);
    }

    #[test]
    fn a_lifted_limit_is_told_a_few_times() {
        let start = Instant::now();
        let mut limit = BitrateLimit::default();
        limit.set(Some(1_000_000), start);
        told(&mut limit, start, 100);

        limit.set(None, start);

        let lifts = [(0, 1e9), (500, 1e9), (1000, 1e9), (1500, 1e9)];
        assert_eq!(told(&mut limit, start, 60_000), lifts);
        assert_eq!(limit.poll_timeout(), None);
    }

    #[test]
    fn without_a_limit_before_nothing_is_lifted() {
        let start = Instant::now();
        let mut limit = BitrateLimit::default();

        limit.set(None, start);

        assert_eq!(told(&mut limit, start, 5000), []);
    }

    #[test]
    fn the_bytes_are_those_of_the_draft() {
        let start = Instant::now();
        let mut limit = BitrateLimit::default();
        limit.set(Some(1_000_000), start);

        let estimate = limit.take_estimate([0x0102_0304, 0x0506_0708].into_iter(), start);

        // 1,000,000 is 250,000 << 2, and 250,000 is 0x3d090.
        let bytes = [
            0x8f,
            206,
            0,
            6,
            0,
            0,
            0,
            1,
            0,
            0,
            0,
            0,
            b'R',
            b'E',
            b'M',
            b'B',
            2,
            2 << 2 | 0x3,
            0xd0,
            0x90,
            1,
            2,
            3,
            4,
            5,
            6,
            7,
            8,
        ];
        assert_eq!(estimate.unwrap().marshal().unwrap()[..], bytes);
    }
}
