//! Plain RTP that comes in: its streams as one source, with keyframes, statistics, and an end. No I/O; time is an argument.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use media::{RtpPacket, SenderReport, SourceDescription, TrackKind, VideoCodec};
use rtc::{crypto::RTCCryptoProvider, rtcp::Packet, shared::error::Error};
use tokio::sync::{mpsc, watch};

use super::{
    IngestReport, PlainIngestOrder,
    described_sets::DescribedSets,
    packet,
    track::{Repair, Taken, Track},
};
use crate::{
    PeerEvent,
    repair::RepairCounters,
    session::{begins_keyframe, keyframes::KeyframeArbiter, statistics::Statistics},
};

/// How long nothing may come before the source counts as gone.
pub(crate) const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// How often the sender is told what came, and the owner what is counted.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// A stream that returns within this time of another of the same source belongs to the same start.
const TOGETHER: Duration = Duration::from_secs(2);
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// What is to be done for an ingest.
pub(crate) enum IngestOutput {
    /// Send this from the stream's socket for RTCP.
    Send(TrackKind, SocketAddr, BytesMut),
    /// Media come: it is a source from now on. When it was one already, its sender began anew.
    Started,
    /// Give this to the sink.
    Packet(TrackKind, RtpPacket),
    /// Give this to the sink.
    Report(TrackKind, SenderReport),
    /// It is no source any more, for this reason; it may become one again.
    Gone,
}

/// Ports that take plain RTP.
pub(crate) struct Ingest {
    codec: Option<VideoCodec>,
    tracks: Vec<Track>,
    /// Our SSRC in RTCP.
    own: u32,
    arbiter: KeyframeArbiter,
    sets: DescribedSets,
    counters: Arc<RepairCounters>,
    statistics: Statistics,
    events: mpsc::Sender<PeerEvent>,
    report: watch::Sender<IngestReport>,
    started: bool,
    report_due: Instant,
    deadline: Instant,
}

