//! One connection on its worker: the `rtc` core, the stub behind its ICE, and what the peer is here for. No I/O.

mod alert;
pub(crate) mod answer;
#[cfg(test)]
mod codec_tests;
mod codecs;
mod hands;
pub(crate) mod inner;
mod keyframe_start;
pub(crate) mod keyframes;
pub(crate) mod limit;
pub(crate) mod offer;
mod parts;
mod round_trip;
pub(crate) mod setup;
pub(crate) mod statistics;
mod studio;
mod viewer;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use media::{RtpPacket, SenderReport, SourceDescription, TrackKind};
use rtc::{
    crypto::RTCCryptoProvider,
    peer_connection::{
        event::{RTCPeerConnectionEvent, RTCTrackEvent},
        message::TaggedRTCMessage,
        state::RTCPeerConnectionState,
    },
    sansio::Protocol,
    shared::TaggedBytesMut,
};

use crate::{
    PeerEvent,
    door::{
        Path, Reach,
        stun::{self, Credentials},
    },
};
use alert::Alert;
use hands::Hands;
use inner::InnerPeer;
pub(crate) use keyframe_start::begins_keyframe;
pub(crate) use parts::{Output, Role, SessionParts};
use round_trip::RoundTrip;
pub(crate) use studio::Studio;
pub(crate) use viewer::{Viewer, ViewerAudio, ViewerCodec, ViewerVideo};

/// How long the DTLS handshake may take from the first proven path. The core tells nobody when it fails for good, as
/// with a wrong fingerprint; media never flows then.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// One session.
pub(crate) struct Session {
    parts: SessionParts,
    crypto: Arc<dyn RTCCryptoProvider>,
    reach: Reach,
    handshake_deadline: Option<Instant>,
    connected: bool,
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
            reach: Reach::new(now),
            handshake_deadline: None,
            connected: false,
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

    /// The peer has proven `path`.
    pub(crate) fn handle_consent(&mut self, path: Path, nominates: bool, now: Instant) {
        self.reach.handle_consent(path, nominates, now);
        if let Some(first) = self.parts.inner.start(self.crypto.crypto()) {
            self.handshake_deadline = Some(now + HANDSHAKE_DEADLINE);
            self.feed(&first, now);
        }
    }

    /// The peer answered a probe.
    pub(crate) fn handle_probe_answer(&mut self, transaction: [u8; 12], now: Instant) {
        self.round_trip.handle_answer(transaction, now);
    }

