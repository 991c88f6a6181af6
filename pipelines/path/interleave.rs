//! Puts sound in front of the picture it belongs to, without ever making the picture wait.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use media::AccessUnit;

/// How long sound waits for the picture of its time.
const PATIENCE: Duration = Duration::from_millis(300);

/// Sound that would be due this soon leaves with the sound that is due, so that ten wake-ups a second are the most.
const TOGETHER: Duration = Duration::from_millis(100);

/// The most sound units that wait: 5 s.
const WAITING_LIMIT: usize = 256;

/// Sound that waits for a picture.
#[derive(Debug, Default)]
pub(super) struct Interleave {
    waiting: VecDeque<(AccessUnit, Instant)>,
}

impl Interleave {
    /// Lets a sound unit wait. When too many do, the oldest is returned, to leave at once.
    pub(super) fn push(&mut self, unit: AccessUnit, now: Instant) -> Option<AccessUnit> {
        self.waiting.push_back((unit, now));
        if self.waiting.len() > WAITING_LIMIT {
            self.waiting.pop_front().map(|(unit, _)| unit)
        } else {
            None
        }
    }

    /// Returns the next sound unit of before or at the time of a picture.
    pub(super) fn pop_until(&mut self, timestamp: Duration) -> Option<AccessUnit> {
        self.pop_if(|unit, _| unit.timestamp <= timestamp)
    }

    /// Returns the next sound unit that has waited long enough.
    pub(super) fn pop_overdue(&mut self, now: Instant) -> Option<AccessUnit> {
        self.pop_if(|_, since| now + TOGETHER >= since + PATIENCE)
    }

    /// Returns the next sound unit.
    pub(super) fn pop(&mut self) -> Option<AccessUnit> {
        self.pop_if(|_, _| true)
    }

    /// When sound will have waited long enough.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.front().map(|(_, since)| *since + PATIENCE)
    }

    fn pop_if(
        &mut self,
        condition: impl FnOnce(&AccessUnit, Instant) -> bool,
    ) -> Option<AccessUnit> {
        let (unit, since) = self.waiting.front()?;
        if condition(unit, *since) {
            self.waiting.pop_front().map(|(unit, _)| unit)
        } else {
            None
        }
    }
}
