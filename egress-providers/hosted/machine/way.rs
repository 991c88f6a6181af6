//! The show's way to the provider: begun, flowing, lost and looked for, or ended.

use std::time::{Duration, Instant};

use super::{TROUBLE_LIMIT, pauses::Pauses};
use crate::{
    Capabilities, ContributionKind,
    hosted::{ProviderError, Stage},
};

/// How long the show must have flown for earlier losses to be forgotten.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    /// Somebody is at work.
    Going,
    Flowing {
        since: Instant,
    },
    Lost {
        again_at: Instant,
    },
    Leaving,
}

/// The way of the show to the provider.
#[derive(Debug)]
pub(super) struct Way {
    /// The studio goes there itself.
    is_direct: bool,
    start_limit: Duration,
    place: Place,
    /// Since when it does not flow.
    troubled_since: Option<Instant>,
    /// When it first flowed, of those since it was begun.
    first: Option<Instant>,
    failures: u32,
    /// Who brings it was let in before and is not any more: it needs a new way in.
    is_refused: bool,
    /// Why it was last lost, until it flows.
    error: Option<ProviderError>,
    ended_at: Option<Instant>,
}

impl Way {
    pub(super) fn new(capabilities: &Capabilities) -> Self {
        Self {
            is_direct: capabilities.contribution == ContributionKind::Direct,
            start_limit: capabilities.start_limit,
            place: Place::Nowhere,
            troubled_since: None,
            first: None,
            failures: 0,
            is_refused: false,
            error: None,
            ended_at: None,
        }
    }

    pub(super) fn begin(&mut self, now: Instant) {
        self.place = Place::Going;
        self.troubled_since = Some(now);
        self.first = None;
        self.failures = 0;
        self.is_refused = false;
        self.error = None;
        self.ended_at = None;
    }

    /// Whether it is news.
    pub(super) fn flow(&mut self, now: Instant) -> bool {
        if self.place != Place::Going {
            return false;
        }
        self.place = Place::Flowing { since: now };
        self.troubled_since = None;
        self.is_refused = false;
        self.error = None;
        self.first.get_or_insert(now);
        true
    }

    /// An attempt has failed: returns the pause before the next one, or `None` when there is none.
    pub(super) fn lose(
        &mut self,
        error: &ProviderError,
        pauses: &mut Pauses,
        now: Instant,
    ) -> Option<Duration> {
        if let Place::Flowing { since } = self.place
            && now.saturating_duration_since(since) >= HEALTHY_AFTER
        {
            self.failures = 0;
        }
        self.failures += 1;
        self.error = Some(error.clone());
        self.troubled_since.get_or_insert(now);
        self.place = Place::Nowhere;
        let is_hopeless = error.retry() == broadcast::Retry::Never && !self.takes_refusal(error);
        if is_hopeless || self.has_run_out(now) {
            self.ended_at = Some(now);
            return None;
        }
        let pause = pauses.after(self.failures);
        self.place = Place::Lost {
            again_at: now + pause,
        };
        Some(pause)
    }

    /// Whether an error is that a way in is not good any more, for which there may be another. One that was never good is
    /// wrong, and so is the second in a row.
    fn takes_refusal(&mut self, error: &ProviderError) -> bool {
        let is_expired = *error == ProviderError::Auth && self.first.is_some() && !self.is_refused;
        self.is_refused |= is_expired;
        is_expired
    }

    /// Whether the next attempt needs a new way in.
    pub(super) const fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Whether another attempt is due; it counts as begun.
    pub(super) fn try_again(&mut self, now: Instant) -> bool {
        let due = matches!(self.place, Place::Lost { again_at } if now >= again_at);
        if due {
            self.place = Place::Going;
        }
        due
    }

    /// It has not flowed for too long.
    pub(super) fn overdue(&self, now: Instant) -> Option<ProviderError> {
        let error = || self.error.clone();
        (!self.is_direct && self.has_run_out(now))
            .then(|| error().unwrap_or(ProviderError::Timeout(Stage::Contribution)))
    }

    fn has_run_out(&self, now: Instant) -> bool {
        self.gives_up_at().is_some_and(|at| now >= at)
    }

    /// A way that was never found is given up sooner, so that another provider may be tried.
    fn gives_up_at(&self) -> Option<Instant> {
        let limit = match self.first {
            Some(_) => TROUBLE_LIMIT,
            None => self.start_limit.min(TROUBLE_LIMIT),
        };
        self.troubled_since.map(|since| since + limit)
    }

    /// It is to end. Returns whether somebody is at work who must be asked to.
    pub(super) fn leave(&mut self, now: Instant) -> bool {
        self.troubled_since = None;
        let at_work = match self.place {
            Place::Going | Place::Flowing { .. } => !self.is_direct,
            Place::Nowhere | Place::Lost { .. } | Place::Leaving => false,
        };
        if at_work {
            self.place = Place::Leaving;
        } else if self.place != Place::Leaving {
            self.gone(now);
        }
        at_work
    }

    /// Nobody is at work any more.
    pub(super) fn gone(&mut self, now: Instant) {
        self.place = Place::Nowhere;
        self.ended_at.get_or_insert(now);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.place == Place::Leaving
    }

    pub(super) const fn is_flowing(&self) -> bool {
        self.flowing_since().is_some()
    }

    pub(super) const fn flowing_since(&self) -> Option<Instant> {
        match self.place {
            Place::Flowing { since } => Some(since),
            Place::Nowhere | Place::Going | Place::Lost { .. } | Place::Leaving => None,
        }
    }

    /// When it flowed for the first time.
    pub(super) const fn first(&self) -> Option<Instant> {
        self.first
    }

    /// When it ended, unless it has not, or never began.
    pub(super) const fn ended_at(&self) -> Option<Instant> {
        self.ended_at
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let again = match self.place {
            Place::Lost { again_at } => Some(again_at),
            Place::Nowhere | Place::Going | Place::Flowing { .. } | Place::Leaving => None,
        };
        let gives_up = self.gives_up_at().filter(|_| !self.is_direct);
        [again, gives_up].into_iter().flatten().min()
    }
}
