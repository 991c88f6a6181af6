//! When what was decoded leaves: at the pace of the wall clock, pictures and sound together, whatever the bursts in which
//! they come and however the studio's clock drifts.

use std::{collections::VecDeque, time::Duration};

use super::{SOUND_HZ, message::DecodingCounters};

/// How much sound leaves at a time.
pub(super) const BLOCK: Duration = Duration::from_millis(10);

/// Samples of a block, each for both ears.
pub(super) const BLOCK_SAMPLES: usize = 480;

/// A sample of sound: left and right.
pub(super) type Sample = [i16; 2];

/// How far behind the newest of the show the place is at first: bursts of 100 ms, and what decoding takes.
const TARGET: Duration = Duration::from_millis(150);

/// Where a kind is so late that this is missing all the time, the place jumps back: slowing down would take minutes.
const TOO_LITTLE: Duration = Duration::from_millis(100);

/// Where less than this is left, the place slows down, until there is [`ENOUGH`].
const LITTLE: Duration = Duration::from_millis(20);
const ENOUGH: Duration = Duration::from_millis(60);

/// Where more than this is left all the time, the place speeds up, until it is [`TARGET`].
const MUCH: Duration = Duration::from_millis(250);

/// Where more than this is left, the place jumps: nobody waits for so long.
const TOO_MUCH: Duration = Duration::from_secs(1);

/// How late a block may leave. What should have left before is left out.
const LATE_LIMIT: Duration = Duration::from_millis(200);

/// How long what is left is watched before the pace changes.
const WATCHED_BLOCKS: u32 = 100;

/// How long pictures may stay away, or sound, until nobody waits for them any more.
const ABSENT_AFTER: Duration = Duration::from_secs(1);

/// The most pictures that wait; of 1080p they take 100 MB.
const PICTURES_LIMIT: usize = 32;

/// The most sound that waits: two seconds.
const SAMPLES_LIMIT: usize = 96_000;

/// How far the timestamps of sound may be off the sound itself before the sound is moved: 2 ms.
const OFFSET_LIMIT: i64 = 96;

/// Parts of a sample in which places are counted.
const PARTS: i64 = 1 << 16;

/// The furthest place, so that none overflows.
const PLACE_LIMIT: i64 = i64::MAX / (4 * PARTS);

/// By how much the place goes slower or faster, in parts of a block: a thousandth, which no ear hears.
const SLEW: i64 = 480 * PARTS / 1_000;

/// What leaves at once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block<P> {
    /// The place of its sound on the broadcast's timeline.
    pub(super) timestamp: Duration,
    /// The picture that is due, with its place.
    pub(super) picture: Option<(Duration, P)>,
    /// The sound.
    pub(super) sound: [Sample; BLOCK_SAMPLES],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Slower,
    Even,
    Faster,
}

/// The newest of a kind: its place in samples, and when it came.
#[derive(Debug, Clone, Copy)]
struct Newest {
    place: i64,
    came: Duration,
}

/// What waits to leave. Times are since the process began.
#[derive(Debug)]
pub(super) struct Playout<P> {
    /// When the next block is due, once something has come.
    due: Option<Duration>,
    /// Where the next block begins, in parts of a sample.
    position: i64,
    pace: Pace,
    pictures: VecDeque<(i64, Duration, P)>,
    newest_picture: Option<Newest>,
    samples: VecDeque<Sample>,
    /// The place of the first of `samples`.
    samples_from: i64,
    newest_sound: Option<Newest>,
    lowest: i64,
    watched_blocks: u32,
    counters: DecodingCounters,
}

impl<P> Playout<P> {
    pub(super) fn new() -> Self {
        Self {
            due: None,
            position: 0,
            pace: Pace::Even,
            pictures: VecDeque::new(),
            newest_picture: None,
            samples: VecDeque::new(),
            samples_from: 0,
            newest_sound: None,
            lowest: i64::MAX,
            watched_blocks: 0,
            counters: DecodingCounters::default(),
        }
    }

