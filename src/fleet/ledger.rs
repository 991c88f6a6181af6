//! The rules of the registry: who is there, who holds what, and by which number. Whatever keeps it obeys these.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use crate::{Fleet, NodeId, NodeReport, Why, Wish, places::Places};

/// A moment on the registry's own clock, which is the only one that counts: nodes' clocks may differ.
type Moment = Duration;

/// How long a dead node counts when it is asked how many there are: it may only be cut off.
pub(crate) const MEMORY_OF_THE_DEAD: Duration = Duration::from_secs(60);

/// The most orphans that are told of at a time; the rest is told when these are adopted.
pub(crate) const ORPHANS_LIMIT: usize = 1_000;

/// How long things last that nobody renews.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// A node, after its last heartbeat. 3 s: three heartbeats, and a failover within 5 s.
    pub node: Duration,
    /// A reservation, after it was made. 15 s: what a studio may take from its assignment to its offer.
    pub reservation: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            node: Duration::from_secs(3),
            reservation: Duration::from_secs(15),
        }
    }
}

/// One life of a node: a process that registered. A later one has a larger number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// One holding of a broadcast. Whoever shows a smaller number than the newest is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

/// Why a node is not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Another process has this name, and is alive.
    #[error("another node is called '{0}' and is alive; give each its own SERVER_ID")]
    NameTaken(NodeId),
    /// Another process registered under this name since.
    #[error("another node has registered as '{0}' since")]
    Superseded(NodeId),
    /// None of the nodes that were named has room.
    #[error("none of the nodes has room any more")]
    Full,
}

/// Why a broadcast cannot be held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// Another node holds it, and is alive.
    #[error("the broadcast lives on node '{0}'")]
    Held(NodeId),
    /// Its node is dead: it is to be adopted, not begun anew.
    #[error("the broadcast waits for a node to adopt it")]
    Orphaned,
    /// Somebody else holds it by now.
    #[error("the broadcast was taken over meanwhile")]
    Fenced,
    /// Whoever asks is not registered.
    #[error("the node is not registered")]
    NotRegistered,
}

/// A place that is kept for a broadcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Where.
    pub node: NodeId,
    /// Why there.
    pub why: Why,
}

/// A broadcast that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// To be shown with everything that is done to it.
    pub fence: Fence,
}

/// A broadcast whose node is dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// Its name.
    pub broadcast: String,
    /// Whose it was.
    pub node: NodeId,
    /// By which number.
    pub fence: Fence,
}

/// A broadcast that was taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The new number.
    pub fence: Fence,
    /// What its node last wrote down of it.
    pub state: Vec<u8>,
}

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
    /// The hash of an address with its key, and the broadcast that publishes there.
    keys: HashMap<[u8; 32], String>,
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

    /// Notes that a node lives. One that was late is taken back; what was adopted meanwhile stays adopted.
    pub fn heartbeat(
        &mut self,
        report: NodeReport,
        epoch: Epoch,
        now: Moment,
    ) -> Result<(), LedgerError> {
        match self.members.get_mut(&report.id) {
            Some(member) if member.epoch == epoch => {
                self.places.handle_report(&report.id);
                member.report = report;
                member.expires = now + self.times.node;
                Ok(())
            }
            Some(_) => Err(LedgerError::Superseded(report.id)),
            None => {
                // The registry lost its memory. Its number stays in force, and later ones are larger.
                self.numbers = self.numbers.max(epoch.0);
                self.members.insert(
                    report.id.clone(),
                    Member {
                        report,
                        epoch,
                        expires: now + self.times.node,
                    },
                );
                Ok(())
            }
        }
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

    /// Tells a registry that lost its memory what a node holds. Whoever holds it by a larger number keeps it.
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
        match self.held.get_mut(broadcast) {
            Some(held) if held.fence == fence => {
                held.state = state;
                Ok(())
            }
            _ => Err(ClaimError::Fenced),
        }
    }

    /// The broadcast has ended.
    pub fn release(&mut self, broadcast: &str, fence: Fence) {
        if self
            .held
            .get(broadcast)
            .is_some_and(|held| held.fence == fence)
        {
            self.held.remove(broadcast);
            self.keys.retain(|_, holder| holder != broadcast);
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
        let held = self.held.get(broadcast).ok_or(ClaimError::Fenced)?;
        if held.fence != fence {
            return Err(ClaimError::Fenced);
        }
        let state = held.state.clone();
        let epoch = match self.members.get(to) {
            Some(member) if member.expires > now => member.epoch,
            _ => return Err(ClaimError::NotRegistered),
        };
        let fence = Fence(self.next_number());
        self.hold(broadcast, to, epoch, fence, state.clone());
        Ok(Adopted { fence, state })
    }

    /// Lets a broadcast publish with a key that no other broadcast of the fleet publishes with. `Err` names that one.
    pub fn take_key(
        &mut self,
        key: [u8; 32],
        broadcast: &str,
        fence: Fence,
    ) -> Result<(), Option<String>> {
        if self
            .holder(broadcast)
            .is_none_or(|(_, newest)| newest != fence)
        {
            return Err(None);
        }
        match self.keys.get(&key) {
            Some(holder) if holder != broadcast && self.held.contains_key(holder) => {
                Err(Some(holder.clone()))
            }
            _ => {
                self.keys.insert(key, broadcast.to_owned());
                Ok(())
            }
        }
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
        self.held.insert(broadcast.to_owned(), held);
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
