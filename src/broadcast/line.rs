//! One connection of a destination: where it stands and what it has been through.

use std::time::{Duration, Instant};

use crate::{
    Failure, Fault, Reason, Retry,
    retry::{HEALTHY_AFTER, HOLD_BACK_FROM, Jitter, hold_back},
};

/// Names one attempt to open one destination. What an earlier attempt still tells is thereby known to be late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempt(pub(crate) u64);

/// Where a destination stands, as the public contract names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DestinationState {
    /// Wanted; waits for the studio.
    Pending,
    /// Being opened.
    Connecting,
    /// Takes media.
    Live,
    /// Lost; tried again after a pause.
    Retrying,
    /// Lost; not tried again until it is edited.
    Failed,
    /// Not wanted: it is disabled, or the broadcast is stopped.
    Stopped,
}

impl DestinationState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Connecting,
        Self::Live,
        Self::Retrying,
        Self::Failed,
        Self::Stopped,
    ];

    /// The word of the public contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// What is to become of a destination, seen from the broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// Not wanted.
    Stop,
    /// Wanted, but no studio has been there for long: nothing stays open.
    Rest,
    /// Wanted, and the studio may be back soon: what is open stays open.
    Hold,
    /// Wanted, and the studio is there.
    Run,
}

/// What [`Line::pursue`] asks the machine to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Stay,
    Open,
    Close(Attempt),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Pending,
    Connecting(Attempt),
    Live(Attempt),
    Retrying,
    Failed,
    Stopped,
}

/// One connection of a destination, over all its attempts.
#[derive(Debug, Clone)]
pub struct Line {
    phase: Phase,
    since: Instant,
    losses_in_a_row: u32,
    /// Losses in a row of connections that were live, and not for long.
    short_lives: u32,
    not_before: Option<Instant>,
    reconnects: u64,
    last_failure: Option<(Failure, Instant)>,
}

impl Line {
    pub(crate) fn new(aim: Aim, now: Instant) -> Self {
        let phase = if aim == Aim::Stop {
            Phase::Stopped
        } else {
            Phase::Pending
        };
        Self {
            phase,
            since: now,
            losses_in_a_row: 0,
            short_lives: 0,
            not_before: None,
            reconnects: 0,
            last_failure: None,
        }
    }

    /// Where it stands.
    pub const fn state(&self) -> DestinationState {
        match self.phase {
            Phase::Pending => DestinationState::Pending,
            Phase::Connecting(_) => DestinationState::Connecting,
            Phase::Live(_) => DestinationState::Live,
            Phase::Retrying => DestinationState::Retrying,
            Phase::Failed => DestinationState::Failed,
            Phase::Stopped => DestinationState::Stopped,
        }
    }

    /// When it came to stand there.
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// How often it was opened again after a loss.
    pub const fn reconnects(&self) -> u64 {
        self.reconnects
    }

    /// The latest loss and when it was, even when all is well again.
    pub fn last_failure(&self) -> Option<(&Failure, Instant)> {
        self.last_failure
            .as_ref()
            .map(|(failure, at)| (failure, *at))
    }

    /// The attempt that is open or being opened.
    pub const fn attempt(&self) -> Option<Attempt> {
        match self.phase {
            Phase::Connecting(attempt) | Phase::Live(attempt) => Some(attempt),
            Phase::Pending | Phase::Retrying | Phase::Failed | Phase::Stopped => None,
        }
    }

    /// Whether it waits for longer than usual, because its connections were short: each would become a video of its own.
    pub fn is_held_back(&self) -> bool {
        self.phase == Phase::Retrying && self.short_lives >= HOLD_BACK_FROM
    }

