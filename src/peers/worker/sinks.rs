//! The broadcasts on a worker: their media paths, who is heard by them, and who watches.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use media::{MediaSink, RtpPacket, SenderReport, SourceDescription, TrackKind};

use super::{
    Worker, clock,
    wakes::WakeButton,
    watchers::{PacketWatcher, WatcherKey, Watchers},
};
use crate::{SinkId, door::PeerKey};

/// A broadcast's media path, and who else gets what it gets.
pub(super) struct SinkSlot {
    media: Box<dyn MediaSink>,
    /// The session whose packets it gets.
    pub(super) current: Option<PeerKey>,
    /// The most that its studio is to send, in bit/s.
    limit: Option<u64>,
    deadline: Option<Instant>,
    watchers: Watchers,
    /// The sessions that watch, connected or not.
    pub(super) viewers: Vec<PeerKey>,
    /// The last reports of the current studio, for those who come later, and when they came.
    reports: [Option<(TrackKind, SenderReport, Instant)>; 2],
    wake: Arc<WakeButton>,
}

impl SinkSlot {
    /// When somebody here is due, if ever.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match (self.deadline, self.watchers.deadline()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }
}

impl Worker {
    pub(super) fn attach(&mut self, sink: SinkId, media: Box<dyn MediaSink>, now: Instant) {
        let wake = WakeButton::new(&self.bell);
        let waker = wake.waker();
        self.sinks.insert(
            sink,
            SinkSlot {
                media,
                current: None,
                limit: None,
                deadline: None,
                watchers: Watchers::default(),
                viewers: Vec::new(),
                reports: [None; 2],
                wake,
            },
        );
        self.with_sink(sink, |media| media.handle_attached(&waker));
        self.settle_sink(sink, now);
    }

    /// A watcher that comes while a studio is connected is told of it at once. `false`: there is no such sink, or it has
    /// as many as it can have.
    pub(super) fn add_watcher(
        &mut self,
        sink: SinkId,
        key: WatcherKey,
        watcher: Box<dyn PacketWatcher>,
        now: Instant,
    ) -> bool {
        let source = self.current_source(sink);
        let Some(slot) = self.sinks.get_mut(&sink) else {
            return false;
        };
        if !slot.watchers.add(key, watcher) {
            return false;
        }
        let reports = slot.reports;
        if let Some(source) = source {
            slot.watchers.tell(key, |watcher| {
                watcher.handle_source_started(source, now);
                for (kind, report, arrival) in reports.iter().flatten() {
                    watcher.handle_report(*kind, report, *arrival);
                }
            });
        }
        self.settle_sink(sink, now);
        true
    }

    pub(super) fn remove_watcher(&mut self, sink: SinkId, key: WatcherKey, now: Instant) {
        if let Some(slot) = self.sinks.get_mut(&sink) {
            slot.watchers.remove(key);
            self.settle_sink(sink, now);
        }
    }

    /// What the current studio sends.
    pub(super) fn current_source(&self, sink: SinkId) -> Option<SourceDescription> {
        let current = self.sinks.get(&sink)?.current?;
        if let Some(slot) = self.sessions.get(&current) {
            return slot.source;
        }
        let ingest = self.plain.ingests.get(&current).map(|slot| slot.source);
        ingest.or_else(|| self.composite_source(current).map(|(_, source)| source))
    }

    /// What the current studio reported last, and when.
    pub(super) fn last_reports(
        &self,
        sink: SinkId,
    ) -> [Option<(TrackKind, SenderReport, Instant)>; 2] {
        self.sinks.get(&sink).map_or([None; 2], |slot| slot.reports)
    }

    /// Somebody needs a keyframe of the current studio, whose arbiter decides when it is asked.
    pub(super) fn wish_keyframe(&mut self, sink: SinkId, now: Instant) {
        let Some(current) = self.sinks.get(&sink).and_then(|slot| slot.current) else {
            return;
        };
        if let Some(slot) = self.sessions.get_mut(&current) {
            slot.session.wish_keyframe(now);
        } else {
            self.wish_ingest_keyframe(current, now);
            self.wish_composite_keyframe(current, now);
        }
    }

    pub(super) fn limit_bitrate(&mut self, sink: SinkId, limit: Option<u64>, now: Instant) {
        let Some(slot) = self.sinks.get_mut(&sink) else {
            return;
        };
        slot.limit = limit;
        if let Some(current) = slot.current {
            self.limit_source(current, limit, now);
        }
    }

    fn limit_source(&mut self, current: PeerKey, limit: Option<u64>, now: Instant) {
        self.with_session(current, now, |session| session.limit_bitrate(limit, now));
        self.limit_composite(current, limit, now);
    }

    /// The current studio sent a packet. To be followed by [`settle_sink`](Self::settle_sink).
    pub(super) fn feed_packet(
        &mut self,
        sink: SinkId,
        kind: TrackKind,
        packet: RtpPacket,
        now: Instant,
    ) {
        self.with_watchers(sink, |watcher| watcher.handle_packet(kind, &packet, now));
        self.relay_packet(sink, kind, &packet, now);
        self.with_sink(sink, |media| media.handle_packet(kind, packet, now));
    }

