//! Placeholder.

pub mod gstreamer;
pub mod audio;