    /// When it is to be tried again.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        if self.phase == Phase::Retrying {
            self.not_before
        } else {
            None
        }
    }

    /// Whether the other address is the one to try, or is being tried.
    pub(crate) const fn prefers_backup(&self) -> bool {
        self.losses_in_a_row % 2 == 1
    }

    /// Something was edited, which makes another try worth while.
    pub(crate) fn forget_losses(&mut self, now: Instant) {
        if self.attempt().is_none() {
            self.losses_in_a_row = 0;
        }
        self.short_lives = 0;
        self.not_before = None;
        if matches!(self.phase, Phase::Failed | Phase::Retrying) {
            self.enter(Phase::Pending, now);
        }
    }

    /// Another studio came: what failed by the earlier one's fault is worth another try.
    pub(crate) fn forgive_studio(&mut self, now: Instant) {
        let studio_failed = self
            .last_failure
            .as_ref()
            .is_some_and(|(failure, _)| failure.fault() == Fault::Studio);
        if self.phase == Phase::Failed && studio_failed {
            self.enter(Phase::Pending, now);
        }
    }

    /// Moves towards the aim by one step; the machine performs it and may ask again.
    pub(crate) fn pursue(&mut self, aim: Aim, is_enabled: bool, now: Instant) -> Step {
        match (aim, self.phase) {
            (Aim::Stop, Phase::Connecting(attempt) | Phase::Live(attempt)) => {
                self.enter(Phase::Stopped, now);
                Step::Close(attempt)
            }
            (Aim::Stop, Phase::Pending | Phase::Retrying) => {
                self.enter(Phase::Stopped, now);
                Step::Stay
            }
            (Aim::Stop, Phase::Failed) if !is_enabled => {
                self.enter(Phase::Stopped, now);
                Step::Stay
            }
            (Aim::Rest, Phase::Connecting(attempt) | Phase::Live(attempt)) => {
                self.enter(Phase::Pending, now);
                Step::Close(attempt)
            }
            (Aim::Rest | Aim::Hold, Phase::Stopped | Phase::Retrying) => {
                self.enter(Phase::Pending, now);
                Step::Stay
            }
            (Aim::Run, Phase::Pending | Phase::Stopped | Phase::Retrying) => {
                if self.not_before.is_some_and(|at| at > now) {
                    if self.phase != Phase::Retrying {
                        self.enter(Phase::Retrying, now);
                    }
                    Step::Stay
                } else {
                    Step::Open
                }
            }
            (Aim::Stop, Phase::Failed | Phase::Stopped)
            | (Aim::Rest | Aim::Hold, Phase::Pending | Phase::Failed)
            | (Aim::Hold | Aim::Run, Phase::Connecting(_) | Phase::Live(_))
            | (Aim::Run, Phase::Failed) => Step::Stay,
        }
    }

    /// Begins an attempt.
    pub(crate) fn open(&mut self, attempt: Attempt, now: Instant) {
        if self.not_before.take().is_some() {
            self.reconnects += 1;
        }
        self.enter(Phase::Connecting(attempt), now);
    }

    /// The open connection is to be made anew; returns the attempt to close.
    pub(crate) fn reopen(&mut self, now: Instant) -> Option<Attempt> {
        let attempt = self.attempt()?;
        self.losses_in_a_row = 0;
        self.enter(Phase::Pending, now);
        Some(attempt)
    }

    /// Media flows. Returns whether that is news.
    pub(crate) fn handle_live(&mut self, attempt: Attempt, now: Instant) -> bool {
        let news = self.phase == Phase::Connecting(attempt);
        if news {
            self.enter(Phase::Live(attempt), now);
        }
        news
    }

    /// The attempt is over. Returns whether that is news.
    pub(crate) fn handle_lost(
        &mut self,
        attempt: Attempt,
        failure: Failure,
        jitter: &mut Jitter,
        now: Instant,
    ) -> bool {
        if self.attempt() != Some(attempt) {
            return false;
        }
        if failure.reason == Reason::Fenced {
            // It says nothing about the destination, whose turn it is again as soon as this node's is.
            self.not_before = Some(now + jitter.pause(1));
            self.enter(Phase::Retrying, now);
            self.last_failure = Some((failure, now));
            return true;
        }
        match self.live_for(now) {
            Some(lived) if lived >= HEALTHY_AFTER => {
                self.losses_in_a_row = 0;
                self.short_lives = 0;
            }
            Some(_) => self.short_lives = self.short_lives.saturating_add(1),
            None => {}
        }
        match failure.retry() {
            Retry::Never => self.enter(Phase::Failed, now),
            Retry::Backoff => {
                self.losses_in_a_row = self.losses_in_a_row.saturating_add(1);
                let least = hold_back(self.short_lives);
                self.not_before = Some(now + least + jitter.pause(self.losses_in_a_row));
                self.enter(Phase::Retrying, now);
            }
        }
        self.last_failure = Some((failure, now));
        true
    }

    /// How long it has been live; `None` when it is not.
    fn live_for(&self, now: Instant) -> Option<Duration> {
        matches!(self.phase, Phase::Live(_)).then(|| now.saturating_duration_since(self.since))
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.since = now;
    }
}
