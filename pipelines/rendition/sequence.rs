//! What goes out of a rendition, and when: transcoded pictures in the places of the source's, sound between them as it was,
//! and the last picture again where none came.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use media::{AccessUnit, CodecConfig, TrackKind};

use crate::{engine::EnginePicture, path::Freezer};

/// How long a place waits for its picture before the last one is repeated there.
const PATIENCE: Duration = Duration::from_millis(500);

/// How much longer it waits from then on when a picture came too late for its place.
const PATIENCE_STEP: Duration = Duration::from_millis(200);

/// The longest that a place waits: nothing pauses for more than a second.
const PATIENCE_LIMIT: Duration = Duration::from_millis(900);

/// How long everything waits for the very first picture: a process has to start.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);

/// The most places and sounds that wait: 5 s of 120 pictures and 47 frames of sound a second, and some air.
const WAITING_LIMIT: usize = 1_024;

/// A longer pause between two of the source's pictures is filled.
const LONGEST_PAUSE: Duration = Duration::from_millis(900);

/// How far apart the pictures are that fill one.
const FILLED_PAUSE: Duration = Duration::from_millis(450);

/// A pause that is jumped over: the process has stood still.
const JUMPED_PAUSE: Duration = Duration::from_secs(10);

/// The order of a rendition. It has no clock and does no work.
#[derive(Debug)]
pub(super) struct Sequence {
    /// The shortest time between two pictures that repeat.
    interval: Duration,
    patience: Duration,
    waiting: VecDeque<Waiting>,
    ready: VecDeque<AccessUnit>,
    latest_place: Option<Duration>,
    last: Option<Last>,
    freezer: Option<Freezer>,
    /// The next picture cannot follow the last one unless it is a keyframe.
    is_frozen: bool,
    wishes_keyframe: bool,
    counters: SequenceCounters,
}

/// What has gone out so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SequenceCounters {
    /// Transcoded pictures.
    pub(super) pictures: u64,
    /// Pictures that repeat the one before, because none came in time.
    pub(super) freeze_pictures: u64,
    /// Transcoded pictures that came too late, or that refer to one that did.
    pub(super) late: u64,
}

/// In the order of the source.
#[derive(Debug)]
struct Waiting {
    timestamp: Duration,
    since: Instant,
    /// `None`: the place of a picture.
    sound: Option<AccessUnit>,
}

/// The picture that went out last.
#[derive(Debug)]
struct Last {
    timestamp: Duration,
    config: Arc<CodecConfig>,
    /// Of the latest transcoded one.
    data: Bytes,
}

impl Sequence {
    /// A rendition of so many pictures a second.
    pub(super) fn new(frames_per_second: u32) -> Self {
        Self {
            // A clock that trembles does not halve the rate.
            interval: Duration::from_secs(3) / (4 * frames_per_second.max(1)),
            patience: PATIENCE,
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
            latest_place: None,
            last: None,
            freezer: None,
            is_frozen: false,
            wishes_keyframe: false,
            counters: SequenceCounters::default(),
        }
    }

    /// The source's next unit. A picture is handed to the encoder afterwards, which is first told of a wish for a keyframe.
    pub(super) fn handle_source(&mut self, unit: &AccessUnit, now: Instant) {
        let is_picture = unit.kind() == TrackKind::Video;
        if is_picture {
            self.fill_up_to(unit.timestamp, now);
            self.latest_place = Some(unit.timestamp);
        }
        self.wait(unit.timestamp, (!is_picture).then(|| unit.clone()), now);
        self.handle_timeout(now);
    }

