//! Shares out a client's bandwidth: the smallest layer of all first, then one layer more for each, as long as there is
//! something left. Pure.

/// What one consumer could take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    /// Bit/s of the layers that flow and are wanted, the smallest first. Empty: nothing flows.
    pub(super) rates: Vec<u64>,
    /// How many of them it was granted before.
    pub(super) held: usize,
}

/// How much there is in all, in bit/s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    /// As long as it is not more, a smallest layer that is sent goes on.
    pub(super) keep_smallest: u64,
    /// As long as it is not more, a smallest layer begins.
    pub(super) begin_smallest: u64,
    /// As long as it is not more, a larger layer that is sent goes on.
    pub(super) keep: u64,
    /// As long as it is not more, a larger layer begins.
    pub(super) rise: u64,
}

impl Budget {
    /// As much as one likes.
    pub(super) const UNLIMITED: Self = Self {
        keep_smallest: u64::MAX,
        begin_smallest: u64::MAX,
        keep: u64::MAX,
        rise: u64::MAX,
    };
}

/// Who gets what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shares {
    /// How many layers each claim is granted, counted from the smallest.
    pub(super) granted: Vec<usize>,
    /// What all of it costs, in bit/s.
    pub(super) spent: u64,
    /// What it would cost with the next layer that there was not enough for.
    pub(super) wanted: Option<u64>,
}

/// Shares `budget` out. Earlier claims come first.
pub(super) fn share(budget: Budget, claims: &[Claim]) -> Shares {
    let mut shares = Shares {
        granted: vec![0; claims.len()],
        spent: 0,
        wanted: None,
    };
    let levels = claims
        .iter()
        .map(|claim| claim.rates.len())
        .max()
        .unwrap_or(0);
    for level in 0..levels {
        for (claim, granted) in claims.iter().zip(&mut shares.granted) {
            let Some(rate) = claim.rates.get(level).filter(|_| *granted == level) else {
                continue;
            };
            let below = level.checked_sub(1).map_or(0, |below| claim.rates[below]);
            let cost = shares.spent.saturating_add(rate.saturating_sub(below));
            let limit = match (level == 0, claim.held > level) {
                (true, true) => budget.keep_smallest,
                (true, false) => budget.begin_smallest,
                (false, true) => budget.keep,
                (false, false) => budget.rise,
            };
            if cost <= limit {
                *granted = level + 1;
                shares.spent = cost;
            } else {
                shares.wanted = Some(shares.wanted.map_or(cost, |wanted| wanted.min(cost)));
            }
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(rates: &[u64], held: usize) -> Claim {
        Claim {
            rates: rates.to_vec(),
            held,
        }
    }

    const fn budget(all: u64) -> Budget {
        Budget {
            keep_smallest: all,
            begin_smallest: all,
            keep: all,
            rise: all,
        }
    }

    #[test]
    fn the_smallest_of_all_come_before_more_for_one() {
        let claims = [claim(&[100, 400, 1500], 0), claim(&[100, 400, 1500], 0)];

        let granted = |all| share(budget(all), &claims).granted;

        assert_eq!(granted(99), [0, 0]);
        assert_eq!(granted(100), [1, 0]);
        assert_eq!(granted(200), [1, 1]);
        assert_eq!(granted(500), [2, 1]);
        assert_eq!(granted(800), [2, 2]);
        assert_eq!(granted(3000), [3, 3]);
    }

    #[test]
    fn what_is_missing_for_the_next_step_is_told() {
        let claims = [claim(&[100, 400], 0), claim(&[100, 300], 0)];

        assert_eq!(share(budget(250), &claims).wanted, Some(400));
        assert_eq!(share(budget(700), &claims).wanted, None);
        assert_eq!(share(budget(50), &claims).wanted, Some(100));
    }

    #[test]
    fn what_is_held_is_kept_where_nothing_begins() {
        let tight = Budget {
            keep_smallest: 120,
            begin_smallest: 90,
            keep: 450,
            rise: 390,
        };

        assert_eq!(share(tight, &[claim(&[100, 400], 2)]).granted, [2]);
        assert_eq!(share(tight, &[claim(&[100, 400], 1)]).granted, [1]);
        assert_eq!(share(tight, &[claim(&[100, 400], 0)]).granted, [0]);
    }

    proptest! {
        #[test]
        fn no_more_is_spent_than_there_is_and_more_never_gives_less(
            claims in prop::collection::vec((prop::collection::vec(0..3_000_000_u64, 0..4), 0..4_usize), 0..12),
            all in 0..20_000_000_u64, more in 0..1_000_000_u64
        ) {
            let claims: Vec<_> = claims.iter().map(|(rates, held)| claim(rates, *held)).collect();

            let less = share(budget(all), &claims);
            let shares = share(budget(all + more), &claims);

            prop_assert!(less.spent <= all);
            let first = claims.iter().position(|claim| !claim.rates.is_empty());
            if let Some(first) = first {
                prop_assert!(shares.granted[first] >= usize::from(less.granted[first] > 0));
            }
            prop_assert_eq!(share(Budget::UNLIMITED, &claims).wanted, None);
        }
    }
}
