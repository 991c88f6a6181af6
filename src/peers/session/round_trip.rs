//! The round trip to the studio, by STUN requests of our own.

use std::time::{Duration, Instant};

/// Measures the round trip.
#[derive(Debug)]
pub(super) struct RoundTrip {
    request: Option<([u8; 12], Instant)>,
    due: Instant,
    known: Option<Duration>,
}

impl RoundTrip {
    /// How often it is measured.
    pub(super) const INTERVAL: Duration = Duration::from_secs(2);

    pub(super) fn new(now: Instant) -> Self {
        Self {
            request: None,
            due: now + Self::INTERVAL,
            known: None,
        }
    }

    /// When the next request is due.
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// The smoothed round trip, once there was an answer.
    pub(super) const fn known(&self) -> Option<Duration> {
        self.known
    }

    /// The next request is due at `due`.
    pub(super) const fn begin(&mut self, due: Instant) {
        self.due = due;
    }

    /// A request went out.
    pub(super) const fn handle_request(&mut self, transaction: [u8; 12], now: Instant) {
        self.request = Some((transaction, now));
    }

    /// An answer came; only the one to the latest request counts.
    pub(super) fn handle_answer(&mut self, transaction: [u8; 12], now: Instant) {
        if let Some((expected, sent)) = self.request
            && expected == transaction
        {
            let sample = now.saturating_duration_since(sent);
            self.known = Some(self.known.map_or(sample, |known| (known * 3 + sample) / 4));
            self.request = None;
        }
    }

    /// The request that is out will not be answered.
    pub(super) const fn forget_request(&mut self) {
        self.request = None;
    }
}
