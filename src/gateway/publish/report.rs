//! What publishing came to, while it runs and afterwards.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use url::Url;

/// All sessions together, once a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Since publishing began.
    pub elapsed: Duration,
    /// Sessions that are connected now.
    pub connected: usize,
    /// Sessions that were asked for.
    pub sessions: usize,
    /// Pictures sent in the last second.
    pub frames: u64,
    /// RTP payload sent in the last second, in bit/s.
    pub bits_per_second: u64,
    /// Keyframes that the server asked for in the last second.
    pub keyframe_requests: u64,
    /// Packets that were not sent in the last second, because the connection was too slow.
    pub skipped: u64,
}

impl fmt::Display for Progress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:>4} s  {}/{} connected  {:>3} frames  {:>5} kb/s  {} keyframe requests",
            self.elapsed.as_secs(),
            self.connected,
            self.sessions,
            self.frames,
            self.bits_per_second / 1_000,
            self.keyframe_requests,
        )?;
        if self.skipped > 0 {
            write!(formatter, "  {} packets skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// What became of all sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishReport {
    /// One for each session, in order.
    pub sessions: Vec<SessionReport>,
}

impl PublishReport {
    /// Whether every session published until it was to end.
    pub fn succeeded(&self) -> bool {
        self.sessions
            .iter()
            .all(|session| session.failure.is_none())
    }
}

/// What became of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionReport {
    /// The WHIP URL it was offered at.
    pub url: Url,
    /// From sending the offer to having the answer.
    pub answered_after: Option<Duration>,
    /// From sending the offer to being able to send media.
    pub connected_after: Option<Duration>,
    /// Pictures sent.
    pub frames: u64,
    /// Pictures that were never made, because the encoder was late.
    pub late_frames: u64,
    /// Packets of sound sent.
    pub audio_packets: u64,
    /// RTP payload sent.
    pub bytes: u64,
    /// Keyframes that the server asked for.
    pub keyframe_requests: u64,
    /// Packets that were not sent, because the connection was too slow.
    pub skipped: u64,
    /// Why it ended early.
    pub failure: Option<String>,
}

impl SessionReport {
    pub(super) fn new(url: Url) -> Self {
        Self {
            url,
            answered_after: None,
            connected_after: None,
            frames: 0,
            late_frames: 0,
            audio_packets: 0,
            bytes: 0,
            keyframe_requests: 0,
            skipped: 0,
            failure: None,
        }
    }

    pub(super) fn take(&mut self, counters: &Counters) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.frames = count(&counters.frames);
        self.late_frames = count(&counters.late_frames);
        self.audio_packets = count(&counters.audio_packets);
        self.bytes = count(&counters.bytes);
        self.keyframe_requests = count(&counters.keyframe_requests);
        self.skipped = count(&counters.skipped);
    }
}

/// What one session has done so far.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) connected: AtomicBool,
    pub(super) frames: AtomicU64,
    pub(super) late_frames: AtomicU64,
    pub(super) audio_packets: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) keyframe_requests: AtomicU64,
    pub(super) skipped: AtomicU64,
}

/// Sums of the counters at one instant.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Totals {
    pub(super) connected: usize,
    pub(super) frames: u64,
    pub(super) bytes: u64,
    pub(super) keyframe_requests: u64,
    pub(super) skipped: u64,
}

impl Totals {
    pub(super) fn of<'a>(sessions: impl Iterator<Item = &'a Counters>) -> Self {
        let mut totals = Self::default();
        for session in sessions {
            totals.connected += usize::from(session.connected.load(Ordering::Relaxed));
            totals.frames += session.frames.load(Ordering::Relaxed);
            totals.bytes += session.bytes.load(Ordering::Relaxed);
            totals.keyframe_requests += session.keyframe_requests.load(Ordering::Relaxed);
            totals.skipped += session.skipped.load(Ordering::Relaxed);
        }
        totals
    }

    /// What a second has brought, given the sums before it.
    pub(super) fn since(&self, before: &Self, elapsed: Duration, sessions: usize) -> Progress {
        Progress {
            elapsed,
            connected: self.connected,
            sessions,
            frames: self.frames - before.frames,
            bits_per_second: (self.bytes - before.bytes) * 8,
            keyframe_requests: self.keyframe_requests - before.keyframe_requests,
            skipped: self.skipped - before.skipped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_one_line() {
        let counters = Counters::default();
        counters.connected.store(true, Ordering::Relaxed);
        counters.frames.store(60, Ordering::Relaxed);
        counters.bytes.store(750_000, Ordering::Relaxed);
        let before = Totals {
            frames: 30,
            bytes: 375_000,
            ..Totals::default()
        };

        let progress =
            Totals::of([&counters].into_iter()).since(&before, Duration::from_secs(2), 1);

        assert_eq!(
            progress.to_string(),
            "   2 s  1/1 connected   30 frames   3000 kb/s  0 keyframe requests"
        );
    }
}
