//! How this node stands, and with it until when media may leave: by its heartbeats, or by what the others say.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use fleet::{Guard, Peer, Standing, Times};
use pipelines::Permit;

/// For how long a node whose registry is out of order may publish before it asks the others again.
const TRUST: Duration = Duration::from_secs(1);

/// How often the others are asked while the registry does not answer.
const ASKING_INTERVAL: Duration = Duration::from_secs(1);

/// What became of this node's standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) before: Standing,
    pub(super) after: Standing,
}

/// This node's standing, and the permit that follows it.
#[derive(Debug)]
pub(super) struct Post {
    permit: Permit,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    guard: Guard,
    standing: Standing,
    asked: Option<Instant>,
    /// Another process has this node's name: it must never publish again.
    is_over: bool,
}

impl Post {
    /// Of a node that has not been registered yet: it may not publish, if it ever needs leave to.
    pub(super) fn new(times: Times, permit: Permit) -> Self {
        Self {
            permit,
            inner: Mutex::new(Inner {
                guard: Guard::new(times),
                standing: Standing::Known,
                asked: None,
                is_over: false,
            }),
        }
    }

    /// The registry answered a heartbeat that was sent then, and knows so many nodes.
    pub(super) fn handle_heartbeat(&self, sent: Instant, fleet: usize) {
        self.lock().guard.handle_heartbeat(sent, fleet);
    }

    /// The others were asked.
    pub(super) fn handle_peers(&self, peers: Vec<Peer>, now: Instant) {
        self.lock().guard.handle_peers(peers, now);
    }

    /// Another process has this node's name.
    pub(super) fn handle_end(&self) {
        self.lock().is_over = true;
        self.permit.revoke();
    }

    /// Whether the registry may have taken this node for dead when a heartbeat is sent now.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.lock()
            .guard
            .known_until()
            .is_none_or(|until| now >= until)
    }

    /// Whether this node has not reached the registry for long enough that the others should know.
    pub(super) fn is_blind(&self, now: Instant) -> bool {
        self.lock().guard.wants_peers(now)
    }

    /// Whether the others are to be asked now; they are, if so.
    pub(super) fn begin_asking(&self, now: Instant) -> bool {
        let mut inner = self.lock();
        let is_due = inner.asked.is_none_or(|at| now >= at + ASKING_INTERVAL);
        let begins = is_due && !inner.is_over && inner.guard.wants_peers(now);
        if begins {
            inner.asked = Some(now);
        }
        begins
    }

    /// Renews or ends the permit. Tells what changed.
    pub(super) fn follow(&self, now: Instant) -> Option<Change> {
        let mut inner = self.lock();
        let before = inner.standing;
        let after = if inner.is_over {
            Standing::Cut
        } else {
            inner.guard.standing(now)
        };
        inner.standing = after;
        match after {
            Standing::Known => self.permit.renew(inner.guard.known_until().unwrap_or(now)),
            Standing::Trusted => self.permit.renew(now + TRUST),
            Standing::Cut => self.permit.revoke(),
        }
        (before != after).then_some(Change { before, after })
    }

    /// How it stood when it was last looked at.
    pub(super) fn standing(&self) -> Standing {
        self.lock().standing
    }

    pub(super) const fn permit(&self) -> &Permit {
        &self.permit
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// A node of three whose heartbeat of `start` was answered.
    fn post() -> (Post, Instant) {
        let start = Instant::now();
        let post = Post::new(Times::default(), Permit::to_be_renewed(start));
        post.handle_heartbeat(start, 3);
        assert_eq!(post.follow(start), None);
        (post, start)
    }

    #[test]
    fn media_may_leave_for_as_long_as_the_registry_remembers_the_node() {
        let (post, start) = post();

        assert!(post.permit().allows(start + ms(2_499)));
        assert!(!post.permit().allows(start + ms(2_500)));
    }

    #[test]
    fn the_others_are_asked_once_a_second_from_half_of_that_time_on() {
        let (post, start) = post();

        assert!(!post.begin_asking(start + ms(1_499)));
        assert!(post.begin_asking(start + ms(1_500)));
        assert!(!post.begin_asking(start + ms(2_499)));
        assert!(post.begin_asking(start + ms(2_500)));
    }

    #[test]
    fn a_node_goes_on_second_by_second_while_most_are_blind() {
        let (post, start) = post();
        let later = start + ms(2_600);

        post.handle_peers(vec![Peer::Blind, Peer::Silent], later);
        let change = post.follow(later).unwrap();

        assert_eq!(change.after, Standing::Trusted);
        assert!(post.permit().allows(later + ms(999)));
        assert!(!post.permit().allows(later + TRUST));
    }

    #[test]
    fn a_node_that_the_others_do_not_miss_is_cut_and_comes_back_with_its_heartbeat() {
        let (post, start) = post();
        let later = start + ms(2_600);

        post.handle_peers(vec![Peer::Sees, Peer::Sees], later);
        let cut = post.follow(later).unwrap();
        assert!(!post.permit().allows(later));
        assert!(post.is_late(later));
        post.handle_heartbeat(later + ms(100), 3);
        let back = post.follow(later + ms(200)).unwrap();

        assert_eq!((cut.after, back.after), (Standing::Cut, Standing::Known));
        assert!(post.permit().allows(later + ms(200)));
    }

    #[test]
    fn a_node_whose_name_is_anothers_never_publishes_again() {
        let (post, start) = post();

        post.handle_end();
        post.handle_heartbeat(start + ms(100), 3);
        post.follow(start + ms(100));

        assert!(!post.permit().allows(start + ms(100)));
    }
}
