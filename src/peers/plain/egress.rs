//! Plain RTP that goes out: the studio's packets as one stream for each kind, over all studios. Time is an argument.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use media::{RtpPacket, SenderReport, SourceDescription, TrackKind, VideoCodec};
use rtc::rtcp::sender_report;
use tokio::sync::watch;

use super::{
    EgressReport, EgressTrackReport,
    feedback::{self, Heard},
    history::History,
    packet,
    rewriter::Rewriter,
};
use crate::{
    session::begins_keyframe,
    srtp::{Opener, Sealer},
    worker::watchers::PacketWatcher,
};

/// How often the receiver is told how the clocks relate.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// A report whose way took this much longer or shorter than another's tells that the studio's clock has drifted.
const DRIFT_LIMIT: Duration = Duration::from_millis(50);
/// How often a keyframe is wished for while none comes: the arbiter's own limit.
const WISH_INTERVAL: Duration = Duration::from_secs(1);
/// The most packets that one compound may ask for.
const MISSING_LIMIT: usize = 256;

/// Where an egress's datagrams leave.
pub(crate) trait Outlet: Send {
    /// Sends RTP, or RTCP, of a kind.
    fn send(&self, kind: TrackKind, rtcp: bool, to: SocketAddr, datagram: &[u8]);
}

/// One stream that goes out.
pub(crate) struct EgressTrack {
    pub(super) kind: TrackKind,
    pub(super) payload_type: u8,
    pub(super) to: SocketAddr,
    pub(super) reports_to: SocketAddr,
    pub(super) sealer: Option<Sealer>,
    pub(super) opener: Option<Opener>,
    pub(super) rewriter: Rewriter,
    pub(super) history: History,
    pub(super) report: EgressTrackReport,
}

/// Sends what a studio sends to one receiver.
pub(crate) struct Egress {
    codec: VideoCodec,
    tracks: Vec<EgressTrack>,
    outlet: Box<dyn Outlet>,
    /// What the studio sends now.
    source: Option<SourceDescription>,
    /// When it began, and what the wall clock said then, since 1900.
    epoch: (Instant, Duration),
    /// How much the studio's wall clock is behind ours, or before it.
    behind: Option<Lag>,
    wish: Option<Instant>,
    wishing: bool,
    report_due: Instant,
    report: watch::Sender<EgressReport>,
}

/// A difference of two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lag {
    Behind(Duration),
    Before(Duration),
}

impl Lag {
    fn between(ours: Duration, theirs: Duration) -> Self {
        ours.checked_sub(theirs)
            .map_or_else(|| Self::Before(theirs.saturating_sub(ours)), Self::Behind)
    }

    /// What their clock says when ours says so.
    fn theirs(self, ours: Duration) -> Duration {
        match self {
            Self::Behind(lag) => ours.saturating_sub(lag),
            Self::Before(lag) => ours.saturating_add(lag),
        }
    }

    fn differs(self, other: Self) -> bool {
        let apart =
            match (self, other) {
                (Self::Behind(one), Self::Behind(other))
                | (Self::Before(one), Self::Before(other)) => one.abs_diff(other),
                (Self::Behind(one), Self::Before(other))
                | (Self::Before(one), Self::Behind(other)) => one.saturating_add(other),
            };
        apart > DRIFT_LIMIT
    }
}

impl Egress {
    /// `wall`: the time since 1900 at `now`.
    pub(crate) fn new(
        codec: VideoCodec,
        tracks: Vec<EgressTrack>,
        outlet: Box<dyn Outlet>,
        report: watch::Sender<EgressReport>,
        wall: Duration,
        now: Instant,
    ) -> Self {
        Self {
            codec,
            tracks,
            outlet,
            source: None,
            epoch: (now, wall),
            behind: None,
            wish: None,
            wishing: false,
            report_due: now + REPORT_INTERVAL,
            report,
        }
    }

    /// Whether the studio's pictures are of the codec that the receiver was told.
    fn fits(&self) -> bool {
        self.source
            .is_some_and(|source| source.video == Some(self.codec))
    }

    fn wall(&self, now: Instant) -> Duration {
        let (began, wall) = self.epoch;
        wall + now.saturating_duration_since(began)
    }

    fn track(&mut self, kind: TrackKind) -> Option<&mut EgressTrack> {
        self.tracks.iter_mut().find(|track| track.kind == kind)
    }

    /// A keyframe is needed, unless one was wished for just now.
    fn wish(&mut self, now: Instant) {
        let lately = self
            .wish
            .is_some_and(|last| now.saturating_duration_since(last) < WISH_INTERVAL);
        if !lately {
            self.wish = Some(now);
            self.wishing = true;
        }
    }

    /// Sends a sender report of each stream that has begun.
    fn send_reports(&mut self, goodbye: bool, now: Instant) {
        let wall = self.wall(now);
        let studio = self.behind.map(|lag| lag.theirs(wall));
        for track in &mut self.tracks {
            let Some(standing) = track.rewriter.standing(studio, now) else {
                continue;
            };
            let report = sender_report::SenderReport {
                ssrc: track.rewriter.ssrc(),
                ntp_time: feedback::to_ntp(wall),
                rtp_time: standing.rtp_timestamp,
                packet_count: standing.packets,
                octet_count: standing.octets,
                ..sender_report::SenderReport::default()
            };
            let compound = feedback::sender_compound(report, goodbye);
            let sealed = compound.and_then(|compound| match &mut track.sealer {
                Some(sealer) => sealer.seal_rtcp(&compound),
                None => Some(compound),
            });
            if let Some(sealed) = sealed {
                self.outlet
                    .send(track.kind, true, track.reports_to, &sealed);
            }
        }
    }

