//! One writer, many readers: a shared window of access units.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::{AccessUnit, TrackKind};

/// How much sound without a picture is published, and readers woken, on its own.
///
/// A picture carries the sound before it, so that a destination's write holds both; without pictures sound must not wait.
const SOUND_ALONE: Duration = Duration::from_millis(100);

/// The age up to which a keyframe in the window is a good beginning; an older one would make the reader start with a long burst.
const BEGINNING_AGE_LIMIT: Duration = Duration::from_millis(2_500);

/// How much sound without any picture in the window makes a broadcast count as sound only.
const SOUND_ONLY_AFTER: Duration = Duration::from_millis(500);

/// The most units in the window: 30 s at 120 pictures and 47 AAC frames a second.
const UNITS_LIMIT: usize = 5_000;

/// The most bytes in the window: 5 s at 50 Mb/s.
const BYTES_LIMIT: usize = 32 * 1024 * 1024;

/// The most sound units that wait for a picture, whatever their timestamps say.
const PENDING_LIMIT: usize = 64;

/// The writing end. Dropping it ends all readers once they have read everything.
///
/// The window is bounded in time, in units (5000) and in bytes (32 MiB); the oldest units leave first.
#[derive(Debug)]
pub struct Fanout {
    shared: Arc<Shared>,
    window: Duration,
    /// Sound that waits for the next picture, so that the lock is taken once per picture.
    pending: Vec<AccessUnit>,
    /// Kept for its capacity.
    woken: Vec<(u64, Waker)>,
}

/// Makes readers. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Subscriber {
    shared: Arc<Shared>,
}

/// One reading end; it never slows the writer or another reader.
///
/// It begins at the newest keyframe of at most 2.5 s of age, or else at the next one, with the sound from that timestamp on.
/// When the window holds 500 ms of sound and no picture at all, it begins at the newest sound, and pictures join at their first keyframe.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    id: u64,
    place: Place,
}

/// What a call of [`Reader::poll_batch`] brought besides the access units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Batch {
    /// Video access units that this reader lost since the last batch, because it was too slow.
    pub dropped: u64,
}

impl Fanout {
    /// Keeps the last `window` of media for readers.
    pub fn new(window: Duration) -> Self {
        Self {
            shared: Arc::default(),
            window,
            pending: Vec::new(),
            woken: Vec::new(),
        }
    }

    /// Appends a unit. Readers wake for each picture, and for sound only when 100 ms of it have come without a picture, so that one write carries both.
    pub fn push(&mut self, unit: AccessUnit) {
        let is_picture = unit.kind() == TrackKind::Video;
        let newest = unit.timestamp;
        self.pending.push(unit);
        let waiting = self.pending.first().map_or(Duration::ZERO, |first| {
            newest.saturating_sub(first.timestamp)
        });
        if is_picture || waiting >= SOUND_ALONE || self.pending.len() >= PENDING_LIMIT {
            self.publish(false);
        }
    }

    /// A handle from which readers are made.
    pub fn subscriber(&self) -> Subscriber {
        Subscriber {
            shared: Arc::clone(&self.shared),
        }
    }

    fn publish(&mut self, closed: bool) {
        let mut ring = self.shared.lock();
        for unit in self.pending.drain(..) {
            ring.append(unit);
        }
        ring.evict(self.window);
        ring.closed = closed;
        std::mem::swap(&mut ring.wakers, &mut self.woken);
        drop(ring);
        for (_, waker) in self.woken.drain(..) {
            waker.wake();
        }
    }
}

impl Drop for Fanout {
    fn drop(&mut self) {
        self.publish(true);
    }
}

impl Subscriber {
    /// A reader that begins at the newest keyframe in the window, or at the next one.
    pub fn reader(&self) -> Reader {
        let mut ring = self.shared.lock();
        let id = ring.next_reader;
        ring.next_reader += 1;
        drop(ring);
        Reader {
            shared: Arc::clone(&self.shared),
            id,
            place: Place::Outside { pictures: None },
        }
    }
}

impl Reader {
    /// Appends all units that are ready to `units`, or registers the task. `None`: the writer is gone and all is read.
    ///
    /// A reader that has fallen out of the window goes on at the newest keyframe and is told how much it lost.
    pub fn poll_batch(
        &mut self,
        context: &mut Context<'_>,
        units: &mut Vec<AccessUnit>,
    ) -> Poll<Option<Batch>> {
        let mut ring = self.shared.lock();
        let before = units.len();
        let mut dropped = 0;

        if let Place::Inside(cursor) = self.place
            && cursor.unit < ring.first_unit
        {
            self.place = Place::Outside {
                pictures: Some(cursor.pictures),
            };
        }
        if let Place::Outside { pictures } = self.place {
            if let Some(cursor) = ring.beginning() {
                dropped += pictures.map_or(0, |pictures| cursor.pictures - pictures);
                self.place = Place::Inside(cursor);
            } else if let (true, Some(pictures)) = (ring.closed, pictures) {
                dropped += ring.pictures_appended() - pictures;
                self.place = Place::Outside { pictures: None };
            }
        }
        if let Place::Inside(cursor) = &mut self.place {
            dropped += ring.read(cursor, units);
        }

        if units.len() > before || dropped > 0 {
            return Poll::Ready(Some(Batch { dropped }));
        }
        if ring.closed {
            return Poll::Ready(None);
        }
        ring.register(self.id, context.waker());
        Poll::Pending
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let id = self.id;
        self.shared
            .lock()
            .wakers
            .retain(|(reader, _)| *reader != id);
    }
}

