//! `GStreamer`: here it makes the synthetic studio's picture and sound.
//!
//! Passing video through needs no `GStreamer` at all; it is used where pictures are coded.

#[cfg(test)]
mod check;
pub(crate) mod counter;
mod cue;
mod cue_meter;
mod graph;
mod picture;
mod studio;
mod tone;
pub(crate) mod transcoding;
mod vpx;

pub use cue::{CUE_LENGTH, CUE_PERIOD};
pub use cue_meter::{CueOffsets, measure};
pub use studio::{Pace, StudioError, StudioOptions, TestStudio};
