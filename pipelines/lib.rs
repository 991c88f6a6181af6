//! Placeholder.

pub mod gstreamer;
pub mod audio;
pub mod passthrough;
pub mod rtmp;
