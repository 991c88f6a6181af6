//! Rooms' media: transports of participants, tracks that come in on them, and who gets them.
//!
//! A router lives on one worker, with all its transports, so that forwarding is a plain loop.

mod api;
mod batch;
pub(crate) mod downlink;
mod dtls;
pub(crate) mod extensions;
pub(crate) mod identity;
mod order;
pub(crate) mod outbox;
pub(crate) mod transport;
pub(crate) mod uplink;

pub use api::{
    Composed, ConsumerCounters, ConsumerOrder, OpenTransport, ProducerCounters, ProducerOrder,
    RouterError, RouterId, TransportEvent, TransportProgress,
};
pub(crate) use order::{Reply, RouterCommand, TransportOrder};

#[cfg(test)]
mod tests;
