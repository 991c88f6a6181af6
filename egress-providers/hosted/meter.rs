//! What a session uses at its provider: units times duration.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::Meter;

/// Adds up what is used.
#[derive(Debug)]
pub(super) struct Ledger {
    used: BTreeMap<Meter, Duration>,
    using: BTreeMap<Meter, u32>,
    counted_to: Instant,
}

impl Ledger {
    /// Goes on from what was `used` before.
    pub(super) const fn new(used: BTreeMap<Meter, Duration>, now: Instant) -> Self {
        Self {
            used,
            using: BTreeMap::new(),
            counted_to: now,
        }
    }

    /// From now on so many units are used. Returns what was used since the last time.
    pub(super) fn count(
        &mut self,
        using: BTreeMap<Meter, u32>,
        now: Instant,
    ) -> Vec<(Meter, Duration)> {
        let elapsed = now.saturating_duration_since(self.counted_to);
        self.counted_to = now;
        let before = std::mem::replace(&mut self.using, using);
        let mut counted = Vec::new();
        for (meter, units) in before {
            let more = elapsed.saturating_mul(units);
            if !more.is_zero() {
                let used = self.used.entry(meter).or_default();
                *used = used.saturating_add(more);
                counted.push((meter, more));
            }
        }
        counted
    }

    pub(super) const fn used(&self) -> &BTreeMap<Meter, Duration> {
        &self.used
    }

    pub(super) const fn using(&self) -> &BTreeMap<Meter, u32> {
        &self.using
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_counted_for_as_long_as_they_are_used() {
        let start = Instant::now();
        let minutes = |count| start + Duration::from_mins(count);
        let mut ledger = Ledger::new(BTreeMap::new(), start);

        let of_idle = ledger.count(BTreeMap::from([(Meter::Output, 2)]), minutes(5));
        let of_two = ledger.count(BTreeMap::from([(Meter::Output, 1)]), minutes(8));
        let of_one = ledger.count(BTreeMap::new(), minutes(9));
        let of_nothing = ledger.count(BTreeMap::new(), minutes(20));

        assert_eq!(of_idle, []);
        assert_eq!(of_two, [(Meter::Output, Duration::from_mins(6))]);
        assert_eq!(of_one, [(Meter::Output, Duration::from_mins(1))]);
        assert_eq!(of_nothing, []);
        assert_eq!(ledger.used()[&Meter::Output], Duration::from_mins(7));
    }
}
