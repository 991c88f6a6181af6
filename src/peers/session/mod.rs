//! One studio connection on its worker: the `rtc` core, the stub behind its ICE, keyframes, statistics. No I/O.

pub(crate) mod answer;
pub(crate) mod inner;
pub(crate) mod keyframes;
pub(crate) mod offer;
pub(crate) mod setup;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use media::{RtpPacket, SenderReport, TrackKind};
use rtc::{
    crypto::RTCCryptoProvider,
    media_stream::MediaStreamTrackId,
    peer_connection::{
        RTCPeerConnection,
        event::{RTCPeerConnectionEvent, RTCTrackEvent},
        message::{RTCMessage, TaggedRTCMessage},
        state::RTCPeerConnectionState,
    },
    rtcp::{payload_feedbacks::picture_loss_indication::PictureLossIndication, sender_report},
    sansio::Protocol,
    shared::TaggedBytesMut,
};
use tokio::sync::mpsc;

use crate::{
    IngestStatistics, PeerEvent,
    door::{
        Path,
        stun::{self, Credentials},
    },
    repair::RepairCounters,
};
use inner::InnerPeer;
use keyframes::{KeyframeArbiter, begins_keyframe};

/// How long an offer's answer may stay unused, and how long a studio may be silent (RFC 7675 § 5.1).
const CONSENT_LIFETIME: Duration = Duration::from_secs(30);
/// How long the DTLS handshake may take from the first proven path. The core tells nobody when it fails for good, as
/// with a wrong fingerprint; media never flows then.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);
const STATISTICS_INTERVAL: Duration = Duration::from_secs(1);
/// How often the round trip is measured.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// Seconds from 1900 to 2^32 units a second in an NTP timestamp.
const NTP_FRACTION: u64 = 1 << 32;

/// What a session is made of; built by the HTTP side, driven by a worker.
pub(crate) struct SessionParts {
    pub(crate) connection: RTCPeerConnection,
    pub(crate) inner: InnerPeer,
    pub(crate) local: Credentials,
    pub(crate) remote: Credentials,
    pub(crate) video_payload_type: Option<u8>,
    pub(crate) audio_payload_type: Option<u8>,
    pub(crate) counters: Arc<RepairCounters>,
    pub(crate) events: mpsc::Sender<PeerEvent>,
}

