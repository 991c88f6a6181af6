//! Whether the peer still takes what it is sent.
//!
//! Judged by TCP's acknowledgements, not by writes that the kernel takes (it takes megabytes for a
//! dead peer) nor by RTMP's own acknowledgements (few servers send them, and each 2.5 MB at best).

use std::time::{Duration, Instant};

/// How little progress counts as none, per window.
///
/// A refused publish still moves 1.5 KB of control messages; silent sound at 32 kb/s moves 20 KB in 5 s.
const PROGRESS_BYTES: u64 = 4 * 1024;

/// How many windows without progress make a stall.
const STALL_WINDOWS: u32 = 3;

/// Where a byte stream stands, in bytes since its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flow {
    /// Handed over for sending, including what waits in our own queue.
    pub(super) handed: u64,
    /// Acknowledged by the peer.
    pub(super) acknowledged: u64,
}

/// Judges progress window by window.
///
/// A window has none when fewer than 4 KiB were acknowledged in it although there was more to
/// acknowledge: bytes that had been handed over before it began are still not acknowledged at its
/// end. So neither a quiet stream nor one with nothing to send is a stall.
#[derive(Debug)]
pub(super) struct Liveness {
    window: Duration,
    began: Instant,
    at_begin: Flow,
    without_progress: u32,
}

impl Liveness {
    pub(super) fn new(window: Duration, flow: Flow, now: Instant) -> Self {
        Self {
            window,
            began: now,
            at_begin: flow,
            without_progress: 0,
        }
    }

    /// When the window ends.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.began + self.window
    }

    /// Tells where the stream stands at `now`; returns whether it has stalled.
    pub(super) fn handle_timeout(&mut self, flow: Flow, now: Instant) -> bool {
        if now < self.poll_timeout() {
            return false;
        }
        let moved = flow.acknowledged.saturating_sub(self.at_begin.acknowledged);
        let is_behind = flow.acknowledged < self.at_begin.handed;
        if moved < PROGRESS_BYTES && is_behind {
            self.without_progress += 1;
        } else {
            self.without_progress = 0;
        }
        self.began = now;
        self.at_begin = flow;
        self.without_progress >= STALL_WINDOWS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(5);

    /// The first window, counted from 1, at whose end the flow is a stall.
    fn stalls_at(flow: impl Fn(u64) -> (u64, u64)) -> Option<u64> {
        let start = Instant::now();
        let flow = |window| {
            let (handed, acknowledged) = flow(window);
            Flow {
                handed,
                acknowledged,
            }
        };
        let mut liveness = Liveness::new(WINDOW, flow(0), start);
        (1..20).find(|window| {
            let now = liveness.poll_timeout();
            liveness.handle_timeout(flow(*window), now)
        })
    }

    #[test]
    fn a_peer_that_takes_nothing_for_three_windows_has_stalled() {
        assert_eq!(stalls_at(|window| (window * 100_000, 0)), Some(4));
        assert_eq!(stalls_at(|window| ((window + 1) * 100_000, 0)), Some(3));
    }

    #[test]
    fn a_peer_that_trickles_has_stalled() {
        assert_eq!(stalls_at(|window| (1_000_000, window * 4_095)), Some(3));
        assert_eq!(stalls_at(|window| (1_000_000, window * 4_096)), None);
    }

    #[test]
    fn silent_sound_is_not_a_stall() {
        assert_eq!(
            stalls_at(|window| (window * 20_000 + 300, window * 20_000)),
            None
        );
    }

    #[test]
    fn a_stream_quieter_than_the_limit_is_not_a_stall() {
        assert_eq!(stalls_at(|window| (window * 500 + 300, window * 500)), None);
    }

    #[test]
    fn nothing_to_send_is_not_a_stall() {
        assert_eq!(stalls_at(|_| (7_000, 7_000)), None);
    }

    #[test]
    fn progress_in_between_begins_anew() {
        assert_eq!(stalls_at(|window| (1_000_000, window / 3 * 5_000)), None);
    }
}
