//! How far a destination has come in the media, remembered from one connection to the next.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use media::{Retention, Subscriber};

/// How much is kept for a destination that has lost its connection.
const RETENTION: Duration = Duration::from_secs(30);

/// The most pictures that are followed on their way to the server: 34 s at 60 a second.
///
/// Those beyond are not; then the place is behind the truth until the others are acknowledged, and more is repeated after a cut.
const MARKS_LIMIT: usize = 2_048;

/// The media time up to which a server has acknowledged what it was sent.
///
/// All attempts of one destination share it. It also keeps the media of the last 30 s for as long as a destination that
/// is to catch up has lost its connection or lags: whoever gives up such a destination calls [`clear`](Self::clear), or drops it.
#[derive(Debug, Default)]
pub struct Place {
    /// In nanoseconds, and one more: 0 is nowhere.
    reached: AtomicU64,
    retention: Mutex<Option<Retention>>,
}

impl Place {
    /// Everything before this has been acknowledged; `None` before the first picture was sent.
    pub fn acknowledged(&self) -> Option<Duration> {
        self.reached
            .load(Relaxed)
            .checked_sub(1)
            .map(Duration::from_nanos)
    }

    /// Forgets it, so that the next connection begins at the newest keyframe, and keeps no media any more.
    pub fn clear(&self) {
        self.reached.store(0, Relaxed);
        self.let_go();
    }

    /// Everything before `timestamp` has been acknowledged.
    pub(super) fn reach(&self, timestamp: Duration) {
        let nanoseconds = u64::try_from(timestamp.as_nanos()).unwrap_or(u64::MAX - 1);
        self.reached.fetch_max(nanoseconds + 1, Relaxed);
    }

    /// Keeps media for the next connection.
    pub(super) fn hold(&self, subscriber: &Subscriber) {
        self.retention()
            .get_or_insert_with(|| subscriber.retain(RETENTION));
    }

    pub(super) fn let_go(&self) {
        *self.retention() = None;
    }

    fn retention(&self) -> MutexGuard<'_, Option<Retention>> {
        self.retention
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where pictures end in the byte stream of one connection.
#[derive(Debug, Default)]
pub(super) struct Marks(VecDeque<(u64, Duration)>);

impl Marks {
    /// A picture ends behind `end` bytes.
    pub(super) fn add(&mut self, end: u64, timestamp: Duration) {
        if self.0.len() < MARKS_LIMIT {
            self.0.push_back((end, timestamp));
        }
    }

    /// So many bytes are acknowledged. Returns the timestamp of the newest picture that has thereby arrived, if one has.
    pub(super) fn acknowledge(&mut self, bytes: u64) -> Option<Duration> {
        let mut newest = None;
        while let Some((_, timestamp)) = self.0.pop_front_if(|(end, _)| *end <= bytes) {
            newest = Some(timestamp);
        }
        newest
    }

    /// The timestamp of the oldest picture that has not arrived.
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.0.front().map(|(_, timestamp)| *timestamp)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_place_never_goes_back_until_it_is_cleared() {
        let place = Place::default();
        assert_eq!(place.acknowledged(), None);

        place.reach(Duration::ZERO);
        assert_eq!(place.acknowledged(), Some(Duration::ZERO));
        place.reach(at(500));
        place.reach(at(300));
        assert_eq!(place.acknowledged(), Some(at(500)));

        place.clear();
        assert_eq!(place.acknowledged(), None);
    }

    #[test]
    fn a_picture_has_arrived_when_its_last_byte_is_acknowledged() {
        let mut marks = Marks::default();
        marks.add(100, at(0));
        marks.add(250, at(33));

        assert_eq!(marks.acknowledge(99), None);
        assert_eq!(marks.oldest(), Some(at(0)));
        assert_eq!(marks.acknowledge(249), Some(at(0)));
        assert_eq!(marks.acknowledge(9_999), Some(at(33)));
        assert_eq!(marks.oldest(), None);
    }

    proptest! {
        #[test]
        fn whatever_is_acknowledged_no_picture_is_taken_for_arrived_too_early(
            pictures in prop::collection::vec(1_u64..1_000, 1..5_000),
            acknowledged in 0_u64..3_000_000,
        ) {
            let mut marks = Marks::default();
            let mut end = 0;
            let mut ends = Vec::new();
            for (number, bytes) in pictures.into_iter().enumerate() {
                end += bytes;
                ends.push(end);
                marks.add(end, at(number as u64));
            }

            let arrived = marks.acknowledge(acknowledged);

            if let Some(arrived) = arrived {
                let number = usize::try_from(arrived.as_millis()).unwrap();
                prop_assert!(ends[number] <= acknowledged);
            }
            prop_assert!(marks.0.len() <= MARKS_LIMIT);
        }
    }
}
