//! RTMP out: our own publisher, and a strict receiver that stands in for a platform.

mod amf0;
mod chunk;
mod chunk_reader;
mod connection;
mod counters;
mod flv;
mod handshake;
mod liveness;
mod media_writer;
mod outgoing;
mod publish;
pub mod receiver;
mod refusal;
mod session;
mod tcp_info;

pub use connection::{Limits, Programme, Target, Trust, probe, publish};
pub use counters::Counters;
pub use flv::MediaHints;

#[cfg(test)]
mod tests;
