//! Whether a node may go on publishing when it does not reach the registry, and whether another may take its place.

use std::time::{Duration, Instant};

use crate::Times;

/// How much earlier than the registry a node counts itself as dead: the time that a last write may take.
const MARGIN: Duration = Duration::from_millis(500);

/// For how long what another node said counts.
const HEARSAY: Duration = Duration::from_secs(2);

/// What another node says when it is asked whether it reaches the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// It does.
    Sees,
    /// It does not, either.
    Blind,
    /// It does not answer.
    Silent,
}

/// How a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The registry knows that it is alive.
    Known,
    /// The registry is out of order for so many that nobody can take its broadcasts over.
    Trusted,
    /// Another node may have taken its broadcasts over: it must not publish.
    Cut,
}

/// What a node knows of its own standing.
///
/// A node takes over broadcasts only where at least half of the fleet is known to the registry ([`Guard::may_adopt`]). A node
/// that does not reach the registry goes on only when more than half of the fleet do not either. The two cannot both be.
#[derive(Debug, Clone)]
pub struct Guard {
    life: Duration,
    /// When the newest heartbeat was sent that the registry has answered.
    known_since: Option<Instant>,
    /// What each of the others last said.
    peers: Vec<(Peer, Instant)>,
    /// How many nodes there are in all, itself among them.
    fleet: usize,
}

impl Guard {
    /// Of a node that has never reached the registry.
    pub const fn new(times: Times) -> Self {
        Self {
            life: times.node,
            known_since: None,
            peers: Vec::new(),
            fleet: 1,
        }
    }

    /// The registry answered a heartbeat that was sent at `sent`, and knows so many nodes: those alive, and the dead ones
    /// that are not forgotten yet.
    pub fn handle_heartbeat(&mut self, sent: Instant, fleet: usize) {
        self.known_since = self.known_since.max(Some(sent));
        self.fleet = fleet.max(1);
        self.peers.clear();
    }

    /// The others were asked. What they say replaces what they said before.
    pub fn handle_peers(&mut self, peers: impl IntoIterator<Item = Peer>, now: Instant) {
        self.peers = peers.into_iter().map(|peer| (peer, now)).collect();
    }

    /// Whether the others are to be asked now: half of the time that the registry's word lasts is over.
    pub fn wants_peers(&self, now: Instant) -> bool {
        self.known_since
            .is_none_or(|since| now >= since + self.life / 2)
    }

    /// How it stands.
    pub fn standing(&self, now: Instant) -> Standing {
        if self.known_until().is_some_and(|until| now < until) {
            return Standing::Known;
        }
        let blind = self
            .peers
            .iter()
            .filter(|(peer, at)| *peer == Peer::Blind && now < *at + HEARSAY)
            .count();
        // Itself is blind, too.
        if (blind + 1) * 2 > self.fleet {
            Standing::Trusted
        } else {
            Standing::Cut
        }
    }

    /// Until when it may publish without asking again.
    pub fn known_until(&self) -> Option<Instant> {
        Some(self.known_since? + self.life.saturating_sub(MARGIN))
    }

    /// Whether a node may take over others' broadcasts when the registry knows so many to be alive.
    pub const fn may_adopt(alive: usize, fleet: usize) -> bool {
        alive * 2 >= fleet
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn guard(fleet: usize) -> (Guard, Instant) {
        let mut guard = Guard::new(Times::default());
        let start = Instant::now();
        guard.handle_heartbeat(start, fleet);
        (guard, start)
    }

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_registrys_word_lasts_shorter_than_its_memory() {
        let (guard, start) = guard(3);

        assert_eq!(guard.standing(start + ms(2_499)), Standing::Known);
        assert_eq!(guard.standing(start + ms(2_500)), Standing::Cut);
    }

    #[test]
    fn a_heartbeat_counts_from_when_it_was_sent() {
        let (mut guard, start) = guard(3);

        // The answer came late; an older one comes later still.
        guard.handle_heartbeat(start + ms(1_000), 3);
        guard.handle_heartbeat(start + ms(500), 3);

        assert_eq!(guard.known_until(), Some(start + ms(3_500)));
    }

    #[test]
    fn a_node_alone_never_cuts_itself_off() {
        let (guard, start) = guard(1);

        assert_eq!(guard.standing(start + ms(60_000)), Standing::Trusted);
    }

    #[test]
    fn when_the_registry_is_out_of_order_for_most_all_go_on() {
        let (mut guard, start) = guard(3);
        let later = start + ms(2_600);

        guard.handle_peers([Peer::Blind, Peer::Silent], later);

        assert_eq!(guard.standing(later), Standing::Trusted);
        assert_eq!(guard.standing(later + HEARSAY), Standing::Cut);
    }

    #[test]
    fn a_node_that_others_do_not_miss_is_cut() {
        let (mut guard, start) = guard(3);
        let later = start + ms(2_600);

        guard.handle_peers([Peer::Sees, Peer::Blind], later);
        assert_eq!(guard.standing(later), Standing::Trusted);
        guard.handle_peers([Peer::Sees, Peer::Sees], later);
        assert_eq!(guard.standing(later), Standing::Cut);
        guard.handle_peers([Peer::Silent, Peer::Silent], later);
        assert_eq!(guard.standing(later), Standing::Cut);
    }

    #[test]
    fn the_other_one_of_two_may_take_over() {
        assert!(Guard::may_adopt(1, 2));
        assert!(!Guard::may_adopt(1, 3));
    }

    proptest! {
        #[test]
        fn nobody_is_taken_over_from_while_it_goes_on(alive in 0_usize..40, blind in 0_usize..40, others in 0_usize..40) {
            // Those whom the registry knows and those who do not reach it are different nodes.
            let fleet = alive + blind + 1 + others;
            let (mut guard, start) = guard(fleet);
            let later = start + ms(2_600);
            guard.handle_peers(std::iter::repeat_n(Peer::Blind, blind), later);

            let goes_on = guard.standing(later) != Standing::Cut;

            // In a fleet of one nobody else is there to take over.
            prop_assert!(fleet == 1 || !(goes_on && Guard::may_adopt(alive, fleet)));
        }
    }
}
