//! The child's side: what a process gives up before it touches a byte of a stranger.

use std::fs;

use ::gstreamer as gst;
use gst::prelude::*;
use nix::{
    sched::{CloneFlags, unshare},
    sys::{
        prctl,
        resource::{Resource, setrlimit},
        signal::{SigSet, Signal},
    },
};

/// What a process may use from now on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Processor time in seconds.
    pub(crate) processor_seconds: u64,
    /// Address space in bytes.
    pub(crate) memory_bytes: u64,
    /// Open files.
    pub(crate) files: u64,
}

/// Gives up the network and the way to other rights. Each step that the system refuses is left out: the others hold alone.
///
/// These hold for the thread that calls and for those that it starts, so it comes before `GStreamer`, which has a
/// thread that starts others.
pub(crate) fn isolate() {
    // When memory is short, this process goes first.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    // Writing to a file is an error later, and not the end of the process.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGXFSZ);
    let _ = signals.thread_block();
    let _ = prctl::set_no_new_privs();
    if unshare(CloneFlags::CLONE_NEWNET).is_err() {
        // Whoever is not root may do so in a user namespace of its own.
        let _ = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET);
    }
}

/// Gives up what decoding does not need, for the whole process.
///
/// Files cannot be written afterwards, not even the list of plugins, so `GStreamer` must be initialised.
pub(crate) fn confine(limits: &Limits) {
    let limit = |resource, value| {
        let _ = setrlimit(resource, value, value);
    };
    limit(Resource::RLIMIT_CORE, 0);
    limit(Resource::RLIMIT_FSIZE, 0);
    limit(Resource::RLIMIT_CPU, limits.processor_seconds);
    limit(Resource::RLIMIT_AS, limits.memory_bytes);
    limit(Resource::RLIMIT_NOFILE, limits.files);
    let _ = prctl::set_dumpable(false);
}

/// Forgets all elements but these, so that no bytes make `GStreamer` choose another.
pub(crate) fn keep_only(factories: &[&str]) {
    let registry = gst::Registry::get();
    for feature in registry.features(gst::ElementFactory::static_type()) {
        if !factories.contains(&feature.name().as_str()) {
            registry.remove_feature(&feature);
        }
    }
}
