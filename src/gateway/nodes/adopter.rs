//! Takes over broadcasts whose nodes are dead.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use fleet::{Fence, Fleet, Guard, NodeId, Orphan, RegistryError, Times, rendezvous};
use tokio::time::{MissedTickBehavior, interval};

use super::{KeptBroadcast, Membership, Sealer};
use crate::{broadcasts::Broadcasts, clock::now};

/// How often orphans are looked for: a broadcast is to be on air again within 5 s of its node's last heartbeat, of which the
/// registry's patience takes 3 s.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How long an orphan is left to the node that is first in line for it, which may be as dead.
const COURTESY: Duration = Duration::from_secs(1);

/// How long the registry must have answered before anybody is taken for dead: when it comes back from an outage, those that
/// are alive have not all told so yet. Two seconds more than a node's life.
fn settling() -> Duration {
    Times::default().node + Duration::from_secs(2)
}

/// Decides which orphans this node takes, and when.
#[derive(Debug, Default)]
struct Orphanage {
    /// Since when the registry has answered without fail.
    answers_since: Option<Instant>,
    /// When each orphan was first seen, by the number of whoever lost it.
    seen: HashMap<(String, Fence), Instant>,
}

impl Orphanage {
    /// The registry does not answer.
    fn handle_silence(&mut self) {
        *self = Self::default();
    }

    /// The registry told of the living and of orphans. Returns those that are this node's to take now.
    fn handle_answer(
        &mut self,
        me: &NodeId,
        fleet: &Fleet,
        orphans: Vec<Orphan>,
        now: Instant,
    ) -> Vec<Orphan> {
        let since = *self.answers_since.get_or_insert(now);
        let seen = orphans.iter().map(|orphan| {
            let name = (orphan.broadcast.clone(), orphan.fence);
            let first = self.seen.get(&name).copied().unwrap_or(now);
            (name, first)
        });
        self.seen = seen.collect();
        let may_adopt = Guard::may_adopt(fleet.alive.len(), fleet.size);
        if !may_adopt || now < since + settling() {
            return Vec::new();
        }
        let able: Vec<&NodeId> = fleet
            .alive
            .iter()
            .filter(|node| !node.draining && node.taken < node.capacity)
            .map(|node| &node.id)
            .collect();
        let mut mine = orphans;
        mine.retain(|orphan| {
            let line = rendezvous(&orphan.broadcast, able.iter().copied());
            // Where nobody has room, everybody is as good.
            let is_first = line.first().is_none_or(|first| *first == me);
            let name = (orphan.broadcast.clone(), orphan.fence);
            let waits_since = self.seen.get(&name).copied().unwrap_or(now);
            is_first || now >= waits_since + COURTESY
        });
        mine
    }
}

/// Looks for orphans again and again, and goes on with those that are this node's to take. Never returns.
///
/// Nobody's broadcast is taken while this node takes no more, or without the secret that opens what was written down.
pub(crate) async fn adopt_orphans(membership: Membership, broadcasts: Broadcasts) {
    let Some(sealer) = broadcasts.sealer().cloned() else {
        return std::future::pending().await;
    };
    let mut orphanage = Orphanage::default();
    let mut ticks = interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Ok((fleet, orphans)) = look(&membership).await else {
            orphanage.handle_silence();
            continue;
        };
        if membership.is_draining() {
            continue;
        }
        for orphan in orphanage.handle_answer(membership.id(), &fleet, orphans, now()) {
            adopt(&membership, &broadcasts, &sealer, &orphan).await;
        }
    }
}

async fn look(membership: &Membership) -> Result<(Fleet, Vec<Orphan>), RegistryError> {
    let registry = membership.registry();
    let orphans = registry.orphans().await?;
    // Asked anew, and after the orphans: what is known from the last heartbeat may hold the dead node.
    Ok((registry.fleet().await?, orphans))
}

