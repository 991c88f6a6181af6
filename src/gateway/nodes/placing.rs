//! Where a broadcast is to be: on the node that has it, on the one where a place is kept for it, or on the emptiest.

use fleet::{
    LedgerError, NoNode, NodeId, NodeReport, RegistryError, Reservation, Why, Wish, candidates,
    rendezvous,
};

use super::Membership;

/// A node for a broadcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) node: NodeReport,
    pub(crate) why: Why,
}

impl Membership {
    /// Finds a node for a broadcast, and keeps a place there for it. If the registry does not answer, the node is chosen from
    /// those last known, by an order that all come to, and no place is kept.
    pub(crate) async fn assign(&self, wish: &Wish) -> Result<Assignment, NoNode> {
        // What was told last may be a heartbeat old; a node that filled up since is found out by the registry.
        let known = self.view().fleet.alive.clone();
        let first = self.reserve_among(&known, wish).await;
        let refused = match first {
            Ok(Some(assignment)) => return Ok(assignment),
            Ok(None) => None,
            Err(Refused::Registry) => return last_known(&known, wish),
            Err(Refused::Nobody(why)) => Some(why),
        };
        let Ok(newest) = self.registry().fleet().await else {
            return refused.map_or_else(|| last_known(&known, wish), Err);
        };
        match self.reserve_among(&newest.alive, wish).await {
            Ok(Some(assignment)) => Ok(assignment),
            Ok(None) => Err(full(&newest.alive, wish)),
            Err(Refused::Registry) => last_known(&newest.alive, wish),
            Err(Refused::Nobody(why)) => Err(why),
        }
    }

    /// The other node on which a new broadcast is to begin; `None`: here, if anywhere.
    pub(crate) async fn find_place(&self, wish: &Wish) -> Option<NodeReport> {
        if self.is_alone() {
            return None;
        }
        let own = self.id();
        let here = if self.is_draining() {
            &[]
        } else {
            std::slice::from_ref(own)
        };
        match self.registry().reserve(wish, here).await {
            Ok(Reservation { node, .. }) if node == *own => None,
            Ok(Reservation { node, .. }) => self.find_node(&node).await,
            Err(RegistryError::Ledger(LedgerError::Full)) => self.find_place_elsewhere(wish).await,
            // Claiming it is going to tell.
            Err(_) => None,
        }
    }

    /// Another node that has room for a broadcast which this one does not take.
    pub(crate) async fn find_place_elsewhere(&self, wish: &Wish) -> Option<NodeReport> {
        if self.is_alone() {
            return None;
        }
        let view = self.view();
        let others: Vec<NodeReport> = view
            .fleet
            .alive
            .iter()
            .filter(|node| node.id != *self.id())
            .cloned()
            .collect();
        let found = self.reserve_among(&others, wish).await.ok()??;
        (found.node.id != *self.id()).then_some(found.node)
    }

    /// `None`: they are full by now, or the one chosen is not known here.
    async fn reserve_among(
        &self,
        nodes: &[NodeReport],
        wish: &Wish,
    ) -> Result<Option<Assignment>, Refused> {
        let wished = candidates(nodes, wish);
        let ids: Vec<NodeId> = match &wished {
            Ok(candidates) => candidates.iter().map(|one| one.node.clone()).collect(),
            // One that lives is found wherever it is.
            Err(_) => Vec::new(),
        };
        match self.registry().reserve(wish, &ids).await {
            Ok(Reservation { node, why }) => {
                let node = self.find_node(&node).await;
                Ok(node.map(|node| Assignment { node, why }))
            }
            Err(RegistryError::Ledger(LedgerError::Full)) => match wished {
                Ok(_) => Ok(None),
                Err(why) => Err(Refused::Nobody(why)),
            },
            Err(error) => {
                tracing::debug!(%error, "no place could be kept");
                Err(Refused::Registry)
            }
        }
    }

    async fn find_node(&self, id: &NodeId) -> Option<NodeReport> {
        let is_it = |node: &&NodeReport| node.id == *id;
        if let Some(known) = self.view().fleet.alive.iter().find(is_it) {
            return Some(known.clone());
        }
        let fleet = self.registry().fleet().await.ok()?;
        fleet.alive.iter().find(is_it).cloned()
    }
}

enum Refused {
    Nobody(NoNode),
    Registry,
}

/// Without the registry: everybody who knows the same nodes chooses the same one.
fn last_known(nodes: &[NodeReport], wish: &Wish) -> Result<Assignment, NoNode> {
    // Also those that seem full: what was told of them is old, and they say so themselves.
    let able = |node: &&NodeReport| {
        let method = wish.method.as_ref();
        !node.draining && method.is_none_or(|method| node.methods.contains(method))
    };
    let able: Vec<&NodeReport> = nodes.iter().filter(able).collect();
    let order = rendezvous(&wish.broadcast, able.iter().map(|node| &node.id));
    let first = order.first().copied();
    let node = able.iter().find(|node| Some(&node.id) == first);
    match node {
        Some(node) => Ok(Assignment {
            node: (*node).clone(),
            why: Why::LastKnown,
        }),
        None => Err(candidates(nodes, wish).err().unwrap_or(NoNode::None)),
    }
}

/// What to say when the registry has no room any more where there seemed to be some.
fn full(nodes: &[NodeReport], wish: &Wish) -> NoNode {
    let most = nodes.iter().map(NodeReport::free).max();
    most.map_or(NoNode::None, |most| NoNode::Full {
        wanted: wish.cost,
        most,
    })
}