    fn publish_report(&self) {
        let of = |kind| {
            self.tracks
                .iter()
                .find(|track| track.kind == kind)
                .map(|track| track.report)
        };
        self.report.send_replace(EgressReport {
            video: of(TrackKind::Video),
            audio: of(TrackKind::Audio),
            codec_differs: self
                .source
                .is_some_and(|source| source.video.is_some() && !self.fits()),
        });
    }

    fn hear(&mut self, kind: TrackKind, heard: Heard, now: Instant) {
        let Some(index) = self.tracks.iter().position(|track| track.kind == kind) else {
            return;
        };
        let track = &mut self.tracks[index];
        let own = track.rewriter.ssrc();
        match heard {
            // Some receivers do not fill in whose picture they mean.
            Heard::KeyframeWanted(ssrc)
                if kind == TrackKind::Video && (ssrc == own || ssrc == 0) =>
            {
                track.report.keyframe_requests += 1;
                self.wish(now);
            }
            Heard::Missing(ssrc, sequences) if ssrc == own => {
                for sequence in sequences.into_iter().take(MISSING_LIMIT) {
                    if let Some(datagram) = track.history.find(sequence, now) {
                        track.report.repeated += 1;
                        self.outlet.send(kind, false, track.to, &datagram);
                    }
                }
            }
            Heard::Reception(ssrc, lost) if ssrc == own => {
                track.report.lost_of_256 = Some(lost);
            }
            Heard::KeyframeWanted(_)
            | Heard::Missing(..)
            | Heard::Reception(..)
            | Heard::Report(..)
            | Heard::Goodbye(_) => {}
        }
    }
}

impl EgressTrack {
    fn send(&mut self, packet: &RtpPacket, outlet: &dyn Outlet) {
        let datagram = packet::write(self.payload_type, packet);
        let sealed = match &mut self.sealer {
            Some(sealer) => sealer.seal_rtp(&datagram),
            None => Some(datagram),
        };
        let Some(sealed) = sealed.map(BytesMut::freeze) else {
            return;
        };
        self.history.keep(packet.sequence, &sealed);
        self.report.packets += 1;
        self.report.bytes += sealed.len() as u64;
        outlet.send(self.kind, false, self.to, &sealed);
    }
}

impl PacketWatcher for Egress {
    fn handle_source_started(&mut self, source: SourceDescription, now: Instant) {
        self.source = Some(source);
        if self.fits() && self.track(TrackKind::Video).is_some() {
            self.wish = None;
            self.wish(now);
        }
    }

    fn handle_packet(&mut self, kind: TrackKind, packet: &RtpPacket, now: Instant) {
        let fits = kind == TrackKind::Audio || self.fits();
        let codec = self.codec;
        let Some(index) = self.tracks.iter().position(|track| track.kind == kind) else {
            return;
        };
        if !fits || packet.payload.is_empty() {
            return;
        }
        let track = &mut self.tracks[index];
        if !track.rewriter.follows(packet.ssrc) {
            if kind == TrackKind::Video && !begins_keyframe(codec, &packet.payload) {
                self.wish(now);
                return;
            }
            track.rewriter.begin(packet, now);
        }
        if let Some(rewritten) = track.rewriter.rewrite(packet, now) {
            track.send(&rewritten, &*self.outlet);
        }
    }

    fn handle_report(&mut self, kind: TrackKind, report: &SenderReport, now: Instant) {
        let lag = Lag::between(self.wall(now), report.ntp_time);
        if self.behind.is_none_or(|known| known.differs(lag)) {
            self.behind = Some(lag);
        }
        if let Some(track) = self.track(kind) {
            track.rewriter.handle_report(report);
        }
    }

    fn handle_source_ended(&mut self, _: Instant) {
        self.source = None;
        self.behind = None;
        for track in &mut self.tracks {
            track.rewriter.interrupt();
        }
    }

    fn handle_feedback(
        &mut self,
        kind: TrackKind,
        datagram: &[u8],
        from: SocketAddr,
        now: Instant,
    ) {
        let Some(track) = self.track(kind) else {
            return;
        };
        if from.ip() != track.reports_to.ip() || !packet::is_rtcp(datagram) {
            return;
        }
        let opened = match &mut track.opener {
            Some(opener) => opener.open_rtcp(datagram),
            None => Some(Bytes::copy_from_slice(datagram)),
        };
        for heard in opened.iter().flat_map(feedback::read) {
            self.hear(kind, heard, now);
        }
    }

    fn poll_keyframe_request(&mut self) -> bool {
        std::mem::take(&mut self.wishing)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.report_due)
    }

    fn handle_timeout(&mut self, now: Instant) {
        if now >= self.report_due {
            self.report_due = now + REPORT_INTERVAL;
            self.send_reports(false, now);
            self.publish_report();
        }
    }
}

impl Drop for Egress {
    /// Says good-bye.
    fn drop(&mut self) {
        let (began, _) = self.epoch;
        // The time of the last report will do for the last one: nothing is measured by it any more.
        let now = began.max(self.report_due);
        self.send_reports(true, now);
    }
}

#[cfg(test)]
#[path = "egress_tests.rs"]
mod tests;
