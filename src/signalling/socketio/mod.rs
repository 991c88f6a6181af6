//! Rooms over Socket.IO: one connection handling for all dialects, which differ only in their words.

mod ack;
mod dialect;
mod outbox;
mod payload;
mod seat;
mod wire;

pub use ack::Ack;
pub use dialect::{Caller, Dialect, Handled, Handshake};
pub use outbox::{Gone, Outbox};
pub use payload::Payload;
pub use seat::{Seat, Seated};
pub use wire::{consumer, milliseconds, transport};
