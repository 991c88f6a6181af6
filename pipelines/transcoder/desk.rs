//! Where pictures wait for the process, and access units for their reader: one lock, held for moments.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::{Duration, Instant},
};

use bytes::Bytes;
use media::{CodecConfig, VideoCodec, VideoConfig};
use tokio::{sync::Notify, time::timeout};

use super::{
    Canvas, Full, TranscoderCounters,
    message::{Configuration, PICTURE_LIMIT_BYTES, PictureHead, RECORD_LIMIT_BYTES},
};
use crate::engine::{EnginePicture, EngineState, SourcePicture};

/// The most pictures that wait for the process: one second at 60 a second, and what comes while it starts.
const WAITING_LIMIT: usize = 128;

/// The most bytes that wait for the process.
const WAITING_LIMIT_BYTES: usize = 8 * 1024 * 1024;

/// How long a second picture is waited for, to learn the source's rate.
const RATE_PATIENCE: Duration = Duration::from_millis(100);

/// Pictures that are closer than this come at 60 a second.
const FAST_INTERVAL: Duration = Duration::from_millis(25);

/// Pictures that the process has not answered yet: one in work, one to go on with.
const IN_HAND_LIMIT: usize = 2;

/// Pictures whose access units may still come.
const HANDED_LIMIT: usize = 256;

/// The most access units that wait for their reader. When there are more, all go, and it continues with a keyframe.
const READY_LIMIT: usize = 240;

/// What the handle and the task that serves the process share.
pub(super) struct Desk {
    codec: VideoCodec,
    waker: Waker,
    late_after: Duration,
    /// Something may have changed for the task.
    pub(super) changed: Notify,
    state: Mutex<State>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Desk")
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}

/// What the child is told next.
pub(super) enum Order {
    Bitrate(u32),
    Picture {
        head: PictureHead,
        /// Where it changes with this picture.
        record: Option<Bytes>,
        data: Bytes,
    },
}

/// The child said what it may not say.
#[derive(Debug)]
pub(super) struct Nonsense;

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is told by somebody else, and all combinations occur"
)]
pub(super) struct State {
    pub(super) canvas: Option<Canvas>,
    first_size: (u32, u32),
    /// Pictures come at more than about 40 a second.
    is_fast: bool,
    pub(super) bitrate_changed: bool,
    waiting: VecDeque<(SourcePicture, Instant)>,
    waiting_bytes: usize,
    /// Nothing is taken but a keyframe.
    needs_keyframe: bool,
    pub(super) wishes_keyframe: bool,
    latest: Option<Duration>,
    /// What the child has decoded with since it started.
    record: Option<Bytes>,
    in_hand: usize,
    /// Time and arrival of pictures whose access units may come.
    handed: VecDeque<(Duration, Instant)>,
    answers: u64,
    /// Nothing comes out but a keyframe of a picture that is later than this.
    begins_after: Option<Duration>,
    /// The child was told so.
    was_forced: bool,
    /// What comes out now; of an earlier child before the first access unit.
    config: Option<Arc<CodecConfig>>,
    has_config: bool,
    has_unit: bool,
    pub(super) ready: VecDeque<EnginePicture>,
    pub(super) engine: EngineState,
    failures: u32,
    pub(super) counters: TranscoderCounters,
    pub(super) process_id: Option<u32>,
}

