//! What the owner of a transcoder holds.

use std::{sync::Arc, time::Instant};

use tokio::task::JoinHandle;

use super::{Canvas, Full, TranscoderCounters, desk::Desk};
use crate::engine::{EnginePicture, EngineState, SourcePicture};

/// Has one studio's pictures transcoded. Dropping it ends the process.
///
/// No call waits. The waker is woken when there is something to [`poll`](Self::poll), and when a keyframe is wished for.
#[derive(Debug)]
pub struct Transcoder {
    desk: Arc<Desk>,
    task: JoinHandle<()>,
}

impl Transcoder {
    pub(super) const fn new(desk: Arc<Desk>, task: JoinHandle<()>) -> Self {
        Self { desk, task }
    }

    /// Takes the source's next picture. The first one is a keyframe.
    ///
    /// Fails when the picture is lost: too much waits, or it refers to one that was lost. A keyframe is wished for then.
    pub fn push(&self, picture: SourcePicture) -> Result<(), Full> {
        self.desk.push(picture, Instant::now())
    }

    /// Takes the next picture that is ready.
    pub fn poll(&self) -> Option<EnginePicture> {
        let mut desk = self.desk.lock();
        let picture = desk.ready.pop_front()?;
        desk.counters.pictures_out += 1;
        Some(picture)
    }

    /// Makes the next picture that [`poll`](Self::poll) gives a keyframe that is made of one that was not pushed yet.
    pub fn force_keyframe(&self) {
        self.desk.lock().begin_after_latest();
    }

    /// Pictures are missing before the next one, which is a keyframe.
    pub fn note_gap(&self) {
        self.desk.lock().need_keyframe();
    }

    /// Takes a pending wish for a keyframe of the source's.
    pub fn take_keyframe_wish(&self) -> bool {
        std::mem::take(&mut self.desk.lock().wishes_keyframe)
    }

    /// Changes the bitrate from the next picture on. Without a canvas nothing changes before the first picture.
    pub fn set_bitrate(&self, kilobits_per_second: u32) {
        let mut desk = self.desk.lock();
        if let Some(canvas) = &mut desk.canvas {
            canvas.kilobits_per_second = kilobits_per_second.max(1);
            desk.bitrate_changed = true;
        }
    }

    /// What comes out; `None` before the first picture where that decides.
    pub fn canvas(&self) -> Option<Canvas> {
        self.desk.lock().canvas
    }

    /// How it is.
    pub fn state(&self) -> EngineState {
        self.desk.lock().engine
    }

    /// What it has done so far.
    pub fn counters(&self) -> TranscoderCounters {
        self.desk.lock().counters
    }

    /// The process that works now.
    pub fn process_id(&self) -> Option<u32> {
        self.desk.lock().process_id
    }
}

impl Drop for Transcoder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
impl Transcoder {
    /// Tells the process that works, also when the transcoder has been given away.
    pub(crate) fn process(&self) -> impl Fn() -> Option<u32> + Send + 'static {
        let desk = Arc::clone(&self.desk);
        move || desk.lock().process_id
    }
}
