//! RTMP out: our own publisher, and a strict receiver that stands in for a platform.

mod amf0;
mod black_box;
mod chunk;
mod chunk_reader;
mod connection;
mod counters;
mod curtain;
mod flv;
mod handshake;
mod live;
mod liveness;
mod media_writer;
mod outgoing;
mod pace;
mod place;
mod publish;
pub mod receiver;
mod refusal;
mod session;
mod tcp_info;

pub use black_box::{BlackBox, BlackBoxView, Event, Sample, What};
pub use connection::{Limits, Programme, Target, Trust, probe, publish};
pub use counters::Counters;
pub use curtain::Curtain;
pub use flv::MediaHints;
pub use place::Place;

#[cfg(test)]
mod tests;
