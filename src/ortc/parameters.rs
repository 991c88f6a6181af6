//! Codecs, header extensions and encodings, in the JSON of mediasoup. Fields that are not known are passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lenient;

/// Picture or sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// The parameters of a codec in SDP's `fmtp`: numbers or strings, by name.
pub type Fmtp = BTreeMap<String, Value>;

/// One kind of RTCP feedback that a codec takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtcpFeedback {
    /// Such as `nack`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Such as `pli`; often empty.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub parameter: String,
}

/// A codec that a router or a device can take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CodecCapability {
    /// Picture or sound.
    pub kind: MediaKind,
    /// Such as `video/H264`; compared without case.
    pub mime_type: String,
    /// The payload type by which it goes unless something else is agreed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_payload_type: Option<u8>,
    /// Hz.
    pub clock_rate: u32,
    /// Of sound; absent means one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
    /// What stands in `fmtp`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub parameters: Fmtp,
    /// The feedback it takes.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub rtcp_feedback: Vec<RtcpFeedback>,
}

/// Who may send a header extension, seen from the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExtensionDirection {
    /// Both.
    #[default]
    Sendrecv,
    /// The router.
    Sendonly,
    /// The peer.
    Recvonly,
    /// Nobody.
    Inactive,
}

/// A header extension that a router or a device knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderExtensionCapability {
    /// Of which media.
    pub kind: MediaKind,
    /// Which one (RFC 8285).
    pub uri: String,
    /// The number by which it goes.
    pub preferred_id: u8,
    /// Whether it is to be encrypted; it never is.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub preferred_encrypt: bool,
    /// Who may send it.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub direction: ExtensionDirection,
}

/// What a router or a device can take.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpCapabilities {
    /// Its codecs, the preferred ones first.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub codecs: Vec<CodecCapability>,
    /// Its header extensions.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub header_extensions: Vec<HeaderExtensionCapability>,
}

/// A codec that is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CodecParameters {
    /// Such as `video/H264`; compared without case.
    pub mime_type: String,
    /// By which it goes.
    pub payload_type: u8,
    /// Hz.
    pub clock_rate: u32,
    /// Of sound; absent means one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
    /// What stands in `fmtp`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub parameters: Fmtp,
    /// The feedback that is used.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub rtcp_feedback: Vec<RtcpFeedback>,
}

/// A header extension that is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderExtensionParameters {
    /// Which one.
    pub uri: String,
    /// By which it goes.
    pub id: u8,
    /// Whether it is encrypted.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub encrypt: bool,
    /// Parameters of its own.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub parameters: Fmtp,
}

/// The stream of repeated packets beside an encoding (RFC 4588).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtxParameters {
    /// Its SSRC.
    pub ssrc: u32,
}

/// One stream of a track: the only one, or a layer of simulcast.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EncodingParameters {
    /// Its SSRC, unless it is told by `rid`.
    #[serde(
        default,
        deserialize_with = "lenient::ssrc",
        skip_serializing_if = "Option::is_none"
    )]
    pub ssrc: Option<u32>,
    /// Its name in the header extension (RFC 8852), of a layer of simulcast.
    #[serde(
        default,
        deserialize_with = "lenient::name",
        skip_serializing_if = "Option::is_none"
    )]
    pub rid: Option<String>,
    /// The codec, where there are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec_payload_type: Option<u8>,
    /// Where lost packets are repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtx: Option<RtxParameters>,
    /// Whether silence is not sent.
    #[serde(
        default,
        deserialize_with = "lenient::flag",
        skip_serializing_if = "Option::is_none"
    )]
    pub dtx: Option<bool>,
    /// Such as `L1T3`.
    #[serde(
        default,
        deserialize_with = "lenient::name",
        skip_serializing_if = "Option::is_none"
    )]
    pub scalability_mode: Option<String>,
    /// The most, in bit/s.
    #[serde(
        default,
        deserialize_with = "lenient::bitrate",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_bitrate: Option<u64>,
}

/// How RTCP goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtcpParameters {
    /// The canonical name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cname: Option<String>,
    /// Whether compounds may be partial (RFC 5506).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduced_size: Option<bool>,
    /// Whether it shares RTP's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mux: Option<bool>,
}

/// How a track is sent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpParameters {
    /// The section of SDP that it stands for.
    #[serde(
        default,
        deserialize_with = "lenient::name",
        skip_serializing_if = "Option::is_none"
    )]
    pub mid: Option<String>,
    /// Its codec and what repeats it.
    pub codecs: Vec<CodecParameters>,
    /// Its header extensions.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub header_extensions: Vec<HeaderExtensionParameters>,
    /// Its streams, the smallest first.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub encodings: Vec<EncodingParameters>,
    /// How RTCP goes.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub rtcp: RtcpParameters,
    /// Its stream and track in SDP.
    #[serde(
        default,
        deserialize_with = "lenient::name",
        skip_serializing_if = "Option::is_none"
    )]
    pub msid: Option<String>,
}
