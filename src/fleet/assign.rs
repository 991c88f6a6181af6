//! Which node is to take a broadcast, and why.

use std::{cmp::Reverse, fmt};

use crate::{Cores, NodeId, NodeReport, rendezvous::weight};

/// What somebody wants a node for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The broadcast's name.
    pub broadcast: String,
    /// What it is reckoned to take.
    pub cost: Cores,
    /// Where it is rather to be.
    pub region: Option<String>,
    /// The method that the node must be able to run.
    pub method: Option<String>,
}

/// A node that could take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub node: NodeId,
    /// Why it stands where it stands.
    pub why: Why,
}

/// Why a node was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// The broadcast lives there.
    LivesThere,
    /// It has the most room, for its size.
    MostRoom {
        /// What is free there.
        free: Cores,
        /// Whether it is where it was wished to be; `None`: nothing was wished.
        in_region: Option<bool>,
    },
    /// The registry is not there: everybody who knows the same nodes chooses this one.
    LastKnown,
}

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LivesThere => formatter.write_str("the broadcast lives there"),
            Self::MostRoom { free, in_region } => {
                let region = match in_region {
                    Some(true) => ", in the region that was asked for",
                    Some(false) => "; the region that was asked for has no room",
                    None => "",
                };
                write!(formatter, "it has the most room: {free} cores{region}")
            }
            Self::LastKnown => formatter
                .write_str("the registry is not available; chosen from the nodes last known"),
        }
    }
}

/// Why no node can take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoNode {
    /// Nobody is there.
    #[error("there is no node")]
    None,
    /// Nobody can run the method.
    #[error("no node can run this method")]
    Method,
    /// All that could are draining.
    #[error("all nodes are draining")]
    Draining,
    /// All that could are full.
    #[error("all nodes are full: {wanted} cores are needed, and the most that is free is {most}")]
    Full {
        /// What it would take.
        wanted: Cores,
        /// The most that one node has free.
        most: Cores,
    },
}

/// Sorts the nodes that can take it: those of the wished region first, then those that would be the least full with it.
///
/// Equal ones stand in the broadcast's own order, so that many who ask at once do not all ask for the same.
pub fn candidates(nodes: &[NodeReport], wish: &Wish) -> Result<Vec<Candidate>, NoNode> {
    if nodes.is_empty() {
        return Err(NoNode::None);
    }
    let able: Vec<&NodeReport> = nodes.iter().filter(|node| can_run(node, wish)).collect();
    if able.is_empty() {
        return Err(NoNode::Method);
    }
    let open: Vec<&NodeReport> = able.into_iter().filter(|node| !node.draining).collect();
    let Some(most) = open.iter().map(|node| node.free()).max() else {
        return Err(NoNode::Draining);
    };
    let mut fitting: Vec<&NodeReport> = open
        .into_iter()
        .filter(|node| node.free() >= wish.cost)
        .collect();
    if fitting.is_empty() {
        return Err(NoNode::Full {
            wanted: wish.cost,
            most,
        });
    }
    fitting.sort_by_cached_key(|node| {
        let fullness = (node.taken + wish.cost).share_of(node.capacity);
        let own = Reverse(weight(&wish.broadcast, &node.id));
        (is_elsewhere(node, wish), fullness, own)
    });
    let candidate = |node: &NodeReport| Candidate {
        node: node.id.clone(),
        why: Why::MostRoom {
            free: node.free(),
            in_region: wish.region.as_ref().map(|_| !is_elsewhere(node, wish)),
        },
    };
    Ok(fitting.into_iter().map(candidate).collect())
}

fn can_run(node: &NodeReport, wish: &Wish) -> bool {
    wish.method
        .as_ref()
        .is_none_or(|method| node.methods.contains(method))
}

fn is_elsewhere(node: &NodeReport, wish: &Wish) -> bool {
    wish.region.is_some() && node.region != wish.region
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, taken: u64) -> NodeReport {
        NodeReport {
            id: NodeId::new(name).unwrap(),
            instance: name.to_owned(),
            url: format!("https://{name}.example.org"),
            ip: "192.0.2.1".to_owned(),
            region: None,
            methods: vec!["gstreamer".to_owned()],
            version: "0.1.0".to_owned(),
            draining: false,
            capacity: Cores::of_millionths(1_000_000),
            taken: Cores::of_millionths(taken),
            broadcasts: 0,
        }
    }

    fn wish() -> Wish {
        Wish {
            broadcast: "show".to_owned(),
            cost: Cores::of_millionths(24_000),
            region: None,
            method: None,
        }
    }

    fn names(candidates: &[Candidate]) -> Vec<&str> {
        candidates
            .iter()
            .map(|candidate| candidate.node.as_str())
            .collect()
    }

    #[test]
    fn the_emptiest_node_for_its_size_is_first() {
        let mut large = node("large", 1_500_000);
        large.capacity = Cores::of_millionths(4_000_000);
        let nodes = [node("half", 500_000), large, node("idle", 0)];

        let found = candidates(&nodes, &wish()).unwrap();

        assert_eq!(names(&found), ["idle", "large", "half"]);
    }

    #[test]
    fn a_region_is_preferred_and_not_demanded() {
        let mut near = node("near", 900_000);
        near.region = Some("eu".to_owned());
        let nodes = [node("far", 0), near];
        let mut wish = wish();
        wish.region = Some("eu".to_owned());

        let found = candidates(&nodes, &wish).unwrap();
        wish.region = Some("us".to_owned());
        let other = candidates(&nodes, &wish).unwrap();

        assert_eq!(names(&found), ["near", "far"]);
        assert_eq!(names(&other), ["far", "near"]);
        assert!(
            other[0].why.to_string().contains("has no room"),
            "{}",
            other[0].why
        );
    }

    #[test]
    fn what_does_not_fit_is_told_with_figures() {
        let nodes = [node("full", 990_000), node("fuller", 1_000_000)];

        let refused = candidates(&nodes, &wish()).unwrap_err();

        assert_eq!(
            refused.to_string(),
            "all nodes are full: 0.024 cores are needed, and the most that is free is 0.010"
        );
    }

    #[test]
    fn the_last_millionth_can_be_had() {
        let exactly = node("exactly", 1_000_000 - 24_000);
        let less = node("less", 1_000_000 - 23_999);

        assert!(candidates(&[exactly], &wish()).is_ok());
        assert!(matches!(
            candidates(&[less], &wish()),
            Err(NoNode::Full { .. })
        ));
    }

    #[test]
    fn draining_nodes_and_those_without_the_method_are_left_out() {
        let mut draining = node("draining", 0);
        draining.draining = true;
        let mut wish = wish();

        assert_eq!(candidates(&[], &wish), Err(NoNode::None));
        assert_eq!(
            candidates(&[draining.clone()], &wish),
            Err(NoNode::Draining)
        );
        wish.method = Some("ffmpeg".to_owned());
        assert_eq!(
            candidates(&[draining, node("open", 0)], &wish),
            Err(NoNode::Method)
        );
    }

    #[test]
    fn equal_nodes_are_not_all_asked_by_everybody() {
        let nodes: Vec<NodeReport> = (0..8)
            .map(|number| node(&format!("n{number}"), 0))
            .collect();
        let mut firsts = std::collections::BTreeSet::new();
        for number in 0..100 {
            let wish = Wish {
                broadcast: format!("show-{number}"),
                ..wish()
            };
            firsts.insert(candidates(&nodes, &wish).unwrap()[0].node.clone());
        }

        assert_eq!(firsts.len(), 8);
    }
}
