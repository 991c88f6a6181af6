//! How much later packets come to a client than over an idle network. Pure; time is an argument.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::sent::Fate;

/// A queue that stands for longer delays a conversation.
const STANDING_DELAY: Duration = Duration::from_millis(60);
/// What stands longer although we send less is somebody else's queue; up to this, it is taken as part of the network.
const LONGEST_FOREIGN_DELAY: Duration = Duration::from_millis(400);
/// A queue that is less than so much of its longest within that drains.
const DRAINING: (i64, i64) = (9, 10);
/// For how long a queue stands.
const STANDING: Duration = Duration::from_millis(300);
/// The least delay of an idle network is that of one to two of these.
const IDLE_DELAY_PERIOD: Duration = Duration::from_secs(10);
/// How much later packets come than over an idle network.
#[derive(Debug)]
pub(super) struct Delays {
    /// The least of this period and of the one before, in microseconds; the clocks' difference is in it.
    idle: [Option<i64>; 2],
    period: Option<Instant>,
    /// The least of each feedback lately.
    lately: VecDeque<(Instant, i64)>,
    drains: bool,
    limit: Duration,
}

impl Delays {
    pub(super) const fn new() -> Self {
        Self {
            idle: [None; 2],
            period: None,
            lately: VecDeque::new(),
            drains: false,
            limit: STANDING_DELAY,
        }
    }

    /// How long the queue is that stands. `None`: too little to say.
    pub(super) fn handle(
        &mut self,
        fates: &[Fate],
        origin: Instant,
        now: Instant,
    ) -> Option<Duration> {
        let delay = |fate: &Fate| {
            let arrived = micros(fate.arrived?);
            Some(arrived - micros(fate.left.saturating_duration_since(origin)))
        };
        let least = fates.iter().filter_map(delay).min()?;
        let period = *self.period.get_or_insert(now);
        if now.saturating_duration_since(period) > IDLE_DELAY_PERIOD {
            self.period = Some(now);
            self.idle = [None, self.idle[0]];
        }
        self.idle[0] = Some(self.idle[0].map_or(least, |idle| idle.min(least)));
        self.lately.push_back((now, least));
        while let Some((at, _)) = self.lately.front() {
            if now.saturating_duration_since(*at) <= STANDING {
                break;
            }
            self.lately.pop_front();
        }
        let (began, _) = *self.lately.front()?;
        if now.saturating_duration_since(began) < STANDING / 2 {
            return None;
        }
        let idle = *self.idle.iter().flatten().min()?;
        let longest = self.lately.iter().map(|(_, least)| *least).max()?;
        self.drains = (least - idle) * DRAINING.1 < (longest - idle) * DRAINING.0;
        let standing = self.lately.iter().map(|(_, least)| *least).min()? - idle;
        Some(Duration::from_micros(u64::try_from(standing).unwrap_or(0)))
    }

    /// Whether the queue becomes shorter: then no more is sent than passes.
    pub(super) const fn drains(&self) -> bool {
        self.drains
    }

    /// A queue that stands for longer is too long.
    pub(super) const fn limit(&self) -> Duration {
        self.limit
    }

    /// A queue stands although we send less: it is somebody else's.
    pub(super) fn endure(&mut self, standing: Duration) {
        self.limit = (standing * 6 / 5).clamp(self.limit, LONGEST_FOREIGN_DELAY);
    }

    /// What was taken as somebody else's queue is forgotten, 10 ms a second.
    pub(super) fn forgive(&mut self, seconds: f64) {
        let less = Duration::from_millis(10).mul_f64(seconds.clamp(0.0, 1.0));
        self.limit = self.limit.saturating_sub(less).max(STANDING_DELAY);
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 4)
}
