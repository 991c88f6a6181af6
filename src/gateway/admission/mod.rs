//! Who is let in: what everything costs is reserved beforehand, so that a node never promises more than it can do.

mod cost;
mod ladder;
mod load;
mod methods;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

pub use self::{
    cost::Cost,
    ladder::{Ladder, Step},
    load::{LoadMeter, MEASURE_PERIOD, processor_time},
    methods::{MethodUnavailable, Methods, ProviderUnavailable},
};

/// Measures what is used, again and again, until it is dropped.
pub async fn measure(admission: Admission) {
    let mut meter = LoadMeter::default();
    let mut ladder = Ladder::new(crate::clock::now());
    let mut ticks = tokio::time::interval(MEASURE_PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let measuring = tokio::task::spawn_blocking(|| processor_time(std::process::id()));
        if let Ok(used) = measuring.await
            && let Some(cores) = meter.handle_sample(used, crate::clock::now())
        {
            admission.handle_measurement(cores);
        }
        let load_ratio = admission.figures().load_ratio();
        if let Some(step) = ladder.handle_load(load_ratio, crate::clock::now()) {
            let steps_down = ladder.steps_down();
            tracing::warn!(
                ?step,
                steps_down,
                load_ratio,
                "what is made anew changes its size"
            );
            admission.inner.steps_down.send_replace(steps_down);
        }
    }
}

/// The room of this node. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Admission {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    capacity: Cost,
    taken: Mutex<Taken>,
    steps_down: watch::Sender<usize>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    reserved: Cost,
    /// What was measured beyond what was reserved at that time.
    excess: Cost,
}

/// Why something is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it would take {cost} cores, and {free} of {capacity} are free")]
pub struct NoRoom {
    /// What it would have cost.
    pub cost: Cost,
    /// What is free.
    pub free: Cost,
    /// What there is.
    pub capacity: Cost,
}

/// How much is taken at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// What there is.
    pub capacity: Cost,
    /// What is reserved.
    pub reserved: Cost,
    /// The larger one of what is reserved and what is used.
    pub taken: Cost,
}

impl Figures {
    /// What is taken of what there is: 0 when idle, 1 when full, more when more is used than there should be.
    pub fn load_ratio(&self) -> f64 {
        self.taken.cores() / self.capacity.cores()
    }
}

impl Admission {
    /// Nothing is taken of `capacity`, which is a hundredth of a core at least.
    pub fn new(capacity: Cost) -> Self {
        let inner = Inner {
            capacity: capacity.max(Cost::LEAST_CAPACITY),
            taken: Mutex::default(),
            steps_down: watch::Sender::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Takes room until the answer is dropped.
    pub fn try_reserve(&self, cost: Cost) -> Result<Reservation, NoRoom> {
        self.inner.change(Cost::NONE, cost)?;
        Ok(Reservation {
            inner: Arc::clone(&self.inner),
            cost,
        })
    }

    /// Takes nothing, however full it is: what is taken later is asked for then.
    pub fn reserve_nothing(&self) -> Reservation {
        Reservation {
            inner: Arc::clone(&self.inner),
            cost: Cost::NONE,
        }
    }

    /// Whether there would be room at this moment.
    pub fn check(&self, cost: Cost) -> Result<(), NoRoom> {
        self.inner.check(*self.inner.taken(), Cost::NONE, cost)
    }

    /// Notes what is really used, which holds until the next time when it is more than what is reserved.
    pub fn handle_measurement(&self, used: Cost) {
        let mut taken = self.inner.taken();
        taken.excess = used - taken.reserved;
    }

    /// How far down the [`Ladder`] what is made anew is to be.
    pub fn steps_down(&self) -> watch::Receiver<usize> {
        self.inner.steps_down.subscribe()
    }

    /// How much is taken.
    pub fn figures(&self) -> Figures {
        let taken = *self.inner.taken();
        Figures {
            capacity: self.inner.capacity,
            reserved: taken.reserved,
            taken: taken.reserved + taken.excess,
        }
    }
}

impl Inner {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, taken: Taken, before: Cost, after: Cost) -> Result<(), NoRoom> {
        let free = self.capacity - (taken.reserved + taken.excess);
        let cost = after - before;
        if cost > free {
            let capacity = self.capacity;
            return Err(NoRoom {
                cost,
                free,
                capacity,
            });
        }
        Ok(())
    }

    fn change(&self, before: Cost, after: Cost) -> Result<(), NoRoom> {
        let mut taken = self.taken();
        self.check(*taken, before, after)?;
        taken.reserved = taken.reserved - before + after;
        Ok(())
    }
}

/// Room that is taken until this is dropped.
#[must_use = "dropping it gives the room back"]
pub struct Reservation {
    inner: Arc<Inner>,
    cost: Cost,
}

impl Reservation {
    /// How much it is.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// Whether it could be made another at this moment.
    pub fn check_change(&self, cost: Cost) -> Result<(), NoRoom> {
        self.inner.check(*self.inner.taken(), self.cost, cost)
    }

