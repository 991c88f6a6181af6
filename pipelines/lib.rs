//! Placeholder.

pub mod gstreamer;
pub mod audio;
pub mod passthrough;
