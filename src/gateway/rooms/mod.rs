//! The rooms of this node: a task for each, between the dialects, the media workers and the broadcasts.

mod codec;
mod egress;
mod events;
mod faces;
mod handle;
mod lane;
mod media;
mod member;
mod pass;
mod preview;
mod registry;
mod service;
mod task;
mod words;

pub(crate) use faces::Faces;
pub(crate) use preview::Lease;
pub use registry::{RoomSettings, Rooms};
pub use service::RoomService;

#[cfg(test)]
mod tests;
