//! Hysteresis: a verdict must last before it counts.

use std::time::{Duration, Instant};

/// After a change an alarm says nothing new for this long. A lost studio clears at once.
pub const ALARM_PAUSE: Duration = Duration::from_secs(5);

/// What a measurement says about an alarm. What is not known is good: there is nothing to complain of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Bad,
    /// Between the limits: changes nothing.
    Unclear,
    Good,
}

/// Lets a verdict through once it has lasted.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Since when, and what was said.
    pub(super) raised: Option<(Instant, String)>,
    /// Since when every verdict has been against what is said.
    since: Option<Instant>,
    changed: Option<Instant>,
}

impl Gate {
    /// Forgets everything but when it changed. Whether it was raised.
    pub(super) fn clear(&mut self, now: Instant) -> bool {
        self.since = None;
        let was_raised = self.raised.take().is_some();
        if was_raised {
            self.changed = Some(now);
        }
        was_raised
    }

    /// `Some(true)`: it is raised by this; the owner writes the message. `Some(false)`: it is cleared.
    pub(super) fn handle(
        &mut self,
        verdict: Verdict,
        (raise_after, clear_after): (Duration, Duration),
        now: Instant,
    ) -> Option<bool> {
        let patience = match (&self.raised, verdict) {
            (None, Verdict::Bad) => raise_after,
            (Some(_), Verdict::Good) => clear_after,
            _ => {
                self.since = None;
                return None;
            }
        };
        let since = *self.since.get_or_insert(now);
        let has_paused = self
            .changed
            .is_none_or(|changed| now.saturating_duration_since(changed) >= ALARM_PAUSE);
        if now.saturating_duration_since(since) < patience || !has_paused {
            return None;
        }
        self.since = None;
        self.changed = Some(now);
        Some(self.raised.take().is_none())
    }
}
