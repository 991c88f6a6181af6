//! What is remembered of a stream at such a server: names, no keys.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::RestreamKind;
use crate::hosted::{HostedTarget, ProviderError, TargetId, TargetState, TargetStatus};

/// A stream at a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remote {
    /// The name that we gave it.
    pub(super) name: String,
    /// The server's own name of it; the same where servers take ours.
    pub(super) id: String,
    /// Where it is sent, in the order in which the server was told.
    #[serde(default)]
    pub(super) targets: Vec<Placed>,
}

/// A destination at a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Placed {
    /// Our name.
    target: String,
    /// The server's own name of it; empty where it has none.
    #[serde(default)]
    pub(super) id: String,
    /// Tells another address or key; empty where nobody needs to.
    #[serde(default)]
    pub(super) mark: String,
}

/// A remote in a handle, with the kind of the server that it belongs to.
#[derive(Serialize, Deserialize)]
struct Written<R> {
    kind: RestreamKind,
    #[serde(flatten)]
    remote: R,
}

impl Remote {
    /// A stream that is sent nowhere yet.
    pub(super) fn new(name: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            id: id.into(),
            targets: Vec::new(),
        }
    }

    pub(super) fn to_json(&self, kind: RestreamKind) -> Result<Value, ProviderError> {
        serde_json::to_value(Written { kind, remote: self }).map_err(|error| {
            ProviderError::Protocol(format!("a handle that cannot be written: {error}"))
        })
    }

    /// Reads what was written down, perhaps by an earlier process that was configured for another server.
    pub(super) fn from_json(value: &Value, kind: RestreamKind) -> Result<Self, ProviderError> {
        let written = Written::<Self>::deserialize(value).map_err(|_| {
            ProviderError::Protocol("the handle is not one of this provider".to_owned())
        })?;
        if written.kind != kind {
            return Err(ProviderError::Conflict(format!(
                "the handle is of {}, and RESTREAM_KIND says {kind}",
                written.kind
            )));
        }
        Ok(written.remote)
    }

    /// All its destinations in one state.
    pub(super) fn all(&self, state: &TargetState) -> Vec<TargetStatus> {
        self.each(|_| state.clone())
    }

    /// The state of each of its destinations.
    pub(super) fn each(&self, mut state: impl FnMut(&Placed) -> TargetState) -> Vec<TargetStatus> {
        self.targets
            .iter()
            .map(|placed| TargetStatus {
                id: TargetId::known(&placed.target),
                state: state(placed),
            })
            .collect()
    }
}

impl Placed {
    /// One that the server has no name for.
    pub(super) fn new(target: &HostedTarget) -> Self {
        Self::named(target, String::new(), String::new())
    }

    pub(super) fn named(target: &HostedTarget, id: String, mark: String) -> Self {
        Self {
            target: target.id.to_string(),
            id,
            mark,
        }
    }

    pub(super) fn is_of(&self, target: &HostedTarget) -> bool {
        self.target == target.id.as_str()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_down_is_read_again_by_the_same_kind_only() {
        let remote = Remote {
            targets: vec![Placed {
                target: "youtube.backup".to_owned(),
                id: "7".to_owned(),
                mark: "ab".to_owned(),
            }],
            ..Remote::new("castgate-node-show", "s1")
        };

        let written = remote.to_json(RestreamKind::Livepeer).unwrap();

        assert_eq!(
            written,
            json!({
                "kind": "livepeer", "name": "castgate-node-show", "id": "s1",
                "targets": [{ "target": "youtube.backup", "id": "7", "mark": "ab" }],
            })
        );
        assert_eq!(
            Remote::from_json(&written, RestreamKind::Livepeer),
            Ok(remote)
        );
        let other = Remote::from_json(&written, RestreamKind::MediaMtx).unwrap_err();
        assert!(matches!(other, ProviderError::Conflict(_)), "{other}");
        assert!(Remote::from_json(&json!({ "room": "x" }), RestreamKind::MediaMtx).is_err());
    }
}
