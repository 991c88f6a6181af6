//! One order of the nodes for each broadcast, the same wherever it is worked out (Thaler and Ravishankar, 1998).

use sha2::{Digest, Sha256};

use crate::NodeId;

/// Sorts nodes by how much each is a broadcast's own. All who know the same nodes come to the same order, and a node that
/// comes or goes changes the first place only of those broadcasts that are its own.
pub fn rendezvous<'a>(broadcast: &str, nodes: impl Iterator<Item = &'a NodeId>) -> Vec<&'a NodeId> {
    let mut ranked: Vec<([u8; 32], &NodeId)> =
        nodes.map(|node| (weight(broadcast, node), node)).collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    ranked.into_iter().map(|(_, node)| node).collect()
}

/// How much a node is a broadcast's own; the largest is first.
pub(crate) fn weight(broadcast: &str, node: &NodeId) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(broadcast.as_bytes());
    // Neither name can hold it, so that no two pairs are the same text.
    hash.update([0]);
    hash.update(node.as_str().as_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: usize) -> Vec<NodeId> {
        (0..count)
            .map(|number| NodeId::new(format!("node-{number}")).unwrap())
            .collect()
    }

    #[test]
    fn everybody_comes_to_the_same_order() {
        let forwards = nodes(9);
        let backwards: Vec<NodeId> = forwards.iter().rev().cloned().collect();

        for number in 0..50 {
            let broadcast = format!("show-{number}");
            assert_eq!(
                rendezvous(&broadcast, forwards.iter()),
                rendezvous(&broadcast, backwards.iter())
            );
        }
    }

    #[test]
    fn a_node_that_goes_takes_only_its_own_broadcasts_with_it() {
        let all = nodes(10);
        let gone = &all[3];

        for number in 0..1_000 {
            let broadcast = format!("show-{number}");
            let before = rendezvous(&broadcast, all.iter());
            let after = rendezvous(&broadcast, all.iter().filter(|node| *node != gone));
            let expected = if before[0] == gone {
                before[1]
            } else {
                before[0]
            };
            assert_eq!(after[0], expected);
        }
    }

    #[test]
    fn broadcasts_are_spread_over_all_nodes() {
        let all = nodes(10);
        let mut first = std::collections::BTreeMap::new();
        for number in 0..10_000 {
            let broadcast = format!("show-{number}");
            *first
                .entry(rendezvous(&broadcast, all.iter())[0].clone())
                .or_insert(0) += 1;
        }

        // Of 10,000 each has 1,000 with a standard deviation of 30: five of them are no accident.
        assert!(
            first.values().all(|count| (850..1_150).contains(count)),
            "{first:?}"
        );
    }
}
