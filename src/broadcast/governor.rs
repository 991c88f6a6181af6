//! Back-pressure: how much the studio may send, so that the slowest required destination keeps up. Pure.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The least that is left to the picture, in bit/s: 360p that can be looked at.
pub const VIDEO_FLOOR: u64 = 500_000;
/// What the sound takes beside the picture, in bit/s: Opus at 128 kb/s with its packet headers.
pub const AUDIO_ALLOWANCE: u64 = 150_000;
/// Media that waits longer than this is on its way to being dropped.
const QUEUE_CONGESTED: Duration = Duration::from_secs(1);
/// While a limit is in force, a queue that grows beyond this shows early that the limit is too high.
const QUEUE_FILLING: Duration = Duration::from_millis(500);
/// Growth in a second that is more than keyframes cause.
const QUEUE_GROWTH: Duration = Duration::from_millis(100);
/// A queue that shrinks by less than this in a second does not shrink.
const QUEUE_SHRINKING: Duration = Duration::from_millis(50);
/// A queue that is longer than usual by less than this is short.
const QUEUE_SHORT: Duration = Duration::from_millis(300);
/// By how much the usual queue may rise in a second; it falls at once. So it is the shortest of late.
const USUAL_RISE: Duration = Duration::from_millis(5);
/// The longest usual queue: the round trip to the other side of the world, and some.
const LONGEST_USUAL: Duration = Duration::from_millis(500);
/// For how long all queues are to be short before the studio may send more.
const CALM: Duration = Duration::from_secs(5);
/// Share of what the slowest takes that the studio may send while a queue is to shrink, in percent.
const REDUCED_PERCENT: u64 = 85;
/// Share of what the slowest was seen to take that is not exceeded at first, in percent.
const CEILING_PERCENT: u64 = 95;
/// How long that is kept to before more is tried. A failed try costs seconds of a longer queue; a recovered link waits for it.
const CEILING_LIFETIME: Duration = Duration::from_secs(20);
/// What a limit grows to with each calm second, in percent.
const RAISED_PERCENT: u64 = 108;
/// A limit above this share of the most that the studio ever sent limits nothing, in percent.
const LIFTED_PERCENT: u64 = 150;
/// Seconds over which rates are averaged: connections take in bursts.
const AVERAGED_SECONDS: usize = 3;

/// What happened in a second.
#[derive(Debug, Clone, Copy)]
pub struct GovernorInput<'flows> {
    /// Pictures and sound that the studio sent, in bit/s.
    pub ingest_bits_per_second: u64,
    /// The required destinations that are live now; those that are being opened have nothing to tell.
    pub required: &'flows [RequiredFlow],
}

/// How a required destination keeps up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequiredFlow {
    /// Media that is not acknowledged yet.
    pub queue: Duration,
    /// What it acknowledged in the last second, in bit/s.
    pub bits_per_second_acknowledged: u64,
    /// Pictures that it was too slow for, in the last second.
    pub dropped_pictures: u64,
}

/// How much the studio may send from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitChange {
    /// At most this, in bit/s, pictures and sound together.
    Limit(u64),
    /// As much as it wants.
    Lift,
}

impl LimitChange {
    /// The limit in bit/s; `None`: there is none.
    pub const fn limit(self) -> Option<u64> {
        match self {
            Self::Limit(limit) => Some(limit),
            Self::Lift => None,
        }
    }
}

/// Decides how much the studio may send.
///
/// A destination that takes nothing at all does not make it decide anything: that is a stall, which sending less does
/// not heal, and which the liveness rule ends.
#[derive(Debug, Default)]
pub struct Governor {
    limit: Option<u64>,
    /// What the slowest took in the latest [`AVERAGED_SECONDS`].
    taken: VecDeque<u64>,
    sent: VecDeque<u64>,
    /// The most that the studio sent.
    best: u64,
    queue: Duration,
    /// What a far server's connection holds even when it keeps up.
    usual: Duration,
    calm_since: Option<Instant>,
    /// What the slowest took when it did not keep up, and when that was.
    ceiling: Option<(u64, Instant)>,
}

