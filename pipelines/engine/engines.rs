//! Which engines there are, and which one a plan means for a studio's codec.

use std::{fmt, sync::Arc, task::Waker};

use media::VideoCodec;

use super::{Engine, EngineKind, EngineMethod, EnginePlan, PassthroughEngine};

/// What an engine is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EngineOrder {
    /// Which engine.
    pub kind: EngineKind,
    /// What it gets.
    pub codec: VideoCodec,
    /// Whether pictures are made anew even where they could be copied.
    pub transcode: bool,
    /// What it makes; `None`: the shape of what comes in.
    pub canvas: Option<broadcast::Rendition>,
}

impl EngineOrder {
    /// Whether the studio's own coding goes out.
    pub fn copies(&self) -> bool {
        let may = self.codec == VideoCodec::H264 && !self.transcode;
        may && self.kind != EngineKind::Gstreamer
    }
}

/// Makes engines of one kind.
pub trait EngineMaker: fmt::Debug + Send + Sync {
    /// Whether it takes this codec.
    fn takes(&self, codec: VideoCodec) -> bool;

    /// Makes an engine that wakes its worker by `waker`. It begins to work at once, elsewhere; the call waits for nothing.
    fn make(&self, order: &EngineOrder, waker: &Waker) -> Box<dyn Engine>;
}

/// The engines of this process. Cloning shares them. By default there is only the one that forwards H.264.
#[derive(Debug, Clone, Default)]
pub struct Engines {
    gstreamer: Option<Arc<dyn EngineMaker>>,
    ffmpeg: Option<Arc<dyn EngineMaker>>,
}

impl Engines {
    /// The same with a maker of `GStreamer` engines.
    #[must_use]
    pub fn with_gstreamer(mut self, maker: Arc<dyn EngineMaker>) -> Self {
        self.gstreamer = Some(maker);
        self
    }

    /// The same with a maker of `FFmpeg` engines.
    #[must_use]
    pub fn with_ffmpeg(mut self, maker: Arc<dyn EngineMaker>) -> Self {
        self.ffmpeg = Some(maker);
        self
    }

    /// What a plan means for a codec; `None`: nobody here takes it.
    pub fn choose(&self, plan: &EnginePlan, codec: VideoCodec) -> Option<EngineOrder> {
        let takes = |kind| {
            self.maker(kind)
                .is_some_and(|maker: &dyn EngineMaker| maker.takes(codec))
        };
        let forwardable = codec == VideoCodec::H264 && !plan.transcode;
        let kind = match plan.method {
            EngineMethod::Ffmpeg if takes(EngineKind::Ffmpeg) => EngineKind::Ffmpeg,
            EngineMethod::Ffmpeg | EngineMethod::Gstreamer if forwardable => {
                EngineKind::Passthrough
            }
            EngineMethod::Ffmpeg | EngineMethod::Gstreamer if takes(EngineKind::Gstreamer) => {
                EngineKind::Gstreamer
            }
            EngineMethod::Ffmpeg | EngineMethod::Gstreamer => return None,
        };
        Some(EngineOrder {
            kind,
            codec,
            transcode: plan.transcode,
            canvas: plan.canvas.filter(|_| !forwardable),
        })
    }

    /// The codecs that a plan has an engine for, the one that costs least first.
    pub fn codecs(&self, plan: &EnginePlan) -> Vec<VideoCodec> {
        let mut codecs = VideoCodec::ALL.to_vec();
        codecs.retain(|codec| self.choose(plan, *codec).is_some());
        codecs
    }

    /// Makes the engine of an order that [`choose`](Self::choose) gave.
    pub fn make(&self, order: &EngineOrder, waker: &Waker) -> Box<dyn Engine> {
        match self.maker(order.kind) {
            Some(maker) => maker.make(order, waker),
            None => Box::<PassthroughEngine>::default(),
        }
    }

    fn maker(&self, kind: EngineKind) -> Option<&dyn EngineMaker> {
        match kind {
            EngineKind::Passthrough => None,
            EngineKind::Gstreamer => self.gstreamer.as_deref(),
            EngineKind::Ffmpeg => self.ffmpeg.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Takes(&'static [VideoCodec]);

    impl EngineMaker for Takes {
        fn takes(&self, codec: VideoCodec) -> bool {
            self.0.contains(&codec)
        }

        fn make(&self, _order: &EngineOrder, _waker: &Waker) -> Box<dyn Engine> {
            Box::<PassthroughEngine>::default()
        }
    }

    fn all() -> Engines {
        Engines::default()
            .with_gstreamer(Arc::new(Takes(&VideoCodec::ALL)))
            .with_ffmpeg(Arc::new(Takes(&[VideoCodec::H264, VideoCodec::Vp8])))
    }

    fn chosen(engines: &Engines, plan: &EnginePlan, codec: VideoCodec) -> Option<EngineKind> {
        engines.choose(plan, codec).map(|order| order.kind)
    }

    #[test]
    fn h264_is_forwarded_unless_it_is_to_be_made_anew() {
        let plan = EnginePlan::default();
        let anew = EnginePlan {
            transcode: true,
            ..plan
        };

        let kinds = [plan, anew].map(|plan| chosen(&all(), &plan, VideoCodec::H264));

        assert_eq!(
            kinds,
            [Some(EngineKind::Passthrough), Some(EngineKind::Gstreamer)]
        );
    }

    #[test]
    fn what_ffmpeg_does_not_take_is_left_to_gstreamer() {
        let plan = EnginePlan {
            method: EngineMethod::Ffmpeg,
            ..EnginePlan::default()
        };

        let kinds = VideoCodec::ALL.map(|codec| chosen(&all(), &plan, codec));

        assert_eq!(
            kinds,
            [
                Some(EngineKind::Ffmpeg),
                Some(EngineKind::Ffmpeg),
                Some(EngineKind::Gstreamer),
                Some(EngineKind::Gstreamer)
            ]
        );
    }

    #[test]
    fn without_other_engines_only_h264_is_taken() {
        assert_eq!(
            Engines::default().codecs(&EnginePlan::default()),
            [VideoCodec::H264]
        );
        assert_eq!(all().codecs(&EnginePlan::default()), VideoCodec::ALL);
    }

    #[test]
    fn a_canvas_is_for_what_is_made_anew() {
        let canvas = Some("720p-high".parse().unwrap());
        let plan = EnginePlan {
            canvas,
            ..EnginePlan::default()
        };

        let canvas_of = |codec| all().choose(&plan, codec).unwrap().canvas;

        assert_eq!(canvas_of(VideoCodec::H264), None);
        assert_eq!(canvas_of(VideoCodec::Vp8), canvas);
    }
}
