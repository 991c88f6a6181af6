//! Those who get a copy of what the current studio of a sink sends, on the worker's thread, beside its media path.

use std::{
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use media::{RtpPacket, SenderReport, SourceDescription, TrackKind};

/// The most watchers of one sink. One more is refused.
pub(crate) const WATCHERS_LIMIT: usize = 16;

/// Names a watcher; [`Directory::next_key`](super::Directory::next_key) gives them out.
pub(crate) type WatcherKey = u64;

/// Gets what the current studio of a sink sends, whoever that is, after decryption and loss repair.
///
/// All calls come from the sink's worker. After each, the worker calls [`poll_timeout`](Self::poll_timeout) and
/// [`poll_keyframe_request`](Self::poll_keyframe_request). A watcher that panics is removed and counted; nothing else
/// suffers. One that is removed is dropped.
pub(crate) trait PacketWatcher: Send {
    /// A studio has connected, or was there already when the watcher came: then its last reports follow, with the time
    /// at which they came. The next packets are its.
    fn handle_source_started(&mut self, source: SourceDescription, now: Instant);

    /// A packet arrived. Loss and reordering are as on the wire, after repair; duplicates have been dropped.
    fn handle_packet(&mut self, kind: TrackKind, packet: &RtpPacket, now: Instant);

    /// The studio told how its clocks relate.
    fn handle_report(&mut self, kind: TrackKind, report: &SenderReport, now: Instant);

    /// The studio is gone; another may come.
    fn handle_source_ended(&mut self, now: Instant);

    /// The receiver of what the watcher sends on told something, on a socket of the watcher's own.
    fn handle_feedback(
        &mut self,
        kind: TrackKind,
        datagram: &[u8],
        from: SocketAddr,
        now: Instant,
    ) {
        let _ = (kind, datagram, from, now);
    }

    /// Takes a pending wish for a keyframe. The arbiter of the current studio limits how often it is granted.
    fn poll_keyframe_request(&mut self) -> bool;

    /// When [`handle_timeout`](Self::handle_timeout) is due, if ever.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Time has passed.
    fn handle_timeout(&mut self, now: Instant);
}

/// The watchers of one sink.
#[derive(Default)]
pub(super) struct Watchers {
    all: Vec<(WatcherKey, Box<dyn PacketWatcher>)>,
    deadline: Option<Instant>,
    panics: u64,
}

impl Watchers {
    /// When the first of them is due, as of the last [`settle`](Self::settle).
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Takes one more. `false`: there are [`WATCHERS_LIMIT`] already.
    pub(super) fn add(&mut self, key: WatcherKey, watcher: Box<dyn PacketWatcher>) -> bool {
        let room = self.all.len() < WATCHERS_LIMIT;
        if room {
            self.all.push((key, watcher));
        }
        room
    }

    /// Drops one. Dropping one that is gone is no error.
    pub(super) fn remove(&mut self, key: WatcherKey) {
        self.all.retain(|(other, _)| *other != key);
    }

    /// Tells one of them something.
    pub(super) fn tell(&mut self, key: WatcherKey, work: impl Fn(&mut dyn PacketWatcher)) {
        self.each_of(|other| other == key, work);
    }

    /// Tells all of them something.
    pub(super) fn each(&mut self, work: impl Fn(&mut dyn PacketWatcher)) {
        self.each_of(|_| true, work);
    }

    /// Tells those who are due that time has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.each(|watcher| {
            if watcher.poll_timeout().is_some_and(|due| due <= now) {
                watcher.handle_timeout(now);
            }
        });
    }

    /// Takes note of what they want next. Returns whether any of them wishes for a keyframe.
    pub(super) fn settle(&mut self) -> bool {
        let mut wished = false;
        self.deadline = None;
        for (_, watcher) in &mut self.all {
            // Asked of each, for the asking takes the wish.
            wished |= watcher.poll_keyframe_request();
            let due = watcher.poll_timeout();
            self.deadline = match (self.deadline, due) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        wished
    }

    /// How many panicked since this was last asked.
    pub(super) fn take_panics(&mut self) -> u64 {
        std::mem::take(&mut self.panics)
    }

    fn each_of(
        &mut self,
        wanted: impl Fn(WatcherKey) -> bool,
        work: impl Fn(&mut dyn PacketWatcher),
    ) {
        let panics = &mut self.panics;
        self.all.retain_mut(|(key, watcher)| {
            let survived =
                !wanted(*key) || catch_unwind(AssertUnwindSafe(|| work(&mut **watcher))).is_ok();
            if !survived {
                *panics += 1;
                tracing::error!("a watcher of a broadcast panicked");
            }
            survived
        });
    }
}
