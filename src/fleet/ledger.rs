//! The rules of the registry: who is there, who holds what, and by which number. Whatever keeps it obeys these.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use crate::{
    Adopted, Claim, ClaimError, Epoch, Fence, Fleet, KeyError, Known, LedgerError, NodeId,
    NodeReport, Orphan, Reservation, Times, Why, Wish, ends::Ends, places::Places,
};

/// A moment on the registry's own clock, which is the only one that counts: nodes' clocks may differ.
type Moment = Duration;

/// How long a dead node counts when it is asked how many there are: it may only be cut off.
pub(crate) const MEMORY_OF_THE_DEAD: Duration = Duration::from_secs(60);

/// The most orphans that are told of at a time; the rest is told when these are adopted.
pub(crate) const ORPHANS_LIMIT: usize = 1_000;

#[derive(Debug, Clone)]
struct Member {
    report: NodeReport,
    epoch: Epoch,
    expires: Moment,
}

#[derive(Debug, Clone)]
struct Held {
    node: NodeId,
    epoch: Epoch,
    fence: Fence,
    state: Vec<u8>,
}

/// All of it. Every method is one step that nothing comes between.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    times: Times,
    numbers: u64,
    members: BTreeMap<NodeId, Member>,
    places: Places,
    held: BTreeMap<String, Held>,
    /// The same by the life of a node.
    by_life: HashMap<(NodeId, Epoch), BTreeSet<String>>,
    /// The hash of an address with its key, and the broadcast that publishes there.
    keys: HashMap<[u8; 32], String>,
    ends: Ends,
    /// When the first node came: what is older is not known.
    began: Option<Moment>,
}

impl Ledger {
    /// Nobody yet.
    pub fn new(times: Times) -> Self {
        Self {
            times,
            ..Self::default()
        }
    }

    /// Takes in a process under its name.
    pub fn register(&mut self, report: NodeReport, now: Moment) -> Result<Epoch, LedgerError> {
        if let Some(known) = self.members.get(&report.id)
            && known.expires > now
            && known.report.instance != report.instance
        {
            return Err(LedgerError::NameTaken(report.id));
        }
        self.began.get_or_insert(now);
        let epoch = Epoch(self.next_number());
        self.members.insert(
            report.id.clone(),
            Member {
                report,
                epoch,
                expires: now + self.times.node,
            },
        );
        Ok(epoch)
    }

    /// Notes that a node lives. One that was late, or that the registry forgot, is taken back; what was adopted meanwhile stays
    /// adopted.
    pub fn heartbeat(
        &mut self,
        report: NodeReport,
        epoch: Epoch,
        now: Moment,
    ) -> Result<Known, LedgerError> {
        self.began.get_or_insert(now);
        let known = self.members.get(&report.id);
        if known.is_some_and(|member| member.epoch != epoch) {
            return Err(LedgerError::Superseded(report.id));
        }
        let was_alive = known.is_some_and(|member| member.expires > now);
        // If the registry lost its memory, the number stays in force, and later ones are larger.
        self.numbers = self.numbers.max(epoch.0);
        self.places.handle_report(&report.id);
        let life = (report.id.clone(), epoch);
        let held = self.by_life.get(&life).map_or(0, BTreeSet::len);
        let expires = now + self.times.node;
        let member = Member {
            report,
            epoch,
            expires,
        };
        self.members.insert(member.report.id.clone(), member);
        Ok(Known { was_alive, held })
    }

    /// What a life of a node holds, as far as the registry knows.
    pub fn held_by(&self, node: &NodeId, epoch: Epoch) -> Vec<String> {
        let held = self.by_life.get(&(node.clone(), epoch));
        held.into_iter().flatten().cloned().collect()
    }

    /// Forgets a node that goes on purpose; what it still holds is orphaned at once.
    pub fn leave(&mut self, node: &NodeId, epoch: Epoch) {
        if self
            .members
            .get(node)
            .is_some_and(|member| member.epoch == epoch)
        {
            self.members.remove(node);
        }
    }

    /// The fleet: the living, and how many there are with those that died within the last minute.
    pub fn fleet(&mut self, now: Moment) -> Fleet {
        self.members
            .retain(|_, member| now < member.expires + MEMORY_OF_THE_DEAD);
        Fleet {
            size: self.members.len(),
            alive: self.nodes(now),
        }
    }

    /// Those that are alive, with what is kept for others counted as taken.
    pub fn nodes(&mut self, now: Moment) -> Vec<NodeReport> {
        self.places.expire(now);
        let alive = self.members.values().filter(|member| member.expires > now);
        alive.map(|member| self.with_places(member)).collect()
    }

