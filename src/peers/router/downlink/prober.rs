//! Finds out whether the network carries more than the media that is sent, by sending packets again for a moment, and
//! looking how they come. Pure; time is an argument.

use std::time::{Duration, Instant};

use super::sent::Fate;

/// How long a probe lasts: long enough for a rate, too short for a queue that anybody notices.
const LENGTH: Duration = Duration::from_millis(200);
/// How often it sends.
const STEP: Duration = Duration::from_millis(10);
/// How long after it the client's feedback counts: a long round trip and a late feedback.
const FEEDBACK: Duration = Duration::from_millis(800);
/// Its queue has gone by then.
pub(super) const AFTERMATH: Duration = Duration::from_millis(700);
/// Fewer packets say nothing.
const FEWEST: usize = 6;
/// More packets say nothing more.
const MOST: usize = 1024;
/// How much later the last third of a probe may be than its first one, beside a tenth: delays vary.
const SLACK: Duration = Duration::from_millis(10);
/// A probe goes in steps, and the first packet has no length in time: so much of its rate is all of it.
const NEARLY: f64 = 0.8;
/// The most that is tried, in bit/s: a quarter of a megabyte in one probe.
pub(super) const FASTEST: u64 = 12_000_000;

/// At most one probe at a time.
#[derive(Debug, Default)]
pub(super) struct Prober {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Sending(Probe),
    Waiting(Probe, Instant),
}

#[derive(Debug)]
struct Probe {
    bits_per_second: u64,
    began: Instant,
    due: Instant,
    /// The packets from this one on, and up to this one.
    first: i64,
    end: i64,
    sent_bytes: u64,
    came: Came,
}

/// What came of it: when each packet went and came, and its bytes.
#[derive(Debug, Default)]
struct Came {
    packets: Vec<(Instant, Duration, u16)>,
    lost: usize,
}

/// What a probe told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Outcome {
    /// So much passes, in bit/s.
    Passed(f64),
    /// No more than so much passes, in bit/s.
    Failed(f64),
    /// Nothing.
    Unknown,
}

impl Prober {
    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Begins a probe with the packet of this number. When it and what it leaves behind are over.
    pub(super) fn begin(&mut self, bits_per_second: u64, first: i64, now: Instant) -> Instant {
        self.state = State::Sending(Probe {
            bits_per_second: bits_per_second.min(FASTEST),
            began: now,
            due: now,
            first,
            end: first,
            sent_bytes: 0,
            came: Came::default(),
        });
        now + LENGTH + AFTERMATH
    }

    /// A packet went out, of media or of the probe.
    pub(super) const fn count(&mut self, bytes: usize) {
        if let State::Sending(probe) = &mut self.state {
            probe.sent_bytes = probe.sent_bytes.saturating_add(bytes as u64);
            probe.end += 1;
        }
    }

    /// How many bytes the probe has to send now.
    pub(super) fn missing_bytes(&mut self, now: Instant) -> u64 {
        let State::Sending(probe) = &mut self.state else {
            return 0;
        };
        if now < probe.due {
            return 0;
        }
        probe.due = now + STEP;
        let lasted = now.saturating_duration_since(probe.began) + STEP;
        let bits = u128::from(probe.bits_per_second) * lasted.min(LENGTH).as_micros() / 1_000_000;
        u64::try_from(bits / 8)
            .unwrap_or(0)
            .saturating_sub(probe.sent_bytes)
    }

    /// What became of packets. Some outcome once it is known.
    pub(super) fn handle_fates(&mut self, fates: &[Fate]) -> Option<Outcome> {
        let (State::Sending(probe) | State::Waiting(probe, _)) = &mut self.state else {
            return None;
        };
        for fate in fates.iter().filter(|fate| fate.number >= probe.first) {
            if fate.number < probe.end {
                probe.came.count(fate);
            }
        }
        let is_told = fates
            .last()
            .is_some_and(|last| last.number + 1 >= probe.end);
        if matches!(self.state, State::Waiting(..)) && is_told {
            return self.finish();
        }
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Idle => None,
            State::Sending(probe) => Some(probe.due),
            State::Waiting(_, until) => Some(*until),
        }
    }

    /// Time has passed. Some outcome once it is known.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Outcome> {
        self.state = match std::mem::take(&mut self.state) {
            State::Sending(probe) if now.saturating_duration_since(probe.began) >= LENGTH => {
                State::Waiting(probe, now + FEEDBACK)
            }
            state @ (State::Idle | State::Sending(_) | State::Waiting(..)) => state,
        };
        match &self.state {
            State::Waiting(_, until) if now >= *until => self.finish(),
            State::Idle | State::Sending(_) | State::Waiting(..) => None,
        }
    }

    fn finish(&mut self) -> Option<Outcome> {
        match std::mem::take(&mut self.state) {
            State::Idle => None,
            State::Sending(probe) | State::Waiting(probe, _) => {
                Some(probe.came.outcome(probe.bits_per_second))
            }
        }
    }
}

