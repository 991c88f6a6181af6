//! What is written down of a broadcast at `LiveKit`, and what is known of it in this process alone.

use broadcast::StreamKey;
use serde::{Deserialize, Serialize};

use super::{
    address::{mark, redacted},
    wire::{Egress, Stream, StreamPhase},
};
use crate::hosted::{Handle, ProviderError, TargetId};

/// The names of things, without a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remote {
    /// The room; all else is found by it.
    pub(super) room: String,
    #[serde(default)]
    pub(super) ingress: Option<String>,
    #[serde(default)]
    pub(super) egress: Option<String>,
    /// Where the egress's destinations stand among its streams.
    #[serde(default)]
    pub(super) places: Vec<Place>,
}

/// Which stream of an egress is a destination's: the `nth` of those that look the same with most of their keys left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) target: String,
    /// What tells the shown address apart.
    pub(super) mark: String,
    /// Counted from 0 on, in the order in which they were added, the ended ones among them.
    pub(super) nth: usize,
}

/// A destination with the address that `LiveKit` was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) target: TargetId,
    pub(super) address: StreamKey,
}

impl Remote {
    pub(super) fn read(handle: &Handle) -> Result<Self, ProviderError> {
        serde_json::from_value(handle.remote.clone())
            .map_err(|_| ProviderError::Protocol("the handle is not one of LiveKit's".to_owned()))
    }

    pub(super) fn write(&self, handle: &mut Handle) {
        // Names and numbers are always JSON.
        handle.remote = serde_json::to_value(self).unwrap_or_default();
    }

    /// The place of a destination.
    pub(super) fn place(&self, target: &TargetId) -> Option<&Place> {
        self.places
            .iter()
            .find(|place| place.target == target.as_str())
    }

    /// Forgets where a destination stands.
    pub(super) fn forget(&mut self, target: &TargetId) {
        self.places.retain(|place| place.target != target.as_str());
    }

    /// Writes down the egress that was started with `sent`, in this order.
    pub(super) fn begin(&mut self, egress: &Egress, sent: &[Sent]) {
        self.egress = Some(egress.id.clone());
        self.places.clear();
        for sent in sent {
            self.add(sent);
        }
    }

    /// Writes down a stream that was added behind those that are known.
    fn add(&mut self, sent: &Sent) {
        let mark = mark(&redacted(sent.address.expose()));
        let nth = self
            .places
            .iter()
            .filter(|place| place.mark == mark)
            .count();
        self.places.push(Place {
            target: sent.target.to_string(),
            mark,
            nth,
        });
    }

    /// Writes down that a stream has been added: the last of those in `egress` that look like it.
    pub(super) fn added(&mut self, sent: &Sent, egress: &Egress) {
        let mark = mark(&redacted(sent.address.expose()));
        let nth = alike(egress, &mark).count().saturating_sub(1);
        self.forget(&sent.target);
        self.places.push(Place {
            target: sent.target.to_string(),
            mark,
            nth,
        });
    }

    /// Finds the stream of a destination that may have been added without our having been told: one that looks like it,
    /// runs, and is nobody else's.
    pub(super) fn claim(&mut self, sent: &Sent, egress: &Egress) -> bool {
        let mark = mark(&redacted(sent.address.expose()));
        let free = alike(egress, &mark).enumerate().find(|(nth, stream)| {
            let mut places = self.places.iter();
            stream.status == StreamPhase::Active
                && !places.any(|place| place.mark == mark && place.nth == *nth)
        });
        let Some((nth, _)) = free else { return false };
        self.forget(&sent.target);
        self.places.push(Place {
            target: sent.target.to_string(),
            mark,
            nth,
        });
        true
    }
}

impl Place {
    /// Its stream.
    pub(super) fn find<'a>(&self, egress: &'a Egress) -> Option<&'a Stream> {
        alike(egress, &self.mark).nth(self.nth)
    }
}

