//! The media path of one broadcast: what a worker drives, and what can be read of it.

use std::sync::Arc;

use media::{MediaSink, StandIn, Subscriber};
use pipelines::path::{MediaPath, PathConfig, Status};
use tokio::sync::watch;

/// How media paths are set up.
pub use pipelines::path::PathConfig as PathSettings;

/// What is known of the media, from the media itself.
pub(super) type PathStatus = watch::Receiver<Status>;

/// A new media path, before it has a place.
pub(super) struct NewPath {
    pub(super) sink: Box<dyn MediaSink>,
    pub(super) subscriber: Subscriber,
    pub(super) status: PathStatus,
}

impl NewPath {
    pub(super) fn new(settings: PathConfig, slate: watch::Receiver<Option<Arc<StandIn>>>) -> Self {
        let (path, subscriber, status) = MediaPath::new(settings, slate);
        Self {
            sink: Box::new(path),
            subscriber,
            status,
        }
    }
}