/// What the worker has to do for a session.
pub(crate) enum Output {
    /// Send this datagram on the path.
    Send(Path, BytesMut),
    /// Give this to the sink.
    Packet(TrackKind, RtpPacket),
    /// Give this to the sink.
    Report(TrackKind, SenderReport),
    /// ICE and DTLS are up.
    Connected,
    /// The session is over, for this reason.
    Ended(&'static str),
}

/// One session.
pub(crate) struct Session {
    parts: SessionParts,
    crypto: Arc<dyn RTCCryptoProvider>,
    path: Option<Path>,
    last_consent: Instant,
    handshake_deadline: Option<Instant>,
    connected: bool,
    media_arrived: bool,
    arbiter: KeyframeArbiter,
    video: Option<(MediaStreamTrackId, u32)>,
    audio_ssrc: Option<u32>,
    statistics: Statistics,
    probe: Option<([u8; 12], Instant)>,
    next_probe: Instant,
    round_trip: Option<Duration>,
    deadline: Instant,
}

struct Statistics {
    due: Instant,
    since: Instant,
    video_bytes: u64,
    audio_bytes: u64,
}

impl Session {
    pub(crate) fn new(
        parts: SessionParts,
        crypto: Arc<dyn RTCCryptoProvider>,
        now: Instant,
    ) -> Self {
        Self {
            parts,
            crypto,
            path: None,
            last_consent: now,
            handshake_deadline: None,
            connected: false,
            media_arrived: false,
            arbiter: KeyframeArbiter::default(),
            video: None,
            audio_ssrc: None,
            statistics: Statistics {
                due: now + STATISTICS_INTERVAL,
                since: now,
                video_bytes: 0,
                audio_bytes: 0,
            },
            probe: None,
            next_probe: now + PROBE_INTERVAL,
            round_trip: None,
            deadline: now,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due. Kept, so that asking is free.
    pub(crate) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The studio has proven `path`.
    pub(crate) fn handle_consent(&mut self, path: Path, nominates: bool, now: Instant) {
        self.last_consent = now;
        if nominates || self.path.is_none() {
            self.path = Some(path);
        }
        if let Some(first) = self.parts.inner.start(self.crypto.crypto()) {
            self.handshake_deadline = Some(now + HANDSHAKE_DEADLINE);
            self.feed(&first, now);
        }
    }

    /// The studio answered a probe.
    pub(crate) fn handle_probe_answer(&mut self, transaction: [u8; 12], now: Instant) {
        if let Some((expected, sent)) = self.probe
            && expected == transaction
        {
            let sample = now.saturating_duration_since(sent);
            self.round_trip = Some(
                self.round_trip
                    .map_or(sample, |known| (known * 3 + sample) / 4),
            );
            self.probe = None;
        }
    }

    /// The studio has new ICE credentials.
    pub(crate) fn handle_restart(&mut self, local: Credentials, remote: Credentials) {
        self.parts.local = local;
        self.parts.remote = remote;
        self.probe = None;
    }

    /// A datagram from a proven path.
    pub(crate) fn handle_datagram(&mut self, datagram: &[u8], now: Instant) {
        self.feed(datagram, now);
    }

    /// Somebody needs a keyframe.
    pub(crate) fn wish_keyframe(&mut self, now: Instant) {
        self.arbiter.wish();
        if self.video.is_some() {
            self.deadline = self.deadline.min(self.arbiter.poll_timeout(now));
        }
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self
            .parts
            .connection
            .poll_timeout()
            .is_some_and(|due| due <= now)
            && let Err(error) = self.parts.connection.handle_timeout(now)
        {
            tracing::debug!(%error, "peer connection timer failed");
        }
        self.request_keyframe_when_due(now);
        if self.connected && now >= self.statistics.due {
            self.report_statistics(now);
        }
    }

    /// Drains everything that is ready into `act`, and computes the next deadline. To be called after each `handle_…`.
    pub(crate) fn pump(&mut self, now: Instant, act: &mut impl FnMut(Output)) {
        self.pump_writes(now, act);
        while let Some(event) = self.parts.connection.poll_event() {
            self.handle_event(event, now, act);
        }
        while let Some(TaggedRTCMessage { message, .. }) = self.parts.connection.poll_read() {
            self.handle_message(message, act);
        }
        self.request_keyframe_when_due(now);
        self.pump_writes(now, act);
        if self.connected && now >= self.next_probe {
            self.send_probe(now, act);
        }
        if now.saturating_duration_since(self.last_consent) >= CONSENT_LIFETIME {
            act(Output::Ended(if self.connected {
                "the studio stopped answering"
            } else {
                "the studio never connected"
            }));
        }
        if !self.connected
            && self
                .handshake_deadline
                .is_some_and(|deadline| deadline <= now)
        {
            act(Output::Ended("the DTLS handshake failed"));
        }
        self.deadline = self.next_deadline(now);
    }

    /// Tells the owner why it ended. The owner is told by the closed channel when the queue is full.
    pub(crate) fn end(mut self, reason: &str, act: &mut impl FnMut(Output)) {
        if self.parts.connection.close().is_ok() {
            // DTLS close_notify.
            self.pump_writes(self.last_consent, act);
        }
        let _ = self
            .parts
            .events
            .try_send(PeerEvent::Ended(reason.to_owned()));
    }

    fn next_deadline(&mut self, now: Instant) -> Instant {
        let mut deadline = self.last_consent + CONSENT_LIFETIME;
        if let Some(due) = self.parts.connection.poll_timeout() {
            deadline = deadline.min(due);
        }
        if let Some(handshake) = self.handshake_deadline.filter(|_| !self.connected) {
            deadline = deadline.min(handshake);
        }
        if self.connected {
            deadline = deadline.min(self.statistics.due).min(self.next_probe);
        }
        if self.video.is_some() {
            deadline = deadline.min(self.arbiter.poll_timeout(now));
        }
        // A timer of the core that is never satisfied must not spin the worker.
        deadline.max(now + SHORTEST_SLEEP)
    }

    fn feed(&mut self, datagram: &[u8], now: Instant) {
        let message = TaggedBytesMut {
            now,
            transport: InnerPeer::transport(),
            message: BytesMut::from(datagram),
        };
        if let Err(error) = self.parts.connection.handle_read(message) {
            tracing::trace!(%error, "datagram refused");
        }
    }

    fn pump_writes(&mut self, now: Instant, act: &mut impl FnMut(Output)) {
        while let Some(out) = self.parts.connection.poll_write() {
            if matches!(out.message.first(), Some(0..=3)) {
                let replies: VecDeque<Vec<u8>> = self
                    .parts
                    .inner
                    .handle_stun(&out.message, self.crypto.crypto())
                    .into();
                for reply in replies {
                    self.feed(&reply, now);
                }
            } else if let Some(path) = self.path {
                act(Output::Send(path, out.message));
            }
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a non-exhaustive enum of another crate"
    )]
    fn handle_event(
        &mut self,
        event: RTCPeerConnectionEvent,
        now: Instant,
        act: &mut impl FnMut(Output),
    ) {
        match event {
            RTCPeerConnectionEvent::OnConnectionStateChangeEvent(
                RTCPeerConnectionState::Connected,
            ) if !self.connected => {
                self.connected = true;
                self.statistics.since = now;
                self.statistics.due = now + STATISTICS_INTERVAL;
                self.next_probe = now;
                self.tell(PeerEvent::Connected);
                act(Output::Connected);
            }
            RTCPeerConnectionEvent::OnConnectionStateChangeEvent(
                RTCPeerConnectionState::Failed,
            ) => {
                act(Output::Ended("the DTLS handshake failed"));
            }
            RTCPeerConnectionEvent::OnConnectionStateChangeEvent(
                RTCPeerConnectionState::Closed,
            ) => {
                act(Output::Ended("the studio closed the connection"));
            }
            RTCPeerConnectionEvent::OnTrack(RTCTrackEvent::OnOpen(track)) => {
                tracing::debug!(ssrc = track.ssrc, "track opened");
            }
            // Data channels and ICE's own events are not for us; the crate may add more.
            _ => {}
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a non-exhaustive enum of another crate"
    )]
    fn handle_message(&mut self, message: RTCMessage, act: &mut impl FnMut(Output)) {
        match message {
            RTCMessage::RtpPacket(track, packet) => {
                let header = &packet.header;
                let payload_type = Some(header.payload_type);
                let bytes = (12 + packet.payload.len()) as u64;
                let kind = if payload_type == self.parts.video_payload_type {
                    self.statistics.video_bytes += bytes;
                    if begins_keyframe(&packet.payload) {
                        self.arbiter.handle_keyframe();
                    }
                    if self
                        .video
                        .as_ref()
                        .is_none_or(|(_, ssrc)| *ssrc != header.ssrc)
                    {
                        self.video = Some((track, header.ssrc));
                    }
                    TrackKind::Video
                } else if payload_type == self.parts.audio_payload_type {
                    self.statistics.audio_bytes += bytes;
                    self.audio_ssrc = Some(header.ssrc);
                    TrackKind::Audio
                } else {
                    return;
                };
                if !self.media_arrived {
                    self.media_arrived = true;
                    self.tell(PeerEvent::MediaArrived);
                }
                let packet = RtpPacket {
                    sequence: header.sequence_number,
                    timestamp: header.timestamp,
                    ssrc: header.ssrc,
                    marker: header.marker,
                    payload: packet.payload,
                };
                act(Output::Packet(kind, packet));
            }
            RTCMessage::RtcpPacket(_, packets) => {
                for report in packets
                    .iter()
                    .filter_map(|packet| packet.as_any().downcast_ref())
                {
                    self.handle_report(report, act);
                }
            }
            _ => {}
        }
    }

    fn handle_report(&self, report: &sender_report::SenderReport, act: &mut impl FnMut(Output)) {
        let kind = if self
            .video
            .as_ref()
            .is_some_and(|(_, ssrc)| *ssrc == report.ssrc)
        {
            TrackKind::Video
        } else if self.audio_ssrc == Some(report.ssrc) {
            TrackKind::Audio
        } else {
            return;
        };
        let seconds = report.ntp_time / NTP_FRACTION;
        let nanoseconds = (report.ntp_time % NTP_FRACTION) * 1_000_000_000 / NTP_FRACTION;
        let report = SenderReport {
            ssrc: report.ssrc,
            ntp_time: Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds),
            rtp_timestamp: report.rtp_time,
        };
        act(Output::Report(kind, report));
    }

    fn request_keyframe_when_due(&mut self, now: Instant) {
        if !self.connected || self.video.is_none() || !self.arbiter.take_request(now) {
            return;
        }
        let Some((track, ssrc)) = self.video.clone() else {
            return;
        };
        let request = PictureLossIndication {
            sender_ssrc: 1,
            media_ssrc: ssrc,
        };
        let message = TaggedRTCMessage {
            now,
            message: RTCMessage::RtcpPacket(track, vec![Box::new(request)]),
        };
        if let Err(error) = self.parts.connection.handle_write(message) {
            tracing::debug!(%error, "keyframe request not written");
        }
    }

    fn send_probe(&mut self, now: Instant, act: &mut impl FnMut(Output)) {
        self.next_probe = now + PROBE_INTERVAL;
        let (Some(path), Some((transaction, request))) = (
            self.path,
            stun::probe_request(&self.parts.local, &self.parts.remote, self.crypto.crypto()),
        ) else {
            return;
        };
        self.probe = Some((transaction.0, now));
        act(Output::Send(path, BytesMut::from(&request[..])));
    }

    fn report_statistics(&mut self, now: Instant) {
        let elapsed = now
            .saturating_duration_since(self.statistics.since)
            .as_secs_f64()
            .max(0.001);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a bitrate"
        )]
        let rate = |bytes: u64| (bytes as f64 * 8.0 / elapsed) as u64;
        let statistics = IngestStatistics {
            video_bits_per_second: rate(self.statistics.video_bytes),
            audio_bits_per_second: rate(self.statistics.audio_bytes),
            packets_lost: self.parts.counters.lost(),
            packets_recovered: self.parts.counters.recovered(),
            packets_requested: self.parts.counters.requested(),
            round_trip: self.round_trip,
        };
        self.statistics = Statistics {
            due: now + STATISTICS_INTERVAL,
            since: now,
            video_bytes: 0,
            audio_bytes: 0,
        };
        self.tell(PeerEvent::Statistics(statistics));
    }

    /// A full queue loses the event: the owner reads the next statistics a second later.
    fn tell(&self, event: PeerEvent) {
        if self.parts.events.try_send(event).is_err() {
            tracing::debug!("peer event lost");
        }
    }
}
