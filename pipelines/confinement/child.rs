//! The child's side: what a process gives up before it touches a byte of a stranger.

use std::fs;

use ::gstreamer as gst;
use gst::prelude::*;
use nix::{
    sched::{CloneFlags, unshare},
    sys::{
        prctl,
        resource::{RLIM_INFINITY, Resource, setrlimit},
        signal::{SigSet, Signal},
    },
    unistd::chroot,
};

/// The plugin that tells what kind of file something is.
const TYPE_FINDERS: &str = "typefindfunctions";

/// As much as the parent may use.
pub(crate) const UNLIMITED: u64 = RLIM_INFINITY;

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
    // In a user namespace of its own root is nobody. Where there are none, root can at least leave the network.
    if unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).is_err() {
        let _ = unshare(CloneFlags::CLONE_NEWNET);
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

/// Gives up all files that are not open, by taking the empty folder that the launcher chose for the root.
pub(crate) fn leave_files() {
    let _ = chroot(".");
}

/// Loads these elements, and forgets all others, so that no bytes make `GStreamer` choose another.
///
/// A plugin tells of all its elements when it is loaded, so none may be loaded later.
pub(crate) fn keep_only(factories: &[&str]) {
    for name in factories {
        // What is not installed is missed when it is needed.
        if let Some(factory) = gst::ElementFactory::find(name) {
            let _ = factory.load();
        }
    }
    let registry = gst::Registry::get();
    for feature in registry.features(gst::TypeFindFactory::static_type()) {
        if feature.plugin_name().as_deref() == Some(TYPE_FINDERS) {
            let _ = feature.load();
        } else {
            registry.remove_feature(&feature);
        }
    }
    for feature in registry.features(gst::ElementFactory::static_type()) {
        if !factories.contains(&feature.name().as_str()) {
            registry.remove_feature(&feature);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not a test: it changes what all of its process may do.
    #[test]
    #[ignore = "is a process of its own, started by another test"]
    fn keeps_two() {
        const KEPT: [&str; 2] = ["capsfilter", "avdec_h264"];
        gst::init().unwrap();

        keep_only(&KEPT);
        let decoder = gst::ElementFactory::make(KEPT[1]).build();
        let other = gst::ElementFactory::make("avdec_h263").build();

        assert!(decoder.is_ok() && other.is_err());
        let registry = gst::Registry::get();
        for feature in registry.features(gst::ElementFactory::static_type()) {
            assert!(KEPT.contains(&feature.name().as_str()), "{feature:?}");
        }
    }

    #[test]
    fn no_plugin_brings_more_elements_than_are_kept() {
        let this = std::env::current_exe().unwrap();
        let arguments = "--exact confinement::child::tests::keeps_two --ignored".split(' ');

        let output = std::process::Command::new(this)
            .args(arguments)
            .output()
            .unwrap();

        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}"
        );
    }
}
