//! A show decoded to whole pictures and plain sound, for those that take nothing else: in a child process because studios
//! send what it decodes, and straight to whoever wants it, so that no raw picture goes through this process.

pub mod child;
mod hand;
mod message;
mod playout;
mod process;

pub use self::{
    hand::hand,
    message::{Canvas, CanvasError, DecodingCounters},
    process::{Decoder, DecoderEnd},
};

/// Samples of sound a second and channel, whatever the studio sends.
pub const SOUND_HZ: u32 = 48_000;

/// Channels of sound, whatever the studio sends.
pub const SOUND_CHANNELS: u32 = 2;

#[cfg(test)]
mod tests;
