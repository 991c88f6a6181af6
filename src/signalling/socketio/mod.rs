//! Rooms over Socket.IO: one connection handling for all dialects, which differ only in their words.

mod ack;
mod choice;
mod connections;
mod counts;
mod desk;
mod dialect;
mod gate;
mod handshake;
#[cfg(test)]
mod hostile;
mod inbox;
mod kebab;
mod outbox;
mod payload;
mod seat;
mod server;
mod session;
mod socket;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transcripts;
mod waiting;
mod wire;

pub use ack::Ack;
pub use counts::SocketCounts;
pub use desk::{Desk, direction, is_screen};
pub use dialect::{Caller, Dialect, Handled, Handshake};
pub use kebab::told;
pub use outbox::{Gone, Nowhere, Outbox};
pub use payload::Payload;
pub use seat::{Seat, Seated};
pub use server::{PAYLOAD_LIMIT_BYTES, SocketServer, SocketSettings, router};
pub use wire::{consumer, dtls_state, ice_state, milliseconds, participant, producer, transport};
