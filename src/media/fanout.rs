//! One writer, many readers: a shared window of access units.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::{
    AccessUnit, TrackKind,
    ring::{Cursor, Ring},
};

/// How much sound without a picture is published, and readers woken, on its own.
///
/// A picture carries the sound before it, so that a destination's write holds both; without pictures sound must not wait.
const SOUND_ALONE: Duration = Duration::from_millis(100);

/// The most sound units that wait for a picture, whatever their timestamps say.
const PENDING_LIMIT: usize = 64;

/// The writing end. Dropping it ends all readers once they have read everything.
///
/// The window is bounded in time, in units (6000) and in bytes (48 MiB: 30 s at 13 Mb/s); the oldest units leave first.
/// It is as long as it was made, and longer only while somebody holds a [`Retention`].
#[derive(Debug)]
pub struct Fanout {
    shared: Arc<Shared>,
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

/// Keeps more of the media in the window for as long as it lives.
#[derive(Debug)]
pub struct Retention {
    shared: Arc<Shared>,
    id: u64,
}

/// One reading end; it never slows the writer or another reader.
///
/// A reader that falls out of the window, or behind its own patience, goes on at the newest keyframe and is told its loss.
/// When the window holds 500 ms of sound and no picture at all, it begins at the newest sound, and pictures join at their first keyframe.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    id: u64,
    place: Place,
    /// How much it may lag while the window still holds its place; `None`: as long as it does.
    patience: Option<Duration>,
}

/// What a call of [`Reader::poll_batch`] brought besides the access units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Batch {
    /// Video access units that this reader lost since the last batch, because it was too slow.
    pub dropped: u64,
    /// Whether nothing older than the newest group of pictures is left to read.
    pub in_newest_group: bool,
}

/// What a reader has not read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread {
    /// The timestamp of the next unit, if there is one.
    pub from: Option<Duration>,
    /// The newest timestamp of all that was ever in the window.
    pub newest: Duration,
}

impl Fanout {
    /// Keeps the last `window` of media for readers.
    pub fn new(window: Duration) -> Self {
        Self {
            shared: Arc::new(Shared {
                ring: Mutex::default(),
                window,
            }),
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
        ring.evict(self.shared.window);
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
    /// A reader that begins at the newest keyframe of at most 2.5 s of age, or else at the next one, with the sound
    /// from that timestamp on.
    ///
    /// It may lag by the window that the [`Fanout`] was made with, however much others retain.
    pub fn reader(&self) -> Reader {
        self.make_reader(None, Some(self.shared.window))
    }

    /// The same, but it may lag as long as the window holds its place.
    pub fn patient_reader(&self) -> Reader {
        self.make_reader(None, None)
    }

    /// A reader that wants everything from `from` on: it begins with the group of pictures that holds the first picture
    /// not earlier than that, or with the oldest whole group if that one is gone, or with the newest if there is no such
    /// picture yet.
    ///
    /// It may lag as long as the window holds its place.
    pub fn reader_from(&self, from: Duration) -> Reader {
        self.make_reader(Some(from), None)
    }

    /// Keeps `window` of media, 30 s at most, until what is returned is dropped. What has left already does not come back.
    pub fn retain(&self, window: Duration) -> Retention {
        let mut ring = self.shared.lock();
        let id = ring.next_id();
        ring.retain(id, window);
        drop(ring);
        Retention {
            shared: Arc::clone(&self.shared),
            id,
        }
    }

    /// The newest keyframe in the window, whatever its age.
    pub fn latest_keyframe(&self) -> Option<AccessUnit> {
        self.shared.lock().newest_keyframe().cloned()
    }

    fn make_reader(&self, from: Option<Duration>, patience: Option<Duration>) -> Reader {
        Reader {
            shared: Arc::clone(&self.shared),
            id: self.shared.lock().next_id(),
            place: Place::Outside { from, left: None },
            patience,
        }
    }
}

impl Drop for Retention {
    fn drop(&mut self) {
        self.shared.lock().release(self.id);
    }
}

impl Reader {
    /// Appends units that are ready to `units`, or registers the task. `None`: the writer is gone and all is read.
    ///
    /// One batch has at most 512 KiB, or one unit that is longer: read until it is pending.
    pub fn poll_batch(
        &mut self,
        context: &mut Context<'_>,
        units: &mut Vec<AccessUnit>,
    ) -> Poll<Option<Batch>> {
        self.poll(context, None, units)
    }

    /// The same, but only up to the first unit that is later than `up_to`; that one does not wake the task.
    pub fn poll_batch_up_to(
        &mut self,
        context: &mut Context<'_>,
        up_to: Duration,
        units: &mut Vec<AccessUnit>,
    ) -> Poll<Option<Batch>> {
        self.poll(context, Some(up_to), units)
    }

    /// What it has not read yet.
    pub fn unread(&self) -> Unread {
        let ring = self.shared.lock();
        let from = match &self.place {
            Place::Inside(cursor) => ring.next_timestamp(cursor),
            Place::Outside { .. } => None,
        };
        Unread {
            from,
            newest: ring.newest(),
        }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        up_to: Option<Duration>,
        units: &mut Vec<AccessUnit>,
    ) -> Poll<Option<Batch>> {
        let mut ring = self.shared.lock();
        let before = units.len();
        let mut batch = Batch::default();

        if let Place::Inside(cursor) = self.place
            && self.is_lost(&ring, &cursor)
        {
            self.place = Place::Outside {
                from: None,
                left: Some(cursor),
            };
        }
        if let Place::Outside { from, left } = self.place {
            let beginning = match from {
                Some(from) => ring.beginning_from(from),
                None => ring.beginning(left.map_or(0, |left| left.unit)),
            };
            if let Some(cursor) = beginning {
                batch.dropped += left.map_or(0, |left| cursor.pictures - left.pictures);
                self.place = Place::Inside(cursor);
            } else if let (true, Some(left)) = (ring.closed, left) {
                batch.dropped += ring.pictures_appended() - left.pictures;
                self.place = Place::Outside {
                    from: None,
                    left: Some(ring.end_cursor()),
                };
            }
        }
        let mut has_read_all = true;
        if let Place::Inside(cursor) = &mut self.place {
            batch.dropped += ring.read(cursor, up_to, units);
            batch.in_newest_group = ring.is_in_newest_group(cursor);
            has_read_all = ring.next_timestamp(cursor).is_none();
        }

        if units.len() > before || batch.dropped > 0 {
            return Poll::Ready(Some(batch));
        }
        if ring.closed && has_read_all {
            return Poll::Ready(None);
        }
        ring.register(self.id, context.waker());
        Poll::Pending
    }

    /// Whether it has fallen out of the window, or lags too much.
    fn is_lost(&self, ring: &Ring, cursor: &Cursor) -> bool {
        let lag = ring
            .next_timestamp(cursor)
            .map_or(Duration::ZERO, |next| ring.newest().saturating_sub(next));
        ring.has_evicted(cursor) || self.patience.is_some_and(|patience| lag > patience)
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
    /// It waits for a beginning: where a group of pictures holds `from`, or at a keyframe that is not before the place that it fell out of.
    Outside {
        from: Option<Duration>,
        left: Option<Cursor>,
    },
    /// It reads.
    Inside(Cursor),
}

struct Shared {
    ring: Mutex<Ring>,
    /// What is kept for everybody.
    window: Duration,
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

#[cfg(test)]
#[path = "fanout_tests.rs"]
mod tests;
