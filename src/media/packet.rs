//! What arrives from a studio, one RTP packet or RTCP sender report at a time.

use std::time::Duration;

use bytes::Bytes;

/// One RTP packet after decryption and loss repair, in order of arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpPacket {
    /// RFC 3550 sequence number, wraps at 2^16.
    pub sequence: u16,
    /// RFC 3550 timestamp in the track's clock, wraps at 2^32.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Last packet of a frame, for video.
    pub marker: bool,
    /// Payload without padding; empty in a packet that only pads (Chrome sends them on a static canvas).
    pub payload: Bytes,
}

/// What ties a track's RTP clock to the sender's wall clock (RFC 3550 § 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReport {
    /// Synchronisation source that reports.
    pub ssrc: u32,
    /// The sender's wall clock since the NTP epoch.
    pub ntp_time: Duration,
    /// The same instant in the track's RTP clock.
    pub rtp_timestamp: u32,
}
