//! The engine that uses an `FFmpeg` child process: plain RTP over loopback goes in, FLV comes out.
//!
//! H.264 is copied; what is copied is compared with what went in, so nothing that was damaged on the way goes out.

mod command;
mod complaints;
mod engine;
mod find;
mod flv;
mod ledger;
mod link;
mod process;
mod session;
mod watch;

pub use self::{
    complaints::{Complaint, ComplaintCounters},
    engine::{FfmpegEngine, FfmpegEngines},
    find::{Ffmpeg, FfmpegAbsent, FfmpegVersion},
};

#[cfg(test)]
mod tests;
