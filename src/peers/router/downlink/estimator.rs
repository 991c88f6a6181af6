//! How much the network to a client carries, by what the client tells of packets that went there. Pure; time is an
//! argument.
//!
//! Two signs of too much: a queue that stands (the least delay of the last third of a second is above that of an idle
//! network), and losses. Then the estimate falls below what came through, and does not rise above it for a pause that
//! doubles each time. It rises by what was proven: by media, or by a [probe](super::prober).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::sent::Fate;

/// Before anything is known: enough for small pictures of several, bit/s.
const INITIAL: f64 = 1_000_000.0;
/// Less than this is not estimated, bit/s: the feedback itself would be too rare to go by.
const LEAST: f64 = 50_000.0;
/// More than this is not estimated, bit/s.
const MOST: f64 = 100_000_000.0;
/// A queue that stands for longer delays a conversation.
const STANDING_DELAY: Duration = Duration::from_millis(60);
/// What stands longer although we send less is somebody else's queue; up to this, it is taken as part of the network.
const LONGEST_FOREIGN_DELAY: Duration = Duration::from_millis(400);
/// For how long a queue stands.
const STANDING: Duration = Duration::from_millis(300);
/// The least delay of an idle network is that of one to two of these.
const IDLE_DELAY_PERIOD: Duration = Duration::from_secs(10);
/// Over which what comes through is measured, on the client's clock.
const RATE_WINDOW: Duration = Duration::from_millis(500);
/// Over which losses are counted, and how many packets make a share of them.
const LOSS_WINDOW: Duration = Duration::from_secs(1);
const LOSS_PACKETS: u32 = 20;
/// More losses than this are too much for repair alone (draft-ietf-rmcat-gcc-02 § 6).
const LOSS_LIMIT: f64 = 0.1;
/// What is sent less takes a round trip and a feedback to be seen.
const REACTION: Duration = Duration::from_millis(500);
/// What lasts for longer is not helped by a little less.
const PERSISTENT: Duration = Duration::from_secs(1);
/// Growth in a second, up to [`UNPROVEN`] times what comes through (draft-ietf-rmcat-gcc-02 § 5.5).
const GROWTH: f64 = 1.08;
const UNPROVEN: f64 = 1.5;
/// Of what came through, when a queue stands, and when there are losses.
const BELOW_QUEUE: f64 = 0.85;
const BELOW_LOSS: f64 = 0.9;
/// How long nothing more is tried after it was too much: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(4);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The estimate of one client's network.
#[derive(Debug)]
pub(super) struct Estimator {
    origin: Instant,
    estimate: f64,
    updated: Option<Instant>,
    received: Received,
    delays: Delays,
    losses: VecDeque<(Instant, u32, u32)>,
    /// Since when there is too much, without a break.
    overloaded: Option<Instant>,
    reduced: Option<Instant>,
    reductions: u32,
    /// What was too much, and until when nothing more is tried.
    ceiling: Option<(f64, Instant)>,
    pause: Duration,
    /// Until when a probe's own queue may stand.
    excused: Option<Instant>,
    was_overloaded: bool,
}

