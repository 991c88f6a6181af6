//! Whether the peer still takes what it is sent.
//!
//! Judged by TCP's acknowledgements, not by writes that the kernel takes (it takes megabytes for a
//! dead peer) nor by RTMP's own acknowledgements (few servers send them, and each 2.5 MB at best).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How little progress counts as none in the time that a stall takes to be one.
///
/// A refused publish still moves 1.5 KB of control messages; silent sound at 32 kb/s moves 50 KB.
const PROGRESS_BYTES: u64 = 12 * 1024;

/// How many times in each window it is looked where the stream stands.
const LOOKS_PER_WINDOW: u32 = 5;

/// For how many looks there must be no progress: one and a bit less than three windows, so that a peer that stopped
/// between two looks is found within three windows.
const LOOKS: usize = 13;

/// Where a byte stream stands, in bytes since its beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flow {
    /// Handed over for sending, including what waits in our own queue.
    pub(super) handed: u64,
    /// Acknowledged by the peer.
    pub(super) acknowledged: u64,
}

impl Flow {
    /// Bytes on their way.
    pub(super) const fn unacknowledged(&self) -> u64 {
        self.handed.saturating_sub(self.acknowledged)
    }
}

/// Judges progress, five times in each window.
///
/// A stream has stalled when what had been handed over thirteen looks ago is still not all acknowledged, and less than
/// 12 KiB have been acknowledged since. So neither a quiet stream nor one with nothing to send is a stall.
#[derive(Debug)]
pub(super) struct Liveness {
    look: Duration,
    next: Instant,
    /// The latest looks, oldest first.
    flows: VecDeque<Flow>,
}

impl Liveness {
    pub(super) fn new(window: Duration, flow: Flow, now: Instant) -> Self {
        let look = window / LOOKS_PER_WINDOW;
        Self {
            look,
            next: now + look,
            flows: VecDeque::from([flow]),
        }
    }

    /// When to look again.
    pub(super) const fn poll_timeout(&self) -> Instant {
        self.next
    }

    /// Tells where the stream stands at `now`; returns whether it has stalled.
    pub(super) fn handle_timeout(&mut self, flow: Flow, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + self.look;
        self.flows.push_back(flow);
        let Some(excess) = self.flows.len().checked_sub(LOOKS + 1) else {
            return false;
        };
        self.flows.drain(..excess);
        self.flows.front().is_some_and(|then| {
            let moved = flow.acknowledged.saturating_sub(then.acknowledged);
            flow.acknowledged < then.handed && moved < PROGRESS_BYTES
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(5);

    /// The first look, one a second, counted from 1, at which the flow is a stall.
    fn stalls_at(flow: impl Fn(u64) -> (u64, u64)) -> Option<u64> {
        let start = Instant::now();
        let flow = |look| {
            let (handed, acknowledged) = flow(look);
            Flow {
                handed,
                acknowledged,
            }
        };
        let mut liveness = Liveness::new(WINDOW, flow(0), start);
        (1..100).find(|look| {
            let now = liveness.poll_timeout();
            assert_eq!(now, start + Duration::from_secs(*look));
            liveness.handle_timeout(flow(*look), now)
        })
    }

    #[test]
    fn a_peer_that_takes_nothing_is_found_within_15_seconds() {
        assert_eq!(stalls_at(|look| (look * 20_000, 0)), Some(14));
        assert_eq!(stalls_at(|look| ((look + 1) * 20_000, 0)), Some(13));
    }

    #[test]
    fn a_peer_that_stops_later_is_found_within_15_seconds() {
        let stopped = 30;

        let found = stalls_at(|look| (look * 20_000, look.min(stopped) * 20_000));

        assert_eq!(found, Some(stopped + 14));
    }

    #[test]
    fn a_peer_that_trickles_has_stalled() {
        assert_eq!(stalls_at(|look| (1_000_000, look * 900)), Some(13));
        assert_eq!(stalls_at(|look| (1_000_000, look * 1_000)), None);
    }

    #[test]
    fn silent_sound_is_not_a_stall() {
        assert_eq!(stalls_at(|look| (look * 4_000 + 300, look * 4_000)), None);
    }

    #[test]
    fn a_stream_quieter_than_the_limit_is_not_a_stall() {
        assert_eq!(stalls_at(|look| (look * 100 + 90, look * 100)), None);
    }

    #[test]
    fn nothing_to_send_is_not_a_stall() {
        assert_eq!(stalls_at(|_| (7_000, 7_000)), None);
    }

    #[test]
    fn a_pause_of_ten_seconds_is_not_a_stall() {
        assert_eq!(
            stalls_at(|look| (look * 20_000, look / 10 * 10 * 20_000)),
            None
        );
    }
}
