//! What peers can do and what they send, as mediasoup and its clients say it (ORTC), and its relation to SDP. No I/O, no
//! clock, no tasks.

mod parameters;
mod transport;

pub use parameters::{
    CodecCapability, CodecParameters, EncodingParameters, ExtensionDirection, Fmtp,
    HeaderExtensionCapability, HeaderExtensionParameters, MediaKind, RtcpFeedback, RtcpParameters,
    RtpCapabilities, RtpParameters, RtxParameters,
};
pub use transport::{
    DtlsFingerprint, DtlsParameters, DtlsRole, IceCandidate, IceParameters, IceProtocol,
};
