//! What makes H.264 out of a studio's pictures: one trait, and an engine for each way of doing it.
//!
//! Engines have nothing to do with sound, which is the same whatever becomes of the pictures, nor with RTP: they take whole
//! pictures in order, each with its place on the broadcast's timeline.

#[cfg(test)]
mod contract_tests;
mod engines;
mod keyframes;
mod passthrough;
#[cfg(test)]
pub(crate) mod recorded;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use broadcast::Rendition;
use bytes::Bytes;
use media::{CodecConfig, VideoCodec};

pub(crate) use self::keyframes::{KEYFRAME_PERIOD, Keyframes};
pub use self::{
    engines::{EngineMaker, EngineOrder, Engines},
    passthrough::PassthroughEngine,
};

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// Forwards H.264 as it is.
    Passthrough,
    /// Decodes, scales and encodes with `GStreamer`, in a child process of this program.
    Gstreamer,
    /// Copies or encodes with an `FFmpeg` child process.
    Ffmpeg,
}

impl EngineKind {
    /// Every engine.
    pub const ALL: [Self; 3] = [Self::Passthrough, Self::Gstreamer, Self::Ffmpeg];

    /// The word of the public contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passthrough => "passthrough",
            Self::Gstreamer => "gstreamer",
            Self::Ffmpeg => "ffmpeg",
        }
    }
}

/// A whole coded picture of the studio's.
#[derive(Debug, Clone)]
pub struct SourcePicture {
    /// How it is coded.
    pub codec: VideoCodec,
    /// Its place on the broadcast's timeline, later than that of the one before.
    pub timestamp: Duration,
    /// Whether a decoder can begin here.
    pub keyframe: bool,
    /// H.264: the parameters in force. Others carry theirs in their keyframes.
    pub config: Option<Arc<CodecConfig>>,
    /// Width and height in pixels that the latest keyframe told.
    pub size: (u32, u32),
    /// H.264: NAL units behind 4-byte lengths, parameter sets left out. VP8: the frame. VP9: the frames of one instant, in
    /// order. AV1: OBUs with sizes, without temporal delimiters.
    pub data: Bytes,
    /// When its last packet came.
    pub arrival: Instant,
}

/// A picture that is ready to go out.
#[derive(Debug, Clone)]
pub struct EnginePicture {
    /// Its place on the broadcast's timeline: that of the picture it was made of.
    pub timestamp: Duration,
    /// Whether a decoder can begin here.
    pub keyframe: bool,
    /// H.264 parameters in force; the same [`Arc`] until they change.
    pub config: Arc<CodecConfig>,
    /// NAL units behind 4-byte lengths, parameter sets left out; no picture refers to a later one.
    pub data: Bytes,
    /// When the last packet of the picture came that it was made of.
    pub arrival: Instant,
}

/// How a broadcast's pictures are to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EnginePlan {
    /// Who makes them where they cannot be forwarded, or always with [`transcode`](Self::transcode).
    pub method: EngineMethod,
    /// Whether they are made anew although they could be forwarded.
    pub transcode: bool,
    /// What comes out then; `None`: what comes in, at a usual rate.
    pub canvas: Option<Rendition>,
}

/// Who makes pictures that cannot be forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EngineMethod {
    /// `GStreamer`, and nobody at all where H.264 can be forwarded.
    #[default]
    Gstreamer,
    /// `FFmpeg`, also for forwarding; `GStreamer` for what it does not take.
    Ffmpeg,
}

/// How an engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineState {
    /// It has not brought forth a picture yet.
    #[default]
    Starting,
    /// It works.
    Running,
    /// Its process has died or hung this many times in a row, and a new one has brought nothing forth yet.
    Failing(u32),
}

/// Makes H.264 out of one studio's pictures.
///
/// It is driven by a media worker: no call waits for anything. An engine that works elsewhere wakes the worker when a
/// picture is ready. What it has too much of it loses, up to the next keyframe.
pub trait Engine: fmt::Debug + Send {
    /// Which it is.
    fn kind(&self) -> EngineKind;

    /// Takes the studio's next picture. The first one, and the first after [`handle_gap`](Self::handle_gap), is a keyframe.
    fn handle_picture(&mut self, picture: SourcePicture, now: Instant);

    /// Pictures are missing before the next one.
    fn handle_gap(&mut self);

    /// The next picture that comes out must be a keyframe that was made of a picture not yet handed over: something else
    /// has been shown meanwhile, or somebody new is to begin there.
    fn require_keyframe(&mut self);

    /// No picture comes any more: what is held back until the next one can come out.
    fn handle_end(&mut self) {}

    /// Takes the next picture that is ready.
    fn poll_picture(&mut self) -> Option<EnginePicture>;

    /// Takes a pending wish for a keyframe of the studio's.
    fn poll_keyframe_request(&mut self) -> bool;

    /// When [`handle_timeout`](Self::handle_timeout) is due, if ever.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Time has passed, or the worker was woken.
    fn handle_timeout(&mut self, now: Instant);

    /// How it is.
    fn state(&self) -> EngineState;

    /// Whether what comes out is the studio's own coding, so that a keyframe has to be the studio's.
    fn forwards(&self) -> bool {
        false
    }

    /// How often its process was replaced.
    fn restarts(&self) -> u64 {
        0
    }
}
