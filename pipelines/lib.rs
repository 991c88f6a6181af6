//! Engines that turn RTP into access units, and outputs that carry access units away.

pub mod audio;
pub mod confinement;
mod decoder_configuration;
pub mod gstreamer;
pub mod inspection;
pub mod passthrough;
pub mod rtmp;
pub mod slate;
