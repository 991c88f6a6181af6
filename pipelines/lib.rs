//! Engines that turn RTP into access units, and outputs that carry access units away.

pub mod audio;
pub mod confinement;
mod decoder_configuration;
mod depacketise;
pub mod engine;
pub mod gstreamer;
pub mod inspection;
pub mod path;
pub mod rtmp;
pub mod slate;
