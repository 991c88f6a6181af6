//! How often a provider may be asked: its limits hold for an account, so that we had better keep them ourselves.

use std::{
    fmt,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};

/// What a request is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cost {
    /// One of many.
    General,
    /// The start of something that providers hold back more than the rest.
    Start,
}

/// Keeps the rate of requests to one provider.
///
/// It is asked before each request, so that one for a whole fleet can stand in its place.
#[async_trait]
pub trait Budget: Send + Sync + fmt::Debug + 'static {
    /// Takes one request, or says after how long it is worth asking again.
    async fn take(&self, cost: Cost) -> Result<(), Duration>;
}

/// So many at once, and then one each so often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many at once; 0 is taken for 1.
    pub burst: u32,
    /// How long one takes to come back; zero is taken for a nanosecond.
    pub each: Duration,
}

/// What a provider allows one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// All requests.
    pub general: Rate,
    /// Those of [`Cost::Start`], which count as general ones as well.
    pub start: Rate,
}

/// A budget of this process alone.
#[derive(Debug)]
pub struct LocalBudget {
    general: Bucket,
    start: Bucket,
}

type Bucket = RateLimiter<
    NotKeyed,
    InMemoryState,
    RuntimeClock,
    NoOpMiddleware<<RuntimeClock as Clock>::Instant>,
>;

/// The clock of the runtime, which tests can pause.
#[derive(Debug, Clone, Default)]
struct RuntimeClock;

impl Clock for RuntimeClock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

impl LocalBudget {
    /// A full one.
    pub fn new(rates: Rates) -> Self {
        Self {
            general: bucket(rates.general),
            start: bucket(rates.start),
        }
    }
}

fn bucket(rate: Rate) -> Bucket {
    let quota = Quota::with_period(rate.each.max(Duration::from_nanos(1)))
        .expect("the period is longer than nothing")
        .allow_burst(NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN));
    RateLimiter::direct_with_clock(quota, RuntimeClock)
}

#[async_trait]
impl Budget for LocalBudget {
    async fn take(&self, cost: Cost) -> Result<(), Duration> {
        let wait = |bucket: &Bucket| {
            bucket
                .check()
                .map_err(|until| until.wait_time_from(RuntimeClock.now()))
        };
        // In this order: what is taken and not used is lost, and starts are rare.
        wait(&self.general)?;
        match cost {
            Cost::General => Ok(()),
            Cost::Start => wait(&self.start),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates {
        general: Rate {
            burst: 3,
            each: Duration::from_millis(50),
        },
        start: Rate {
            burst: 1,
            each: Duration::from_secs(1),
        },
    };

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_let_through_and_then_one_each_period() {
        let budget = LocalBudget::new(RATES);

        for _ in 0..3 {
            budget.take(Cost::General).await.unwrap();
        }
        let wait = budget.take(Cost::General).await.unwrap_err();
        tokio::time::advance(wait).await;

        assert!(wait <= Duration::from_millis(50), "{wait:?}");
        budget.take(Cost::General).await.unwrap();
        budget.take(Cost::General).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn starts_are_held_back_more_than_the_rest() {
        let budget = LocalBudget::new(RATES);

        budget.take(Cost::Start).await.unwrap();
        let wait = budget.take(Cost::Start).await.unwrap_err();

        assert!(wait > Duration::from_millis(900), "{wait:?}");
        budget.take(Cost::General).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_that_waits_for_its_turn_among_all_requests_is_not_lost() {
        let budget = LocalBudget::new(RATES);
        for _ in 0..3 {
            budget.take(Cost::General).await.unwrap();
        }

        let wait = budget.take(Cost::Start).await.unwrap_err();
        tokio::time::advance(wait).await;

        budget.take(Cost::Start).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_of_nothing_is_a_budget_all_the_same() {
        let none = Rate {
            burst: 0,
            each: Duration::ZERO,
        };
        let budget = LocalBudget::new(Rates {
            general: none,
            start: none,
        });

        budget.take(Cost::Start).await.unwrap();
    }
}
