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

use super::{delays::Delays, received::Received, sent::Fate};

/// Before anything is known: enough for small pictures of several, bit/s.
const INITIAL: f64 = 1_000_000.0;
/// Less than this is not estimated, bit/s: the feedback itself would be too rare to go by.
const LEAST: f64 = 50_000.0;
/// More than this is not estimated, bit/s.
const MOST: f64 = 100_000_000.0;
/// Over which losses are counted, so that a keyframe that overflows a short buffer is not all there is, and how many
/// packets make a share of them.
const LOSS_WINDOW: Duration = Duration::from_secs(2);
const LOSS_PACKETS: i32 = 100;
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
    /// What the last probe told, or less if it has been too much since.
    proven: f64,
    updated: Option<Instant>,
    received: Received,
    delays: Delays,
    /// When, how many were lost, less those that came after all, and of how many.
    losses: VecDeque<(Instant, i32, i32)>,
    /// Since when there is too much, without a break.
    overloaded: Option<Instant>,
    reduced: Option<Instant>,
    reductions: u32,
    /// What was too much, and until when nothing more is tried.
    ceiling: Option<(f64, Instant)>,
    pause: Duration,
    /// When the last pause ends or ended.
    pause_ends: Option<Instant>,
    /// Until when a probe's own queue may stand.
    excused: Option<Instant>,
    was_overloaded: bool,
}

impl Estimator {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            estimate: INITIAL,
            proven: 0.0,
            updated: None,
            received: Received::default(),
            delays: Delays::new(),
            losses: VecDeque::new(),
            overloaded: None,
            reduced: None,
            reductions: 0,
            ceiling: None,
            pause: FIRST_PAUSE,
            pause_ends: None,
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
        let is_excused = self.excused.is_some_and(|until| now < until);
        let loss = if is_excused {
            None
        } else {
            self.count_losses(fates, now)
        };
        let stands = standing.is_some_and(|standing| standing > self.delays.limit());
        let is_lossy = loss.is_some_and(|loss| loss > LOSS_LIMIT);
        if stands && self.delays.drains() && !is_lossy {
            self.overloaded = None;
            return;
        }
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

