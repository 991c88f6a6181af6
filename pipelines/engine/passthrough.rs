//! The engine that costs nothing: H.264 goes out as it came.

use std::{collections::VecDeque, time::Instant};

use super::{Engine, EngineKind, EnginePicture, EngineState, SourcePicture};

/// Forwards H.264. After something else was shown it waits for the studio's next keyframe.
#[derive(Debug, Default)]
pub struct PassthroughEngine {
    ready: VecDeque<EnginePicture>,
    needs_keyframe: bool,
    wishes_keyframe: bool,
    state: EngineState,
}

impl Engine for PassthroughEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Passthrough
    }

    fn handle_picture(&mut self, picture: SourcePicture, _now: Instant) {
        // Without its parameters a picture is none.
        let Some(config) = picture.config else { return };
        if self.needs_keyframe && !picture.keyframe {
            return;
        }
        self.needs_keyframe = false;
        self.state = EngineState::Running;
        self.ready.push_back(EnginePicture {
            timestamp: picture.timestamp,
            keyframe: picture.keyframe,
            config,
            data: picture.data,
            arrival: picture.arrival,
        });
    }

    /// What comes next is a keyframe in any case.
    fn handle_gap(&mut self) {}

    fn require_keyframe(&mut self) {
        self.ready.clear();
        self.wishes_keyframe |= !self.needs_keyframe;
        self.needs_keyframe = true;
    }

    fn poll_picture(&mut self) -> Option<EnginePicture> {
        self.ready.pop_front()
    }

    fn poll_keyframe_request(&mut self) -> bool {
        std::mem::take(&mut self.wishes_keyframe)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn state(&self) -> EngineState {
        self.state
    }

    fn forwards(&self) -> bool {
        true
    }
}
