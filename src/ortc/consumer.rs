//! How one receiver gets a producer's track.

use serde_json::json;

use crate::codec::CodecIdentity;
use crate::error::unsupported;
use crate::scalability::temporal_layers;
use crate::validation::{MAX_PAYLOAD_TYPE, RTCP_PAYLOAD_TYPES};
use crate::{
    CodecCapability, CodecParameters, EncodingParameters, HeaderExtensionParameters, MediaKind,
    OrtcError, RtcpFeedback, RtpCapabilities, RtpParameters, RtxParameters, extension,
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
/// Payload types and ids of header extensions are those by which the receiver knows them; clients of mediasoup know them
/// by the router's.
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

/// The receiver's capability for `codec`.
fn takes<'a>(
    capabilities: &'a RtpCapabilities,
    codec: &CodecParameters,
) -> Option<&'a CodecCapability> {
    capabilities
        .codecs
        .iter()
        .find(|capability| CodecIdentity::from(*capability).matches(codec))
}

fn codecs(
    consumable: &RtpParameters,
    capabilities: &RtpCapabilities,
    header_extensions: &[HeaderExtensionParameters],
) -> Vec<CodecParameters> {
    let estimation = Estimation::of(header_extensions);
    let is_repeated = consumable.kind() == Some(MediaKind::Video);
    let mut codecs: Vec<CodecParameters> = Vec::new();
    for codec in consumable.codecs.iter().filter(|codec| !codec.is_rtx()) {
        let Some(capability) = takes(capabilities, codec) else {
            continue;
        };
        let payload_type = capability
            .preferred_payload_type
            .filter(|payload_type| is_usable(*payload_type))
            .unwrap_or(codec.payload_type);
        let rtx = consumable
            .codecs
            .iter()
            .find(|rtx| is_repeated && rtx.repeats() == Some(codec.payload_type))
            .and_then(|rtx| repeating(rtx, codec.payload_type, payload_type, capabilities));
        let taken = CodecParameters {
            payload_type,
            rtcp_feedback: capability
                .rtcp_feedback
                .iter()
                .filter(|feedback| is_repeated || !is_plain_nack(feedback))
                .filter(|feedback| estimation.uses(&feedback.kind))
                .cloned()
                .collect(),
            ..codec.clone()
        };
        for codec in std::iter::once(taken).chain(rtx) {
            if codecs
                .iter()
                .all(|other| other.payload_type != codec.payload_type)
            {
                codecs.push(codec);
            }
        }
    }
    codecs
}

/// The RTX that repeats a codec which the router knows by `routers` and the receiver by `receivers`. Where the two are
/// one, any RTX of the receiver's will do, as in mediasoup.
fn repeating(
    rtx: &CodecParameters,
    routers: u8,
    receivers: u8,
    capabilities: &RtpCapabilities,
) -> Option<CodecParameters> {
    let own = capabilities
        .codecs
        .iter()
        .find(|capability| capability.repeats() == Some(receivers))
        .or_else(|| takes(capabilities, rtx).filter(|_| routers == receivers))?;
    let payload_type = own
        .preferred_payload_type
        .filter(|payload_type| is_usable(*payload_type) && own.repeats() == Some(receivers))
        .unwrap_or(rtx.payload_type);
    let mut parameters = rtx.parameters.clone();
    parameters.insert("apt".to_owned(), json!(receivers));
    Some(CodecParameters {
        payload_type,
        parameters,
        rtcp_feedback: own.rtcp_feedback.clone(),
        ..rtx.clone()
    })
}

fn is_usable(payload_type: u8) -> bool {
    payload_type <= MAX_PAYLOAD_TYPE && !RTCP_PAYLOAD_TYPES.contains(&payload_type)
}

fn is_plain_nack(feedback: &RtcpFeedback) -> bool {
    feedback.kind == "nack" && feedback.parameter.is_empty()
}

/// Those that the receiver knows, by its ids. The list goes into SDP verbatim, so no id comes twice.
fn header_extensions(
    consumable: &RtpParameters,
    capabilities: &RtpCapabilities,
) -> Vec<HeaderExtensionParameters> {
    let mut extensions: Vec<HeaderExtensionParameters> = Vec::new();
    for extension in &consumable.header_extensions {
        let of_uri = || {
            capabilities
                .header_extensions
                .iter()
                .filter(|known| known.uri == extension.uri)
        };
        let known = of_uri()
            .find(|known| known.preferred_id == extension.id)
            .or_else(|| of_uri().find(|known| Some(known.kind) == consumable.kind()));
        if let Some(known) = known
            && extensions
                .iter()
                .all(|other| other.id != known.preferred_id)
        {
            extensions.push(HeaderExtensionParameters {
                id: known.preferred_id,
                ..extension.clone()
            });
        }
    }
    extensions
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