    /// Keeps a place for a broadcast on the least full of these nodes. One that lives stays where it is, and one for which
    /// a place is kept keeps it.
    pub fn reserve(
        &mut self,
        wish: &Wish,
        candidates: &[NodeId],
        now: Moment,
    ) -> Result<Reservation, LedgerError> {
        if let Some(held) = self.held.get(&wish.broadcast)
            && self.is_alive(&held.node, held.epoch, now)
        {
            return Ok(Reservation {
                node: held.node.clone(),
                why: Why::LivesThere,
            });
        }
        self.places.expire(now);
        let open = |id: &NodeId| {
            let member = self.members.get(id)?;
            let is_open = member.expires > now && !member.report.draining;
            is_open.then(|| self.with_places(member))
        };
        let kept = self.places.of(&wish.broadcast).and_then(open);
        let best = match kept {
            Some(node) => node,
            None => candidates
                .iter()
                .filter_map(open)
                .filter(|node| node.free() >= wish.cost)
                // The first of equals is what the asker liked best.
                .min_by_key(|node| {
                    let is_elsewhere = wish.region.is_some() && node.region != wish.region;
                    let fullness = (node.taken + wish.cost).share_of(node.capacity);
                    (is_elsewhere, fullness)
                })
                .ok_or(LedgerError::Full)?,
        };
        let expires = now + self.times.reservation;
        self.places
            .keep(&wish.broadcast, &best.id, wish.cost, expires);
        Ok(Reservation {
            why: Why::MostRoom {
                free: best.free(),
                in_region: wish.region.as_ref().map(|_| best.region == wish.region),
            },
            node: best.id,
        })
    }

    /// Has a node hold a broadcast; its kept place is used up. Claiming one's own again keeps its number.
    pub fn claim(
        &mut self,
        broadcast: &str,
        node: &NodeId,
        epoch: Epoch,
        now: Moment,
    ) -> Result<Claim, ClaimError> {
        if !self.is_alive(node, epoch, now) {
            return Err(ClaimError::NotRegistered);
        }
        match self.held.get(broadcast) {
            Some(held) if held.node == *node && held.epoch == epoch => {
                return Ok(Claim { fence: held.fence });
            }
            Some(held) if self.is_alive(&held.node, held.epoch, now) => {
                return Err(ClaimError::Held(held.node.clone()));
            }
            Some(_) => return Err(ClaimError::Orphaned),
            None => {}
        }
        self.places.use_up(broadcast, node);
        let fence = Fence(self.next_number());
        self.hold(broadcast, node, epoch, fence, Vec::new());
        Ok(Claim { fence })
    }

    /// Tells a registry that lost its memory what a node holds. Whoever holds it by a larger number keeps it, and what has
    /// ended by such a number stays ended.
    pub fn reclaim(
        &mut self,
        broadcast: &str,
        node: &NodeId,
        epoch: Epoch,
        fence: Fence,
        state: Vec<u8>,
    ) -> Result<(), ClaimError> {
        if self
            .held
            .get(broadcast)
            .is_some_and(|held| held.fence > fence)
            || self.ends.has_ended(broadcast, fence)
        {
            return Err(ClaimError::Fenced);
        }
        self.numbers = self.numbers.max(fence.0);
        self.hold(broadcast, node, epoch, fence, state);
        Ok(())
    }

    /// Writes down what another node would need to go on.
    pub fn save(
        &mut self,
        broadcast: &str,
        fence: Fence,
        state: Vec<u8>,
    ) -> Result<(), ClaimError> {
        self.check(broadcast, fence)?;
        if let Some(held) = self.held.get_mut(broadcast) {
            held.state = state;
        }
        Ok(())
    }

    /// The broadcast has ended.
    pub fn release(&mut self, broadcast: &str, fence: Fence, now: Moment) {
        if self
            .held
            .get(broadcast)
            .is_some_and(|held| held.fence == fence)
        {
            self.forget(broadcast);
            self.keys.retain(|_, holder| holder != broadcast);
            self.ends.note(broadcast, fence, now);
        }
    }

    /// Who holds a broadcast, alive or not, and by which number.
    pub fn holder(&self, broadcast: &str) -> Option<(&NodeId, Fence)> {
        let held = self.held.get(broadcast)?;
        Some((&held.node, held.fence))
    }

    /// Broadcasts whose node is dead.
    pub fn orphans(&self, now: Moment) -> Vec<Orphan> {
        let dead = self
            .held
            .iter()
            .filter(|(_, held)| !self.is_alive(&held.node, held.epoch, now));
        dead.take(ORPHANS_LIMIT)
            .map(|(broadcast, held)| Orphan {
                broadcast: broadcast.clone(),
                node: held.node.clone(),
                fence: held.fence,
            })
            .collect()
    }

