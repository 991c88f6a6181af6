//! Which payload type of a router's each one of a producer's stands for.

use crate::codec::CodecIdentity;
use crate::error::{malformed, unsupported};
use crate::{CodecCapability, CodecParameters, OrtcError, RtpCapabilities, RtpParameters};

/// Payload types of a producer's, and those of the router's that they stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerMapping {
    pairs: Vec<(u8, u8)>,
}

impl ProducerMapping {
    /// Finds every codec that is sent among those that the router takes.
    ///
    /// # Errors
    ///
    /// [`OrtcError::Malformed`] when the parameters break a rule ([`RtpParameters::validate`]);
    /// [`OrtcError::Unsupported`] when the router does not take one of the codecs, or does not repeat its packets.
    pub fn new(sent: &RtpParameters, router: &RtpCapabilities) -> Result<Self, OrtcError> {
        sent.validate()?;
        let pairs = sent
            .codecs
            .iter()
            .map(|codec| {
                let counterpart = if codec.is_rtx() {
                    repeating(codec, sent, router)?
                } else {
                    counterpart(codec, router)?
                };
                Ok((codec.payload_type, payload_type(counterpart)?))
            })
            .collect::<Result<_, OrtcError>>()?;
        Ok(Self { pairs })
    }

    /// The router's payload type for one of the producer's.
    pub fn router_payload_type(&self, payload_type: u8) -> Option<u8> {
        self.pairs
            .iter()
            .find(|(sent, _)| *sent == payload_type)
            .map(|(_, router)| *router)
    }

    /// All pairs: the producer's, the router's; in the order of the producer's codecs.
    pub fn payload_types(&self) -> impl Iterator<Item = (u8, u8)> + '_ {
        self.pairs.iter().copied()
    }
}

/// The router's codec that is the same as `codec`.
fn counterpart<'a>(
    codec: &CodecParameters,
    router: &'a RtpCapabilities,
) -> Result<&'a CodecCapability, OrtcError> {
    router
        .codecs
        .iter()
        .find(|capability| CodecIdentity::from(codec).matches(*capability))
        .ok_or_else(|| {
            unsupported(format!(
                "unsupported codec [mimeType:{}, payloadType:{}]",
                codec.mime_type, codec.payload_type
            ))
        })
}

/// The router's RTX for what the producer's `rtx` repeats.
fn repeating<'a>(
    rtx: &CodecParameters,
    sent: &RtpParameters,
    router: &'a RtpCapabilities,
) -> Result<&'a CodecCapability, OrtcError> {
    let repeated = sent
        .codecs
        .iter()
        .find(|codec| Some(codec.payload_type) == rtx.repeats() && !codec.is_rtx())
        .ok_or_else(|| {
            malformed(format!(
                "missing media codec found for RTX PT {}",
                rtx.payload_type
            ))
        })?;
    let media = payload_type(counterpart(repeated, router)?)?;
    router
        .codecs
        .iter()
        .find(|capability| capability.repeats() == Some(media))
        .ok_or_else(|| unsupported(format!("no RTX codec for capability codec PT {media}")))
}

fn payload_type(capability: &CodecCapability) -> Result<u8, OrtcError> {
    capability
        .preferred_payload_type
        .ok_or_else(|| malformed("missing codec.preferredPayloadType"))
}
