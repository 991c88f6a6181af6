//! WebRTC in and out: workers behind one UDP port, and the client that publishes.

mod api;

pub use api::{
    IceRestart, IngestStatistics, OfferError, PeerEvent, Peers, PeersConfig, Published, SessionError, SessionId,
    SinkId,
};