impl Governor {
    /// The limit in force, in bit/s.
    pub const fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Takes what happened in a second. Returns what is to change.
    pub fn handle_second(
        &mut self,
        input: &GovernorInput<'_>,
        now: Instant,
    ) -> Option<LimitChange> {
        let sent = average(&mut self.sent, input.ingest_bits_per_second);
        self.best = self.best.max(sent);
        let flows = || {
            input
                .required
                .iter()
                .filter(|flow| flow.bits_per_second_acknowledged > 0)
        };
        let queue = flows().map(|flow| flow.queue).max().unwrap_or_default();
        let queue_before = std::mem::replace(&mut self.queue, queue);
        let slowest = flows()
            .filter(|flow| {
                flow.dropped_pictures > 0 || flow.queue > QUEUE_CONGESTED || flow.queue == queue
            })
            .map(|flow| flow.bits_per_second_acknowledged)
            .min();
        let taken = slowest.map(|slowest| average(&mut self.taken, slowest));
        let has_dropped = flows().any(|flow| flow.dropped_pictures > 0);

        if self.limit.is_none() && taken.is_some() {
            self.usual = queue.min(self.usual + USUAL_RISE).min(LONGEST_USUAL);
        }

        let is_congested =
            has_dropped || queue > QUEUE_CONGESTED && queue + QUEUE_SHRINKING > queue_before;
        let is_filling = self.limit.is_some()
            && queue > self.usual + QUEUE_FILLING
            && queue > queue_before + QUEUE_GROWTH;
        if let Some(taken) = taken.filter(|_| is_congested || is_filling) {
            self.calm_since = None;
            self.ceiling = Some((taken, now));
            let percent = if is_congested {
                REDUCED_PERCENT
            } else {
                CEILING_PERCENT
            };
            return self.reduce(taken.saturating_mul(percent) / 100);
        }
        if queue >= self.usual + QUEUE_SHORT || has_dropped {
            self.calm_since = None;
            return None;
        }
        let calm_since = *self.calm_since.get_or_insert(now);
        if now.saturating_duration_since(calm_since) < CALM {
            return None;
        }
        self.raise(now)
    }

    fn reduce(&mut self, wanted: u64) -> Option<LimitChange> {
        let wanted = wanted.max(VIDEO_FLOOR + AUDIO_ALLOWANCE);
        if self.limit.is_some_and(|limit| limit <= wanted) {
            return None;
        }
        self.limit = Some(wanted);
        Some(LimitChange::Limit(wanted))
    }

    fn raise(&mut self, now: Instant) -> Option<LimitChange> {
        let limit = self.limit?;
        let mut raised = limit.saturating_mul(RAISED_PERCENT) / 100;
        if let Some((taken, seen)) = self.ceiling
            && now.saturating_duration_since(seen) < CEILING_LIFETIME
        {
            raised = raised.min(taken.saturating_mul(CEILING_PERCENT) / 100);
        }
        if raised > self.best.saturating_mul(LIFTED_PERCENT) / 100 {
            self.limit = None;
            self.ceiling = None;
            return Some(LimitChange::Lift);
        }
        if raised <= limit {
            return None;
        }
        self.limit = Some(raised);
        Some(LimitChange::Limit(raised))
    }
}

/// The average of the latest seconds, this one included.
fn average(latest: &mut VecDeque<u64>, second: u64) -> u64 {
    if latest.len() == AVERAGED_SECONDS {
        latest.pop_front();
    }
    latest.push_back(second);
    let sum = latest
        .iter()
        .fold(0, |sum: u64, one| sum.saturating_add(*one));
    sum / latest.len() as u64
}

#[cfg(test)]
#[path = "governor_tests.rs"]
mod tests;
