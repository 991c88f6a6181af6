//! What comes through to a client, by its own clock. Pure.

use std::{collections::VecDeque, time::Duration};

/// Over which what comes through is measured, on the client's clock.
const RATE_WINDOW: Duration = Duration::from_millis(500);
/// Packets of which that is remembered, whatever the client's clock says: half a second of 50 Mb/s.
const RATE_PACKETS: usize = 2048;
/// What comes through.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// When packets came, on the client's clock, and how large they were.
    arrivals: VecDeque<(Duration, u16)>,
    began: Option<Duration>,
    newest: Duration,
    bytes: u64,
}

impl Received {
    pub(super) fn count(&mut self, arrived: Duration, bytes: u16) {
        if arrived + RATE_WINDOW * 20 < self.newest || arrived > self.newest + RATE_WINDOW * 20 {
            *self = Self::default();
        }
        self.began.get_or_insert(arrived);
        self.newest = self.newest.max(arrived);
        self.arrivals.push_back((arrived, bytes));
        self.bytes += u64::from(bytes);
        while let Some((oldest, bytes)) = self.arrivals.front() {
            let is_lately = *oldest + RATE_WINDOW > self.newest;
            if is_lately && self.arrivals.len() <= RATE_PACKETS {
                break;
            }
            self.bytes -= u64::from(*bytes);
            self.arrivals.pop_front();
        }
    }

    /// Bit/s. `None`: too little to say.
    #[expect(clippy::cast_precision_loss, reason = "half a second of bytes")]
    pub(super) fn rate(&self) -> Option<f64> {
        let lasted = self.newest.saturating_sub(self.began?);
        (lasted >= RATE_WINDOW).then(|| self.bytes as f64 * 8.0 / RATE_WINDOW.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_stands_still_fills_no_memory() {
        let mut received = Received::default();
        for _ in 0..10_000 {
            received.count(Duration::from_secs(1), 1000);
        }

        assert_eq!(received.arrivals.len(), RATE_PACKETS);
        assert_eq!(received.bytes, 1000 * RATE_PACKETS as u64);
    }
}
