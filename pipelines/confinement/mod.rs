//! Child processes for hostile bytes: how they are started, and what they give up before they read any.

mod child;
pub(crate) mod graph;
mod launcher;

pub(crate) use child::{Limits, UNLIMITED, confine, isolate, keep_only, leave_files};
pub use launcher::Launcher;
pub(crate) use launcher::Priority;
