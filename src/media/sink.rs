//! What a worker drives for one broadcast: packets go in, time is told, keyframes are asked for.

use std::{fmt, task::Waker, time::Instant};

use crate::{RtpPacket, SenderReport, TrackKind};

/// The video codec a studio negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VideoCodec {
    /// H.264 with packetization-mode 1 (RFC 6184).
    H264,
    /// VP8 (RFC 7741).
    Vp8,
    /// VP9, profile 0 (RFC 9628).
    Vp9,
    /// AV1, main profile (AV1 RTP payload specification 1.0).
    Av1,
}

impl VideoCodec {
    /// Every codec, the one that costs least first.
    pub const ALL: [Self; 4] = [Self::H264, Self::Vp8, Self::Vp9, Self::Av1];

    /// The encoding's name in SDP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
        }
    }
}

impl fmt::Display for VideoCodec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What a newly connected studio is going to send. Sound is Opus at 48 kHz (RFC 7587), video runs at 90 kHz.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceDescription {
    /// The picture's codec, if there is a picture.
    pub video: Option<VideoCodec>,
    /// Whether there is a sound track.
    pub audio: bool,
}

/// The near end of a broadcast's media path.
///
/// It lives on one worker for as long as the broadcast does, and outlives the studios that come and go.
/// All calls come from that worker, which calls [`poll_timeout`](Self::poll_timeout) and
/// [`poll_keyframe_request`](Self::poll_keyframe_request) after each.
pub trait MediaSink: Send {
    /// It has its place. Whoever works for it elsewhere wakes the worker by `waker`, which then calls
    /// [`handle_timeout`](Self::handle_timeout).
    fn handle_attached(&mut self, waker: &Waker) {
        let _ = waker;
    }

    /// A studio has connected; any earlier one has ended. The next packets are its.
    fn handle_source_started(&mut self, source: SourceDescription, now: Instant);

    /// A packet arrived. Loss and reordering are as on the wire, after repair; duplicates have been dropped.
    fn handle_packet(&mut self, kind: TrackKind, packet: RtpPacket, now: Instant);

    /// The studio told how its clocks relate.
    fn handle_sender_report(&mut self, kind: TrackKind, report: SenderReport, now: Instant);

    /// The studio is gone; the sink goes on.
    fn handle_source_ended(&mut self, now: Instant);

    /// When [`handle_timeout`](Self::handle_timeout) is due, if ever.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Time has passed.
    fn handle_timeout(&mut self, now: Instant);

    /// Takes a pending wish for a keyframe. The worker's arbiter limits how often it is granted.
    fn poll_keyframe_request(&mut self) -> bool;
}
