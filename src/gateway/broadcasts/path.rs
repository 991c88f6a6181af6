//! The media path of one broadcast: what a worker drives, and what can be read of it.

use std::sync::Arc;

use broadcast::{Method, Rendition, VideoSpec};
use media::{MediaSink, StandIn, Subscriber};
use pipelines::{
    engine::{EngineMethod, EnginePlan, Engines},
    path::{MediaPath, OpusSubscriber, PathConfig, Resumption, Status},
    transcoder::Canvas,
};
use tokio::sync::watch;

use crate::clock::now;

/// How media paths are set up.
pub use pipelines::path::PathConfig as PathSettings;

/// More frames a second than this are made to 60, fewer to 30.
const FAST: f64 = 40.0;

/// What is known of the media, from the media itself.
pub(super) type PathStatus = watch::Receiver<Status>;

/// A new media path, before it has a place.
pub(super) struct NewPath {
    pub(super) sink: Box<dyn MediaSink>,
    pub(super) subscriber: Subscriber,
    pub(super) opus: OpusSubscriber,
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
        resumption: Option<Resumption>,
    ) -> Self {
        let (mut path, subscriber, status) = MediaPath::new(settings, slate);
        if let Some(show) = resumption {
            path = path.resuming(&show, now());
        }
        let (plan, reader) = watch::channel(plan);
        let opus = path.opus();
        Self {
            sink: Box::new(path.with_engines(engines, reader)),
            subscriber,
            opus,
            status,
            plan,
        }
    }
}

/// What is made of a studio's pictures when nobody says, as far as they are known and made anew.
pub(super) fn made_canvas(status: &Status) -> Option<Rendition> {
    let size = status
        .engine
        .filter(|engine| !engine.forwards)?
        .source_size?;
    let is_fast = status
        .nominal_frames_per_second
        .is_some_and(|rate| rate > FAST);
    let canvas = Canvas::of_size(size, is_fast);
    let (rate, bitrate) = (canvas.frames_per_second, canvas.kilobits_per_second);
    Rendition::new(canvas.width, canvas.height, rate, bitrate).ok()
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
            | Method::Restream
            | Method::Hybrid => EngineMethod::Gstreamer,
        },
        transcode: video.transcode,
        canvas: video.canvas,
    }
}
