//! The window of access units that one writer and many readers share, and the places in it.

use std::{collections::VecDeque, task::Waker, time::Duration};

use crate::{AccessUnit, TrackKind};

/// The age up to which a keyframe in the window is a good beginning; an older one would make the reader start with a long burst.
const BEGINNING_AGE_LIMIT: Duration = Duration::from_millis(2_500);

/// How much sound without any picture in the window makes a broadcast count as sound only.
const SOUND_ONLY_AFTER: Duration = Duration::from_millis(500);

/// The longest window that anybody can retain.
pub(crate) const RETENTION_LIMIT: Duration = Duration::from_secs(30);

/// The most units in the window: 30 s at 120 pictures and 47 AAC frames a second, and some air.
const UNITS_LIMIT: usize = 6_000;

/// The most bytes in the window: 30 s at 12 Mb/s are 45 MB, and the usual 4 s fit up to 100 Mb/s.
pub(crate) const BYTES_LIMIT: usize = 48 * 1024 * 1024;

/// How many bytes are read at once at most, or one unit that is longer.
///
/// What a reader has taken lives on after it has left the window: this is what a destination that stalls can hold of it.
const BATCH_BYTES: usize = 512 * 1024;

/// A place in the stream. Units and pictures are counted from the stream's first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor {
    /// The next unit.
    pub(crate) unit: u64,
    /// Pictures before that unit.
    pub(crate) pictures: u64,
    /// Sound before this belongs to what was not read.
    sound_from: Duration,
    /// No picture has been read, so the next must be a keyframe.
    wants_keyframe: bool,
}

/// The window, and who waits for it to move.
#[derive(Default)]
pub(crate) struct Ring {
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
    /// What is to be kept beyond the usual window, and for whom.
    retained: Vec<(u64, Duration)>,
    pub(crate) wakers: Vec<(u64, Waker)>,
    last_id: u64,
    pub(crate) closed: bool,
}

impl Ring {
    /// A name for a reader or a retention.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Number of the unit that comes next.
    fn end(&self) -> u64 {
        self.first_unit + self.units.len() as u64
    }

    pub(crate) fn pictures_appended(&self) -> u64 {
        self.first_pictures + self.pictures
    }

    pub(crate) const fn newest(&self) -> Duration {
        self.newest
    }

    /// Whether what `cursor` wants next is no longer there.
    pub(crate) const fn has_evicted(&self, cursor: &Cursor) -> bool {
        cursor.unit < self.first_unit
    }

    /// The timestamp of what `cursor` reads next, if that is there.
    pub(crate) fn next_timestamp(&self, cursor: &Cursor) -> Option<Duration> {
        let place = usize::try_from(cursor.unit.checked_sub(self.first_unit)?).ok()?;
        self.units.get(place).map(|unit| unit.timestamp)
    }

    /// Whether nothing but the newest group of pictures is left to read.
    pub(crate) fn is_in_newest_group(&self, cursor: &Cursor) -> bool {
        self.keyframes
            .back()
            .is_none_or(|keyframe| cursor.unit > keyframe.unit)
    }

    pub(crate) fn newest_keyframe(&self) -> Option<&AccessUnit> {
        self.unit(self.keyframes.back()?.unit)
    }