    /// The current studio told how its clocks relate. To be followed by [`settle_sink`](Self::settle_sink).
    pub(super) fn feed_report(
        &mut self,
        sink: SinkId,
        kind: TrackKind,
        report: SenderReport,
        now: Instant,
    ) {
        if let Some(slot) = self.sinks.get_mut(&sink) {
            let place = match kind {
                TrackKind::Video => 0,
                TrackKind::Audio => 1,
            };
            slot.reports[place] = Some((kind, report, now));
        }
        self.with_watchers(sink, |watcher| watcher.handle_report(kind, &report, now));
        self.relay_report(sink, kind, &report, now);
        self.with_sink(sink, |media| media.handle_sender_report(kind, report, now));
    }

    pub(super) fn tell_source_started(
        &mut self,
        sink: SinkId,
        source: SourceDescription,
        now: Instant,
    ) {
        self.with_watchers(sink, |watcher| watcher.handle_source_started(source, now));
        self.tell_viewers_source_started(sink, source, now);
        self.with_sink(sink, |media| media.handle_source_started(source, now));
    }

    pub(super) fn tell_source_ended(&mut self, sink: SinkId, now: Instant) {
        if let Some(slot) = self.sinks.get_mut(&sink) {
            slot.reports = [None; 2];
        }
        self.with_watchers(sink, |watcher| watcher.handle_source_ended(now));
        self.tell_viewers_source_ended(sink, now);
        self.with_sink(sink, |media| media.handle_source_ended(now));
    }

    /// Tells one watcher something.
    pub(super) fn tell_watcher(
        &mut self,
        sink: SinkId,
        key: WatcherKey,
        work: impl Fn(&mut dyn PacketWatcher),
    ) {
        if let Some(slot) = self.sinks.get_mut(&sink) {
            slot.watchers.tell(key, work);
        }
    }

    fn with_watchers(&mut self, sink: SinkId, work: impl Fn(&mut dyn PacketWatcher)) {
        if let Some(slot) = self.sinks.get_mut(&sink) {
            slot.watchers.each(work);
            let panics = slot.watchers.take_panics();
            self.shared.panics.fetch_add(panics, Ordering::Relaxed);
        }
    }

    /// Gives the sink to a session that has just connected, and ends the one before.
    pub(super) fn make_current(&mut self, peer: PeerKey, now: Instant) {
        let slot = self.sessions.get(&peer);
        // A viewer has nothing to give.
        let session = slot.and_then(|slot| Some((slot.sink, slot.source?)));
        let Some((sink, source)) = session.or_else(|| self.composite_source(peer)) else {
            return;
        };
        let Some(slot) = self.sinks.get_mut(&sink) else {
            return;
        };
        let limit = slot.limit;
        let previous = slot
            .current
            .replace(peer)
            .filter(|previous| *previous != peer);
        if let Some(previous) = previous {
            self.tell_source_ended(sink, now);
            self.end_source(previous, "another studio took over", now);
        }
        self.limit_source(peer, limit, now);
        self.tell_source_started(sink, source, now);
        self.settle_sink(sink, now);
    }

    pub(super) fn remove_sink(&mut self, sink: SinkId, reason: &str) {
        let now = clock();
        let sessions: Vec<PeerKey> = self
            .sessions
            .iter()
            .filter(|(_, slot)| slot.sink == sink)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in sessions {
            self.end_session(peer, reason, now);
        }
        self.remove_plain_of(sink, reason, now);
        self.remove_composites_of(sink, reason, now);
        self.sinks.remove(&sink);
        self.shared.directory.forget_sink(sink);
    }

    /// Runs `work` on a sink. A panic ends that broadcast's media only, and is counted.
    fn with_sink(&mut self, sink: SinkId, work: impl FnOnce(&mut dyn MediaSink)) {
        let Some(slot) = self.sinks.get_mut(&sink) else {
            return;
        };
        if catch_unwind(AssertUnwindSafe(|| work(&mut *slot.media))).is_err() {
            self.shared.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!("a broadcast's media path panicked");
            self.remove_sink(sink, "the gateway failed");
        }
    }

    /// Takes note of what a sink wants next.
    pub(super) fn settle_sink(&mut self, sink: SinkId, now: Instant) {
        let Some(slot) = self.sinks.get_mut(&sink) else {
            return;
        };
        slot.deadline = slot.media.poll_timeout();
        let wished = slot.watchers.settle();
        self.shared
            .panics
            .fetch_add(slot.watchers.take_panics(), Ordering::Relaxed);
        if slot.media.poll_keyframe_request() || wished {
            self.wish_keyframe(sink, now);
        }
    }

    /// Turns to the sinks that were woken.
    pub(super) fn handle_wakes(&mut self, now: Instant) {
        if !self.bell.take() {
            return;
        }
        let woken: Vec<SinkId> = self
            .sinks
            .iter()
            .filter(|(_, slot)| slot.wake.take())
            .map(|(sink, _)| *sink)
            .collect();
        for sink in woken {
            self.with_sink(sink, |media| media.handle_timeout(now));
            self.settle_sink(sink, now);
        }
    }

    pub(super) fn handle_sink_timeouts(&mut self, now: Instant) {
        let due: Vec<SinkId> = self
            .sinks
            .iter()
            .filter(|(_, slot)| slot.deadline().is_some_and(|deadline| deadline <= now))
            .map(|(sink, _)| *sink)
            .collect();
        for sink in due {
            if let Some(slot) = self.sinks.get_mut(&sink) {
                slot.watchers.handle_timeout(now);
                if slot.deadline.is_some_and(|deadline| deadline <= now) {
                    self.with_sink(sink, |media| media.handle_timeout(now));
                }
            }
            self.settle_sink(sink, now);
        }
    }
}
