//! Plain RTP without ICE and DTLS: in from another media server or an encoder, and out to one.

mod api;
mod described_sets;
pub(crate) mod egress;
mod feedback;
mod history;
pub(crate) mod ingest;
mod order;
mod packet;
mod pin;
pub(crate) mod ports;
mod reception;
mod rewriter;
mod sdp;
pub(crate) mod setup;
mod track;

pub use api::{
    EgressReport, EgressTrackReport, IngestReport, PlainEgress, PlainEgressId, PlainEgressOrder,
    PlainIngest, PlainReceiver, Refusals, TrackReport,
};
pub use order::{
    CryptoSuite, KeyframeRequest, PlainError, PlainIngestOrder, PlainSource, PlainTrack,
    SrtpParameters,
};
pub use ports::{PlainPorts, PortPair};
pub use sdp::{Described, SDP_LIMIT_BYTES, SdpMistake, describe, parse_sender};
