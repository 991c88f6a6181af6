//! The names of the header extensions that the router knows (RFC 8285).

/// The section of SDP that a packet belongs to (RFC 9143).
pub const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
/// The layer of simulcast that a packet belongs to (RFC 8852).
pub const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
/// The layer of simulcast that a repeated packet belongs to (RFC 8852).
pub const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
/// When a packet was sent, in 24 bits of 6.18 seconds.
pub const ABSOLUTE_SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
/// One sequence of numbers over all packets of a transport, for the estimation of bandwidth.
pub const TRANSPORT_SEQUENCE: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
/// How loud a packet of sound is (RFC 6464).
pub const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
/// How far the sending of a packet lags its timestamp (RFC 5450).
pub const TIME_OFFSET: &str = "urn:ietf:params:rtp-hdrext:toffset";
/// When a picture or sound was captured.
pub const ABSOLUTE_CAPTURE_TIME: &str =
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";
/// How long a receiver is to hold a picture at least and at most.
pub const PLAYOUT_DELAY: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";