impl Estimator {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            estimate: INITIAL,
            updated: None,
            received: Received::default(),
            delays: Delays::new(),
            losses: VecDeque::new(),
            overloaded: None,
            reduced: None,
            reductions: 0,
            ceiling: None,
            pause: FIRST_PAUSE,
            excused: None,
            was_overloaded: false,
        }
    }

    /// Bit/s.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between the least and the most"
    )]
    pub(super) const fn bits_per_second(&self) -> u64 {
        self.estimate as u64
    }

    /// Whether the client has told anything.
    pub(super) const fn has_feedback(&self) -> bool {
        self.updated.is_some()
    }

    /// Whether it has ever been too much.
    pub(super) const fn was_overloaded(&self) -> bool {
        self.was_overloaded
    }

    /// Whether it has been too much for so long that whatever is above the estimate has to go.
    pub(super) fn is_persistently_overloaded(&self, now: Instant) -> bool {
        self.overloaded
            .is_some_and(|since| now.saturating_duration_since(since) >= PERSISTENT)
    }

    /// Whether more may be tried.
    pub(super) fn may_try(&self, now: Instant) -> bool {
        self.overloaded.is_none() && self.ceiling.is_none_or(|(_, until)| now >= until)
    }

    /// What became of packets.
    pub(super) fn handle_fates(&mut self, fates: &[Fate], now: Instant) {
        if fates.is_empty() {
            return;
        }
        let before = self.updated.replace(now).unwrap_or(now);
        let elapsed = now.saturating_duration_since(before).as_secs_f64();
        for fate in fates {
            if let Some(arrived) = fate.arrived {
                self.received.count(arrived, fate.bytes);
            }
        }
        let standing = self.delays.handle(fates, self.origin, now);
        let loss = self.count_losses(fates, now);
        let stands = standing.is_some_and(|standing| standing > self.delays.limit);
        let is_excused = self.excused.is_some_and(|until| now < until);
        let is_lossy = loss.is_some_and(|loss| loss > LOSS_LIMIT);
        if (stands || is_lossy) && !is_excused {
            self.was_overloaded = true;
            self.overloaded.get_or_insert(now);
            let factor = if stands { BELOW_QUEUE } else { BELOW_LOSS };
            self.reduce(factor, standing, now);
            return;
        }
        self.overloaded = None;
        let is_settling = |reduced: Instant| now.saturating_duration_since(reduced) < REACTION * 2;
        if self.reduced.is_some_and(is_settling) {
            return;
        }
        self.reductions = 0;
        self.delays.forgive(elapsed);
        if let Some(received) = self.received.rate() {
            let grown = self.estimate * GROWTH.powf(elapsed.min(1.0));
            let limit = (received * UNPROVEN).max(self.estimate);
            self.rise_to(grown.min(limit), now);
        }
    }

    /// A probe goes out: its own queue is no sign.
    pub(super) fn excuse(&mut self, until: Instant) {
        self.excused = Some(until);
    }

    /// A probe told that at least so much passes (`true`), or no more (`false`), in bit/s.
    pub(super) fn handle_probe(&mut self, bits_per_second: f64, passed: bool, now: Instant) {
        if passed {
            self.ceiling = None;
            self.rise_to(bits_per_second, now);
            return;
        }
        self.rise_to(bits_per_second * BELOW_LOSS, now);
        self.ceiling = Some((self.estimate, now + self.pause));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// What cannot be probed is tried.
    pub(super) fn trust(&mut self, bits_per_second: f64) {
        self.estimate = bits_per_second.clamp(self.estimate, MOST);
    }

    fn rise_to(&mut self, bits_per_second: f64, now: Instant) {
        let ceiling = match self.ceiling {
            Some((ceiling, until)) if now < until => ceiling.max(self.estimate),
            Some(_) | None => MOST,
        };
        let raised = bits_per_second.min(ceiling);
        self.estimate = self.estimate.max(raised).clamp(LEAST, MOST);
    }

    fn reduce(&mut self, factor: f64, standing: Option<Duration>, now: Instant) {
        let waits = |reduced: Instant| now.saturating_duration_since(reduced) < REACTION;
        if self.reduced.is_some_and(waits) {
            return;
        }
        let Some(received) = self.received.rate() else {
            return;
        };
        self.reductions += 1;
        if self.reductions > 3
            && let Some(standing) = standing
        {
            self.delays.limit = (standing * 6 / 5).clamp(self.delays.limit, LONGEST_FOREIGN_DELAY);
        }
        let is_new = self
            .reduced
            .is_none_or(|reduced| now.saturating_duration_since(reduced) > REACTION * 4);
        if is_new {
            let was_long_ago =
                |(_, until): (f64, Instant)| now.saturating_duration_since(until) > self.pause * 2;
            if self.ceiling.is_none_or(was_long_ago) {
                self.pause = FIRST_PAUSE;
            }
        }
        self.estimate = self.estimate.min(received * factor).max(LEAST);
        let ceiling = (received * 0.95).max(self.estimate);
        self.ceiling = Some((ceiling, now + self.pause));
        if is_new {
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        self.reduced = Some(now);
    }

    /// The share that was lost lately. `None`: too little to say.
    fn count_losses(&mut self, fates: &[Fate], now: Instant) -> Option<f64> {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let lost = fates.iter().filter(|fate| fate.arrived.is_none()).count();
        self.losses
            .push_back((now, count(lost), count(fates.len())));
        while let Some((at, _, _)) = self.losses.front() {
            if now.saturating_duration_since(*at) <= LOSS_WINDOW {
                break;
            }
            self.losses.pop_front();
        }
        let sum = |pick: fn(&(Instant, u32, u32)) -> u32| -> u32 {
            self.losses.iter().map(pick).fold(0, u32::saturating_add)
        };
        let all = sum(|(_, _, all)| *all);
        let lost = sum(|(_, lost, _)| *lost);
        (all >= LOSS_PACKETS).then(|| f64::from(lost) / f64::from(all))
    }
}

/// What comes through.
#[derive(Debug, Default)]
struct Received {
    /// When packets came, on the client's clock, and how large they were.
    arrivals: VecDeque<(Duration, u16)>,
    began: Option<Duration>,
    newest: Duration,
    bytes: u64,
}

impl Received {
    fn count(&mut self, arrived: Duration, bytes: u16) {
        if arrived + RATE_WINDOW * 20 < self.newest || arrived > self.newest + RATE_WINDOW * 20 {
            *self = Self::default();
        }
        self.began.get_or_insert(arrived);
        self.newest = self.newest.max(arrived);
        self.arrivals.push_back((arrived, bytes));
        self.bytes += u64::from(bytes);
        while let Some((oldest, bytes)) = self.arrivals.front() {
            if *oldest + RATE_WINDOW > self.newest {
                break;
            }
            self.bytes -= u64::from(*bytes);
            self.arrivals.pop_front();
        }
    }

    /// Bit/s. `None`: too little to say.
    #[expect(clippy::cast_precision_loss, reason = "half a second of bytes")]
    fn rate(&self) -> Option<f64> {
        let lasted = self.newest.saturating_sub(self.began?);
        (lasted >= RATE_WINDOW).then(|| self.bytes as f64 * 8.0 / RATE_WINDOW.as_secs_f64())
    }
}

/// How much later packets come than over an idle network.
#[derive(Debug)]
struct Delays {
    /// The least of this period and of the one before, in microseconds; the clocks' difference is in it.
    idle: [Option<i64>; 2],
    period: Option<Instant>,
    /// The least of each feedback lately.
    lately: VecDeque<(Instant, i64)>,
    limit: Duration,
}

impl Delays {
    const fn new() -> Self {
        Self {
            idle: [None; 2],
            period: None,
            lately: VecDeque::new(),
            limit: STANDING_DELAY,
        }
    }

    /// How long the queue is that stands. `None`: too little to say.
    fn handle(&mut self, fates: &[Fate], origin: Instant, now: Instant) -> Option<Duration> {
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
        let (began, _) = self.lately.front()?;
        if now.saturating_duration_since(*began) < STANDING / 2 {
            return None;
        }
        let standing = self.lately.iter().map(|(_, least)| *least).min()?;
        let idle = self.idle.iter().flatten().min()?;
        let standing = u64::try_from(standing - idle).unwrap_or(0);
        Some(Duration::from_micros(standing))
    }

    /// What was taken as somebody else's queue is forgotten, 10 ms a second.
    fn forgive(&mut self, seconds: f64) {
        let less = Duration::from_millis(10).mul_f64(seconds.clamp(0.0, 1.0));
        self.limit = self.limit.saturating_sub(less).max(STANDING_DELAY);
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 4)
}
