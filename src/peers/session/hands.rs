//! What a role may do with its connection.

use std::time::Instant;

use rtc::{
    media_stream::MediaStreamTrackId,
    peer_connection::{
        RTCPeerConnection,
        message::{RTCMessage, TaggedRTCMessage},
    },
    rtcp, rtp,
    sansio::Protocol,
};
use tokio::sync::mpsc;

use crate::PeerEvent;

/// Writes to the peer, and tells the session's owner.
pub(super) struct Hands<'a> {
    connection: &'a mut RTCPeerConnection,
    events: &'a mpsc::Sender<PeerEvent>,
    pub(super) now: Instant,
}

impl<'a> Hands<'a> {
    pub(super) const fn new(
        connection: &'a mut RTCPeerConnection,
        events: &'a mpsc::Sender<PeerEvent>,
        now: Instant,
    ) -> Self {
        Self {
            connection,
            events,
            now,
        }
    }

    /// Queues RTCP for the peer.
    pub(super) fn write_rtcp(&mut self, packets: Vec<Box<dyn rtcp::Packet>>) {
        self.write(RTCMessage::RtcpPacket(track(), packets));
    }

    /// Queues RTP for the peer.
    pub(super) fn write_rtp(&mut self, packet: rtp::Packet) {
        self.write(RTCMessage::RtpPacket(track(), packet));
    }

    /// A full queue loses the event: the owner reads the next statistics a second later.
    pub(super) fn tell(&self, event: PeerEvent) {
        if self.events.try_send(event).is_err() {
            tracing::debug!("peer event lost");
        }
    }

    fn write(&mut self, message: RTCMessage) {
        let message = TaggedRTCMessage {
            now: self.now,
            message,
        };
        if let Err(error) = self.connection.handle_write(message) {
            tracing::debug!(%error, "packet not written");
        }
    }
}

/// The core goes by the SSRC and does not look at the track's name; an empty one costs no allocation.
const fn track() -> MediaStreamTrackId {
    MediaStreamTrackId::new()
}
