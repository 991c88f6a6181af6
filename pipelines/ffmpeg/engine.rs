//! The engine's near end, which a media worker drives.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::Waker,
    time::Instant,
};

use broadcast::Rendition;
use media::{CodecConfig, VideoCodec};
use tokio::{runtime::Handle, sync::mpsc, task::JoinSet};

use super::{
    Ffmpeg,
    process::{Handed, Heard, Next, Order, Outlet, serve},
};
use crate::engine::{
    Engine, EngineKind, EngineMaker, EngineOrder, EnginePicture, EngineState, SourcePicture,
};

/// The most pictures that are handed over and not taken. When there are more, all up to the next keyframe are lost.
const HANDED_LIMIT: usize = 64;

/// The most pictures and messages that are ready and not taken.
const HEARD_LIMIT: usize = 256;

/// What is made of a studio's picture when nobody says: the rate of a browser's canvas.
const USUAL_FRAMES_PER_SECOND: u32 = 30;

/// Makes engines that use one `FFmpeg`.
#[derive(Debug, Clone)]
pub struct FfmpegEngines {
    ffmpeg: Ffmpeg,
    runtime: Handle,
}

impl FfmpegEngines {
    /// Engines whose children are served on `runtime`.
    pub fn new(ffmpeg: Ffmpeg, runtime: Handle) -> Self {
        Self { ffmpeg, runtime }
    }
}

impl EngineMaker for FfmpegEngines {
    fn takes(&self, codec: VideoCodec) -> bool {
        self.ffmpeg.takes(codec)
    }

    fn make(&self, order: &EngineOrder, waker: &Waker) -> Box<dyn Engine> {
        let runtime = self.runtime.clone();
        let engine = self
            .ffmpeg
            .engine(order.codec, order.canvas, runtime, waker.clone());
        Box::new(engine.that_copies(order.copies()))
    }
}

impl Ffmpeg {
    /// Makes an engine. H.264 without a canvas is copied, all else is made anew. Without a canvas that is in the shape of
    /// the first picture, with 30 frames a second.
    ///
    /// The first child is started with the first picture. Dropping the engine kills it.
    pub fn engine(
        &self,
        codec: VideoCodec,
        canvas: Option<Rendition>,
        runtime: Handle,
        waker: Waker,
    ) -> FfmpegEngine {
        FfmpegEngine {
            ffmpeg: self.clone(),
            codec,
            coding: Coding::new(codec == VideoCodec::H264 && canvas.is_none()),
            canvas,
            runtime,
            waker,
            child: None,
            process: Arc::default(),
            next_number: 0,
            required: 0,
            waits_for_keyframe: false,
            accepts_any: true,
            wishes_keyframe: false,
            state: EngineState::Starting,
            config: None,
            ready: VecDeque::new(),
        }
    }
}

/// Copies H.264, or makes it, with an `FFmpeg` child process.
pub struct FfmpegEngine {
    ffmpeg: Ffmpeg,
    codec: VideoCodec,
    coding: Coding,
    canvas: Option<Rendition>,
    runtime: Handle,
    waker: Waker,
    child: Option<Served>,
    /// The child that works at this moment; 0: none.
    process: Arc<AtomicU32>,
    next_number: u64,
    /// What comes next was made of a picture of this number or a later one.
    required: u64,
    /// What is handed over next is a keyframe.
    waits_for_keyframe: bool,
    /// Whether what comes next need not be a keyframe.
    accepts_any: bool,
    wishes_keyframe: bool,
    state: EngineState,
    /// Of what came out last.
    config: Option<Arc<CodecConfig>>,
    ready: VecDeque<EnginePicture>,
}

/// Whose coding goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// The studio's.
    Copied,
    /// `FFmpeg`'s.
    Anew,
}

impl Coding {
    const fn new(copies: bool) -> Self {
        if copies { Self::Copied } else { Self::Anew }
    }
}

/// A task that serves children.
struct Served {
    handed: mpsc::Sender<Next>,
    heard: mpsc::Receiver<Heard>,
    /// Dropping it ends the task, and the task's end kills the child.
    _task: JoinSet<()>,
}

