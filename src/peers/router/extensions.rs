//! Header extensions of a packet by what they mean, whatever ids they came by (RFC 8285). Pure.

/// What a packet carried that its receivers are to get too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    /// RFC 6464: the loudness in the lower seven bits, whether it is voice in the highest.
    pub(crate) audio_level: Option<u8>,
    /// 3GPP TS 26.114: how the picture is turned.
    pub(crate) orientation: Option<u8>,
    /// The least and most delay of playing, 12 bits each.
    pub(crate) playout_delay: Option<[u8; 3]>,
    /// When it was captured by the sender's clock, as it came; the offset behind it, if it came too.
    pub(crate) capture_time: Option<([u8; 8], Option<[u8; 8]>)>,
    /// When the sender gave it to the network, in units of 2^-18 s, 24 bits.
    pub(crate) send_time: Option<u32>,
}