impl Ingest {
    pub(crate) fn new(
        order: PlainIngestOrder,
        own: u32,
        events: mpsc::Sender<PeerEvent>,
        report: watch::Sender<IngestReport>,
        crypto: &Arc<dyn RTCCryptoProvider>,
        now: Instant,
    ) -> Result<Self, Error> {
        let ip = order.source.map(|source| source.ip);
        let codec = order.video.as_ref().map(|(codec, _)| *codec);
        let sets = DescribedSets::new(order.video.as_ref());
        let video = order.video.map(|(_, track)| (TrackKind::Video, track));
        let audio = order.audio.map(|track| (TrackKind::Audio, track));
        let tracks = video
            .into_iter()
            .chain(audio)
            .map(|(kind, track)| Track::new(kind, track, ip, crypto))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            codec,
            tracks,
            own,
            arbiter: KeyframeArbiter::default(),
            sets,
            counters: Arc::default(),
            statistics: Statistics::new(now),
            events,
            report,
            started: false,
            report_due: now + REPORT_INTERVAL,
            deadline: now + REPORT_INTERVAL,
        })
    }

    /// What it is going to send.
    pub(crate) fn source(&self) -> SourceDescription {
        SourceDescription {
            video: self.codec,
            audio: self
                .tracks
                .iter()
                .any(|track| track.kind == TrackKind::Audio),
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due. Kept, so that asking is free.
    pub(crate) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Somebody needs a keyframe.
    pub(crate) fn wish_keyframe(&mut self, now: Instant) {
        self.arbiter.wish();
        if self.started && self.codec.is_some() {
            self.deadline = self.deadline.min(self.arbiter.poll_timeout(now));
        }
    }

    /// A datagram on one of the ports of a stream. `reports`: on that for RTCP alone.
    pub(crate) fn handle_datagram(
        &mut self,
        kind: TrackKind,
        reports: bool,
        datagram: &[u8],
        from: SocketAddr,
        now: Instant,
        act: &mut impl FnMut(IngestOutput),
    ) {
        let Some(index) = self.tracks.iter().position(|track| track.kind == kind) else {
            return;
        };
        let before = self.last_packet();
        let track = &mut self.tracks[index];
        if packet::is_rtcp(datagram) {
            for taken in track.handle_reports(datagram, from, now) {
                self.handle_taken(index, taken, before, now, act);
            }
        } else if reports {
            track.handle_latch(from);
        } else if let Some(taken) = track.handle_rtp(datagram, from, now) {
            self.handle_taken(index, taken, before, now, act);
        }
        self.request_when_due(now, act);
        self.deadline = self.next_deadline(now);
    }

    fn handle_taken(
        &mut self,
        index: usize,
        taken: Taken,
        before: Option<Instant>,
        now: Instant,
        act: &mut impl FnMut(IngestOutput),
    ) {
        let kind = self.tracks[index].kind;
        match taken {
            Taken::Packet {
                packet,
                anew,
                recovered,
            } => {
                self.begin_when_anew(anew, before, now, act);
                if recovered {
                    self.counters.count_recovered(1);
                }
                self.statistics.record(kind, packet.payload.len());
                let codec = self.codec.filter(|_| kind == TrackKind::Video);
                let keyframe = codec.is_some_and(|codec| begins_keyframe(codec, &packet.payload));
                if keyframe {
                    self.arbiter.handle_keyframe();
                }
                if kind == TrackKind::Video {
                    self.sets.begin_when(anew);
                    self.sets.handle_packet(packet, keyframe, act);
                } else {
                    act(IngestOutput::Packet(kind, packet));
                }
                if anew && let Some(report) = self.tracks[index].take_early_report() {
                    act(IngestOutput::Report(kind, report));
                }
            }
            Taken::Report(report) => act(IngestOutput::Report(kind, report)),
            Taken::Goodbye => {
                if self.started && self.last_packet().is_none() {
                    self.go("the sender said goodbye", act);
                }
            }
        }
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant, act: &mut impl FnMut(IngestOutput)) {
        let silent = self
            .last_packet()
            .is_none_or(|last| now.saturating_duration_since(last) >= SILENCE_LIMIT);
        if self.started && silent {
            for track in &mut self.tracks {
                track.release();
            }
            self.go("nothing came for 30 s", act);
        }
        self.request_when_due(now, act);
        if now >= self.report_due {
            self.report_due = now + REPORT_INTERVAL;
            for track in &mut self.tracks {
                if let Some((to, compound)) = track.compound(self.own, Vec::new(), now) {
                    act(IngestOutput::Send(track.kind, to, compound));
                }
            }
            self.publish_report();
        }
        if self.started
            && let Some(statistics) = self.statistics.take_when_due(&self.counters, None, now)
        {
            self.tell(PeerEvent::Statistics(statistics));
        }
        self.deadline = self.next_deadline(now);
    }

    /// Tells the owner why it ended.
    pub(crate) fn end(self, reason: &str) {
        self.publish_report();
        let _ = self.events.try_send(PeerEvent::Ended(reason.to_owned()));
    }

    /// A sender that comes anew begins the source anew, unless another of its streams has just done so.
    fn begin_when_anew(
        &mut self,
        anew: bool,
        before: Option<Instant>,
        now: Instant,
        act: &mut impl FnMut(IngestOutput),
    ) {
        let together = before.is_some_and(|last| now.saturating_duration_since(last) < TOGETHER);
        if self.started && (!anew || together) {
            return;
        }
        act(IngestOutput::Started);
        if !self.started {
            self.started = true;
            self.statistics.begin(now);
            self.tell(PeerEvent::Connected);
            self.tell(PeerEvent::MediaArrived);
            self.publish_report();
        }
    }

    fn go(&mut self, reason: &'static str, act: &mut impl FnMut(IngestOutput)) {
        self.started = false;
        self.tell(PeerEvent::SourceGone(reason.to_owned()));
        act(IngestOutput::Gone);
        self.publish_report();
    }

    /// When media last came.
    fn last_packet(&self) -> Option<Instant> {
        self.tracks.iter().filter_map(Track::last_packet).max()
    }

    fn request_when_due(&mut self, now: Instant, act: &mut impl FnMut(IngestOutput)) {
        if !self.started {
            return;
        }
        let keyframe = self.codec.is_some() && self.arbiter.take_request(now);
        for track in &mut self.tracks {
            let mut requests: Vec<Box<dyn Packet>> = Vec::new();
            let (lost, repair) = track.repair(self.own, now);
            self.counters.count_lost(lost);
            if let Some(Repair { packets, request }) = repair {
                self.counters.count_requested(packets);
                requests.push(request);
            }
            if keyframe && track.kind == TrackKind::Video {
                requests.extend(track.keyframe_request(self.own));
            }
            if !requests.is_empty()
                && let Some((to, compound)) = track.compound(self.own, requests, now)
            {
                act(IngestOutput::Send(track.kind, to, compound));
            }
        }
    }

    fn next_deadline(&self, now: Instant) -> Instant {
        let mut deadline = self.report_due;
        if self.started {
            deadline = deadline.min(self.statistics.due());
            if self.codec.is_some() {
                deadline = deadline.min(self.arbiter.poll_timeout(now));
            }
            let repairs = self.tracks.iter().filter_map(Track::repair_due);
            deadline = repairs.fold(deadline, Instant::min);
        }
        deadline.max(now + SHORTEST_SLEEP)
    }

    fn publish_report(&self) {
        let of = |kind| {
            self.tracks
                .iter()
                .find(|track| track.kind == kind)
                .map(Track::report)
        };
        self.report.send_replace(IngestReport {
            receiving: self.started,
            video: of(TrackKind::Video),
            audio: of(TrackKind::Audio),
        });
    }

    /// A full queue loses the event: the owner reads the next statistics a second later.
    fn tell(&self, event: PeerEvent) {
        if self.events.try_send(event).is_err() {
            tracing::debug!("peer event lost");
        }
    }
}

#[cfg(test)]
#[path = "ingest_tests.rs"]
mod tests;
