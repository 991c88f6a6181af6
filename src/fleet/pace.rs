//! How often something may be done, by whomever: so many at once, and then one each so often.

use std::time::Duration;

/// A rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How many at once; 0 is taken for 1.
    pub burst: u32,
    /// How long one takes to come back; counted in whole microseconds, at least one.
    pub each: Duration,
}

impl Pace {
    /// Takes a turn, or says how long to wait for one. `paid` is until when the turns before it have used up the rate; the
    /// answer is the same with this one.
    ///
    /// This is the generic cell rate algorithm (ITU-T I.371).
    pub(crate) fn take(self, paid: Option<Duration>, now: Duration) -> Result<Duration, Duration> {
        let each = self.each_counted();
        let paid = paid.map_or(now, |paid| paid.max(now));
        let ahead = each.saturating_mul(self.burst.saturating_sub(1));
        match paid.saturating_sub(ahead).checked_sub(now) {
            None | Some(Duration::ZERO) => Ok(paid.saturating_add(each)),
            Some(wait) => Err(wait),
        }
    }

    /// How long one takes to come back, as it is counted.
    pub(crate) fn each_counted(self) -> Duration {
        let microseconds = u64::try_from(self.each.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(microseconds.clamp(1, LONGEST_MICROSECONDS))
    }
}

/// A year; what comes back more slowly does not come back. Sums with clocks stay exact in scripts, which count in doubles.
const LONGEST_MICROSECONDS: u64 = 365 * 86_400 * 1_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn pace(burst: u32, each: u64) -> Pace {
        Pace {
            burst,
            each: Duration::from_millis(each),
        }
    }

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_burst_is_let_through_and_then_one_each_period() {
        let mut paid = None;
        for _ in 0..3 {
            paid = Some(pace(3, 50).take(paid, ms(1_000)).unwrap());
        }

        assert_eq!(pace(3, 50).take(paid, ms(1_000)), Err(ms(50)));
        assert_eq!(pace(3, 50).take(paid, ms(1_049)), Err(ms(1)));
        paid = Some(pace(3, 50).take(paid, ms(1_050)).unwrap());
        assert_eq!(pace(3, 50).take(paid, ms(1_050)), Err(ms(50)));
    }

    #[test]
    fn a_rate_of_nothing_is_a_rate_all_the_same() {
        assert!(pace(0, 0).take(None, ms(1)).is_ok());
        let endless = Pace {
            burst: u32::MAX,
            each: Duration::MAX,
        };
        assert!(endless.take(None, ms(1)).is_ok());
    }

    proptest! {
        #[test]
        fn no_more_are_let_through_than_the_burst_and_the_time_allow(
            burst in 1_u32..20,
            each in 1_u64..100,
            steps in proptest::collection::vec(0_u64..50, 1..200),
        ) {
            let (mut now, mut paid, mut taken) = (ms(5), None, 0_u64);
            for step in steps {
                now += ms(step);
                match pace(burst, each).take(paid, now) {
                    Ok(next) => {
                        paid = Some(next);
                        taken += 1;
                    }
                    Err(wait) => prop_assert!(pace(burst, each).take(paid, now + wait).is_ok()),
                }
            }
            let elapsed = u64::try_from((now - ms(5)).as_millis()).unwrap();
            prop_assert!(taken <= u64::from(burst) + elapsed / each);
        }
    }
}