    /// Takes over a broadcast whose node is dead. Of many who try only the first succeeds.
    pub fn adopt(
        &mut self,
        orphan: &Orphan,
        node: &NodeId,
        epoch: Epoch,
        now: Moment,
    ) -> Result<Adopted, ClaimError> {
        if !self.is_alive(node, epoch, now) {
            return Err(ClaimError::NotRegistered);
        }
        let held = self.held.get(&orphan.broadcast).ok_or(ClaimError::Fenced)?;
        if held.fence != orphan.fence {
            return Err(ClaimError::Fenced);
        }
        if self.is_alive(&held.node, held.epoch, now) {
            return Err(ClaimError::Held(held.node.clone()));
        }
        let state = held.state.clone();
        let fence = Fence(self.next_number());
        self.hold(&orphan.broadcast, node, epoch, fence, state.clone());
        Ok(Adopted { fence, state })
    }

    /// Gives a broadcast to another node, which is alive. The giver's number is refused from now on.
    pub fn hand_over(
        &mut self,
        broadcast: &str,
        fence: Fence,
        to: &NodeId,
        now: Moment,
    ) -> Result<Adopted, ClaimError> {
        let state = self.check(broadcast, fence)?.state.clone();
        let epoch = match self.members.get(to) {
            Some(member) if member.expires > now => member.epoch,
            _ => return Err(ClaimError::NotRegistered),
        };
        let fence = Fence(self.next_number());
        self.hold(broadcast, to, epoch, fence, state.clone());
        Ok(Adopted { fence, state })
    }

    /// Lets a broadcast publish with a key that no other broadcast of the fleet publishes with.
    pub fn take_key(
        &mut self,
        key: [u8; 32],
        broadcast: &str,
        fence: Fence,
        now: Moment,
    ) -> Result<(), KeyError> {
        self.check_key(&key, broadcast, fence)?;
        let is_own = self
            .keys
            .get(&key)
            .is_some_and(|holder| holder == broadcast);
        let is_young = self.began.is_none_or(|began| now < began + self.times.node);
        if is_young && !is_own {
            return Err(KeyError::Retelling);
        }
        self.keys.insert(key, broadcast.to_owned());
        Ok(())
    }

    /// Tells a registry that lost its memory of a key that the broadcast has.
    pub fn retell_key(
        &mut self,
        key: [u8; 32],
        broadcast: &str,
        fence: Fence,
    ) -> Result<(), KeyError> {
        self.check_key(&key, broadcast, fence)?;
        self.keys.insert(key, broadcast.to_owned());
        Ok(())
    }

    /// The broadcast publishes with this key no more.
    pub fn give_back_key(&mut self, key: &[u8; 32], broadcast: &str, fence: Fence) {
        let is_newest = self
            .holder(broadcast)
            .is_some_and(|(_, newest)| newest == fence);
        if is_newest && self.keys.get(key).is_some_and(|holder| holder == broadcast) {
            self.keys.remove(key);
        }
    }

    /// Whether this is the newest number of a broadcast.
    fn check(&self, broadcast: &str, fence: Fence) -> Result<&Held, ClaimError> {
        match self.held.get(broadcast) {
            Some(held) if held.fence == fence => Ok(held),
            None if !self.ends.has_ended(broadcast, fence) => Err(ClaimError::Forgotten),
            _ => Err(ClaimError::Fenced),
        }
    }

    fn check_key(&self, key: &[u8; 32], broadcast: &str, fence: Fence) -> Result<(), KeyError> {
        self.check(broadcast, fence)?;
        match self.keys.get(key) {
            Some(holder) if holder != broadcast && self.held.contains_key(holder) => {
                Err(KeyError::Held(holder.clone()))
            }
            _ => Ok(()),
        }
    }

    fn with_places(&self, member: &Member) -> NodeReport {
        let mut report = member.report.clone();
        report.taken = report.taken + self.places.on(&report.id);
        report
    }

    fn hold(&mut self, broadcast: &str, node: &NodeId, epoch: Epoch, fence: Fence, state: Vec<u8>) {
        let held = Held {
            node: node.clone(),
            epoch,
            fence,
            state,
        };
        self.forget(broadcast);
        let life = (node.clone(), epoch);
        let of_life = self.by_life.entry(life).or_default();
        of_life.insert(broadcast.to_owned());
        self.held.insert(broadcast.to_owned(), held);
    }

    fn forget(&mut self, broadcast: &str) {
        let Some(held) = self.held.remove(broadcast) else {
            return;
        };
        let life = (held.node, held.epoch);
        if let Some(of_life) = self.by_life.get_mut(&life) {
            of_life.remove(broadcast);
            if of_life.is_empty() {
                self.by_life.remove(&life);
            }
        }
    }

    fn is_alive(&self, node: &NodeId, epoch: Epoch, now: Moment) -> bool {
        self.members
            .get(node)
            .is_some_and(|member| member.epoch == epoch && member.expires > now)
    }

    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
