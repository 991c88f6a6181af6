//! Which destinations are wanted, and which may be at the provider.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{GOODBYE_LIMIT, OrderId};
use crate::hosted::{ProviderError, TargetId};

/// One attempt of a destination.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) target: TargetId,
    pub(super) paused: bool,
    pub(super) since: Instant,
    pub(super) is_live: bool,
    /// It was live at some time.
    pub(super) is_told_live: bool,
    pub(super) ending: Option<Ending>,
}

/// It ends as soon as the provider has let go of it.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) why: Option<ProviderError>,
    /// When it is told in any case.
    pub(super) until: Instant,
}

/// A destination that may be at the provider.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) order: OrderId,
    /// When the provider accepted it.
    pub(super) accepted: Option<Instant>,
    /// The provider says that it sends nothing there any more.
    pub(super) given_up: bool,
    pub(super) interrupted: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) orders: BTreeMap<OrderId, Order>,
    pub(super) sent: BTreeMap<TargetId, Sent>,
}

impl Order {
    pub(super) const fn new(target: TargetId, paused: bool, now: Instant) -> Self {
        Self {
            target,
            paused,
            since: now,
            is_live: false,
            is_told_live: false,
            ending: None,
        }
    }

    /// Ends it; who ends already goes on for the first reason, unless it is asked to.
    pub(super) fn end(&mut self, why: Option<ProviderError>, now: Instant) {
        let until = now + GOODBYE_LIMIT;
        match &mut self.ending {
            Some(ending) if why.is_none() && ending.why.is_some() => {
                *ending = Ending { why, until };
            }
            Some(_) => {}
            None => self.ending = Some(Ending { why, until }),
        }
    }
}

impl Sent {
    pub(super) const fn new(order: OrderId) -> Self {
        Self {
            order,
            accepted: None,
            given_up: false,
            interrupted: None,
        }
    }
}

impl Book {
    /// The attempts that do not end.
    pub(super) fn open(&self) -> impl Iterator<Item = (OrderId, &Order)> {
        self.orders
            .iter()
            .filter(|(_, order)| order.ending.is_none())
            .map(|(id, order)| (*id, order))
    }

    /// Those of them that are for one destination.
    pub(super) fn open_of(
        &mut self,
        target: &TargetId,
    ) -> impl Iterator<Item = (OrderId, &mut Order)> {
        self.orders
            .iter_mut()
            .filter(move |(_, order)| order.ending.is_none() && order.target == *target)
            .map(|(id, order)| (*id, order))
    }

    /// The attempts that are to be sent to, oldest first.
    pub(super) fn wanted(&self) -> Vec<OrderId> {
        self.open()
            .filter(|(_, order)| !order.paused)
            .map(|(id, _)| id)
            .collect()
    }

    /// Whether an attempt's destination may be at the provider on its behalf.
    pub(super) fn may_be_sent(&self, id: OrderId) -> bool {
        self.sent
            .values()
            .any(|sent| sent.order == id && !sent.given_up)
    }

    /// The attempts that were sent, are wanted, and are not given up.
    pub(super) fn staying(&self) -> Vec<OrderId> {
        let wanted = |id: OrderId| {
            self.orders
                .get(&id)
                .is_some_and(|order| order.ending.is_none() && !order.paused)
        };
        let staying = self.sent.values().filter(|sent| !sent.given_up);
        let mut ids: Vec<OrderId> = staying
            .map(|sent| sent.order)
            .filter(|id| wanted(*id))
            .collect();
        ids.sort_unstable();
        ids
    }

    /// The provider is about to be told of these, besides what it may know already.
    pub(super) fn send(&mut self, ids: &[OrderId]) {
        for id in ids {
            let Some(order) = self.orders.get(id) else {
                continue;
            };
            let is_there = self
                .sent
                .get(&order.target)
                .is_some_and(|sent| sent.order == *id);
            if !is_there {
                self.sent.insert(order.target.clone(), Sent::new(*id));
            }
        }
    }

    /// The provider has these, and no others.
    pub(super) fn accept(&mut self, ids: &[OrderId], now: Instant) {
        self.sent.retain(|_, sent| ids.contains(&sent.order));
        for sent in self.sent.values_mut() {
            sent.accepted.get_or_insert(now);
        }
    }

    /// Whether something must be taken away from the provider: what it accepted, and what its broadcast does not wait for.
    pub(super) fn must_remove(&self) -> bool {
        self.sent.values().any(|sent| {
            let order = self.orders.get(&sent.order);
            let is_wanted = order.is_some_and(|order| order.ending.is_none() && !order.paused);
            !sent.given_up && !is_wanted && !self.waits(sent.order)
        })
    }

    /// Whether the end of an attempt can wait until it is known whether the provider accepted it.
    fn waits(&self, id: OrderId) -> bool {
        let was_refused = self.orders.get(&id).is_some_and(|order| {
            let ending = order.ending.as_ref();
            ending.is_some_and(|ending| ending.why.is_some())
        });
        let accepted = |sent: &Sent| sent.order == id && sent.accepted.is_some();
        was_refused && !self.sent.values().any(accepted)
    }

    /// When the next ending is told in any case.
    pub(super) fn poll_timeout(&self, can_wait: bool) -> Option<Instant> {
        let due = self
            .orders
            .iter()
            .filter(|(id, _)| !(can_wait && self.waits(**id)));
        due.filter_map(|(_, order)| order.ending.as_ref())
            .map(|ending| ending.until)
            .min()
    }

    /// Takes out the attempts whose end can be told now, with how long their destinations may still be sent to;
    /// `held_for`: how long those may be that the provider did not confirm; `can_wait`: whether those that it perhaps never
    /// accepted wait until that is known.
    pub(super) fn take_ended(
        &mut self,
        held_for: Duration,
        can_wait: bool,
        now: Instant,
    ) -> Vec<(OrderId, Option<ProviderError>, Duration)> {
        let mut ended = Vec::new();
        let ids: Vec<OrderId> = self.orders.keys().copied().collect();
        for id in ids {
            let held = self.may_be_sent(id);
            let waits = can_wait && self.waits(id);
            let due = |ending: &Ending| !held || (!waits && now >= ending.until);
            let is_due = self.orders[&id].ending.as_ref().is_some_and(due);
            if let Some(order) = is_due.then(|| self.orders.remove(&id)).flatten() {
                let why = order.ending.and_then(|ending| ending.why);
                ended.push((id, why, if held { held_for } else { Duration::ZERO }));
            }
        }
        ended
    }
}
