//! Plain RTP without ICE and DTLS: in from another media server or an encoder, and out to one.

mod api;
mod described_sets;
pub(crate) mod egress;
pub(crate) mod feedback;
mod history;
pub(crate) mod ingest;
mod order;
mod pin;
pub(crate) mod ports;
pub(crate) mod reception;
mod rewriter;
mod sdp;
pub(crate) mod setup;
mod track;

use crate::packet;
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
