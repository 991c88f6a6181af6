//! Engines that turn RTP into access units, and outputs that carry access units away.

pub mod audio;
mod bits;
pub mod confinement;
pub mod decoder;
mod decoder_configuration;
mod depacketise;
pub mod engine;
pub mod ffmpeg;
pub mod gstreamer;
pub mod inspection;
pub mod packetise;
pub mod path;
mod permit;
pub mod rendition;
pub mod rtmp;
pub mod slate;
pub mod transcoder;

pub use permit::Permit;
