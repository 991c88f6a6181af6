//! Places that are kept on nodes for broadcasts that are about to begin.

use std::{collections::HashMap, time::Duration};

use crate::{Cores, NodeId};

#[derive(Debug, Clone)]
struct Place {
    node: NodeId,
    cost: Cores,
    expires: Duration,
    /// The broadcast has begun: the node's next heartbeat counts it.
    is_used: bool,
}

/// All kept places.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    by_broadcast: HashMap<String, Place>,
    by_node: HashMap<NodeId, Cores>,
    /// No place expires before this.
    earliest: Duration,
}

impl Places {
    /// Keeps a place, in the stead of any other for this broadcast.
    pub(crate) fn keep(&mut self, broadcast: &str, node: &NodeId, cost: Cores, expires: Duration) {
        self.give_up(broadcast);
        let sum = self.by_node.entry(node.clone()).or_default();
        *sum = *sum + cost;
        self.earliest = if self.by_broadcast.is_empty() {
            expires
        } else {
            self.earliest.min(expires)
        };
        let place = Place {
            node: node.clone(),
            cost,
            expires,
            is_used: false,
        };
        self.by_broadcast.insert(broadcast.to_owned(), place);
    }

    /// Where a place is kept for a broadcast that has not begun.
    pub(crate) fn of(&self, broadcast: &str) -> Option<&NodeId> {
        let place = self.by_broadcast.get(broadcast)?;
        (!place.is_used).then_some(&place.node)
    }

    /// What is kept on a node.
    pub(crate) fn on(&self, node: &NodeId) -> Cores {
        self.by_node.get(node).copied().unwrap_or_default()
    }

    /// The broadcast has begun; its place counts until its node tells of it.
    pub(crate) fn use_up(&mut self, broadcast: &str, node: &NodeId) {
        match self.by_broadcast.get_mut(broadcast) {
            Some(place) if place.node == *node => place.is_used = true,
            // It began elsewhere than it was to.
            _ => self.give_up(broadcast),
        }
    }

    /// A node has told what it has.
    pub(crate) fn handle_report(&mut self, node: &NodeId) {
        self.drop_where(|place| place.is_used && place.node == *node);
    }

    /// Frees what was kept long enough.
    pub(crate) fn expire(&mut self, now: Duration) {
        if now < self.earliest || self.by_broadcast.is_empty() {
            return;
        }
        self.drop_where(|place| place.expires <= now);
        let expiries = self.by_broadcast.values().map(|place| place.expires);
        self.earliest = expiries.min().unwrap_or_default();
    }

    fn give_up(&mut self, broadcast: &str) {
        if let Some(place) = self.by_broadcast.remove(broadcast) {
            self.subtract(&place);
        }
    }

    fn drop_where(&mut self, is_over: impl Fn(&Place) -> bool) {
        let over = self.by_broadcast.extract_if(|_, place| is_over(place));
        let over: Vec<Place> = over.map(|(_, place)| place).collect();
        for place in over {
            self.subtract(&place);
        }
    }

    fn subtract(&mut self, place: &Place) {
        if let Some(sum) = self.by_node.get_mut(&place.node) {
            *sum = *sum - place.cost;
            if *sum == Cores::NONE {
                self.by_node.remove(&place.node);
            }
        }
    }
}
