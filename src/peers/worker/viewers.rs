//! Those who watch a broadcast over a session of their own on its worker.

use std::time::Instant;

use media::{RtpPacket, SenderReport, SourceDescription, TrackKind};

use super::{Worker, sinks::SinkSlot};
use crate::{SinkId, door::PeerKey, session::Session};

/// The most viewers of one broadcast, connected or not. One more is refused.
pub const VIEWERS_LIMIT: usize = 50;

impl SinkSlot {
    pub(super) fn remove_viewer(&mut self, peer: PeerKey) {
        self.viewers.retain(|viewer| *viewer != peer);
    }
}

impl Worker {
    /// Takes a place. `false`: there are [`VIEWERS_LIMIT`] already.
    pub(super) fn add_viewer(&mut self, sink: SinkId, peer: PeerKey) -> bool {
        let Some(slot) = self.sinks.get_mut(&sink) else {
            return false;
        };
        let room = slot.viewers.len() < VIEWERS_LIMIT;
        if room {
            slot.viewers.push(peer);
        }
        room
    }

    /// Tells a viewer that has just come of the studio that is there.
    pub(super) fn greet_viewer(&mut self, sink: SinkId, peer: PeerKey, now: Instant) {
        let Some(source) = self.current_source(sink) else {
            return;
        };
        let reports = self.last_reports(sink);
        self.with_session(peer, now, |session| {
            session.handle_source_started(source);
            for (kind, report, arrival) in reports.into_iter().flatten() {
                session.relay_report(kind, &report, arrival);
            }
        });
    }

    pub(super) fn relay_packet(
        &mut self,
        sink: SinkId,
        kind: TrackKind,
        packet: &RtpPacket,
        now: Instant,
    ) {
        self.with_viewers(sink, now, |session| {
            session.relay_packet(kind, packet, now);
        });
    }

    pub(super) fn relay_report(
        &mut self,
        sink: SinkId,
        kind: TrackKind,
        report: &SenderReport,
        now: Instant,
    ) {
        self.with_viewers(sink, now, |session| {
            session.relay_report(kind, report, now);
        });
    }

    pub(super) fn tell_viewers_source_started(
        &mut self,
        sink: SinkId,
        source: SourceDescription,
        now: Instant,
    ) {
        self.with_viewers(sink, now, |session| session.handle_source_started(source));
    }

    pub(super) fn tell_viewers_source_ended(&mut self, sink: SinkId, now: Instant) {
        self.with_viewers(sink, now, Session::handle_source_ended);
    }

    fn with_viewers(&mut self, sink: SinkId, now: Instant, work: impl Fn(&mut Session)) {
        let mut place = 0;
        // By place, for one that panics takes itself off the list.
        while let Some(peer) = self
            .sinks
            .get(&sink)
            .and_then(|slot| slot.viewers.get(place).copied())
        {
            self.with_session(peer, now, &work);
            let stayed = self
                .sinks
                .get(&sink)
                .is_some_and(|slot| slot.viewers.get(place) == Some(&peer));
            place += usize::from(stayed);
        }
    }
}