async fn adopt(membership: &Membership, broadcasts: &Broadcasts, sealer: &Sealer, orphan: &Orphan) {
    let (broadcast, from) = (orphan.broadcast.as_str(), &orphan.node);
    let (holding, sealed) = match membership.adopt(orphan).await {
        Ok(adopted) => adopted,
        Err(error) => {
            // Mostly another node was faster.
            tracing::debug!(broadcast, %error, "a broadcast was not taken over");
            return;
        }
    };
    if sealed.is_empty() {
        tracing::info!(broadcast, node = %from, "a name that a dead node held is free again");
        membership.release(&holding).await;
        return;
    }
    let opened = sealer
        .open(broadcast, orphan.fence, &sealed)
        .map_err(|error| error.to_string())
        .and_then(|state| KeptBroadcast::from_bytes(&state).map_err(|error| error.to_string()));
    let restored = opened.and_then(|kept| {
        let permit = membership.permit().of_one();
        let restored = broadcasts.restore(kept, holding.clone(), permit);
        restored.map_err(|error| error.to_string())
    });
    match restored {
        Ok(_) => tracing::warn!(broadcast, node = %from, "broadcast taken over from a dead node"),
        Err(error) => {
            tracing::error!(broadcast, node = %from, error, fault = "gateway", "broadcast lost: it cannot go on here");
            membership.release(&holding).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use fleet::{Cores, NodeReport};

    use super::*;

    fn id(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn node(name: &str) -> NodeReport {
        NodeReport {
            id: id(name),
            instance: name.to_owned(),
            url: format!("http://{name}"),
            ip: "127.0.0.1".to_owned(),
            region: None,
            methods: Vec::new(),
            version: "1".to_owned(),
            draining: false,
            capacity: Cores::of_millionths(1_000_000),
            taken: Cores::of_millionths(0),
            broadcasts: 0,
        }
    }

    fn fleet(alive: &[&str], size: usize) -> Fleet {
        Fleet {
            alive: alive.iter().map(|name| node(name)).collect(),
            size,
        }
    }

    fn orphans() -> Vec<Orphan> {
        let orphan = |number: u64| Orphan {
            broadcast: format!("show-{number}"),
            node: id("dead"),
            fence: Fence(number),
        };
        (0..20).map(orphan).collect()
    }

    /// One that the registry has answered for long enough.
    fn settled(start: Instant) -> Orphanage {
        Orphanage {
            answers_since: Some(start - settling()),
            ..Orphanage::default()
        }
    }

    fn names(orphans: &[Orphan]) -> Vec<&str> {
        orphans
            .iter()
            .map(|orphan| orphan.broadcast.as_str())
            .collect()
    }

    #[test]
    fn each_orphan_is_first_taken_by_one_node_and_all_are_taken() {
        let start = Instant::now();
        let fleet = fleet(&["a", "b"], 3);

        let a = settled(start).handle_answer(&id("a"), &fleet, orphans(), start);
        let b = settled(start).handle_answer(&id("b"), &fleet, orphans(), start);

        assert!(!a.is_empty() && !b.is_empty());
        assert_eq!(a.len() + b.len(), 20);
        assert!(a.iter().all(|orphan| !b.contains(orphan)));
    }

    #[test]
    fn what_the_first_in_line_does_not_take_is_anybodys_a_second_later() {
        let start = Instant::now();
        let fleet = fleet(&["a", "b"], 3);
        let mut orphanage = settled(start);
        let mine = orphanage.handle_answer(&id("a"), &fleet, orphans(), start);
        let mut left = orphans();
        left.retain(|orphan| !mine.contains(orphan));

        let soon = start + COURTESY - Duration::from_millis(1);
        let before = orphanage.handle_answer(&id("a"), &fleet, left.clone(), soon);
        let after = orphanage.handle_answer(&id("a"), &fleet, left.clone(), start + COURTESY);

        assert_eq!(names(&before), Vec::<&str>::new());
        assert_eq!(names(&after), names(&left));
    }

    #[test]
    fn a_broadcast_that_is_orphaned_again_waits_anew() {
        let start = Instant::now();
        let fleet = fleet(&["a", "b"], 3);
        let mut orphanage = settled(start);
        orphanage.handle_answer(&id("a"), &fleet, orphans(), start);
        let again = orphans().into_iter().map(|orphan| Orphan {
            fence: Fence(orphan.fence.0 + 100),
            ..orphan
        });

        let later = start + COURTESY;
        let taken = orphanage.handle_answer(&id("a"), &fleet, again.collect(), later);

        assert!(taken.len() < 20);
    }

    #[test]
    fn nobody_is_taken_for_dead_right_after_an_outage_of_the_registry() {
        let start = Instant::now();
        let fleet = fleet(&["a"], 1);
        let mut orphanage = settled(start);
        orphanage.handle_silence();

        let first = orphanage.handle_answer(&id("a"), &fleet, orphans(), start);
        let almost = start + settling() - Duration::from_millis(1);
        let second = orphanage.handle_answer(&id("a"), &fleet, orphans(), almost);
        let third = orphanage.handle_answer(&id("a"), &fleet, orphans(), start + settling());

        assert_eq!((first.len(), second.len(), third.len()), (0, 0, 20));
    }

    #[test]
    fn a_minority_takes_nothing() {
        let start = Instant::now();

        let alone = settled(start).handle_answer(&id("a"), &fleet(&["a"], 3), orphans(), start);
        let half = settled(start).handle_answer(&id("a"), &fleet(&["a"], 2), orphans(), start);

        assert_eq!((alone.len(), half.len()), (0, 20));
    }

    #[test]
    fn a_node_that_is_full_or_goes_is_passed_over_while_there_are_others() {
        let start = Instant::now();
        let mut fleet = fleet(&["a", "b", "c"], 3);
        fleet.alive[1].draining = true;
        fleet.alive[2].taken = fleet.alive[2].capacity;

        let a = settled(start).handle_answer(&id("a"), &fleet, orphans(), start);
        fleet.alive[0].draining = true;
        let c = settled(start).handle_answer(&id("c"), &fleet, orphans(), start);

        assert_eq!((a.len(), c.len()), (20, 20));
    }
}