impl Desk {
    pub(super) fn new(
        codec: VideoCodec,
        canvas: Option<Canvas>,
        waker: Waker,
        late_after: Duration,
    ) -> Self {
        let state = State {
            canvas,
            first_size: (0, 0),
            is_fast: false,
            bitrate_changed: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            needs_keyframe: true,
            wishes_keyframe: false,
            latest: None,
            record: None,
            in_hand: 0,
            handed: VecDeque::new(),
            answers: 0,
            begins_after: None,
            was_forced: false,
            config: None,
            has_config: false,
            has_unit: false,
            ready: VecDeque::new(),
            engine: EngineState::Starting,
            failures: 0,
            counters: TranscoderCounters::default(),
            process_id: None,
        };
        Self {
            codec,
            waker,
            late_after,
            changed: Notify::new(),
            state: Mutex::new(state),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, picture: SourcePicture, now: Instant) -> Result<(), Full> {
        let pushed = self.lock().push(self.codec, picture, now);
        self.changed.notify_one();
        pushed
    }

    /// Waits until it is known what is to come out.
    pub(super) async fn configuration(&self) -> Configuration {
        while self.lock().latest.is_none() {
            self.changed.notified().await;
        }
        let known = async {
            while self.lock().canvas.is_none() {
                self.changed.notified().await;
            }
        };
        let _ = timeout(RATE_PATIENCE, known).await;
        Configuration {
            codec: self.codec,
            canvas: self.lock().settle_canvas(),
        }
    }

    /// Waits until there is something to tell the child.
    pub(super) async fn order(&self) -> Order {
        loop {
            if let Some(order) = self.lock().order(Instant::now(), self.late_after) {
                return order;
            }
            self.changed.notified().await;
        }
    }

    /// The child is done with a picture.
    pub(super) fn note_done(&self, decoded: bool) -> Result<(), Nonsense> {
        {
            let mut state = self.lock();
            state.in_hand = state.in_hand.checked_sub(1).ok_or(Nonsense)?;
            state.answers += 1;
            if !decoded {
                state.counters.undecodable += 1;
                state.wishes_keyframe = true;
            }
        }
        self.changed.notify_one();
        if !decoded {
            self.waker.wake_by_ref();
        }
        Ok(())
    }

    /// The child told the parameters of what comes next.
    pub(super) fn take_config(&self, config: VideoConfig) -> Result<(), Nonsense> {
        self.lock().take_config(config)
    }

    /// The child gave an access unit.
    pub(super) fn take_unit(&self, head: PictureHead, data: Bytes) -> Result<(), Nonsense> {
        self.lock().take_unit(head, data, Instant::now())?;
        self.waker.wake_by_ref();
        Ok(())
    }

    /// A child begins, and knows nothing.
    pub(super) fn note_begin(&self, process_id: Option<u32>) {
        let mut state = self.lock();
        state.process_id = process_id;
        state.record = None;
        state.has_config = false;
        state.has_unit = false;
        state.bitrate_changed = false;
    }

    /// A child has died, or was killed.
    pub(super) fn note_end(&self) {
        self.lock().note_end();
        self.waker.wake_by_ref();
    }
}

impl State {
    fn push(
        &mut self,
        codec: VideoCodec,
        picture: SourcePicture,
        now: Instant,
    ) -> Result<(), Full> {
        self.counters.pictures_in += 1;
        let is_possible = picture.codec == codec
            && picture.data.len() <= PICTURE_LIMIT_BYTES
            && record(&picture).is_none_or(|record| record.len() <= RECORD_LIMIT_BYTES)
            && self.latest.is_none_or(|latest| picture.timestamp > latest);
        if !is_possible || (self.needs_keyframe && !picture.keyframe) {
            self.counters.dropped += 1;
            self.need_keyframe();
            return Err(Full);
        }
        let is_full = self.waiting.len() >= WAITING_LIMIT
            || self.waiting_bytes + picture.data.len() > WAITING_LIMIT_BYTES;
        if is_full {
            self.drop_waiting(self.waiting.len());
            if !picture.keyframe {
                self.counters.dropped += 1;
                self.need_keyframe();
                return Err(Full);
            }
        }
        self.needs_keyframe = false;
        let before = self.latest.replace(picture.timestamp);
        if let Some(before) = before.filter(|_| self.canvas.is_none()) {
            self.is_fast = picture.timestamp.saturating_sub(before) < FAST_INTERVAL;
            self.settle_canvas();
        } else {
            self.first_size = picture.size;
        }
        self.waiting_bytes += picture.data.len();
        self.waiting.push_back((picture, now));
        Ok(())
    }

    /// What comes out, if it was not said: what comes in.
    fn settle_canvas(&mut self) -> Canvas {
        *self
            .canvas
            .get_or_insert_with(|| Canvas::of_size(self.first_size, self.is_fast))
    }

    pub(super) fn need_keyframe(&mut self) {
        self.needs_keyframe = true;
        self.wishes_keyframe = true;
    }

    /// Loses so many of the pictures that have waited longest.
    fn drop_waiting(&mut self, count: usize) {
        for (picture, _) in self.waiting.drain(..count) {
            self.waiting_bytes -= picture.data.len();
            self.counters.dropped += 1;
        }
    }

    pub(super) fn begin_after_latest(&mut self) {
        self.ready.clear();
        self.begins_after = self.latest;
        self.was_forced = false;
    }