/// Where a reader stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// It waits for a beginning. A reader that fell out knows how many pictures had been appended before its place.
    Outside { pictures: Option<u64> },
    /// It reads.
    Inside(Cursor),
}

/// A place in the stream. Units and pictures are counted from the stream's first.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    /// The next unit.
    unit: u64,
    /// Pictures before that unit.
    pictures: u64,
    /// Sound before this belongs to what was not read.
    sound_from: Duration,
    /// No picture has been read, so the next must be a keyframe.
    wants_keyframe: bool,
}

#[derive(Default)]
struct Shared {
    ring: Mutex<Ring>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Ring> {
        // No code that can panic leaves the ring half changed.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Ring {
    units: VecDeque<AccessUnit>,
    bytes: usize,
    /// Number of `units[0]`.
    first_unit: u64,
    /// Pictures before `units[0]`.
    first_pictures: u64,
    /// Pictures in `units`.
    pictures: u64,
    /// Newest timestamp of all.
    newest: Duration,
    /// Places of the keyframes in `units`, oldest first.
    keyframes: VecDeque<Cursor>,
    wakers: Vec<(u64, Waker)>,
    next_reader: u64,
    closed: bool,
}

impl Ring {
    fn end(&self) -> u64 {
        self.first_unit + self.units.len() as u64
    }

    fn pictures_appended(&self) -> u64 {
        self.first_pictures + self.pictures
    }

    fn append(&mut self, unit: AccessUnit) {
        if unit.kind() == TrackKind::Video {
            if unit.keyframe {
                self.keyframes.push_back(Cursor {
                    unit: self.end(),
                    pictures: self.pictures_appended(),
                    sound_from: unit.timestamp,
                    wants_keyframe: true,
                });
            }
            self.pictures += 1;
        }
        self.newest = self.newest.max(unit.timestamp);
        self.bytes += unit.data.len();
        self.units.push_back(unit);
    }

    fn evict(&mut self, window: Duration) {
        while let Some(oldest) = self.units.front() {
            let is_late = self.newest.saturating_sub(oldest.timestamp) > window;
            if !is_late && self.units.len() <= UNITS_LIMIT && self.bytes <= BYTES_LIMIT {
                break;
            }
            self.bytes -= oldest.data.len();
            if oldest.kind() == TrackKind::Video {
                self.first_pictures += 1;
                self.pictures -= 1;
            }
            self.first_unit += 1;
            self.units.pop_front();
        }
        while self
            .keyframes
            .front()
            .is_some_and(|keyframe| keyframe.unit < self.first_unit)
        {
            self.keyframes.pop_front();
        }
    }

    /// Where a reader begins now, if it can.
    fn beginning(&self) -> Option<Cursor> {
        if self.pictures > 0 {
            let newest = self.keyframes.back()?;
            let age = self.newest.saturating_sub(newest.sound_from);
            return (age <= BEGINNING_AGE_LIMIT).then_some(*newest);
        }
        let (oldest, newest) = (self.units.front()?, self.units.back()?);
        (newest.timestamp.saturating_sub(oldest.timestamp) >= SOUND_ONLY_AFTER).then(|| Cursor {
            unit: self.end() - 1,
            pictures: self.pictures_appended(),
            sound_from: newest.timestamp,
            wants_keyframe: true,
        })
    }

    /// Reads all from `cursor` on; returns how many pictures no decoder could have used.
    fn read(&self, cursor: &mut Cursor, units: &mut Vec<AccessUnit>) -> u64 {
        let start = usize::try_from(cursor.unit - self.first_unit)
            .unwrap_or(usize::MAX)
            .min(self.units.len());
        let mut dropped = 0;
        for unit in self.units.range(start..) {
            match unit.kind() {
                TrackKind::Audio if unit.timestamp < cursor.sound_from => {}
                TrackKind::Audio => units.push(unit.clone()),
                TrackKind::Video => {
                    cursor.pictures += 1;
                    if cursor.wants_keyframe && !unit.keyframe {
                        dropped += 1;
                    } else {
                        cursor.wants_keyframe = false;
                        units.push(unit.clone());
                    }
                }
            }
        }
        cursor.unit = self.end();
        dropped
    }

    fn register(&mut self, id: u64, waker: &Waker) {
        match self.wakers.iter_mut().find(|(reader, _)| *reader == id) {
            Some((_, registered)) => registered.clone_from(waker),
            None => self.wakers.push((id, waker.clone())),
        }
    }
}

#[cfg(test)]
#[path = "fanout_tests.rs"]
mod tests;
