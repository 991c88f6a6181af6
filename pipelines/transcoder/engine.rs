//! The engine that has pictures transcoded by a process of its own.

use std::{task::Waker, time::Instant};

use media::VideoCodec;

use super::{Canvas, Transcoder, Transcoders};
use crate::engine::{
    Engine, EngineKind, EngineMaker, EngineOrder, EnginePicture, EngineState, SourcePicture,
};

/// Decodes, scales and encodes with `GStreamer`.
#[derive(Debug)]
pub struct GstreamerEngine {
    transcoder: Transcoder,
}

impl GstreamerEngine {
    /// An engine around a transcoder whose waker wakes the worker that drives the engine.
    pub const fn new(transcoder: Transcoder) -> Self {
        Self { transcoder }
    }

    /// The transcoder inside.
    pub const fn transcoder(&self) -> &Transcoder {
        &self.transcoder
    }
}

impl Engine for GstreamerEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Gstreamer
    }

    fn handle_picture(&mut self, picture: SourcePicture, _now: Instant) {
        // What is lost is counted, and a keyframe wished for.
        let _ = self.transcoder.push(picture);
    }

    fn handle_gap(&mut self) {
        self.transcoder.note_gap();
    }

    fn require_keyframe(&mut self) {
        self.transcoder.force_keyframe();
    }

    fn poll_picture(&mut self) -> Option<EnginePicture> {
        self.transcoder.poll()
    }

    fn poll_keyframe_request(&mut self) -> bool {
        self.transcoder.take_keyframe_wish()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn state(&self) -> EngineState {
        self.transcoder.state()
    }
}

impl EngineMaker for Transcoders {
    fn takes(&self, _codec: VideoCodec) -> bool {
        true
    }

    fn make(&self, order: &EngineOrder, waker: &Waker) -> Box<dyn Engine> {
        let canvas = order.canvas.map(Canvas::from);
        let transcoder = self.start(order.codec, canvas, waker.clone());
        Box::new(GstreamerEngine::new(transcoder))
    }
}
