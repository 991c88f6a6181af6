//! What must change at a provider so that a show goes to the wanted destinations and to no others, for providers that have
//! one thing, which cannot be changed, for each destination.

use std::collections::{BTreeMap, BTreeSet};

use broadcast::{Endpoint, StreamKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{HostedTarget, TargetId, address::server_url, hex::hex};

/// A destination as the provider tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    /// The provider's name of it.
    pub(crate) uid: String,
    /// Where it leads to, and by which key, if the provider tells.
    pub(crate) url: Option<StreamKey>,
    /// See `url`.
    pub(crate) stream_key: Option<StreamKey>,
    /// Whether it is switched on.
    pub(crate) enabled: bool,
}

/// A destination's output, as a handle remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    /// The provider's name of it.
    pub(crate) uid: String,
    /// The [`print`] of where it leads to.
    pub(crate) print: String,
}

/// All destinations' outputs, by the text of their [`TargetId`].
pub(crate) type Outputs = BTreeMap<String, Remembered>;

/// What must change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// To be deleted, before anything is made: it may hold a key that is wanted elsewhere.
    pub(crate) remove: Vec<String>,
    /// To be switched on.
    pub(crate) enable: Vec<String>,
    /// To be made.
    pub(crate) create: Vec<HostedTarget>,
    /// What is there already.
    pub(crate) keep: Outputs,
}

/// Tells one address and key from another, in 32 bits: enough to see that a key was changed, too few to find it by.
///
/// `show` is the provider's name of the show, so that one key looks different in each.
pub(crate) fn print(show: &str, endpoint: &Endpoint) -> String {
    let mut hash = Sha256::new();
    for part in [
        show,
        server_url(endpoint).expose(),
        endpoint.stream_key().expose(),
    ] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..4])
}

/// Compares what is there and what is remembered with what is wanted.
///
/// Another address or key means another output. One that is there already for
/// a wanted address and key, from an earlier attempt or for another destination, is taken instead of made: two outputs with
/// one key would be two publishers.
pub(crate) fn changes(
    show: &str,
    there: &[Output],
    remembered: &Outputs,
    wanted: &[HostedTarget],
) -> Changes {
    let mut changes = Changes::default();
    let mut taken = BTreeSet::new();
    let mut missing = Vec::new();
    for target in wanted {
        let print = print(show, &target.endpoint);
        let known = remembered
            .get(target.id.as_str())
            .filter(|known| known.print == print)
            .and_then(|known| there.iter().find(|output| output.uid == known.uid));
        match known {
            Some(output) if taken.insert(output.uid.as_str()) => {
                changes.keep(&target.id, output, print);
            }
            _ => missing.push((target, print)),
        }
    }
    for (target, print) in missing {
        let same = there.iter().find(|output| {
            !taken.contains(output.uid.as_str()) && leads_to(output, &target.endpoint)
        });
        match same {
            Some(output) => {
                taken.insert(output.uid.as_str());
                changes.keep(&target.id, output, print);
            }
            None => changes.create.push(target.clone()),
        }
    }
    changes.remove = there
        .iter()
        .filter(|output| !taken.contains(output.uid.as_str()))
        .map(|output| output.uid.clone())
        .collect();
    changes
}

impl Changes {
    /// Whether all is as it should be.
    pub(crate) const fn are_none(&self) -> bool {
        self.remove.is_empty() && self.enable.is_empty() && self.create.is_empty()
    }

    fn keep(&mut self, id: &TargetId, output: &Output, print: String) {
        if !output.enabled {
            self.enable.push(output.uid.clone());
        }
        let remembered = Remembered {
            uid: output.uid.clone(),
            print,
        };
        self.keep.insert(id.as_str().to_owned(), remembered);
    }
}

fn leads_to(output: &Output, endpoint: &Endpoint) -> bool {
    output.url.as_ref() == Some(&server_url(endpoint))
        && output.stream_key.as_ref() == Some(endpoint.stream_key())
}

#[cfg(test)]
mod tests {
    use broadcast::StreamKey;
    use proptest::prelude::*;

    use super::*;

    const SHOW: &str = "f256e6ea";

    fn target(id: &str, key: &str) -> HostedTarget {
        HostedTarget {
            id: TargetId::known(id),
            endpoint: Endpoint::parse("rtmps://host/live", Some(key)).unwrap(),
        }
    }

    fn output(uid: &str, key: &str) -> Output {
        Output {
            uid: uid.to_owned(),
            url: Some(StreamKey::new("rtmps://host:443/live")),
            stream_key: Some(StreamKey::new(key)),
            enabled: true,
        }
    }