    /// The peer has new ICE credentials.
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
        if let Role::Studio(studio) = &mut self.parts.role {
            let due = studio.limit_bitrate(limit, now);
            self.deadline = self.deadline.min(due.unwrap_or(self.deadline));
        }
    }

    /// Somebody needs a keyframe of this studio.
    pub(crate) fn wish_keyframe(&mut self, now: Instant) {
        if let Role::Studio(studio) = &mut self.parts.role {
            let due = studio.wish_keyframe(now);
            self.deadline = self.deadline.min(due.unwrap_or(self.deadline));
        }
    }

    /// A studio has begun to send to this viewer's broadcast.
    pub(crate) fn handle_source_started(&mut self, source: SourceDescription) {
        if let Role::Viewer(viewer) = &mut self.parts.role {
            viewer.handle_source_started(source);
        }
    }

    /// The studio of this viewer's broadcast is gone.
    pub(crate) fn handle_source_ended(&mut self) {
        if let Role::Viewer(viewer) = &mut self.parts.role {
            viewer.handle_source_ended();
        }
    }

    /// The studio of this viewer's broadcast sent a packet.
    pub(crate) fn relay_packet(&mut self, kind: TrackKind, packet: &RtpPacket, now: Instant) {
        if let Role::Viewer(viewer) = &mut self.parts.role
            && self.connected
        {
            let mut hands = Hands::new(&mut self.parts.connection, &self.parts.events, now);
            viewer.relay_packet(kind, packet, &mut hands);
        }
    }

    /// The studio of this viewer's broadcast told how its clocks relate.
    pub(crate) fn relay_report(&mut self, kind: TrackKind, report: &SenderReport, now: Instant) {
        if let Role::Viewer(viewer) = &mut self.parts.role {
            viewer.relay_report(kind, report, now);
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
        self.act_when_due(now);
    }

    fn act_when_due(&mut self, now: Instant) {
        if !self.connected {
            return;
        }
        let mut hands = Hands::new(&mut self.parts.connection, &self.parts.events, now);
        match &mut self.parts.role {
            Role::Studio(studio) => studio.act_when_due(self.round_trip.known(), &mut hands),
            Role::Viewer(viewer) => viewer.act_when_due(&mut hands),
        }
    }

    /// Drains everything that is ready into `act`, and computes the next deadline. To be called after each `handle_…`.
    pub(crate) fn pump(&mut self, now: Instant, act: &mut impl FnMut(Output)) {
        self.pump_writes(now, act);
        while let Some(event) = self.parts.connection.poll_event() {
            self.handle_event(event, now, act);
        }
        while let Some(TaggedRTCMessage { message, .. }) = self.parts.connection.poll_read() {
            let mut hands = Hands::new(&mut self.parts.connection, &self.parts.events, now);
            match &mut self.parts.role {
                Role::Studio(studio) => studio.handle_message(message, &mut hands, act),
                Role::Viewer(viewer) => viewer.handle_message(message, &mut hands),
            }
        }
        self.act_when_due(now);
        self.pump_writes(now, act);
        if let Role::Viewer(viewer) = &mut self.parts.role {
            if viewer.take_keyframe_wish() {
                act(Output::KeyframeWished);
            }
            if let Some(reason) = viewer.misfit() {
                act(Output::Ended(reason));
            }
        }
        let words = self.parts.role.words();
        if self.said_goodbye {
            act(Output::Ended(words.closed));
        }
        if self.connected && now >= self.round_trip.due() {
            self.send_probe(now, act);
        }
        if now >= self.reach.expires() {
            act(Output::Ended(if self.connected {
                words.silent
            } else {
                words.never_came
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
            self.pump_writes(self.reach.last_consent(), act);
        }
        let _ = self
            .parts
            .events
            .try_send(PeerEvent::Ended(reason.to_owned()));
    }

    fn next_deadline(&mut self, now: Instant) -> Instant {
        let mut deadline = self.reach.expires();
        if let Some(due) = self.parts.connection.poll_timeout() {
            deadline = deadline.min(due);
        }
        if let Some(handshake) = self.handshake_deadline.filter(|_| !self.connected) {
            deadline = deadline.min(handshake);
        }
        if self.connected {
            let due = match &self.parts.role {
                Role::Studio(studio) => Some(studio.poll_timeout(now)),
                Role::Viewer(viewer) => viewer.poll_timeout(),
            };
            deadline = deadline
                .min(due.unwrap_or(deadline))
                .min(self.round_trip.due());
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
            } else if let Some(path) = self.reach.path() {
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
                match &mut self.parts.role {
                    Role::Studio(studio) => studio.begin(now),
                    Role::Viewer(viewer) => viewer.begin(now),
                }
                self.round_trip.begin(now);
                Hands::new(&mut self.parts.connection, &self.parts.events, now)
                    .tell(PeerEvent::Connected);
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
                act(Output::Ended(self.parts.role.words().closed));
            }
            RTCPeerConnectionEvent::OnTrack(RTCTrackEvent::OnOpen(track)) => {
                tracing::debug!(ssrc = track.ssrc, "track opened");
            }
            // Data channels and ICE's own events are not for us; the crate may add more.
            _ => {}
        }
    }

    fn send_probe(&mut self, now: Instant, act: &mut impl FnMut(Output)) {
        self.round_trip.begin(now + RoundTrip::INTERVAL);
        let (Some(path), Some((transaction, request))) = (
            self.reach.path(),
            stun::probe_request(&self.parts.local, &self.parts.remote, self.crypto.crypto()),
        ) else {
            return;
        };
        self.round_trip.handle_request(transaction.0, now);
        act(Output::Send(path, BytesMut::from(&request[..])));
    }
}