impl Came {
    fn count(&mut self, fate: &Fate) {
        match fate.arrived {
            None => self.lost += 1,
            Some(arrived) if self.packets.len() < MOST => {
                self.lost = self.lost.saturating_sub(usize::from(fate.was_lost));
                self.packets.push((fate.left, arrived, fate.bytes));
            }
            Some(_) => {}
        }
    }

    /// Whether a probe of so many bit/s passed: it does if its last third was not later than its first one.
    fn outcome(&self, aim: u64) -> Outcome {
        let (Some((first, _, _)), Some((last, _, _))) = (self.packets.first(), self.packets.last())
        else {
            return Outcome::Unknown;
        };
        let went = last.saturating_duration_since(*first);
        if self.packets.len() < FEWEST || went < LENGTH / 2 {
            return Outcome::Unknown;
        }
        let arrivals = || self.packets.iter().map(|(_, arrived, _)| *arrived);
        let came = arrivals()
            .max()
            .unwrap_or_default()
            .saturating_sub(arrivals().min().unwrap_or_default());
        let bytes: u64 = self.packets[1..]
            .iter()
            .map(|(_, _, bytes)| u64::from(*bytes))
            .sum();
        let rate = rounded(bytes) * 8.0 / went.max(came).as_secs_f64();
        let third = self.packets.len() / 3;
        let delay = |packets: &[(Instant, Duration, u16)]| {
            let delay = |(left, arrived, _): &(Instant, Duration, u16)| {
                arrived.as_secs_f64() - left.saturating_duration_since(*first).as_secs_f64()
            };
            packets.iter().map(delay).sum::<f64>() / rounded(packets.len() as u64)
        };
        let later =
            delay(&self.packets[self.packets.len() - third..]) - delay(&self.packets[..third]);
        let is_whole = self.lost * 20 <= self.packets.len();
        // Two thirds of the probe lie between the middles of the two.
        let limit = SLACK.as_secs_f64() + went.as_secs_f64() / 15.0;
        let aim = rounded(aim);
        if !is_whole || later > limit {
            Outcome::Failed(rate)
        } else if rate > aim * NEARLY {
            Outcome::Passed(aim)
        } else {
            Outcome::Unknown
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
const fn rounded(rate: u64) -> f64 {
    rate as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A probe of 1 Mb/s over a network that carries so much; packets are of 500 bytes.
    fn probe(network: f64, every_lost: usize) -> Option<Outcome> {
        let start = Instant::now();
        let mut prober = Prober::default();
        prober.begin(1_000_000, 100, start);
        let mut left = Vec::new();
        let mut now = start;
        while !matches!(prober.state, State::Waiting(..)) {
            assert_eq!(prober.handle_timeout(now), None);
            let mut missing = prober.missing_bytes(now);
            while missing > 0 {
                prober.count(500);
                left.push(now);
                missing = missing.saturating_sub(500);
            }
            now = prober.poll_timeout()?;
        }
        let mut free = 0.0_f64;
        let mut fates = Vec::new();
        for (number, left) in (100..).zip(left) {
            free = free.max((left - start).as_secs_f64()) + 4000.0 / network;
            let is_lost = every_lost > 0 && fates.len() % every_lost == 0;
            fates.push(Fate {
                number,
                bytes: 500,
                left,
                arrived: (!is_lost).then(|| Duration::from_secs_f64(70.0 + free)),
                was_lost: false,
            });
        }
        prober.handle_fates(&fates)
    }

    #[test]
    fn what_the_network_carries_passes() {
        assert_eq!(probe(1e9, 0), Some(Outcome::Passed(1e6)));
        assert_eq!(probe(1.02e6, 0), Some(Outcome::Passed(1e6)));
    }

    #[test]
    fn a_network_that_is_narrower_is_measured() {
        for network in [0.3e6, 0.5e6, 0.8e6] {
            let Some(Outcome::Failed(rate)) = probe(network, 0) else {
                panic!("{network} bit/s");
            };
            assert!((rate / network - 1.0).abs() < 0.1, "{rate} of {network}");
        }
    }

    #[test]
    fn losses_are_a_failure() {
        assert!(matches!(probe(1e9, 4), Some(Outcome::Failed(_))));
    }

    #[test]
    fn without_an_answer_it_ends_by_itself() {
        let start = Instant::now();
        let mut prober = Prober::default();
        prober.begin(u64::MAX, 1, start);
        assert!(!prober.is_idle());
        let most = FASTEST / 8 / 5;
        assert!(prober.missing_bytes(start) <= most);
        prober.handle_timeout(start + LENGTH);

        let due = prober.poll_timeout().unwrap();

        assert_eq!(prober.handle_timeout(due), Some(Outcome::Unknown));
        assert!(prober.is_idle() && prober.poll_timeout().is_none());
    }
}