impl fmt::Debug for FfmpegEngine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FfmpegEngine")
            .field("codec", &self.codec)
            .field("canvas", &self.canvas)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl FfmpegEngine {
    /// The process that works at this moment.
    pub fn process_id(&self) -> Option<u32> {
        number(&self.process)
    }

    /// What tells [`process_id`](Self::process_id), also when the engine is elsewhere.
    #[cfg(test)]
    pub(crate) fn process(&self) -> impl Fn() -> Option<u32> + use<> {
        let process = Arc::clone(&self.process);
        move || number(&process)
    }

    /// Makes H.264 anew although it could be copied, or not.
    const fn that_copies(mut self, copies: bool) -> Self {
        self.coding = Coding::new(copies);
        self
    }

    fn start(&self, first: &SourcePicture) -> Served {
        let (handed, to_child) = mpsc::channel(HANDED_LIMIT);
        let (from_child, heard) = mpsc::channel(HEARD_LIMIT);
        let order = Order {
            ffmpeg: self.ffmpeg.clone(),
            codec: self.codec,
            canvas: (self.coding == Coding::Anew)
                .then(|| self.canvas.unwrap_or_else(|| usual_canvas(first.size))),
        };
        let outlet = Outlet {
            heard: from_child,
            waker: self.waker.clone(),
            process: Arc::clone(&self.process),
        };
        let mut task = JoinSet::new();
        task.spawn_on(serve(order, to_child, outlet), &self.runtime);
        Served {
            handed,
            heard,
            _task: task,
        }
    }

    fn listen(&mut self) {
        let next = |child: &mut Served| child.heard.try_recv().ok();
        while let Some(heard) = self.child.as_mut().and_then(next) {
            match heard {
                Heard::Picture(number, picture) => {
                    let is_wanted = self.accepts_any || picture.keyframe;
                    if is_wanted && number >= self.required {
                        self.accepts_any = true;
                        self.put(picture);
                    }
                }
                Heard::WishKeyframe => self.wishes_keyframe = true,
                Heard::State(state) => self.state = state,
            }
        }
    }

    fn put(&mut self, mut picture: EnginePicture) {
        // A child like the one before changes nothing for anybody.
        match &self.config {
            Some(config) if *config == picture.config => picture.config = Arc::clone(config),
            Some(_) | None => self.config = Some(Arc::clone(&picture.config)),
        }
        self.ready.push_back(picture);
    }

    /// Returns whether there is room for it.
    fn hand(&self, next: Next) -> bool {
        let child = self.child.as_ref();
        child.is_some_and(|child| child.handed.try_send(next).is_ok())
    }

    fn wait_for_keyframe(&mut self) {
        self.waits_for_keyframe = true;
        self.wishes_keyframe = true;
    }
}

impl Engine for FfmpegEngine {
    fn forwards(&self) -> bool {
        self.coding == Coding::Copied
    }

    fn kind(&self) -> EngineKind {
        EngineKind::Ffmpeg
    }

    fn handle_picture(&mut self, picture: SourcePicture, _now: Instant) {
        if self.waits_for_keyframe && !picture.keyframe {
            return;
        }
        self.waits_for_keyframe = false;
        if self.child.is_none() {
            self.child = Some(self.start(&picture));
        }
        let number = self.next_number;
        self.next_number += 1;
        let handed = Handed {
            number,
            picture,
            begins: number == self.required && !self.accepts_any,
        };
        if !self.hand(Next::Picture(handed)) {
            if !self.accepts_any {
                self.required = self.next_number;
            }
            self.wait_for_keyframe();
        }
    }

    fn handle_gap(&mut self) {
        self.wait_for_keyframe();
    }

    fn require_keyframe(&mut self) {
        self.listen();
        self.ready.clear();
        self.required = self.next_number;
        self.accepts_any = false;
        // What is made anew is a keyframe where it is ordered.
        self.wishes_keyframe |= self.coding == Coding::Copied;
    }

    fn handle_end(&mut self) {
        // A child that has too much to do already has other things to bring forth first.
        let _ = self.hand(Next::End);
    }

    fn poll_picture(&mut self) -> Option<EnginePicture> {
        if self.ready.is_empty() {
            self.listen();
        }
        self.ready.pop_front()
    }

    fn poll_keyframe_request(&mut self) -> bool {
        std::mem::take(&mut self.wishes_keyframe)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _now: Instant) {
        self.listen();
    }

    fn state(&self) -> EngineState {
        self.state
    }
}

fn number(process: &AtomicU32) -> Option<u32> {
    let process = process.load(Ordering::Relaxed);
    (process != 0).then_some(process)
}

/// A canvas in the shape of a picture, with the bitrate of its height.
fn usual_canvas((width, height): (u32, u32)) -> Rendition {
    let even = |side: u32, least, most| (side & !1).clamp(least, most);
    let (width, height) = (even(width, 160, 3_840), even(height, 90, 2_160));
    let kilobits_per_second = match height {
        ..=360 => 600,
        361..=480 => 1_200,
        481..=720 => 2_500,
        721..=1_080 => 4_500,
        _ => 15_000,
    };
    Rendition::new(width, height, USUAL_FRAMES_PER_SECOND, kilobits_per_second)
        .unwrap_or(FALLBACK_CANVAS)
}

/// For a shape that no rendition can have.
const FALLBACK_CANVAS: Rendition = match Rendition::new(1_280, 720, 30, 2_500) {
    Ok(canvas) => canvas,
    Err(_) => panic!("the canvas is within the limits"),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_any_size_has_a_canvas() {
        let canvas = |size| usual_canvas(size).to_string();

        assert_eq!(canvas((1_921, 1_081)), "1920×1080, 30 frames/s, 4500 kb/s");
        assert_eq!(canvas((1, 0)), "160×90, 30 frames/s, 600 kb/s");
        assert_eq!(
            canvas((u32::MAX, u32::MAX)),
            "3840×2160, 30 frames/s, 15000 kb/s"
        );
    }
}
