//! What peers can do and what they send, as mediasoup and its clients say it (ORTC), and its relation to SDP. No I/O, no
//! clock, no tasks.

mod capabilities;
mod codec;
mod consumable;
mod consumer;
mod error;
pub mod extension;
mod fmtp;
#[cfg(test)]
mod golden_tests;
mod h264;
mod lenient;
mod mapping;
mod parameters;
mod scalability;
pub mod sdp;
mod transport;
mod validation;
#[cfg(test)]
mod validation_tests;

pub use capabilities::router_capabilities;
pub use consumable::consumable;
pub use consumer::{ConsumerSsrcs, can_consume, consumer};
pub use error::{MAX_WORDS_BYTES, OrtcError};
pub use mapping::ProducerMapping;
pub use parameters::{
    CodecCapability, CodecParameters, EncodingParameters, ExtensionDirection, Fmtp,
    HeaderExtensionCapability, HeaderExtensionParameters, MediaKind, RtcpFeedback, RtcpParameters,
    RtpCapabilities, RtpParameters, RtxParameters,
};
pub use transport::{
    DtlsFingerprint, DtlsParameters, DtlsRole, IceCandidate, IceParameters, IceProtocol,
};
pub use validation::{
    MAX_CODECS, MAX_ENCODINGS, MAX_EXTENSION_CAPABILITIES, MAX_FEEDBACK, MAX_FINGERPRINTS,
    MAX_HEADER_EXTENSIONS, MAX_MID_BYTES, MAX_PARAMETERS, MAX_RID_BYTES,
};
