//! What is counted of the connections.

use std::sync::atomic::{AtomicU64, Ordering};

/// What was counted since the start; only ever grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SocketCounts {
    /// Connections that came to speak.
    pub connected: u64,
    /// Handshakes that were refused: too many connections, or a foreign page.
    pub refused: u64,
    /// Clients that were not let in.
    pub unauthenticated: u64,
    /// Events that came.
    pub events: u64,
    /// Events that no dialect knows.
    pub unknown_events: u64,
    /// Events that were dropped because there were too many.
    pub flooded: u64,
    /// Events that took too long.
    pub late: u64,
    /// Connections that were given up because the client did not read.
    pub stalled: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) connected: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) unauthenticated: AtomicU64,
    pub(super) events: AtomicU64,
    pub(super) unknown_events: AtomicU64,
    pub(super) flooded: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) stalled: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn read(&self) -> SocketCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SocketCounts {
            connected: read(&self.connected),
            refused: read(&self.refused),
            unauthenticated: read(&self.unauthenticated),
            events: read(&self.events),
            unknown_events: read(&self.unknown_events),
            flooded: read(&self.flooded),
            late: read(&self.late),
            stalled: read(&self.stalled),
        }
    }
}
