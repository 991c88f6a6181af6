//! One studio connection on its worker: the `rtc` core, the stub behind its ICE, keyframes, statistics. No I/O.

mod alert;
pub(crate) mod answer;
pub(crate) mod inner;
pub(crate) mod keyframes;
mod limit;
pub(crate) mod offer;
mod parts;
mod round_trip;
pub(crate) mod setup;
mod statistics;

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
        event::{RTCPeerConnectionEvent, RTCTrackEvent},
        message::{RTCMessage, TaggedRTCMessage},
        state::RTCPeerConnectionState,
    },
    rtcp::{
        Packet, payload_feedbacks::picture_loss_indication::PictureLossIndication, sender_report,
    },
    sansio::Protocol,
    shared::TaggedBytesMut,
};

use crate::{
    PeerEvent,
    door::{
        Path,
        stun::{self, Credentials},
    },
};
use alert::Alert;
use inner::InnerPeer;
use keyframes::{KeyframeArbiter, begins_keyframe};
use limit::BitrateLimit;
pub(crate) use parts::{Output, SessionParts};
use round_trip::RoundTrip;
use statistics::Statistics;

/// How long an offer's answer may stay unused, and how long a studio may be silent (RFC 7675 § 5.1).
const CONSENT_LIFETIME: Duration = Duration::from_secs(30);
/// How long the DTLS handshake may take from the first proven path. The core tells nobody when it fails for good, as
/// with a wrong fingerprint; media never flows then.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// How long a path may go unproven while another is proven: browsers check theirs at least every 2.5 s.
const PATH_PATIENCE: Duration = Duration::from_secs(3);
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);
/// Seconds from 1900 to 2^32 units a second in an NTP timestamp.
const NTP_FRACTION: u64 = 1 << 32;

/// One session.
pub(crate) struct Session {
    parts: SessionParts,
    crypto: Arc<dyn RTCCryptoProvider>,
    /// Where the studio is sent to.
    path: Option<Path>,
    /// When the studio last proved that path.
    path_proven: Instant,
    last_consent: Instant,
    handshake_deadline: Option<Instant>,
    connected: bool,
    media_arrived: bool,
    arbiter: KeyframeArbiter,
    video: Option<(MediaStreamTrackId, u32)>,
    audio_ssrc: Option<u32>,
    limit: BitrateLimit,
    statistics: Statistics,
    /// Datagrams that the core has written, in front of what it holds itself.
    pending: VecDeque<BytesMut>,
    said_goodbye: bool,
    round_trip: RoundTrip,
    deadline: Instant,
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
            path_proven: now,
            last_consent: now,
            handshake_deadline: None,
            connected: false,
            media_arrived: false,
            arbiter: KeyframeArbiter::default(),
            video: None,
            audio_ssrc: None,
            limit: BitrateLimit::default(),
            statistics: Statistics::new(now),
            pending: VecDeque::new(),
            said_goodbye: false,
            round_trip: RoundTrip::new(now),
            deadline: now,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due. Kept, so that asking is free.
    pub(crate) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The studio has proven `path`. The nominated one is used; where a studio nominates once and never again, as the
    /// `webrtc` crate does, the one that it goes on proving: its NAT has given it another port.
    pub(crate) fn handle_consent(&mut self, path: Path, nominates: bool, now: Instant) {
        self.last_consent = now;
        let is_abandoned = now.saturating_duration_since(self.path_proven) >= PATH_PATIENCE;
        if nominates || self.path.is_none() || is_abandoned {
            self.path = Some(path);
        }
        if self.path == Some(path) {
            self.path_proven = now;
        }
        if let Some(first) = self.parts.inner.start(self.crypto.crypto()) {
            self.handshake_deadline = Some(now + HANDSHAKE_DEADLINE);
            self.feed(&first, now);
        }
    }

    /// The studio answered a probe.
    pub(crate) fn handle_probe_answer(&mut self, transaction: [u8; 12], now: Instant) {
        self.round_trip.handle_answer(transaction, now);
    }

    /// The studio has new ICE credentials.
    pub(crate) fn handle_restart(&mut self, local: Credentials, remote: Credentials) {
        self.parts.local = local;
        self.parts.remote = remote;
        self.round_trip.forget_request();
    }