    /// What is known to pass, in bit/s, by media or by probes.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between the least and the most"
    )]
    pub(super) fn proven_bits_per_second(&self) -> u64 {
        let received = self.received.rate().unwrap_or(0.0);
        received.max(self.proven).clamp(LEAST, MOST) as u64
    }

    /// A probe goes out: its own queue and losses are no sign.
    pub(super) fn excuse(&mut self, until: Instant) {
        self.excused = Some(until);
    }

    /// A probe told that at least so much passes (`true`), or no more (`false`), in bit/s.
    pub(super) fn handle_probe(&mut self, bits_per_second: f64, passed: bool, now: Instant) {
        if passed {
            self.ceiling = None;
            self.proven = bits_per_second;
            self.rise_to(bits_per_second, now);
            return;
        }
        self.proven = bits_per_second * BELOW_LOSS;
        self.rise_to(self.proven, now);
        let until = self.begin_pause(now);
        self.ceiling = Some((self.estimate, until));
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
            self.delays.endure(standing);
        }
        let is_new = self
            .reduced
            .is_none_or(|reduced| now.saturating_duration_since(reduced) > REACTION * 4);
        self.estimate = self.estimate.min(received * factor).max(LEAST);
        self.proven = self.proven.min(self.estimate);
        let until = match self.pause_ends {
            Some(until) if !is_new => until,
            Some(_) | None => self.begin_pause(now),
        };
        self.ceiling = Some(((received * BELOW_LOSS).max(self.estimate), until));
        self.reduced = Some(now);
        self.losses.clear();
    }

    /// When more may be tried: later each time, unless the last time was long ago.
    fn begin_pause(&mut self, now: Instant) -> Instant {
        let is_recent = |ended: Instant| now.saturating_duration_since(ended) < self.pause * 2;
        self.pause = if self.pause_ends.is_some_and(is_recent) {
            (self.pause * 2).min(LONGEST_PAUSE)
        } else {
            FIRST_PAUSE
        };
        let ends = now + self.pause;
        self.pause_ends = Some(ends);
        ends
    }

    /// The share that was lost lately. `None`: too little to say.
    fn count_losses(&mut self, fates: &[Fate], now: Instant) -> Option<f64> {
        let sum = |pick: fn(&Fate) -> i32| fates.iter().map(pick).fold(0, i32::saturating_add);
        let lost = sum(|fate| match (fate.arrived, fate.was_lost) {
            (None, _) => 1,
            (Some(_), true) => -1,
            (Some(_), false) => 0,
        });
        let all = sum(|fate| i32::from(!fate.was_lost));
        self.losses.push_back((now, lost, all));
        while let Some((at, _, _)) = self.losses.front() {
            if now.saturating_duration_since(*at) <= LOSS_WINDOW {
                break;
            }
            self.losses.pop_front();
        }
        let add = |(lost, all): (i32, i32), (_, more, of): &(Instant, i32, i32)| {
            (lost.saturating_add(*more), all.saturating_add(*of))
        };
        let (lost, all) = self.losses.iter().fold((0, 0), add);
        (all >= LOSS_PACKETS).then(|| f64::from(lost) / f64::from(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of 1250 bytes, one each 10 ms: 1 Mb/s. How much later each came, in milliseconds; `None`: lost.
    fn give(
        estimator: &mut Estimator,
        start: Instant,
        from: u64,
        delays: impl IntoIterator<Item = Option<u64>>,
    ) -> Instant {
        let mut now = start;
        for (number, delay) in (from..).zip(delays) {
            let left = start + Duration::from_millis(number * 10);
            let fate = Fate {
                number: i64::try_from(number).unwrap(),
                bytes: 1250,
                left,
                arrived: delay.map(|delay| Duration::from_millis(5000 + number * 10 + delay)),
                was_lost: false,
            };
            now = left + Duration::from_millis(20);
            estimator.handle_fates(&[fate], now);
        }
        now
    }

    #[test]
    fn an_idle_network_is_believed_to_carry_half_more_than_it_was_seen_to() {
        let start = Instant::now();
        let mut estimator = Estimator::new(start);
        assert!(!estimator.has_feedback());
        assert_eq!(estimator.bits_per_second(), 1_000_000);

        let now = give(&mut estimator, start, 0, vec![Some(0); 1000]);

        assert_eq!(estimator.bits_per_second(), 1_500_000);
        assert_eq!(estimator.proven_bits_per_second(), 1_000_000);
        assert!(estimator.may_try(now) && !estimator.was_overloaded());
    }

    #[test]
    fn a_queue_that_stands_lowers_the_estimate_and_forbids_more_for_a_while() {
        let start = Instant::now();
        let mut estimator = Estimator::new(start);
        give(&mut estimator, start, 0, vec![Some(0); 100]);

        let queue = (0..100).map(|number| Some(50 + number * 2));
        let now = give(&mut estimator, start, 100, queue);

        let estimate = estimator.bits_per_second();
        assert!((600_000..800_000).contains(&estimate), "{estimate}");
        assert!(estimator.was_overloaded() && !estimator.may_try(now));
        let drained = give(&mut estimator, start, 200, vec![Some(0); 10]);
        assert!(!estimator.may_try(drained));
        assert!(estimator.may_try(drained + FIRST_PAUSE));
    }

    #[test]
    fn a_queue_that_drains_is_waited_for() {
        let start = Instant::now();
        let mut estimator = Estimator::new(start);
        give(&mut estimator, start, 0, vec![Some(0); 100]);
        give(
            &mut estimator,
            start,
            100,
            (0..20).map(|number| Some(number * 20)),
        );
        let before = estimator.bits_per_second();

        let now = give(
            &mut estimator,
            start,
            120,
            (0..50).map(|number| Some(400 - number * 8)),
        );

        assert!(estimator.bits_per_second() >= before * 9 / 10);
        assert!(!estimator.is_persistently_overloaded(now));
    }

    #[test]
    fn many_losses_lower_the_estimate_and_a_few_do_not() {
        let start = Instant::now();
        for (every, lowered) in [(20, false), (5, true)] {
            let mut estimator = Estimator::new(start);
            let fates = (0..400).map(|number| (number % every != 0).then_some(0));

            give(&mut estimator, start, 0, fates);

            assert_eq!(estimator.was_overloaded(), lowered, "one of {every}");
            assert_eq!(estimator.bits_per_second() < 800_000, lowered);
        }
    }

    #[test]
    fn a_probe_raises_the_estimate_or_forbids_another_for_longer_each_time() {
        let start = Instant::now();
        let mut estimator = Estimator::new(start);
        estimator.handle_probe(3e6, true, start);
        assert_eq!(estimator.bits_per_second(), 3_000_000);

        let mut now = start;
        for pause in [4, 8, 16, 32, 60, 60] {
            estimator.handle_probe(4e6, false, now);
            assert!(!estimator.may_try(now + Duration::from_millis(pause * 1000 - 1)));
            now += Duration::from_secs(pause);
            assert!(estimator.may_try(now));
        }
        estimator.handle_probe(4e6, false, now + Duration::from_mins(3));
        assert!(estimator.may_try(now + Duration::from_mins(3) + FIRST_PAUSE));
        assert_eq!(estimator.bits_per_second(), 3_600_000);
    }
}
