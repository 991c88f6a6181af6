//! The gateway as a client: a connection that publishes to a WHIP server, without the HTTP.
//!
//! It runs on the async `webrtc` crate, another code path than the front door's, so that two implementations meet.

mod ear;
mod engine;
mod publisher;
#[cfg(test)]
pub(crate) mod receiver;
mod taken;
#[cfg(test)]
mod tests;

pub use publisher::{ClientError, ClientEvent, ClientOptions, PublishingPeer};
