//! The media path of one broadcast: what a worker drives, and what can be read of it.

use media::{MediaSink, Subscriber};
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
    pub(super) fn new(settings: PassthroughConfig) -> Self {
        let (passthrough, subscriber, status) = Passthrough::new(settings, watch::channel(None).1);
        Self {
            sink: Box::new(passthrough),
            subscriber,
            status,
        }
    }
}