    /// Takes a picture. Their times rise; one that is not later than the one before is late. When too many wait, the
    /// oldest is.
    pub(super) fn push_picture(&mut self, timestamp: Duration, picture: P, now: Duration) {
        let place = samples_at(timestamp);
        self.begin(place, now);
        if self
            .newest_picture
            .is_some_and(|newest| place <= newest.place)
        {
            self.counters.pictures_late += 1;
            return;
        }
        self.newest_picture = Some(Newest { place, came: now });
        if self.pictures.len() == PICTURES_LIMIT {
            self.pictures.pop_front();
            self.counters.pictures_late += 1;
        }
        self.pictures.push_back((place, timestamp, picture));
    }

    /// Takes sound. What overlaps the sound before is left out, what is missing is silence. When too much waits, the oldest
    /// is left out.
    pub(super) fn push_sound(&mut self, timestamp: Duration, sound: &[Sample], now: Duration) {
        let place = samples_at(timestamp);
        self.begin(place, now);
        let end = self.sound_end();
        let offset = place - end;
        let mut sound = sound;
        if self.samples.is_empty() || offset.unsigned_abs() > SAMPLES_LIMIT as u64 {
            self.samples.clear();
            self.samples_from = place;
        } else if offset > OFFSET_LIMIT {
            let missing = usize::try_from(offset).unwrap_or(0);
            self.samples.extend(std::iter::repeat_n([0; 2], missing));
        } else if offset < -OFFSET_LIMIT {
            let overlap = usize::try_from(-offset).unwrap_or(usize::MAX);
            sound = sound.get(overlap..).unwrap_or_default();
        }
        self.samples.extend(sound);
        let surplus = self.samples.len().saturating_sub(SAMPLES_LIMIT);
        self.samples.drain(..surplus);
        self.samples_from += signed(surplus);
        let place = self.sound_end();
        self.newest_sound = Some(Newest { place, came: now });
    }

    /// Counts an access unit of which no decoder made anything.
    pub(super) fn note_broken(&mut self) {
        self.counters.broken += 1;
    }

    pub(super) const fn counters(&self) -> DecodingCounters {
        self.counters
    }

    /// When there is a block, once something has come.
    pub(super) const fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Returns the block that is due, if one is.
    pub(super) fn poll(&mut self, now: Duration) -> Option<Block<P>> {
        let mut due = self.due?;
        let late = now.checked_sub(due)?;
        if late > LATE_LIMIT {
            let blocks = u32::try_from(late.as_nanos() / BLOCK.as_nanos()).unwrap_or(u32::MAX);
            due += BLOCK * blocks;
            self.position += i64::from(blocks) * signed(BLOCK_SAMPLES) * PARTS;
            self.counters.jumps += 1;
        }
        self.due = Some(due + BLOCK);
        self.keep_pace(now);
        let timestamp = time_at(self.position);
        self.counters.sound_blocks += 1;
        // Nothing is left of anything: the place waits, and nothing that comes is late.
        if self.newest_place() < self.position / PARTS {
            self.counters.silent_blocks += 1;
            return Some(Block {
                timestamp,
                picture: None,
                sound: [[0; 2]; BLOCK_SAMPLES],
            });
        }
        let whole = signed(BLOCK_SAMPLES) * PARTS;
        let step = match self.pace {
            Pace::Slower => whole - SLEW,
            Pace::Even => whole,
            Pace::Faster => whole + SLEW,
        };
        let end = self.position + step;
        let block = Block {
            timestamp,
            picture: self.picture_before(end),
            sound: self.sound(step),
        };
        self.position = end;
        let past = (end / PARTS - self.samples_from).clamp(0, signed(self.samples.len()));
        self.samples.drain(..usize::try_from(past).unwrap_or(0));
        self.samples_from += past;
        Some(block)
    }

    fn begin(&mut self, place: i64, now: Duration) {
        if self.due.is_none() {
            self.due = Some(now);
            self.position = (place - samples_at(TARGET)) * PARTS;
        }
    }

    fn sound_end(&self) -> i64 {
        self.samples_from + signed(self.samples.len())
    }

    /// The place of the newest of any kind.
    fn newest_place(&self) -> i64 {
        let newest = [self.newest_picture, self.newest_sound];
        let places = newest.into_iter().flatten().map(|newest| newest.place);
        places.max().unwrap_or(i64::MIN)
    }

