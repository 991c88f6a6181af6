//! A look at pictures that studios send, in a child process because they are hostile: black, frozen, or alive. The same
//! child makes small JPEGs of them.

pub mod child;
mod inspector;
mod look;
mod thumbnail;

pub use self::{
    inspector::{InspectError, Inspector},
    look::{PictureLook, THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH},
};

/// The most bytes of a keyframe; the depacketiser takes no larger one.
const PICTURE_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// The most bytes of an `AVCDecoderConfigurationRecord`: sixteen sets of 1 KiB.
const CONFIGURATION_LIMIT_BYTES: usize = 20 * 1024;

/// The widest JPEG that is made, in pixels.
pub const JPEG_WIDTH_LIMIT: u32 = 1_280;

/// The most bytes of a JPEG. One of 1280 × 4096 pixels of noise has as many.
const JPEG_LIMIT_BYTES: usize = 6 * 1024 * 1024;

/// What the child says first.
const READY: u8 = 0x2a;

/// What the child says before a look.
const SEEN: u8 = 1;

/// What the child says before a JPEG's length and the JPEG.
const CODED: u8 = 3;

/// What the child says of what is no picture.
const UNDECODABLE: u8 = 2;

#[cfg(test)]
mod tests;
