//! How one receiver gets a producer's track.

use crate::codec::CodecIdentity;
use crate::error::unsupported;
use crate::scalability::temporal_layers;
use crate::{
    CodecParameters, EncodingParameters, HeaderExtensionParameters, MediaKind, OrtcError,
    RtcpFeedback, RtpCapabilities, RtpParameters, RtxParameters, extension,
};

/// The SSRCs of a consumer, which its transport has nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerSsrcs {
    /// Of its media.
    pub ssrc: u32,
    /// Of repeated packets. Not used unless the receiver takes RTX; sound never is repeated so.
    pub rtx: u32,
}

/// Whether somebody who can take `capabilities` can take a [`consumable`](crate::consumable()) track: the first of its
/// codecs that they know must not be RTX. Capabilities that break a rule can take nothing.
pub fn can_consume(consumable: &RtpParameters, capabilities: &RtpCapabilities) -> bool {
    capabilities.validate().is_ok()
        && consumable
            .codecs
            .iter()
            .find(|codec| takes(capabilities, codec).is_some())
            .is_some_and(|codec| !codec.is_rtx())
}

/// How somebody who can take `capabilities` gets a [`consumable`](crate::consumable()) track: in one encoding of these
/// SSRCs, as the section `mid` of what their transport receives.
///
/// # Errors
///
/// [`OrtcError::Malformed`] when the capabilities break a rule ([`RtpCapabilities::validate`]);
/// [`OrtcError::Unsupported`] when they can take no codec of it.
pub fn consumer(
    consumable: &RtpParameters,
    capabilities: &RtpCapabilities,
    ssrcs: ConsumerSsrcs,
    mid: &str,
) -> Result<RtpParameters, OrtcError> {
    capabilities.validate()?;
    let header_extensions = header_extensions(consumable, capabilities);
    let codecs = codecs(consumable, capabilities, &header_extensions);
    if codecs.is_empty() {
        return Err(unsupported("no compatible media codecs"));
    }
    let has_rtx = codecs.iter().any(CodecParameters::is_rtx);
    Ok(RtpParameters {
        mid: Some(mid.to_owned()),
        codecs,
        header_extensions,
        encodings: vec![EncodingParameters {
            ssrc: Some(ssrcs.ssrc),
            rtx: has_rtx.then_some(RtxParameters { ssrc: ssrcs.rtx }),
            scalability_mode: scalability_mode(&consumable.encodings),
            max_bitrate: consumable
                .encodings
                .iter()
                .filter_map(|encoding| encoding.max_bitrate)
                .filter(|bitrate| *bitrate > 0)
                .max(),
            ..EncodingParameters::default()
        }],
        rtcp: consumable.rtcp.clone(),
        msid: consumable.msid.clone(),
    })
}

/// The feedback that the receiver gives to `codec`, if it can take it.
fn takes<'a>(
    capabilities: &'a RtpCapabilities,
    codec: &CodecParameters,
) -> Option<&'a [RtcpFeedback]> {
    capabilities
        .codecs
        .iter()
        .find(|capability| CodecIdentity::from(*capability).matches(codec))
        .map(|capability| capability.rtcp_feedback.as_slice())
}

fn codecs(
    consumable: &RtpParameters,
    capabilities: &RtpCapabilities,
    header_extensions: &[HeaderExtensionParameters],
) -> Vec<CodecParameters> {
    let estimation = Estimation::of(header_extensions);
    let is_repeated = consumable.kind() == Some(MediaKind::Video);
    let taken: Vec<CodecParameters> = consumable
        .codecs
        .iter()
        .filter(|codec| is_repeated || !codec.is_rtx())
        .filter_map(|codec| {
            let rtcp_feedback = takes(capabilities, codec)?
                .iter()
                .filter(|feedback| is_repeated || !is_plain_nack(feedback))
                .filter(|feedback| estimation.uses(&feedback.kind))
                .cloned()
                .collect();
            Some(CodecParameters {
                rtcp_feedback,
                ..codec.clone()
            })
        })
        .collect();
    let media: Vec<u8> = taken
        .iter()
        .filter(|codec| !codec.is_rtx())
        .map(|codec| codec.payload_type)
        .collect();
    taken
        .into_iter()
        .filter(|codec| {
            !codec.is_rtx()
                || codec
                    .repeats()
                    .is_some_and(|repeats| media.contains(&repeats))
        })
        .collect()
}

fn is_plain_nack(feedback: &RtcpFeedback) -> bool {
    feedback.kind == "nack" && feedback.parameter.is_empty()
}

/// Those that the receiver knows by the same id. The list goes into SDP verbatim, so no id may differ.
fn header_extensions(
    consumable: &RtpParameters,
    capabilities: &RtpCapabilities,
) -> Vec<HeaderExtensionParameters> {
    consumable
        .header_extensions
        .iter()
        .filter(|extension| {
            capabilities
                .header_extensions
                .iter()
                .any(|known| known.preferred_id == extension.id && known.uri == extension.uri)
        })
        .cloned()
        .collect()
}

/// How the bandwidth to the receiver is estimated: one way only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Estimation {
    TransportWide,
    Remb,
    None,
}

impl Estimation {
    fn of(header_extensions: &[HeaderExtensionParameters]) -> Self {
        let has = |uri| {
            header_extensions
                .iter()
                .any(|extension| extension.uri == uri)
        };
        if has(extension::TRANSPORT_SEQUENCE) {
            Self::TransportWide
        } else if has(extension::ABSOLUTE_SEND_TIME) {
            Self::Remb
        } else {
            Self::None
        }
    }

    fn uses(self, feedback: &str) -> bool {
        match feedback {
            "transport-cc" => self == Self::TransportWide,
            "goog-remb" => self == Self::Remb,
            _ => true,
        }
    }
}

/// What all encodings together are to the receiver: simulcast looks like spatial layers.
fn scalability_mode(encodings: &[EncodingParameters]) -> Option<String> {
    let mode = encodings
        .iter()
        .find_map(|encoding| encoding.scalability_mode.as_deref());
    if encodings.len() > 1 {
        let spatial = encodings.len();
        let temporal = mode.map_or(1, temporal_layers);
        Some(format!("L{spatial}T{temporal}"))
    } else {
        mode.map(str::to_owned)
    }
}
