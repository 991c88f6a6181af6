//! When to try again: growing pauses with full jitter, as a value.

use std::time::Duration;

/// The longest pause after the first loss in a row; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause of all.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long a destination must have been live for its earlier losses to be forgotten.
pub(crate) const HEALTHY_AFTER: Duration = Duration::from_mins(1);

/// From which short life in a row on a line is held back.
///
/// Most platforms make a new video of every connection: two losses in a minute are bad luck, a third is a pattern.
pub(crate) const HOLD_BACK_FROM: u32 = 3;

/// The first pause that holds back; it doubles with each further short life.
const FIRST_HOLD_BACK: Duration = Duration::from_secs(30);

/// The longest pause that holds back.
const LONGEST_HOLD_BACK: Duration = Duration::from_mins(5);

/// The least pause after that many short lives in a row.
pub(crate) fn hold_back(short_lives: u32) -> Duration {
    let Some(doublings) = short_lives.checked_sub(HOLD_BACK_FROM) else {
        return Duration::ZERO;
    };
    FIRST_HOLD_BACK
        .saturating_mul(1 << doublings.min(16))
        .min(LONGEST_HOLD_BACK)
}

/// A seeded source of jitter (splitmix64): spreads reconnects, guards no secret.
#[derive(Debug, Clone)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The pause after `losses` losses in a row: anything from nothing to the bound for that many.
    pub(crate) fn pause(&mut self, losses: u32) -> Duration {
        let bound = u64::try_from(pause_bound(losses).as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.next() % bound.saturating_add(1))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

fn pause_bound(losses: u32) -> Duration {
    let doublings = losses.saturating_sub(1).min(16);
    FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_from_one_second_to_thirty() {
        let seconds: Vec<u64> = (1..=8)
            .map(|losses| pause_bound(losses).as_secs())
            .collect();

        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(pause_bound(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn the_third_short_life_is_held_back_and_each_further_one_for_longer() {
        let seconds: Vec<u64> = (0..=8).map(|lives| hold_back(lives).as_secs()).collect();

        assert_eq!(seconds, [0, 0, 0, 30, 60, 120, 240, 300, 300]);
        assert_eq!(hold_back(u32::MAX), LONGEST_HOLD_BACK);
    }

    #[test]
    fn pauses_fill_the_whole_range_and_stay_in_it() {
        let mut jitter = Jitter::new(1);

        let pauses: Vec<Duration> = (0..1000).map(|_| jitter.pause(3)).collect();

        assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(4)));
        assert!(
            pauses
                .iter()
                .any(|pause| *pause < Duration::from_millis(400))
        );
        assert!(
            pauses
                .iter()
                .any(|pause| *pause > Duration::from_millis(3600))
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_pauses() {
        let pauses = |seed| {
            let mut jitter = Jitter::new(seed);
            (1..9)
                .map(|losses| jitter.pause(losses))
                .collect::<Vec<_>>()
        };

        assert_eq!(pauses(7), pauses(7));
        assert_ne!(pauses(7), pauses(8));
    }
}