    /// Makes it another. Less is always granted; when there is no room for more it stays as it was, and the answer tells
    /// of the difference.
    pub fn try_change(&mut self, cost: Cost) -> Result<(), NoRoom> {
        self.inner.change(self.cost, cost)?;
        self.cost = cost;
        Ok(())
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Reservation")
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut taken = self.inner.taken();
        taken.reserved = taken.reserved - self.cost;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cores(cores: f64) -> Cost {
        Cost::of_cores(cores)
    }

    #[test]
    fn a_node_is_filled_to_its_bound_and_no_further() {
        let admission = Admission::new(cores(1.0));

        let first = admission.try_reserve(cores(0.6)).unwrap();
        let second = admission.try_reserve(cores(0.4)).unwrap();
        let refused = admission.try_reserve(cores(0.01)).unwrap_err();

        assert_eq!((refused.cost, refused.free), (cores(0.01), Cost::NONE));
        assert_eq!(
            refused.to_string(),
            "it would take 0.01 cores, and 0.00 of 1.00 are free"
        );
        drop(first);
        assert!(admission.check(cores(0.6)).is_ok());
        assert_eq!(admission.figures().reserved, second.cost());
    }

    #[test]
    fn what_is_used_beyond_what_is_reserved_takes_room_until_it_is_not() {
        let admission = Admission::new(cores(1.0));
        let held = admission.try_reserve(cores(0.2)).unwrap();

        admission.handle_measurement(cores(0.7));
        let refused = admission.try_reserve(cores(0.4)).unwrap_err();
        let granted = admission.try_reserve(cores(0.3)).unwrap();

        assert_eq!(refused.free, cores(0.3));
        assert_eq!(admission.figures().taken, cores(1.0));
        admission.handle_measurement(cores(0.1));
        assert_eq!(admission.figures().taken, cores(0.5));
        drop((held, granted));
        assert_eq!(admission.figures().taken, Cost::NONE);
    }

    #[test]
    fn more_than_there_is_may_be_used_and_shows() {
        let admission = Admission::new(cores(2.0));

        admission.handle_measurement(cores(3.0));

        assert!((admission.figures().load_ratio() - 1.5).abs() < 1e-9);
        assert_eq!(admission.check(cores(0.1)).unwrap_err().free, Cost::NONE);
        assert!(admission.check(Cost::NONE).is_ok());
    }

    #[test]
    fn a_reservation_grows_if_there_is_room_and_always_shrinks() {
        let admission = Admission::new(cores(1.0));
        let mut held = admission.try_reserve(cores(0.3)).unwrap();

        assert!(held.try_change(cores(0.9)).is_ok());
        let refused = held.try_change(cores(1.2)).unwrap_err();
        admission.handle_measurement(cores(5.0));

        assert_eq!((refused.cost, refused.free), (cores(0.3), cores(0.1)));
        assert_eq!(held.cost(), cores(0.9));
        assert!(held.try_change(cores(0.5)).is_ok());
        assert!(held.try_change(cores(0.5)).is_ok());
    }

    proptest! {
        #[test]
        fn whatever_comes_and_goes_no_more_is_reserved_than_there_is(
            steps in prop::collection::vec((0..3_u8, 0..150_u32), 0..60),
        ) {
            let admission = Admission::new(cores(1.0));
            let mut held: Vec<Reservation> = Vec::new();
            for (kind, hundredths) in steps {
                let cost = cores(f64::from(hundredths) / 100.0);
                match (kind, held.last_mut()) {
                    (0, _) => held.extend(admission.try_reserve(cost)),
                    (1, Some(last)) => { let _ = last.try_change(cost); }
                    _ => drop(held.pop()),
                }
                let sum = held.iter().fold(Cost::NONE, |sum, held| sum + held.cost());
                prop_assert_eq!(admission.figures().reserved, sum);
                prop_assert!(sum <= cores(1.0));
            }
            drop(held);
            prop_assert_eq!(admission.figures().reserved, Cost::NONE);
        }
    }
}