    /// The encoder's next picture.
    pub(super) fn handle_picture(&mut self, picture: EnginePicture, now: Instant) {
        let is_late = self
            .last
            .as_ref()
            .is_some_and(|last| picture.timestamp <= last.timestamp);
        if is_late {
            self.counters.late += 1;
            // The ones after it refer to it.
            self.lose();
            if picture.keyframe {
                self.wishes_keyframe = true;
                self.patience = (self.patience + PATIENCE_STEP).min(PATIENCE_LIMIT);
            }
            return;
        }
        if !picture.keyframe && (self.is_frozen || self.last.is_none()) {
            self.counters.late += 1;
            return;
        }
        while let Some(first) = self.waiting.front()
            && first.timestamp <= picture.timestamp
        {
            let is_place = first.sound.is_none();
            let is_its_own = is_place && first.timestamp == picture.timestamp;
            // The encoder leaves some out, and nobody begins before the first picture.
            if is_its_own || (is_place && !self.is_frozen) || self.last.is_none() {
                self.waiting.pop_front();
            } else {
                self.let_go();
            }
            if is_its_own {
                break;
            }
        }
        self.is_frozen = false;
        self.freezer = None;
        self.counters.pictures += 1;
        self.last = Some(Last {
            timestamp: picture.timestamp,
            config: Arc::clone(&picture.config),
            data: picture.data.clone(),
        });
        self.ready.push_back(AccessUnit {
            timestamp: picture.timestamp,
            keyframe: picture.keyframe,
            config: picture.config,
            data: picture.data,
        });
        self.handle_timeout(now);
    }

    /// Time has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while self.due().is_some_and(|due| now >= due) {
            self.let_go();
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, if ever.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due()
    }

    /// Takes the next unit that goes out.
    pub(super) fn poll_unit(&mut self) -> Option<AccessUnit> {
        self.ready.pop_front()
    }

    /// Takes a pending wish for a keyframe, made of a picture that the encoder has not seen yet.
    pub(super) fn take_keyframe_wish(&mut self) -> bool {
        std::mem::take(&mut self.wishes_keyframe)
    }

    /// Whether a picture has gone out.
    pub(super) const fn has_begun(&self) -> bool {
        self.last.is_some()
    }

    /// Whether the last picture is repeated.
    pub(super) const fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    /// What has gone out so far.
    pub(super) const fn counters(&self) -> SequenceCounters {
        self.counters
    }

    fn fill_up_to(&mut self, timestamp: Duration, now: Instant) {
        let Some(mut latest) = self.latest_place else {
            return;
        };
        let pause = timestamp.saturating_sub(latest);
        if pause <= LONGEST_PAUSE || pause >= JUMPED_PAUSE {
            return;
        }
        self.lose();
        while timestamp.saturating_sub(latest) > LONGEST_PAUSE {
            latest += FILLED_PAUSE;
            self.wait(latest, None, now);
        }
    }

    fn wait(&mut self, timestamp: Duration, sound: Option<AccessUnit>, since: Instant) {
        self.waiting.push_back(Waiting {
            timestamp,
            since,
            sound,
        });
        if self.waiting.len() > WAITING_LIMIT {
            self.let_go();
        }
    }

    /// When the first that waits has waited long enough.
    fn due(&self) -> Option<Instant> {
        let first = self.waiting.front()?;
        let is_sound = first.sound.is_some();
        let patience = match (self.has_begun(), is_sound) {
            (true, true) => Duration::ZERO,
            (true, false) => self.patience,
            // Without any picture there is nothing to wait for.
            (false, true) if self.latest_place.is_none() => Duration::ZERO,
            (false, _) => FIRST_PATIENCE,
        };
        Some(first.since + patience)
    }

    /// Sends the first that waits: sound as it is, a place with the last picture in it.
    fn let_go(&mut self) {
        let Some(first) = self.waiting.pop_front() else {
            return;
        };
        match first.sound {
            Some(sound) => self.ready.push_back(sound),
            None => self.freeze(first.timestamp),
        }
    }

    /// Pictures are missing. The encoder begins anew.
    fn lose(&mut self) {
        if self.has_begun() && !self.is_frozen {
            self.is_frozen = true;
            self.wishes_keyframe = true;
        }
    }

    fn freeze(&mut self, timestamp: Duration) {
        self.lose();
        let Some(last) = &mut self.last else { return };
        if timestamp < last.timestamp + self.interval {
            return;
        }
        if self.freezer.is_none()
            && let CodecConfig::Avc(config) = &*last.config
        {
            self.freezer = Freezer::new(config, &last.data);
        }
        let Some(freezer) = &mut self.freezer else {
            return;
        };
        last.timestamp = timestamp;
        self.counters.freeze_pictures += 1;
        self.ready.push_back(AccessUnit {
            timestamp,
            keyframe: false,
            config: Arc::clone(&last.config),
            data: freezer.next(),
        });
    }
}

#[cfg(test)]
#[path = "sequence_tests.rs"]
mod tests;
