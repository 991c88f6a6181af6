//! Sound in process: Opus in, AAC-LC out, 48 kHz stereo all the way.

mod aac;
mod decoder;

pub use aac::{AacEncoder, EncoderError, XaacEncoder};
pub use decoder::{Decoded, OpusDecoder};

/// The rate of everything here, in samples a second and channel.
pub const SAMPLE_RATE_HZ: u32 = 48_000;

/// Interleaved channels of everything here.
pub const CHANNELS: usize = 2;

/// Samples a channel in one AAC-LC frame.
pub const FRAME_SAMPLES: usize = 1_024;
