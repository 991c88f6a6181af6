//! The rig: real counterparts around a real gateway, bad weather between them, and an eye on what arrives.

mod recording;
mod scratch;

pub use recording::{AudioStream, Frame, Offset, Recording, VideoStream};
pub use scratch::Scratch;