    /// A datagram from a proven path.
    pub(crate) fn handle_datagram(&mut self, datagram: &[u8], now: Instant) {
        match alert::find(datagram).filter(|_| self.connected) {
            Some(Alert::Plain) => {}
            Some(Alert::Encrypted) => self.handle_alert(datagram, now),
            None => self.feed(datagram, now),
        }
    }

    /// The core tells nobody of a `close_notify`. It answers one with its own, and a forged one, which it cannot decrypt,
    /// with nothing: so what it writes right after tells.
    fn handle_alert(&mut self, datagram: &[u8], now: Instant) {
        self.take_writes();
        let before = self.pending.len();
        self.feed(datagram, now);
        self.take_writes();
        self.said_goodbye |= self
            .pending
            .iter()
            .skip(before)
            .any(|answer| alert::is_alert(answer));
    }

    fn take_writes(&mut self) {
        while let Some(out) = self.parts.connection.poll_write() {
            self.pending.push_back(out.message);
        }
    }

    /// The studio is to send no more than this, in bit/s; `None`: as much as it wants.
    pub(crate) fn limit_bitrate(&mut self, limit: Option<u64>, now: Instant) {
        self.limit.set(limit, now);
        self.deadline = self
            .deadline
            .min(self.limit.poll_timeout().unwrap_or(self.deadline));
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
        self.limit_when_due(now);
        if self.connected
            && let Some(statistics) =
                self.statistics
                    .take_when_due(&self.parts.counters, self.round_trip.known(), now)
        {
            self.tell(PeerEvent::Statistics(statistics));
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
        self.limit_when_due(now);
        self.pump_writes(now, act);
        if self.said_goodbye {
            act(Output::Ended("the studio closed the connection"));
        }
        if self.connected && now >= self.round_trip.due() {
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
            deadline = deadline
                .min(self.statistics.due())
                .min(self.round_trip.due());
        }
        if self.video.is_some() {
            deadline = deadline.min(self.arbiter.poll_timeout(now));
            if let Some(due) = self.limit.poll_timeout() {
                deadline = deadline.min(due);
            }
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
        loop {
            let taken = self.pending.pop_front();
            let Some(message) = taken.or_else(|| Some(self.parts.connection.poll_write()?.message))
            else {
                return;
            };
            if matches!(message.first(), Some(0..=3)) {
                let replies = self.parts.inner.handle_stun(&message, self.crypto.crypto());
                for reply in replies {
                    self.feed(&reply, now);
                }
            } else if let Some(path) = self.path {
                act(Output::Send(path, message));
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
                self.statistics.begin(now);
                self.round_trip.begin(now);
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
                let kind = if payload_type == self.parts.video_payload_type {
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
                    self.audio_ssrc = Some(header.ssrc);
                    TrackKind::Audio
                } else {
                    return;
                };
                self.statistics.record(kind, packet.payload.len());
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
        self.write_feedback(track, Box::new(request), now);
    }

    fn limit_when_due(&mut self, now: Instant) {
        let Some((track, video)) = self.video.clone().filter(|_| self.connected) else {
            return;
        };
        let ssrcs = [Some(video), self.audio_ssrc];
        if let Some(estimate) = self.limit.take_estimate(ssrcs.into_iter().flatten(), now) {
            self.write_feedback(track, Box::new(estimate), now);
        }
    }

    fn write_feedback(
        &mut self,
        track: MediaStreamTrackId,
        feedback: Box<dyn Packet>,
        now: Instant,
    ) {
        let message = TaggedRTCMessage {
            now,
            message: RTCMessage::RtcpPacket(track, vec![feedback]),
        };
        if let Err(error) = self.parts.connection.handle_write(message) {
            tracing::debug!(%error, "feedback not written");
        }
    }

    fn send_probe(&mut self, now: Instant, act: &mut impl FnMut(Output)) {
        self.round_trip.begin(now + RoundTrip::INTERVAL);
        let (Some(path), Some((transaction, request))) = (
            self.path,
            stun::probe_request(&self.parts.local, &self.parts.remote, self.crypto.crypto()),
        ) else {
            return;
        };
        self.round_trip.handle_request(transaction.0, now);
        act(Output::Send(path, BytesMut::from(&request[..])));
    }

    /// A full queue loses the event: the owner reads the next statistics a second later.
    fn tell(&self, event: PeerEvent) {
        if self.parts.events.try_send(event).is_err() {
            tracing::debug!("peer event lost");
        }
    }
}
