//! Until when this process may publish: one that the fleet may have taken for dead must not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// Whether media may leave this process. Cloning shares it; asking costs one load.
///
/// Whoever writes to a platform asks right before each write, since a process that stood still does not know that it did.
#[derive(Debug, Clone, Default)]
pub struct Permit(Option<Arc<Term>>);

#[derive(Debug)]
struct Term {
    base: Instant,
    /// Microseconds after `base`.
    until: AtomicU64,
}

impl Permit {
    /// Of a process that is alone: for ever.
    pub const fn unlimited() -> Self {
        Self(None)
    }

    /// Not before it is renewed for the first time.
    pub fn to_be_renewed(now: Instant) -> Self {
        Self(Some(Arc::new(Term {
            base: now,
            until: AtomicU64::new(0),
        })))
    }

    /// From now on until then, which may be earlier than before; an unlimited one stays so.
    pub fn renew(&self, until: Instant) {
        if let Some(term) = &self.0 {
            let after = until.saturating_duration_since(term.base);
            let after = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
            term.until.store(after, Ordering::Release);
        }
    }

    /// Ends it at once.
    pub fn revoke(&self) {
        if let Some(term) = &self.0 {
            term.until.store(0, Ordering::Release);
        }
    }

    /// Whether media may leave now.
    pub fn allows(&self, now: Instant) -> bool {
        self.0.as_ref().is_none_or(|term| {
            let after = now.saturating_duration_since(term.base).as_micros();
            after < u128::from(term.until.load(Ordering::Acquire))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_permit_ends_by_itself_and_can_be_renewed() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let permit = Permit::to_be_renewed(start);
        let other = permit.clone();

        assert!(!permit.allows(start));
        permit.renew(start + second);
        assert!(other.allows(start + second - Duration::from_micros(1)));
        assert!(!other.allows(start + second));
        permit.renew(start + 3 * second);
        assert!(other.allows(start + 2 * second));
        other.revoke();
        assert!(!permit.allows(start + 2 * second));
    }

    #[test]
    fn a_process_alone_may_always_publish() {
        let permit = Permit::unlimited();

        permit.revoke();

        assert!(permit.allows(Instant::now()));
    }
}
