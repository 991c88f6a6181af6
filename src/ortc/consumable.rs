//! What a router can give on of a producer, whoever receives it.

use serde_json::json;

use crate::{
    CodecCapability, CodecParameters, EncodingParameters, ExtensionDirection, Fmtp,
    HeaderExtensionParameters, MediaKind, ProducerMapping, RtcpParameters, RtpCapabilities,
    RtpParameters, extension, h264,
};

/// How a producer's track goes on from the router: the router's payload types and header extensions, the producer's
/// parameters of codecs. Encodings have no SSRC and no RID: each consumer has its own.
///
/// `sent` and `router` are those of `mapping`. The cname is the producer's, which is empty with simulcast; a room that
/// wants a participant's tracks in step gives all of them one.
pub fn consumable(
    kind: MediaKind,
    sent: &RtpParameters,
    router: &RtpCapabilities,
    mapping: &ProducerMapping,
) -> RtpParameters {
    RtpParameters {
        mid: None,
        codecs: codecs(sent, router, mapping),
        header_extensions: header_extensions(kind, sent, router),
        encodings: sent
            .encodings
            .iter()
            .map(|encoding| EncodingParameters {
                ssrc: None,
                rid: None,
                codec_payload_type: None,
                rtx: None,
                ..encoding.clone()
            })
            .collect(),
        rtcp: RtcpParameters {
            cname: sent.rtcp.cname.clone(),
            reduced_size: Some(true),
            mux: None,
        },
        msid: sent.msid.clone(),
    }
}

fn codecs(
    sent: &RtpParameters,
    router: &RtpCapabilities,
    mapping: &ProducerMapping,
) -> Vec<CodecParameters> {
    let mut codecs: Vec<CodecParameters> = Vec::new();
    for codec in sent.codecs.iter().filter(|codec| !codec.is_rtx()) {
        let Some(capability) = mapping
            .router_payload_type(codec.payload_type)
            .and_then(|payload_type| with_payload_type(router, payload_type))
        else {
            continue;
        };
        let Some(media) = capability.preferred_payload_type else {
            continue;
        };
        if codecs.iter().any(|codec| codec.payload_type == media) {
            continue;
        }
        codecs.push(parameters(capability, media, answered(codec, capability)));
        let rtx = router
            .codecs
            .iter()
            .find(|capability| capability.repeats() == Some(media));
        if let Some(rtx) = rtx
            && let Some(payload_type) = rtx.preferred_payload_type
        {
            codecs.push(parameters(rtx, payload_type, rtx.parameters.clone()));
        }
    }
    codecs
}

fn with_payload_type(router: &RtpCapabilities, payload_type: u8) -> Option<&CodecCapability> {
    router
        .codecs
        .iter()
        .find(|capability| capability.preferred_payload_type == Some(payload_type))
}

fn parameters(capability: &CodecCapability, payload_type: u8, parameters: Fmtp) -> CodecParameters {
    CodecParameters {
        mime_type: capability.mime_type.clone(),
        payload_type,
        clock_rate: capability.clock_rate,
        channels: capability.channels,
        parameters,
        rtcp_feedback: capability.rtcp_feedback.clone(),
    }
}

/// The producer's parameters; of H.264 with the profile and level that answer the router's.
fn answered(codec: &CodecParameters, capability: &CodecCapability) -> Fmtp {
    let mut parameters = codec.parameters.clone();
    if capability.mime_type.eq_ignore_ascii_case("video/h264") {
        match h264::answer(&codec.parameters, &capability.parameters) {
            Some(id) => parameters.insert(h264::PROFILE_LEVEL_ID.to_owned(), json!(id)),
            None => parameters.remove(h264::PROFILE_LEVEL_ID),
        };
    }
    parameters
}

/// What the router may send. When things were captured is only passed on, so it is not promised unless the producer
/// tells it.
fn header_extensions(
    kind: MediaKind,
    sent: &RtpParameters,
    router: &RtpCapabilities,
) -> Vec<HeaderExtensionParameters> {
    router
        .header_extensions
        .iter()
        .filter(|extension| extension.kind == kind)
        .filter(|extension| match extension.direction {
            ExtensionDirection::Sendrecv | ExtensionDirection::Sendonly => true,
            ExtensionDirection::Recvonly | ExtensionDirection::Inactive => false,
        })
        .filter(|extension| {
            extension.uri != extension::ABSOLUTE_CAPTURE_TIME
                || sent
                    .header_extensions
                    .iter()
                    .any(|sent| sent.uri == extension.uri)
        })
        .map(|extension| HeaderExtensionParameters {
            uri: extension.uri.clone(),
            id: extension.preferred_id,
            encrypt: extension.preferred_encrypt,
            parameters: Fmtp::new(),
        })
        .collect()
}
