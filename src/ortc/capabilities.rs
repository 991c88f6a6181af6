//! What this router takes, and how a router's capabilities come of a list of codecs.

use serde_json::json;

use crate::error::malformed;
use crate::{
    CodecCapability, ExtensionDirection, Fmtp, HeaderExtensionCapability, MediaKind, OrtcError,
    RtcpFeedback, RtpCapabilities, extension,
};

/// What payload types are given out, in this order: mediasoup's.
fn payload_types() -> impl Iterator<Item = u8> {
    (100..=127).chain(96..=99)
}

/// Header extensions by their ids, which are mediasoup's: name, id, direction of sound's, direction of pictures'.
///
/// Orientation is left out so that browsers rotate pictures themselves: RTMP cannot carry it. AV1's dependency
/// descriptor is left out since nothing here reads it.
const EXTENSIONS: [(
    &str,
    u8,
    Option<ExtensionDirection>,
    Option<ExtensionDirection>,
); 9] = {
    use ExtensionDirection::{Recvonly, Sendrecv};
    [
        (extension::MID, 1, Some(Sendrecv), Some(Sendrecv)),
        (extension::RID, 2, None, Some(Recvonly)),
        (extension::REPAIRED_RID, 3, None, Some(Recvonly)),
        (
            extension::ABSOLUTE_SEND_TIME,
            4,
            Some(Sendrecv),
            Some(Sendrecv),
        ),
        (
            extension::TRANSPORT_SEQUENCE,
            5,
            Some(Recvonly),
            Some(Sendrecv),
        ),
        (extension::AUDIO_LEVEL, 6, Some(Sendrecv), None),
        (extension::TIME_OFFSET, 9, None, Some(Sendrecv)),
        (
            extension::ABSOLUTE_CAPTURE_TIME,
            10,
            Some(Sendrecv),
            Some(Sendrecv),
        ),
        (extension::PLAYOUT_DELAY, 11, Some(Sendrecv), Some(Sendrecv)),
    ]
};

/// What every room of this gateway takes: Opus, then H.264 (first of the pictures, since it can go to platforms without
/// being transcoded; constrained baseline, main, high: what browsers send), VP8, VP9 and AV1.
#[expect(
    clippy::missing_panics_doc,
    reason = "it cannot panic: the list is fixed"
)]
pub fn router_capabilities() -> RtpCapabilities {
    let h264 = |profile_level_id: &str| {
        video(
            "video/H264",
            &[
                ("packetization-mode", json!(1)),
                ("level-asymmetry-allowed", json!(1)),
                ("profile-level-id", json!(profile_level_id)),
            ],
        )
    };
    let codecs = [
        CodecCapability {
            kind: MediaKind::Audio,
            mime_type: "audio/opus".to_owned(),
            preferred_payload_type: None,
            clock_rate: 48_000,
            channels: Some(2),
            parameters: fmtp(&[("useinbandfec", json!(1))]),
            rtcp_feedback: Vec::new(),
        },
        h264("42e01f"),
        h264("4d001f"),
        h264("64001f"),
        video("video/VP8", &[]),
        video("video/VP9", &[("profile-id", json!(0))]),
        video("video/AV1", &[]),
    ];
    RtpCapabilities::of_router(&codecs).expect("seven codecs need thirteen of 32 payload types")
}

impl RtpCapabilities {
    /// What a router takes that takes these codecs: each gets a payload type unless it has one, the feedback that the
    /// router gives, and, if it is video, RTX behind it.
    ///
    /// # Errors
    ///
    /// [`OrtcError::Malformed`] when the payload types do not suffice, or one is there twice.
    pub fn of_router(codecs: &[CodecCapability]) -> Result<Self, OrtcError> {
        let mut free = payload_types().filter(|payload_type| {
            codecs
                .iter()
                .all(|codec| codec.preferred_payload_type != Some(*payload_type))
        });
        let mut next = || {
            free.next()
                .ok_or_else(|| malformed("there are too many codecs for the payload types"))
        };

        let mut given: Vec<CodecCapability> = Vec::new();
        for codec in codecs {
            let payload_type = match codec.preferred_payload_type {
                Some(payload_type) => payload_type,
                None => next()?,
            };
            if given
                .iter()
                .any(|other| other.preferred_payload_type == Some(payload_type))
            {
                return Err(malformed("duplicated codec.preferredPayloadType"));
            }
            given.push(CodecCapability {
                preferred_payload_type: Some(payload_type),
                rtcp_feedback: feedback(codec.kind),
                ..codec.clone()
            });
            if codec.kind == MediaKind::Video {
                given.push(CodecCapability {
                    kind: MediaKind::Video,
                    mime_type: "video/rtx".to_owned(),
                    preferred_payload_type: Some(next()?),
                    clock_rate: codec.clock_rate,
                    channels: None,
                    parameters: fmtp(&[("apt", json!(payload_type))]),
                    rtcp_feedback: Vec::new(),
                });
            }
        }
        Ok(Self {
            codecs: given,
            header_extensions: header_extensions(),
        })
    }
}

fn header_extensions() -> Vec<HeaderExtensionCapability> {
    let mut extensions = Vec::new();
    for (uri, id, audio, video) in EXTENSIONS {
        for (kind, direction) in [(MediaKind::Audio, audio), (MediaKind::Video, video)] {
            if let Some(direction) = direction {
                extensions.push(HeaderExtensionCapability {
                    kind,
                    uri: uri.to_owned(),
                    preferred_id: id,
                    preferred_encrypt: false,
                    direction,
                });
            }
        }
    }
    extensions
}

/// The feedback that the router gives and takes.
fn feedback(kind: MediaKind) -> Vec<RtcpFeedback> {
    let pairs: &[(&str, &str)] = match kind {
        MediaKind::Audio => &[("nack", ""), ("transport-cc", "")],
        MediaKind::Video => &[
            ("nack", ""),
            ("nack", "pli"),
            ("ccm", "fir"),
            ("goog-remb", ""),
            ("transport-cc", ""),
        ],
    };
    pairs
        .iter()
        .map(|(kind, parameter)| RtcpFeedback {
            kind: (*kind).to_owned(),
            parameter: (*parameter).to_owned(),
        })
        .collect()
}

/// Begins a call at 1 Mbit/s instead of 300 kbit/s, of Chromium.
const START_KBPS: u32 = 1000;

fn video(mime_type: &str, parameters: &[(&str, serde_json::Value)]) -> CodecCapability {
    let mut parameters = fmtp(parameters);
    parameters.insert("x-google-start-bitrate".to_owned(), json!(START_KBPS));
    CodecCapability {
        kind: MediaKind::Video,
        mime_type: mime_type.to_owned(),
        preferred_payload_type: None,
        clock_rate: 90_000,
        channels: None,
        parameters,
        rtcp_feedback: Vec::new(),
    }
}

fn fmtp(pairs: &[(&str, serde_json::Value)]) -> Fmtp {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}