    /// What is left, in samples, of the kind of which there is less, as long as both come.
    fn left_of_both(&self, now: Duration) -> Option<i64> {
        let newest = [self.newest_picture, self.newest_sound];
        let present = newest
            .into_iter()
            .flatten()
            .filter(|newest| now.saturating_sub(newest.came) < ABSENT_AFTER);
        let least = present.map(|newest| newest.place).min()?;
        Some(least - self.position / PARTS)
    }

    /// Moves the place, or changes its pace, by what is left.
    fn keep_pace(&mut self, now: Duration) {
        let Some(left) = self.left_of_both(now) else {
            return;
        };
        if left > samples_at(TOO_MUCH) {
            self.jump(left);
            return;
        }
        self.lowest = self.lowest.min(left);
        self.watched_blocks += 1;
        if self.watched_blocks < WATCHED_BLOCKS {
            return;
        }
        let lowest = std::mem::replace(&mut self.lowest, i64::MAX);
        self.watched_blocks = 0;
        if lowest < -samples_at(TOO_LITTLE) {
            self.jump(lowest);
            return;
        }
        let until = |place| lowest < samples_at(place);
        let before = self.pace;
        self.pace = match before {
            Pace::Slower if until(ENOUGH) => Pace::Slower,
            Pace::Faster if !until(TARGET) => Pace::Faster,
            _ if until(LITTLE) => Pace::Slower,
            _ if !until(MUCH) => Pace::Faster,
            Pace::Slower | Pace::Even | Pace::Faster => Pace::Even,
        };
        if self.pace == Pace::Even && before != Pace::Even {
            // On whole samples sound leaves as it came.
            self.position -= self.position.rem_euclid(PARTS);
        }
    }

    /// Moves the place to where [`TARGET`] is left.
    fn jump(&mut self, left: i64) {
        self.position += (left - samples_at(TARGET)) * PARTS;
        self.pace = Pace::Even;
        self.lowest = i64::MAX;
        self.watched_blocks = 0;
        self.counters.jumps += 1;
    }

    /// The newest picture that is due before `end`; older ones are late.
    fn picture_before(&mut self, end: i64) -> Option<(Duration, P)> {
        let mut due = None;
        while self
            .pictures
            .front()
            .is_some_and(|(place, ..)| *place * PARTS < end)
        {
            if due.is_some() {
                self.counters.pictures_late += 1;
            }
            due = self.pictures.pop_front();
        }
        let (_, timestamp, picture) = due?;
        self.counters.pictures += 1;
        Some((timestamp, picture))
    }

    /// The sound of the next `length` parts, in as many samples as a block has.
    fn sound(&mut self, length: i64) -> [Sample; BLOCK_SAMPLES] {
        let mut is_whole = true;
        let mut sample = |place: i64| {
            let offset = usize::try_from(place - self.samples_from).ok();
            let sample = offset.and_then(|offset| self.samples.get(offset));
            is_whole &= sample.is_some();
            sample.copied().unwrap_or_default()
        };
        let step = length / signed(BLOCK_SAMPLES);
        let block = std::array::from_fn(|number| {
            let place = self.position + signed(number) * step;
            let (place, part) = (place.div_euclid(PARTS), place.rem_euclid(PARTS));
            let here = sample(place);
            if part == 0 {
                return here;
            }
            let next = sample(place + 1);
            [0, 1].map(|ear| between(here[ear], next[ear], part))
        });
        if !is_whole {
            self.counters.silent_blocks += 1;
        }
        block
    }
}

fn between(one: i16, other: i16, part: i64) -> i16 {
    let mixed = (i64::from(one) * (PARTS - part) + i64::from(other) * part) / PARTS;
    // It lies between two that fit.
    i16::try_from(mixed).unwrap_or(one)
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The place of a time in samples, at most 20 years.
fn samples_at(time: Duration) -> i64 {
    let samples = (time.as_nanos() * u128::from(SOUND_HZ) + 500_000_000) / 1_000_000_000;
    i64::try_from(samples).map_or(PLACE_LIMIT, |samples| samples.min(PLACE_LIMIT))
}

fn time_at(position: i64) -> Duration {
    let samples = u128::try_from(position / PARTS).unwrap_or(0);
    let nanoseconds = samples * 1_000_000_000 / u128::from(SOUND_HZ);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[path = "playout_tests.rs"]
mod tests;
