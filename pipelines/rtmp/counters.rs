//! What one destination, or one provider, has been sent, readable at any time without a lock.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Counters of one destination. They go on counting over reconnects when the next connection is given the same ones.
#[derive(Debug, Default)]
pub struct Counters {
    bytes_sent: AtomicU64,
    frames_sent: AtomicU64,
    frames_dropped: AtomicU64,
    bits_per_second: AtomicU64,
    acknowledged_bits_per_second: AtomicU64,
    keyframe_interval_ms: AtomicU64,
    published_at_ms: AtomicU64,
    queued_ms: AtomicU64,
    catching_up: AtomicBool,
}

impl Counters {
    /// Bytes of RTMP that the kernel has taken, or payload bytes of RTP.
    pub fn bytes_sent(&self) -> u64 {
        self.bytes_sent.load(Relaxed)
    }

    /// Pictures handed to the connection.
    pub fn frames_sent(&self) -> u64 {
        self.frames_sent.load(Relaxed)
    }

    /// Pictures left out because the destination was too slow.
    pub fn frames_dropped(&self) -> u64 {
        self.frames_dropped.load(Relaxed)
    }

    /// What was sent in the last second or so, in bits a second. 0 while there is no connection.
    pub fn bits_per_second(&self) -> u64 {
        self.bits_per_second.load(Relaxed)
    }

    /// What the server's TCP acknowledged in the last second or so, in bits a second. 0 while there is no connection.
    ///
    /// Where a link is too slow this is what it carries: the kernel takes more, and in bursts.
    pub fn acknowledged_bits_per_second(&self) -> u64 {
        self.acknowledged_bits_per_second.load(Relaxed)
    }

    /// Time between the last two keyframes, by their timestamps; `None` before the second.
    pub fn keyframe_interval(&self) -> Option<Duration> {
        let milliseconds = self.keyframe_interval_ms.load(Relaxed);
        (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
    }

    /// When the server last began to publish, since 1970; `None` before the first time.
    pub fn published_at(&self) -> Option<Duration> {
        let milliseconds = self.published_at_ms.load(Relaxed);
        (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
    }

    /// Media handed to the connection or waiting for it that the server has not acknowledged, measured once a second.
    /// Zero while there is no connection.
    pub fn queued(&self) -> Duration {
        Duration::from_millis(self.queued_ms.load(Relaxed))
    }

    /// Whether what could not be sent before is being sent, faster than real time.
    pub fn is_catching_up(&self) -> bool {
        self.catching_up.load(Relaxed)
    }

    /// More bytes were sent.
    pub fn add_bytes(&self, bytes: u64) {
        self.bytes_sent.fetch_add(bytes, Relaxed);
    }

    /// One more picture was sent.
    pub fn add_frame(&self) {
        self.add_frames(1);
    }

    /// More pictures were sent.
    pub fn add_frames(&self, frames: u64) {
        self.frames_sent.fetch_add(frames, Relaxed);
    }

    /// More pictures were left out.
    pub fn add_dropped(&self, frames: u64) {
        self.frames_dropped.fetch_add(frames, Relaxed);
    }

    /// So much was sent in the last second or so; 0 when the connection is gone.
    pub fn set_bits_per_second(&self, bits: u64) {
        self.bits_per_second.store(bits, Relaxed);
    }

    pub(super) fn set_acknowledged_bits_per_second(&self, bits: u64) {
        self.acknowledged_bits_per_second.store(bits, Relaxed);
    }

    pub(super) fn set_queued(&self, queued: Duration) {
        self.queued_ms.store(milliseconds(queued), Relaxed);
    }

    pub(super) fn set_catching_up(&self, is: bool) {
        self.catching_up.store(is, Relaxed);
    }

    pub(super) fn set_keyframe_interval(&self, interval: Duration) {
        self.keyframe_interval_ms
            .store(milliseconds(interval), Relaxed);
    }

    /// The receiver began to take the media, since 1970.
    pub fn set_published_at(&self, since_1970: Duration) {
        self.published_at_ms
            .store(milliseconds(since_1970), Relaxed);
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
