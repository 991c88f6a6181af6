//! Until when this process may publish: one that the fleet may have taken for dead must not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use broadcast::{Failure, Reason};

/// Whether media may leave this process. Cloning shares it; asking costs two loads.
///
/// Whoever writes to a platform asks right before each write, since a process that stood still does not know that it did.
#[derive(Debug, Clone, Default)]
pub struct Permit {
    /// Of the process; none: for ever.
    term: Option<Arc<Term>>,
    /// Of one broadcast: whether it is another process's.
    taken_back: Option<Arc<AtomicBool>>,
}

#[derive(Debug)]
struct Term {
    base: Instant,
    /// Microseconds after `base`.
    until: AtomicU64,
}

impl Permit {
    /// Of a process that is alone: for ever.
    pub const fn unlimited() -> Self {
        Self {
            term: None,
            taken_back: None,
        }
    }

    /// Not before it is renewed for the first time.
    pub fn to_be_renewed(now: Instant) -> Self {
        Self {
            term: Some(Arc::new(Term {
                base: now,
                until: AtomicU64::new(0),
            })),
            taken_back: None,
        }
    }

    /// The same for one broadcast, which can be [taken back](Self::take_back) by itself.
    #[must_use]
    pub fn of_one(&self) -> Self {
        Self {
            term: self.term.clone(),
            taken_back: Some(Arc::default()),
        }
    }

    /// From now on until then, which may be earlier than before; an unlimited one stays so.
    pub fn renew(&self, until: Instant) {
        if let Some(term) = &self.term {
            let after = until.saturating_duration_since(term.base);
            let after = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
            term.until.store(after, Ordering::Release);
        }
    }

    /// Ends it at once, until it is renewed.
    pub fn revoke(&self) {
        if let Some(term) = &self.term {
            term.until.store(0, Ordering::Release);
        }
    }

    /// Ends that [of one broadcast](Self::of_one) for good, and nothing else.
    pub fn take_back(&self) {
        if let Some(taken_back) = &self.taken_back {
            taken_back.store(true, Ordering::Release);
        }
    }

    /// Whether it ended for good, because another process has the broadcast.
    pub fn is_taken_back(&self) -> bool {
        let taken_back = self.taken_back.as_ref();
        taken_back.is_some_and(|taken_back| taken_back.load(Ordering::Acquire))
    }

    /// Whether media may leave now.
    pub fn allows(&self, now: Instant) -> bool {
        let holds = self.term.as_ref().is_none_or(|term| {
            let after = now.saturating_duration_since(term.base).as_micros();
            after < u128::from(term.until.load(Ordering::Acquire))
        });
        holds && !self.is_taken_back()
    }

    /// The same as a failure of whoever would write.
    pub fn check(&self, now: Instant) -> Result<(), Failure> {
        if self.allows(now) {
            Ok(())
        } else {
            let words = "this node may have been taken over by another, and sends nothing";
            Err(Failure::new(Reason::Fenced, words))
        }
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

    #[test]
    fn what_one_broadcast_may_ends_by_itself_and_with_that_of_the_process() {
        let start = Instant::now();
        let permit = Permit::to_be_renewed(start);
        permit.renew(start + Duration::from_secs(1));
        let (one, other) = (permit.of_one(), permit.of_one());

        one.clone().take_back();

        assert!(!one.allows(start));
        assert!(other.allows(start));
        assert_eq!(one.check(start).unwrap_err().reason, Reason::Fenced);
        permit.revoke();
        assert!(!other.allows(start));
        permit.renew(start + Duration::from_secs(2));
        assert!(other.allows(start) && !one.allows(start));
    }
}
