//! Pauses between tries: growing, with jitter.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// The longest pause after the first failure in a row; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause of all.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A seeded source of pauses.
#[derive(Debug)]
pub(super) struct Pauses(StdRng);

impl Pauses {
    pub(super) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// The pause after `failures` in a row: anything from nothing to the bound for that many.
    pub(super) fn after(&mut self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(8);
        let bound = FIRST_PAUSE.saturating_mul(1 << doublings);
        bound
            .min(LONGEST_PAUSE)
            .mul_f64(self.0.random_range(0.0..=1.0))
    }

    /// A tenth more or less.
    pub(super) fn about(&mut self, pause: Duration) -> Duration {
        pause.mul_f64(self.0.random_range(0.9..=1.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_ten_seconds_and_fill_their_range() {
        let mut pauses = Pauses::new(1);
        for (failures, bound) in [(1, 1.0), (2, 2.0), (4, 8.0), (5, 10.0), (u32::MAX, 10.0)] {
            let drawn: Vec<f64> = (0..500)
                .map(|_| pauses.after(failures).as_secs_f64())
                .collect();

            assert!(drawn.iter().all(|pause| *pause <= bound), "{failures}");
            assert!(drawn.iter().any(|pause| *pause > bound * 0.9), "{failures}");
            assert!(drawn.iter().any(|pause| *pause < bound * 0.1), "{failures}");
        }
    }
}
