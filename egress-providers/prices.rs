//! What a minute at a provider costs, as the operator says: no figure of anybody's price list is in the code.

use std::{collections::BTreeMap, fmt, ops::Add, str::FromStr, time::Duration};

use crate::Meter;

/// How many of the smallest amount are a dollar.
const NANODOLLARS: u64 = 1_000_000_000;

/// The highest price of a unit-minute, in dollars: whatever is above it is a slip of the pen.
const HIGHEST_PRICE: f64 = 1000.0;

/// An amount of US dollars, exact to a billionth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Money(u64);

/// The text is no price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PriceError {
    /// Not an amount of money.
    #[error("'{0}' is not an amount of dollars from 0 to 1000, with nine decimals at most")]
    Amount(String),
    /// Not `meter:amount`.
    #[error("'{0}' is not a meter and its price, such as output:0.015")]
    Form(String),
    /// No meter of this name.
    #[error("'{0}' is not one of participant, show, output")]
    Meter(String),
    /// The same meter again.
    #[error("{0} has two prices")]
    Twice(&'static str),
}

impl Money {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// In dollars, for showing and for metrics.
    #[expect(
        clippy::cast_precision_loss,
        reason = "what a show costs is far below the 2^53 billionths that are exact"
    )]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / NANODOLLARS as f64
    }

    /// As many times as much; it does not overflow but stay at the highest amount.
    #[must_use]
    pub const fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count))
    }

    /// What a price for a minute comes to in this time.
    #[must_use]
    pub fn for_minutes(self, time: Duration) -> Self {
        let nanodollars = u128::from(self.0) * time.as_nanos() / Duration::from_mins(1).as_nanos();
        Self(u64::try_from(nanodollars).unwrap_or(u64::MAX))
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::iter::Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::NONE, Self::add)
    }
}

impl fmt::Display for Money {
    /// Writes dollars with four decimals, which is a hundredth of a cent.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "${:.4}", self.dollars())
    }
}

impl FromStr for Money {
    type Err = PriceError;

    fn from_str(text: &str) -> Result<Self, PriceError> {
        let wrong = || PriceError::Amount(text.to_owned());
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > 9 {
            return Err(wrong());
        }
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let decimals: u64 = format!("{decimals:0<9}").parse().map_err(|_| wrong())?;
        let amount = whole
            .checked_mul(NANODOLLARS)
            .and_then(|whole| whole.checked_add(decimals))
            .map(Self)
            .ok_or_else(wrong)?;
        if amount.dollars() > HIGHEST_PRICE {
            return Err(wrong());
        }
        Ok(amount)
    }
}

/// What a minute of each unit costs. A meter without a price costs nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices(BTreeMap<Meter, Money>);

impl Prices {
    /// What one unit-minute costs.
    pub fn of(&self, meter: Meter) -> Money {
        self.0.get(&meter).copied().unwrap_or_default()
    }

    /// Whether anything has a price.
    pub fn are_known(&self) -> bool {
        !self.0.is_empty()
    }

    /// What a minute of a show with so many destinations costs, where these meters run.
    pub fn per_minute(&self, meters: &[(Meter, u32)], destinations: usize) -> Money {
        meters
            .iter()
            .map(|(meter, units)| {
                let units = match meter {
                    Meter::Output => u64::try_from(destinations).unwrap_or(u64::MAX),
                    Meter::Participant | Meter::Show => u64::from(*units),
                };
                self.of(*meter).times(units)
            })
            .sum()
    }

    /// What a minute costs in which so many units run.
    pub fn for_units(&self, units: &BTreeMap<Meter, u32>) -> Money {
        let cost = |(meter, units): (&Meter, &u32)| self.of(*meter).times(u64::from(*units));
        units.iter().map(cost).sum()
    }

    /// What was used, units times duration, has cost.
    pub fn for_use(&self, used: &BTreeMap<Meter, Duration>) -> Money {
        let cost = |(meter, time): (&Meter, &Duration)| self.of(*meter).for_minutes(*time);
        used.iter().map(cost).sum()
    }

