//! Who is told what providers are asked, what they do and what they cost; metrics hang on it.

use std::{fmt, time::Duration};

use broadcast::Provider;

use super::SessionState;
use crate::Meter;

/// How a request to a provider's API went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestOutcome {
    /// It was answered, with this HTTP status.
    Answered(u16),
    /// No answer came in time.
    TimedOut,
    /// There was no connection, or it broke.
    Unreachable,
    /// It was not sent: the breaker is open.
    LeftAlone,
    /// It was not sent: the budget is used up.
    HeldBack,
}

/// Is told what happens at providers. It must be quick, and must not ask back.
pub trait Observer: Send + Sync + fmt::Debug + 'static {
    /// A request has been made, or would have been. `operation` is one of a few dozen words.
    fn requested(
        &self,
        provider: Provider,
        operation: &'static str,
        outcome: RequestOutcome,
        elapsed: Duration,
    ) {
        let _ = (provider, operation, outcome, elapsed);
    }

    /// A session has gone from one state to another; `None` is before its begin and after its end.
    fn session_changed(
        &self,
        provider: Provider,
        from: Option<SessionState>,
        to: Option<SessionState>,
    ) {
        let _ = (provider, from, to);
    }

    /// A provider has carried a show for so long: units (participants, shows, destinations) times duration.
    fn carried(&self, provider: Provider, meter: Meter, units: Duration) {
        let _ = (provider, meter, units);
    }

    /// A session's first destination is live, so long after it was asked for.
    fn went_live(&self, provider: Provider, elapsed: Duration) {
        let _ = (provider, elapsed);
    }

    /// Something that nobody used any more was removed at a provider.
    fn reaped(&self, provider: Provider) {
        let _ = provider;
    }
}

/// Nobody is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}
