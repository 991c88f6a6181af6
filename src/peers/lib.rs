//! WebRTC in and out: workers behind one UDP port, and the client that publishes.

mod api;
pub mod client;
mod door;
mod fragment;
mod packet;
mod peers;
pub mod plain;
mod relay;
mod repair;
mod rooms;
pub mod router;
mod session;
mod srtp;
mod watch;
mod worker;

pub use api::{
    IceRestart, IngestStatistics, OfferError, PeerEvent, PeersConfig, Published, SessionError,
    SessionId, SinkId, Watching,
};
pub use peers::Peers;
pub use worker::VIEWERS_LIMIT;