    /// What an hour of a show with so many destinations costs.
    pub fn per_hour(&self, meters: &[(Meter, u32)], destinations: usize) -> Money {
        self.per_minute(meters, destinations).times(60)
    }
}

impl FromStr for Prices {
    type Err = PriceError;

    /// Reads `participant:0.004,output:0.015`: dollars for a minute of each unit.
    fn from_str(text: &str) -> Result<Self, PriceError> {
        let mut prices = BTreeMap::new();
        for entry in text.split(',').map(str::trim) {
            let (name, amount) = entry
                .split_once(':')
                .ok_or_else(|| PriceError::Form(entry.to_owned()))?;
            let meter = [Meter::Participant, Meter::Show, Meter::Output]
                .into_iter()
                .find(|meter| meter.as_str() == name.trim())
                .ok_or_else(|| PriceError::Meter(name.trim().to_owned()))?;
            if prices.insert(meter, amount.trim().parse()?).is_some() {
                return Err(PriceError::Twice(meter.as_str()));
            }
        }
        Ok(Self(prices))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The meters of a call that one participant sends, and that is streamed to each destination.
    const CALL: &[(Meter, u32)] = &[(Meter::Participant, 1), (Meter::Output, 0)];

    fn prices(text: &str) -> Prices {
        text.parse().unwrap()
    }

    #[test]
    fn an_hour_costs_what_its_meters_cost() {
        let prices = prices("participant:0.004, output:0.015");

        let [one, two, three] = [1, 2, 3].map(|count| prices.per_hour(CALL, count));

        assert_eq!(one.to_string(), "$1.1400");
        assert_eq!(two.to_string(), "$2.0400");
        assert_eq!(three.to_string(), "$2.9400");
    }

    #[test]
    fn a_meter_without_a_price_costs_nothing_and_one_that_does_not_run_neither() {
        assert_eq!(Prices::default().per_hour(CALL, 5), Money::NONE);
        assert_eq!(prices("show:3").per_hour(CALL, 5), Money::NONE);
        assert!(!Prices::default().are_known());
        assert!(prices("show:0").are_known());
    }

    #[test]
    fn half_a_minute_costs_half_of_a_minute() {
        let price: Money = "0.015".parse().unwrap();

        assert_eq!(
            price.for_minutes(Duration::from_secs(30)),
            "0.0075".parse().unwrap()
        );
    }

    #[test]
    fn what_was_used_costs_its_units_times_its_time() {
        let prices = prices("participant:0.004,output:0.015");
        let used = BTreeMap::from([
            (Meter::Participant, Duration::from_mins(10)),
            (Meter::Output, Duration::from_mins(20)),
            (Meter::Show, Duration::from_hours(1)),
        ]);
        let using = BTreeMap::from([(Meter::Participant, 1), (Meter::Output, 2)]);

        assert_eq!(prices.for_use(&used), "0.34".parse().unwrap());
        assert_eq!(prices.for_units(&using), "0.034".parse().unwrap());
    }

    #[test]
    fn what_is_no_price_is_told_apart() {
        let error = |text: &str| text.parse::<Prices>().unwrap_err();

        assert_eq!(error("output"), PriceError::Form("output".to_owned()));
        assert_eq!(error("minute:1"), PriceError::Meter("minute".to_owned()));
        assert_eq!(error("output:1,output:2"), PriceError::Twice("output"));
        for amount in ["", "-1", "1.", ".5", "1e3", "1001", "0.0000000001", "NaN"] {
            assert_eq!(
                error(&format!("output:{amount}")),
                PriceError::Amount(amount.to_owned())
            );
        }
    }

    proptest! {
        #[test]
        fn an_amount_is_read_exactly(dollars in 0_u64..1000, nanodollars in 0_u64..NANODOLLARS) {
            let read: Money = format!("{dollars}.{nanodollars:09}").parse().unwrap();

            prop_assert_eq!(read, Money(dollars * NANODOLLARS + nanodollars));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            let _ = text.parse::<Prices>();
        }
    }
}