    pub(crate) fn append(&mut self, unit: AccessUnit) {
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

    pub(crate) fn retain(&mut self, id: u64, window: Duration) {
        self.retained.push((id, window.min(RETENTION_LIMIT)));
    }

    pub(crate) fn release(&mut self, id: u64) {
        self.retained.retain(|(retained, _)| *retained != id);
    }

    /// Forgets what is older than `window` and than what is retained, and what is too much.
    pub(crate) fn evict(&mut self, window: Duration) {
        let retained = self.retained.iter().map(|(_, window)| *window).max();
        let window = window.max(retained.unwrap_or_default());
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

    /// Where a reader begins now, if it can: at the newest keyframe, but not before the unit `not_before`.
    pub(crate) fn beginning(&self, not_before: u64) -> Option<Cursor> {
        if self.pictures > 0 {
            let newest = self.keyframes.back()?;
            let age = self.newest.saturating_sub(newest.sound_from);
            return (age <= BEGINNING_AGE_LIMIT && newest.unit >= not_before).then_some(*newest);
        }
        (self.is_sound_only() && self.end() > not_before).then(|| self.sound_at(self.end() - 1))
    }

    /// The place behind everything.
    pub(crate) fn end_cursor(&self) -> Cursor {
        self.sound_at(self.end())
    }

    /// Where a reader begins that wants everything from `from` on: at the keyframe of the group that
    /// holds the first picture not earlier than that, or at the oldest one if that group is gone.
    pub(crate) fn beginning_from(&self, from: Duration) -> Option<Cursor> {
        if self.pictures == 0 {
            let place = self.units.partition_point(|unit| unit.timestamp < from);
            let unit = (self.first_unit + place as u64).min(self.end().saturating_sub(1));
            return self.is_sound_only().then(|| self.sound_at(unit));
        }
        let after = self
            .keyframes
            .partition_point(|keyframe| keyframe.sound_from <= from);
        let Some(place) = after.checked_sub(1) else {
            return self.keyframes.front().copied();
        };
        let group = self.keyframes[place];
        match self.keyframes.get(after) {
            Some(next) if !self.has_picture_from(from, &group, next) => Some(*next),
            Some(_) | None => Some(group),
        }
    }

    /// Whether the last picture of a group is not earlier than `from`.
    fn has_picture_from(&self, from: Duration, group: &Cursor, next: &Cursor) -> bool {
        (group.unit..next.unit)
            .rev()
            .filter_map(|number| self.unit(number))
            .find(|unit| unit.kind() == TrackKind::Video)
            .is_some_and(|picture| picture.timestamp >= from)
    }

    fn unit(&self, number: u64) -> Option<&AccessUnit> {
        let place = usize::try_from(number.checked_sub(self.first_unit)?).ok()?;
        self.units.get(place)
    }

    fn is_sound_only(&self) -> bool {
        let (Some(oldest), Some(newest)) = (self.units.front(), self.units.back()) else {
            return false;
        };
        self.pictures == 0 && newest.timestamp.saturating_sub(oldest.timestamp) >= SOUND_ONLY_AFTER
    }

    /// A place at a unit of sound in a window without pictures.
    fn sound_at(&self, unit: u64) -> Cursor {
        Cursor {
            unit,
            pictures: self.pictures_appended(),
            sound_from: self.unit(unit).map_or(self.newest, |unit| unit.timestamp),
            wants_keyframe: true,
        }
    }

    /// Reads from `cursor` on, up to the first unit later than `up_to` or [`BATCH_BYTES`]; returns how many pictures
    /// no decoder could have used.
    pub(crate) fn read(
        &self,
        cursor: &mut Cursor,
        up_to: Option<Duration>,
        units: &mut Vec<AccessUnit>,
    ) -> u64 {
        let start = usize::try_from(cursor.unit - self.first_unit)
            .unwrap_or(usize::MAX)
            .min(self.units.len());
        let mut dropped = 0;
        let mut bytes = 0;
        for unit in self.units.range(start..) {
            if bytes >= BATCH_BYTES || up_to.is_some_and(|up_to| unit.timestamp > up_to) {
                break;
            }
            cursor.unit += 1;
            match unit.kind() {
                TrackKind::Audio if unit.timestamp < cursor.sound_from => continue,
                TrackKind::Audio => {}
                TrackKind::Video => {
                    cursor.pictures += 1;
                    if cursor.wants_keyframe && !unit.keyframe {
                        dropped += 1;
                        continue;
                    }
                    cursor.wants_keyframe = false;
                }
            }
            bytes += unit.data.len();
            units.push(unit.clone());
        }
        dropped
    }

    pub(crate) fn register(&mut self, id: u64, waker: &Waker) {
        match self.wakers.iter_mut().find(|(reader, _)| *reader == id) {
            Some((_, registered)) => registered.clone_from(waker),
            None => self.wakers.push((id, waker.clone())),
        }
    }

    #[cfg(test)]
    pub(crate) fn figures(&self) -> (usize, usize, usize) {
        (self.units.len(), self.keyframes.len(), self.bytes)
    }
}
