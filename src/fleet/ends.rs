//! Which broadcasts have ended, and by which number: so that nobody who was away brings one back.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use crate::Fence;

/// How long that is remembered. A day: a node that was cut off for longer has ended its shows.
pub(crate) const MEMORY_OF_THE_ENDED: Duration = Duration::from_hours(24);

/// Of how many broadcasts it is remembered; the oldest are forgotten first. 1 MB.
const ENDS_LIMIT: usize = 10_000;

/// The newest number of each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ends {
    by_broadcast: HashMap<String, Fence>,
    oldest_first: VecDeque<(Duration, String, Fence)>,
}

impl Ends {
    /// Notes that a broadcast has ended.
    pub(crate) fn note(&mut self, broadcast: &str, fence: Fence, now: Duration) {
        while let Some((at, oldest, end)) = self.oldest_first.front()
            && (now >= *at + MEMORY_OF_THE_ENDED || self.oldest_first.len() >= ENDS_LIMIT)
        {
            // One that ended again since is remembered by its later end.
            if self.by_broadcast.get(oldest) == Some(end) {
                self.by_broadcast.remove(oldest);
            }
            self.oldest_first.pop_front();
        }
        self.by_broadcast.insert(broadcast.to_owned(), fence);
        self.oldest_first
            .push_back((now, broadcast.to_owned(), fence));
    }

    /// Whether it ended by this number or a later one.
    pub(crate) fn has_ended(&self, broadcast: &str, fence: Fence) -> bool {
        self.by_broadcast
            .get(broadcast)
            .is_some_and(|end| *end >= fence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_remembered_for_a_day_and_counts_for_older_numbers() {
        let mut ends = Ends::default();
        ends.note("show", Fence(7), Duration::ZERO);

        assert!(ends.has_ended("show", Fence(7)));
        assert!(ends.has_ended("show", Fence(6)));
        assert!(!ends.has_ended("show", Fence(8)));
        ends.note("other", Fence(9), MEMORY_OF_THE_ENDED);
        assert!(!ends.has_ended("show", Fence(7)));
    }

    #[test]
    fn of_many_ends_the_oldest_are_forgotten_but_for_those_that_ended_again() {
        let mut ends = Ends::default();
        ends.note("first", Fence(1), Duration::ZERO);
        ends.note("second", Fence(2), Duration::ZERO);
        ends.note("first", Fence(3), Duration::ZERO);
        for number in 3..ENDS_LIMIT {
            ends.note(&number.to_string(), Fence(4), Duration::ZERO);
        }
        assert!(ends.has_ended("second", Fence(2)));

        ends.note("last", Fence(4), Duration::ZERO);
        ends.note("very last", Fence(4), Duration::ZERO);

        assert!(!ends.has_ended("second", Fence(2)));
        assert!(ends.has_ended("first", Fence(3)));
        assert_eq!(ends.oldest_first.len(), ENDS_LIMIT);
    }
}