    fn order(&mut self, now: Instant, late_after: Duration) -> Option<Order> {
        if std::mem::take(&mut self.bitrate_changed) {
            return Some(Order::Bitrate(self.canvas?.kilobits_per_second));
        }
        if self.in_hand >= IN_HAND_LIMIT {
            return None;
        }
        let (picture, since) = self.waiting.pop_front()?;
        self.waiting_bytes -= picture.data.len();
        self.in_hand += 1;
        if self.handed.len() == HANDED_LIMIT {
            self.handed.pop_front();
        }
        self.handed.push_back((picture.timestamp, picture.arrival));
        let is_wanted = self
            .begins_after
            .is_none_or(|time| picture.timestamp > time);
        let is_late = now.saturating_duration_since(since) > late_after;
        if is_late {
            self.counters.skipped += 1;
        }
        let force_keyframe = self.begins_after.is_some() && is_wanted && !self.was_forced;
        self.was_forced |= force_keyframe;
        let head = PictureHead {
            keyframe: picture.keyframe,
            skip: is_late || !is_wanted,
            force_keyframe,
            timestamp: picture.timestamp,
        };
        let record = record(&picture).filter(|record| self.record.as_ref() != Some(*record));
        let record = record.cloned();
        if record.is_some() {
            self.record.clone_from(&record);
        }
        Some(Order::Picture {
            head,
            record,
            data: picture.data,
        })
    }

    fn take_config(&mut self, config: VideoConfig) -> Result<(), Nonsense> {
        let canvas = self.canvas.ok_or(Nonsense)?;
        if (config.width, config.height) != (canvas.width, canvas.height) || self.has_config {
            return Err(Nonsense);
        }
        self.has_config = true;
        let config = CodecConfig::Avc(config);
        // A child like the one before changes nothing for anybody.
        if self.config.as_deref() != Some(&config) {
            self.config = Some(Arc::new(config));
        }
        Ok(())
    }

    fn take_unit(&mut self, head: PictureHead, data: Bytes, now: Instant) -> Result<(), Nonsense> {
        let config = self.config.clone().filter(|_| self.has_config);
        let config = config.ok_or(Nonsense)?;
        while self
            .handed
            .front()
            .is_some_and(|(time, _)| *time < head.timestamp)
        {
            self.handed.pop_front();
        }
        let (timestamp, arrival) = self.handed.pop_front().ok_or(Nonsense)?;
        if timestamp != head.timestamp || !(head.keyframe || self.has_unit) {
            return Err(Nonsense);
        }
        self.answers += 1;
        self.has_unit = true;
        self.failures = 0;
        self.engine = EngineState::Running;
        if let Some(time) = self.begins_after {
            if timestamp <= time || !head.keyframe {
                return Ok(());
            }
            self.begins_after = None;
        }
        let latency = now.saturating_duration_since(arrival);
        self.counters.latency = latency;
        self.counters.longest_latency = self.counters.longest_latency.max(latency);
        self.ready.push_back(EnginePicture {
            timestamp,
            keyframe: head.keyframe,
            config,
            data,
            arrival,
        });
        if self.ready.len() > READY_LIMIT {
            self.begin_after_latest();
        }
        Ok(())
    }

    fn note_end(&mut self) {
        self.process_id = None;
        self.in_hand = 0;
        self.handed.clear();
        self.was_forced = false;
        self.counters.restarts += 1;
        self.failures = self.failures.saturating_add(1);
        self.engine = EngineState::Failing(self.failures);
        // The next child can begin at the latest keyframe that waits.
        let keyframe = self
            .waiting
            .iter()
            .rposition(|(picture, _)| picture.keyframe);
        self.drop_waiting(keyframe.unwrap_or(self.waiting.len()));
        if keyframe.is_none() {
            self.need_keyframe();
        }
    }

    /// A number that grows with each answer, while the child owes one.
    pub(super) fn owed(&self) -> Option<u64> {
        (self.in_hand > 0).then_some(self.answers)
    }

    /// Whether this child has answered.
    pub(super) const fn has_unit(&self) -> bool {
        self.has_unit
    }
}

fn record(picture: &SourcePicture) -> Option<&Bytes> {
    match picture.config.as_deref()? {
        CodecConfig::Avc(config) => Some(&config.decoder_configuration),
        CodecConfig::Aac(_) => None,
    }
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
