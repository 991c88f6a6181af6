//! Who is told what providers are asked and what they cost; metrics hang on it.

use std::{fmt, time::Duration};

use broadcast::Provider;

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
}

/// Nobody is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}
