//! What of an offered section both sides can use.

use super::Section;
use crate::codec::CodecIdentity;
use crate::error::unsupported;
use crate::{
    CodecCapability, CodecParameters, EncodingParameters, ExtensionDirection,
    HeaderExtensionCapability, HeaderExtensionParameters, OrtcError, RtcpFeedback, RtpCapabilities,
    RtpParameters, extension,
};

/// How a client sends what it offers in `section`: by the router's most preferred codec that it has, with RTX if both
/// have it, and what both know of feedback and header extensions. Payload types and ids stay the client's.
///
/// # Errors
///
/// [`OrtcError::Unsupported`] when they have no codec in common, or when the client does not send;
/// [`OrtcError::Malformed`] when what is left breaks a rule ([`RtpParameters::validate`]).
pub fn negotiate(section: &Section, router: &RtpCapabilities) -> Result<RtpParameters, OrtcError> {
    if !section.direction.sends() {
        return Err(unsupported("a section that the client does not send in"));
    }
    let (media, capability) = preferred(section, router)?;
    let mut codecs = vec![CodecParameters {
        rtcp_feedback: both(&media.rtcp_feedback, &capability.rtcp_feedback),
        ..media.clone()
    }];
    codecs.extend(repeating(section, media, capability, router));
    let has_rtx = codecs.len() > 1;
    let sent = RtpParameters {
        codecs,
        header_extensions: header_extensions(section, router),
        encodings: section
            .rtp
            .encodings
            .iter()
            .map(|encoding| EncodingParameters {
                rtx: encoding.rtx.filter(|_| has_rtx),
                ..encoding.clone()
            })
            .collect(),
        ..section.rtp.clone()
    };
    sent.validate()?;
    Ok(sent)
}

impl Section {
    /// What the client can receive in this section, to be consumed with: its codecs and header extensions, by its payload
    /// types and ids.
    ///
    /// The name of the section is left out, since packets would carry one that a room gave: receivers find the stream by
    /// its SSRC.
    pub fn capabilities(&self) -> RtpCapabilities {
        RtpCapabilities {
            codecs: self
                .rtp
                .codecs
                .iter()
                .map(|codec| CodecCapability {
                    kind: self.kind,
                    mime_type: codec.mime_type.clone(),
                    preferred_payload_type: Some(codec.payload_type),
                    clock_rate: codec.clock_rate,
                    channels: codec.channels,
                    parameters: codec.parameters.clone(),
                    rtcp_feedback: codec.rtcp_feedback.clone(),
                })
                .collect(),
            header_extensions: self
                .rtp
                .header_extensions
                .iter()
                .filter(|known| known.uri != extension::MID)
                .filter(|known| self.extension_direction(known.id) != ExtensionDirection::Sendonly)
                .map(|known| HeaderExtensionCapability {
                    kind: self.kind,
                    uri: known.uri.clone(),
                    preferred_id: known.id,
                    preferred_encrypt: false,
                    direction: ExtensionDirection::Sendrecv,
                })
                .collect(),
        }
    }

    /// Which way a header extension goes, seen from the client.
    pub(super) fn extension_direction(&self, id: u8) -> ExtensionDirection {
        self.extension_directions
            .iter()
            .find(|(known, _)| *known == id)
            .map_or(ExtensionDirection::Sendrecv, |(_, direction)| *direction)
    }
}

fn preferred<'a>(
    section: &'a Section,
    router: &'a RtpCapabilities,
) -> Result<(&'a CodecParameters, &'a CodecCapability), OrtcError> {
    router
        .codecs
        .iter()
        .filter(|capability| !capability.is_rtx())
        .find_map(|capability| {
            section
                .rtp
                .codecs
                .iter()
                .find(|codec| CodecIdentity::from(*codec).matches(capability))
                .map(|codec| (codec, capability))
        })
        .ok_or_else(|| unsupported("no compatible media codecs"))
}

fn repeating(
    section: &Section,
    media: &CodecParameters,
    capability: &CodecCapability,
    router: &RtpCapabilities,
) -> Option<CodecParameters> {
    let is_repeated = capability.preferred_payload_type.is_some_and(|media| {
        router
            .codecs
            .iter()
            .any(|capability| capability.repeats() == Some(media))
    });
    let rtx = section
        .rtp
        .codecs
        .iter()
        .find(|codec| codec.repeats() == Some(media.payload_type));
    rtx.filter(|_| is_repeated).cloned()
}

/// In the client's order.
fn both(offered: &[RtcpFeedback], known: &[RtcpFeedback]) -> Vec<RtcpFeedback> {
    offered
        .iter()
        .filter(|feedback| known.contains(feedback))
        .cloned()
        .collect()
}

/// What the router reads and the client writes, in the router's order.
fn header_extensions(
    section: &Section,
    router: &RtpCapabilities,
) -> Vec<HeaderExtensionParameters> {
    let is_read = |capability: &&HeaderExtensionCapability| {
        capability.kind == section.kind
            && match capability.direction {
                ExtensionDirection::Sendrecv | ExtensionDirection::Recvonly => true,
                ExtensionDirection::Sendonly | ExtensionDirection::Inactive => false,
            }
    };
    router
        .header_extensions
        .iter()
        .filter(is_read)
        .filter_map(|capability| {
            section
                .rtp
                .header_extensions
                .iter()
                .find(|extension| extension.uri == capability.uri)
        })
        .filter(|extension| {
            section.extension_direction(extension.id) != ExtensionDirection::Recvonly
        })
        .cloned()
        .collect()
}
