//! The media path of one broadcast: what a worker drives, and what can be read of it.

use std::sync::Arc;

use media::{MediaSink, StandIn, Subscriber};
use pipelines::passthrough::{Passthrough, PassthroughConfig, Status};
use tokio::sync::watch;

/// How media paths are set up.
pub use pipelines::passthrough::PassthroughConfig as PathSettings;

/// What is known of the media, from the media itself.
pub(super) type PathStatus = watch::Receiver<Status>;

/// A new media path, before it has a place.
pub(super) struct MediaPath {
    pub(super) sink: Box<dyn MediaSink>,
    pub(super) subscriber: Subscriber,
    pub(super) status: PathStatus,
}

impl MediaPath {
    pub(super) fn new(
        settings: PassthroughConfig,
        slate: watch::Receiver<Option<Arc<StandIn>>>,
    ) -> Self {
        let (passthrough, subscriber, status) = Passthrough::new(settings, slate);
        Self {
            sink: Box::new(passthrough),
            subscriber,
            status,
        }
    }
}
