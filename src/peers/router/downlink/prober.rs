//! Finds out whether the network carries more than the media that is sent, by sending packets again for a moment, and
//! looking how they come. Pure; time is an argument.

use std::time::{Duration, Instant};

use super::sent::Fate;

/// How long a probe lasts: long enough for a rate, too short for a queue that anybody notices.
const LENGTH: Duration = Duration::from_millis(150);
/// How often it sends.
const STEP: Duration = Duration::from_millis(10);
/// How long after it the client's feedback counts: a long round trip and a late feedback.
const FEEDBACK: Duration = Duration::from_millis(800);
/// Its queue has gone by then.
pub(super) const AFTERMATH: Duration = Duration::from_millis(700);
/// Fewer packets say nothing.
const FEWEST: u32 = 6;
/// How much longer a probe may take to come than it took to go, beside a tenth: delays vary.
const SLACK: Duration = Duration::from_millis(15);
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

/// What came of it.
#[derive(Debug, Default)]
struct Came {
    packets: u32,
    lost: u32,
    /// Without the first one's.
    bytes: u64,
    left: Option<(Instant, Instant)>,
    arrived: Option<(Duration, Duration)>,
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
            other => other,
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
        let Some(arrived) = fate.arrived else {
            self.lost += 1;
            return;
        };
        if self.packets > 0 {
            self.bytes += u64::from(fate.bytes);
        }
        self.packets += 1;
        let (first, last) = self.left.unwrap_or((fate.left, fate.left));
        self.left = Some((first, last.max(fate.left)));
        let (first, last) = self.arrived.unwrap_or((arrived, arrived));
        self.arrived = Some((first.min(arrived), last.max(arrived)));
    }

    #[expect(clippy::cast_precision_loss, reason = "bytes of one probe")]
    fn outcome(&self, aim: u64) -> Outcome {
        let (Some((left, last_left)), Some((arrived, last_arrived))) = (self.left, self.arrived)
        else {
            return Outcome::Unknown;
        };
        let went = last_left.saturating_duration_since(left);
        let came = last_arrived.saturating_sub(arrived);
        if self.packets < FEWEST || went < LENGTH / 2 {
            return Outcome::Unknown;
        }
        let rate = self.bytes as f64 * 8.0 / went.max(came).as_secs_f64();
        let is_whole = self.lost * 20 <= self.packets;
        let aim = aim as f64;
        if !is_whole || came > went + went / 10 + SLACK {
            Outcome::Failed(rate)
        } else if rate > aim * NEARLY {
            Outcome::Passed(aim)
        } else {
            Outcome::Unknown
        }
    }
}
