//! A broadcast's picture in another shape, rate and bitrate: read from the main media, transcoded by a child process, and
//! put on the same timeline between the same sound, for every destination that asks for it.

mod sequence;

use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Wake, Waker},
    time::{Duration, Instant},
};

use broadcast::Rendition;
use media::{AccessUnit, CodecConfig, Fanout, Reader, Subscriber, VideoCodec};
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep_until},
};

use self::sequence::Sequence;
use crate::{
    engine::SourcePicture,
    transcoder::{Canvas, Transcoder, Transcoders},
};

/// How much media is kept for slow destinations, as of the main media.
const WINDOW: Duration = Duration::from_secs(4);

/// How often it is looked whether the process has started.
const LOOK: Duration = Duration::from_millis(20);

/// How many looks it may take; the process gets pictures in any case then.
const LOOKS_LIMIT: u32 = 250;

/// How a rendition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RenditionState {
    /// No picture has come out yet.
    #[default]
    Starting,
    /// Pictures come out.
    Running,
    /// The last picture is repeated: the process is being replaced, or too slow.
    Frozen,
}

impl RenditionState {
    /// The word of the public contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Frozen => "frozen",
        }
    }
}

/// What can be known of a rendition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RenditionStatus {
    /// How it is.
    pub state: RenditionState,
    /// Transcoded pictures that went out.
    pub pictures: u64,
    /// Pictures that repeat the one before, because none came in time.
    pub freeze_pictures: u64,
    /// Pictures of the source's that were lost: too much waited, no process, or no way to decode them. What a lower frame
    /// rate leaves out does not count.
    pub dropped: u64,
    /// Processes that died, hung, or answered nonsense.
    pub restarts: u64,
    /// How long the latest picture took.
    pub latency: Duration,
    /// The process that works now.
    pub process_id: Option<u32>,
}

/// A rendition at work. Dropping it ends it, and its readers once they have read everything.
pub struct RunningRendition {
    subscriber: Subscriber,
    status: watch::Receiver<RenditionStatus>,
    task: JoinHandle<()>,
}

impl fmt::Debug for RunningRendition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RunningRendition")
            .field("status", &*self.status.borrow())
            .finish_non_exhaustive()
    }
}

/// Starts a rendition of `source`. A task on `runtime` makes it until `source` ends.
///
/// It begins at the newest keyframe of `source`, as soon as a process is there. Timestamps are those of `source`, so
/// renditions match each other.
pub fn start(
    transcoders: &Transcoders,
    source: &Subscriber,
    rendition: Rendition,
    runtime: &Handle,
) -> RunningRendition {
    let fanout = Fanout::new(WINDOW);
    let subscriber = fanout.subscriber();
    let (outlet, status) = watch::channel(RenditionStatus::default());
    let woken = Arc::new(Woken::default());
    let canvas = Canvas::from(rendition);
    let waker = Waker::from(Arc::clone(&woken));
    let maker = Maker {
        transcoder: transcoders.start(VideoCodec::H264, Some(canvas), waker),
        sequence: Sequence::new(rendition.frames_per_second()),
        fanout,
        outlet,
        unread: 0,
    };
    let task = runtime.spawn(maker.run(source.reader(), woken));
    RunningRendition {
        subscriber,
        status,
        task,
    }
}

impl RunningRendition {
    /// A handle from which readers of the rendition are made.
    pub fn subscriber(&self) -> Subscriber {
        self.subscriber.clone()
    }

    /// How it is. A change of the state is told; the figures are always new.
    pub fn status(&self) -> watch::Receiver<RenditionStatus> {
        self.status.clone()
    }
}

impl Drop for RunningRendition {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The transcoder has something to tell.
#[derive(Default)]
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify_one();
    }
}

/// What the task of a rendition owns.
struct Maker {
    transcoder: Transcoder,
    sequence: Sequence,
    fanout: Fanout,
    outlet: watch::Sender<RenditionStatus>,
    /// Pictures that the source did not keep for as long as this task stood still.
    unread: u64,
}

impl Maker {
    async fn run(mut self, mut reader: Reader, woken: Arc<Woken>) {
        self.wait_for_process().await;
        let mut units = Vec::new();
        loop {
            let due = self.sequence.poll_timeout();
            tokio::select! {
                batch = poll_fn(|context| reader.poll_batch(context, &mut units)) => {
                    let Some(batch) = batch else { return };
                    if batch.dropped > 0 {
                        self.unread += batch.dropped;
                        self.transcoder.note_gap();
                    }
                }
                () = woken.0.notified() => {}
                () = sleep_until(due.unwrap_or_else(now).into()), if due.is_some() => {}
            }
            self.take(now());
            for unit in units.drain(..) {
                self.give(unit, now());
            }
            self.sequence.handle_timeout(now());
            self.obey();
            while let Some(unit) = self.sequence.poll_unit() {
                self.fanout.push(unit);
            }
            self.tell();
        }
    }

    /// A process that is not there yet would be given pictures that are late when it comes.
    async fn wait_for_process(&self) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..LOOKS_LIMIT {
            if self.transcoder.process_id().is_some() {
                return;
            }
            looks.tick().await;
        }
    }

    /// Takes what the process has made.
    fn take(&mut self, now: Instant) {
        while let Some(picture) = self.transcoder.poll() {
            self.sequence.handle_picture(picture, now);
        }
    }

    /// Gives the source's next unit to whom it is for.
    fn give(&mut self, unit: AccessUnit, now: Instant) {
        self.sequence.handle_source(&unit, now);
        self.obey();
        let CodecConfig::Avc(config) = &*unit.config else {
            return;
        };
        let size = (config.width, config.height);
        // What is lost is counted there, and its place is filled in time.
        let _ = self.transcoder.push(SourcePicture {
            codec: VideoCodec::H264,
            timestamp: unit.timestamp,
            keyframe: unit.keyframe,
            config: Some(unit.config),
            size,
            data: unit.data,
            arrival: now,
        });
    }

    fn obey(&mut self) {
        if self.sequence.take_keyframe_wish() {
            self.transcoder.force_keyframe();
        }
    }

    fn tell(&self) {
        let state = match (self.sequence.has_begun(), self.sequence.is_frozen()) {
            (false, _) => RenditionState::Starting,
            (true, false) => RenditionState::Running,
            (true, true) => RenditionState::Frozen,
        };
        let made = self.sequence.counters();
        let work = self.transcoder.counters();
        let status = RenditionStatus {
            state,
            pictures: made.pictures,
            freeze_pictures: made.freeze_pictures,
            dropped: self.unread + work.dropped + work.skipped + work.undecodable + made.late,
            restarts: work.restarts,
            latency: work.latency,
            process_id: self.transcoder.process_id(),
        };
        self.outlet.send_if_modified(|known| {
            let is_news = known.state != state;
            *known = status;
            is_news
        });
    }
}

/// Tests may have a clock of their own.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
