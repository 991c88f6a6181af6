//! When a child is given up, and how long to wait before the next one.

use std::time::{Duration, Instant};

/// How long nothing may come out while pictures go in, once something has.
const SILENCE_LIMIT: Duration = Duration::from_secs(2);

/// The same before anything has come out: a program is loaded, a stream is recognised, a decoder fills.
const START_LIMIT: Duration = Duration::from_secs(8);

/// The pause after the second death in a row; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Watches one child.
#[derive(Debug)]
pub(super) struct Silence {
    has_spoken: bool,
    /// When a picture went in that nothing came out after.
    unanswered: Option<Instant>,
}

impl Silence {
    /// A child was started.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            has_spoken: false,
            unanswered: Some(now),
        }
    }

    /// A picture goes in.
    pub(super) fn handle_picture(&mut self, now: Instant) {
        self.unanswered.get_or_insert(now);
    }

    /// Something came out.
    pub(super) fn handle_answer(&mut self) {
        self.has_spoken = true;
        self.unanswered = None;
    }

    /// Whether anything has come out.
    pub(super) fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    /// When it has been silent for too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let limit = if self.has_spoken {
            SILENCE_LIMIT
        } else {
            START_LIMIT
        };
        self.unanswered.map(|since| since + limit)
    }
}

/// Counts deaths in a row.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    in_a_row: u32,
}

impl Deaths {
    /// A child died; `worked`: something had come out. Returns how many did so in a row, and the pause before the next.
    ///
    /// After one that worked the next is started at once.
    pub(super) fn handle_death(&mut self, worked: bool) -> (u32, Duration) {
        if worked {
            self.in_a_row = 0;
        }
        self.in_a_row += 1;
        let pause = match self.in_a_row.checked_sub(2) {
            None => Duration::ZERO,
            Some(doublings) => FIRST_PAUSE
                .saturating_mul(2_u32.saturating_pow(doublings))
                .min(LONGEST_PAUSE),
        };
        (self.in_a_row, pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_may_take_longer_than_a_pause_later() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        silence.handle_picture(start + Duration::from_secs(1));

        assert_eq!(silence.deadline(), Some(start + START_LIMIT));
        let later = start + Duration::from_secs(3);
        silence.handle_answer();
        assert_eq!(silence.deadline(), None);
        silence.handle_picture(later);
        assert_eq!(silence.deadline(), Some(later + SILENCE_LIMIT));
        silence.handle_picture(later + Duration::from_secs(1));
        assert_eq!(silence.deadline(), Some(later + SILENCE_LIMIT));
    }

    #[test]
    fn a_child_that_is_given_nothing_owes_nothing() {
        let start = Instant::now();
        let mut silence = Silence::new(start);

        silence.handle_answer();

        assert_eq!(silence.deadline(), None);
    }

    #[test]
    fn pauses_grow_to_ten_seconds_and_are_forgotten_when_one_worked() {
        let mut deaths = Deaths::default();

        let pauses: Vec<_> = (0..9).map(|_| deaths.handle_death(false).1).collect();

        assert_eq!(pauses[0], Duration::ZERO);
        assert_eq!(pauses[1..4], [250, 500, 1_000].map(Duration::from_millis));
        assert_eq!(pauses[8], LONGEST_PAUSE);
        assert_eq!(deaths.handle_death(true), (1, Duration::ZERO));
    }
}