    fn remember(id: &str, uid: &str, key: &str) -> Outputs {
        let print = print(SHOW, &target(id, key).endpoint);
        let uid = uid.to_owned();
        Outputs::from([(id.to_owned(), Remembered { uid, print })])
    }

    #[test]
    fn what_is_wanted_and_there_is_left_alone() {
        let changes = changes(
            SHOW,
            &[output("1", "k")],
            &remember("a", "1", "k"),
            &[target("a", "k")],
        );

        assert_eq!(changes.keep, remember("a", "1", "k"));
        assert!(changes.are_none());
    }

    #[test]
    fn what_is_known_is_left_alone_although_the_key_is_not_told() {
        let mut told = output("1", "k");
        told.stream_key = None;

        let changes = changes(SHOW, &[told], &remember("a", "1", "k"), &[target("a", "k")]);

        assert!(changes.remove.is_empty() && changes.create.is_empty());
    }

    #[test]
    fn another_key_is_another_output() {
        let changes = changes(
            SHOW,
            &[output("1", "old")],
            &remember("a", "1", "old"),
            &[target("a", "new")],
        );

        assert_eq!(changes.remove, ["1"]);
        assert_eq!(changes.create, [target("a", "new")]);
    }

    #[test]
    fn a_key_that_moves_to_another_destination_keeps_its_output() {
        let changes = changes(
            SHOW,
            &[output("1", "k")],
            &remember("a", "1", "k"),
            &[target("b", "k")],
        );

        assert_eq!(changes.keep, remember("b", "1", "k"));
        assert!(changes.remove.is_empty() && changes.create.is_empty());
    }

    #[test]
    fn a_second_output_of_one_key_is_removed() {
        let there = [output("1", "k"), output("2", "k")];

        let changes = changes(SHOW, &there, &Outputs::new(), &[target("a", "k")]);

        assert_eq!(changes.remove, ["2"]);
        assert!(changes.create.is_empty());
    }

    #[test]
    fn what_was_switched_off_is_switched_on() {
        let mut off = output("1", "k");
        off.enabled = false;

        let changes = changes(SHOW, &[off], &remember("a", "1", "k"), &[target("a", "k")]);

        assert_eq!(changes.enable, ["1"]);
    }

    #[test]
    fn a_print_says_too_little_to_be_a_key() {
        let print = print(SHOW, &target("a", "live_secret").endpoint);

        assert_eq!(print.len() * 4, 32);
        assert_ne!(
            print,
            super::print("other", &target("a", "live_secret").endpoint)
        );
    }

    proptest! {
        #[test]
        fn afterwards_each_wanted_destination_has_one_output_and_no_key_two(
            there in proptest::collection::vec(0_u8..6, 0..8),
            known in proptest::collection::btree_map(0_u8..6, (0_usize..8, 0_u8..6), 0..6),
            wanted in proptest::collection::btree_map(0_u8..6, 0_u8..6, 0..6),
        ) {
            let there: Vec<_> = there
                .iter()
                .enumerate()
                .map(|(uid, key)| output(&uid.to_string(), &format!("k{key}")))
                .collect();
            // A memory that is true: one of an output that leads where it led when it was made.
            let remembered: Outputs = known
                .iter()
                .filter_map(|(id, (uid, _))| {
                    let output = there.get(*uid)?;
                    let key = output.stream_key.as_ref()?.expose();
                    remember(&format!("t{id}"), &output.uid, key).into_iter().next()
                })
                .collect();
            // Two destinations never share a key: the lease on it sees to that.
            let mut keys = BTreeSet::new();
            let wanted: Vec<_> = wanted
                .iter()
                .filter(|(_, key)| keys.insert(**key))
                .map(|(id, key)| target(&format!("t{id}"), &format!("k{key}")))
                .collect();

            let changes = changes(SHOW, &there, &remembered, &wanted);

            let mut after: Vec<String> = there
                .iter()
                .filter(|output| !changes.remove.contains(&output.uid))
                .map(|output| output.stream_key.as_ref().unwrap().expose().to_owned())
                .chain(changes.create.iter().map(|target| target.endpoint.stream_key().expose().to_owned()))
                .collect();
            after.sort();
            let mut expected: Vec<String> = wanted
                .iter()
                .map(|target| target.endpoint.stream_key().expose().to_owned())
                .collect();
            expected.sort();
            prop_assert_eq!(after, expected);
            prop_assert_eq!(changes.keep.len() + changes.create.len(), wanted.len());
        }
    }
}
