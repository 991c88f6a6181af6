//! The media path of one broadcast: what a worker drives, and what can be read of it.

use std::sync::Arc;

use broadcast::{Method, VideoSpec};
use media::{MediaSink, StandIn, Subscriber};
use pipelines::{
    engine::{EngineMethod, EnginePlan, Engines},
    path::{MediaPath, PathConfig, Status},
};
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
    /// Where it reads how pictures are to be made.
    pub(super) plan: watch::Sender<EnginePlan>,
}

impl NewPath {
    pub(super) fn new(
        settings: PathConfig,
        slate: watch::Receiver<Option<Arc<StandIn>>>,
        engines: Engines,
        plan: EnginePlan,
    ) -> Self {
        let (path, subscriber, status) = MediaPath::new(settings, slate);
        let (plan, reader) = watch::channel(plan);
        Self {
            sink: Box::new(path.with_engines(engines, reader)),
            subscriber,
            status,
            plan,
        }
    }
}

/// How the pictures of a broadcast are to be made.
pub(super) fn plan_of(method: Method, video: &VideoSpec) -> EnginePlan {
    EnginePlan {
        method: match method {
            Method::Ffmpeg => EngineMethod::Ffmpeg,
            // What a hosted provider is sent is made as our own is.
            Method::Gstreamer
            | Method::Daily
            | Method::Livekit
            | Method::Cloudflare
            | Method::Mux
            | Method::Hybrid => EngineMethod::Gstreamer,
        },
        transcode: video.transcode,
        canvas: video.canvas,
    }
}
