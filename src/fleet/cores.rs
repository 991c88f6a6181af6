//! Room of a node, and what takes of it.

use std::{
    fmt,
    ops::{Add, Sub},
};

use serde::{Deserialize, Serialize};

/// Of a core, how much; exact to a millionth, so that sums of many do not drift. In JSON the number of millionths.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Cores {
    millionths: u64,
}

impl Cores {
    /// Nothing.
    pub const NONE: Self = Self { millionths: 0 };

    /// So many millionths of a core.
    pub const fn of_millionths(millionths: u64) -> Self {
        Self { millionths }
    }

    /// How many millionths of a core.
    pub const fn millionths(self) -> u64 {
        self.millionths
    }

    /// How much of `whole` this is, in parts of a million; everything is of nothing.
    pub fn share_of(self, whole: Self) -> u64 {
        let parts = u128::from(self.millionths) * 1_000_000;
        parts
            .checked_div(u128::from(whole.millionths))
            .map_or(u64::MAX, |share| u64::try_from(share).unwrap_or(u64::MAX))
    }
}

impl Add for Cores {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::of_millionths(self.millionths.saturating_add(other.millionths))
    }
}

impl Sub for Cores {
    type Output = Self;

    /// What is left, at least nothing.
    fn sub(self, other: Self) -> Self {
        Self::of_millionths(self.millionths.saturating_sub(other.millionths))
    }
}

impl std::iter::Sum for Cores {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::NONE, Self::add)
    }
}

impl fmt::Display for Cores {
    /// Writes cores with three digits: `0.024`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thousandths = self.millionths.div_ceil(1_000);
        write!(
            formatter,
            "{}.{:03}",
            thousandths / 1_000,
            thousandths % 1_000
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_below_nothing_and_everything_is_of_nothing() {
        let some = Cores::of_millionths(24_000);

        assert_eq!(Cores::NONE - some, Cores::NONE);
        assert_eq!(some.share_of(Cores::NONE), u64::MAX);
        assert_eq!(some.share_of(Cores::of_millionths(48_000)), 500_000);
        assert_eq!(some.to_string(), "0.024");
    }
}
