//! One destination of a running broadcast: where it stands and what it has been through.

use std::time::{Duration, Instant};

use crate::{
    DestinationSpec, Endpoint, Failure, Fault, Retry,
    retry::{HEALTHY_AFTER, Jitter},
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

/// What [`Destination::pursue`] asks the machine to do.
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

/// A destination of a running broadcast.
#[derive(Debug, Clone)]
pub struct Destination {
    spec: DestinationSpec,
    phase: Phase,
    since: Instant,
    losses_in_a_row: u32,
    not_before: Option<Instant>,
    reconnects: u64,
    last_failure: Option<(Failure, Instant)>,
}

impl Destination {
    pub(crate) fn new(spec: DestinationSpec, aim: Aim, now: Instant) -> Self {
        let phase = if aim == Aim::Stop {
            Phase::Stopped
        } else {
            Phase::Pending
        };
        Self {
            spec,
            phase,
            since: now,
            losses_in_a_row: 0,
            not_before: None,
            reconnects: 0,
            last_failure: None,
        }
    }

    /// What was asked for, as last edited.
    pub const fn spec(&self) -> &DestinationSpec {
        &self.spec
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

    /// When it is to be tried again.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        if self.phase == Phase::Retrying {
            self.not_before
        } else {
            None
        }
    }

    /// Takes the edit, and forgets what an edit makes worth another try.
    pub(crate) fn edit(&mut self, edit: impl FnOnce(&mut DestinationSpec), now: Instant) {
        edit(&mut self.spec);
        self.losses_in_a_row = 0;
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
    pub(crate) fn pursue(&mut self, aim: Aim, now: Instant) -> Step {
        match (aim, self.phase) {
            (Aim::Stop, Phase::Connecting(attempt) | Phase::Live(attempt)) => {
                self.enter(Phase::Stopped, now);
                Step::Close(attempt)
            }
            (Aim::Stop, Phase::Pending | Phase::Retrying) => {
                self.enter(Phase::Stopped, now);
                Step::Stay
            }
            (Aim::Stop, Phase::Failed) if !self.spec.enabled => {
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

    /// Begins an attempt and tells where to: after an odd number of losses in a row to the backup.
    pub(crate) fn open(&mut self, attempt: Attempt, now: Instant) -> Endpoint {
        if self.not_before.take().is_some() {
            self.reconnects += 1;
        }
        self.enter(Phase::Connecting(attempt), now);
        match &self.spec.backup {
            Some(backup) if self.losses_in_a_row % 2 == 1 => backup.clone(),
            Some(_) | None => self.spec.endpoint.clone(),
        }
    }

    /// The open connection is to be made anew; returns the attempt to close.
    pub(crate) fn reopen(&mut self, now: Instant) -> Option<Attempt> {
        let attempt = self.attempt()?;
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
        if self.live_for(now) >= HEALTHY_AFTER {
            self.losses_in_a_row = 0;
        }
        match failure.retry() {
            Retry::Never => self.enter(Phase::Failed, now),
            Retry::Backoff => {
                self.losses_in_a_row = self.losses_in_a_row.saturating_add(1);
                self.not_before = Some(now + jitter.pause(self.losses_in_a_row));
                self.enter(Phase::Retrying, now);
            }
        }
        self.last_failure = Some((failure, now));
        true
    }

    fn live_for(&self, now: Instant) -> Duration {
        match self.phase {
            Phase::Live(_) => now.saturating_duration_since(self.since),
            Phase::Pending
            | Phase::Connecting(_)
            | Phase::Retrying
            | Phase::Failed
            | Phase::Stopped => Duration::ZERO,
        }
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.since = now;
    }
}