/// The streams with this mark, in the order in which they were added.
fn alike<'a>(egress: &'a Egress, wanted: &str) -> impl Iterator<Item = &'a Stream> {
    egress
        .stream_results
        .iter()
        .filter(move |stream| mark(&stream.url) == wanted)
}

#[cfg(test)]
mod tests {
    use broadcast::DestinationId;
    use serde_json::json;

    use super::*;

    fn sent(name: &str, address: &str) -> Sent {
        let destination = DestinationId::new(name).unwrap();
        Sent {
            target: TargetId::new(&destination, broadcast::LineName::Primary),
            address: StreamKey::new(address),
        }
    }

    fn egress(streams: &[(&str, &str)]) -> Egress {
        let streams: Vec<_> = streams
            .iter()
            .map(|(url, status)| json!({ "url": redacted(url), "status": status }))
            .collect();
        serde_json::from_value(json!({ "egress_id": "EG_1", "stream_results": streams })).unwrap()
    }

    const ONE: &str = "rtmp://host:1935/live/key-number-1-end";
    const TWIN: &str = "rtmp://host:1935/live/key-number-2-end";
    const OTHER: &str = "rtmp://host:1935/live/other";

    #[test]
    fn keys_that_look_the_same_are_told_apart_by_their_order() {
        let mut remote = Remote::default();
        let (one, twin) = (sent("one", ONE), sent("twin", TWIN));
        let egress = egress(&[(ONE, "ACTIVE"), (OTHER, "ACTIVE"), (TWIN, "FAILED")]);

        remote.begin(&egress, &[one.clone(), sent("other", OTHER), twin.clone()]);

        let status = |remote: &Remote, sent: &Sent| {
            remote
                .place(&sent.target)
                .unwrap()
                .find(&egress)
                .unwrap()
                .status
        };
        assert_eq!(status(&remote, &one), StreamPhase::Active);
        assert_eq!(status(&remote, &twin), StreamPhase::Failed);
    }

    #[test]
    fn a_destination_that_was_added_again_is_the_last_of_its_kind() {
        let mut remote = Remote::default();
        let one = sent("one", ONE);
        remote.begin(&egress(&[(ONE, "ACTIVE")]), std::slice::from_ref(&one));

        let later = egress(&[(ONE, "FAILED"), (ONE, "ACTIVE")]);
        remote.added(&one, &later);

        assert_eq!(remote.places.len(), 1);
        let stream = remote.place(&one.target).unwrap().find(&later).unwrap();
        assert_eq!(stream.status, StreamPhase::Active);
    }

    #[test]
    fn a_stream_is_claimed_once_and_only_while_it_runs() {
        let mut remote = Remote::default();
        let (one, twin) = (sent("one", ONE), sent("twin", TWIN));
        remote.begin(&egress(&[(ONE, "ACTIVE")]), std::slice::from_ref(&one));

        assert!(!remote.claim(&twin, &egress(&[(ONE, "ACTIVE")])));
        assert!(!remote.claim(&twin, &egress(&[(ONE, "ACTIVE"), (TWIN, "FAILED")])));
        assert!(remote.claim(&twin, &egress(&[(ONE, "ACTIVE"), (TWIN, "ACTIVE")])));
        assert_eq!(remote.place(&twin.target).unwrap().nth, 1);
    }

    #[test]
    fn what_is_written_down_holds_neither_keys_nor_applications() {
        let mut remote = Remote::default();
        let secret = "rtmp://host:1935/canary-application/canary-key";
        remote.begin(&egress(&[(secret, "ACTIVE")]), &[sent("one", secret)]);
        let mut handle = Handle {
            broadcast: "show".to_owned(),
            owner: "node".to_owned(),
            remote: serde_json::Value::Null,
        };

        remote.write(&mut handle);

        assert!(!serde_json::to_string(&handle).unwrap().contains("can"));
        assert_eq!(Remote::read(&handle).unwrap(), remote);
    }
}
