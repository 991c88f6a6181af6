//! What a node tells of itself, and is known by.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Cores;

/// The most characters of a node's name.
const LONGEST: usize = 64;

/// Names a node: what `SERVER_ID` says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(String);

/// The text is no node's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a node's name has 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-'")]
pub struct NodeIdError;

impl NodeId {
    /// Takes 1 to 64 characters of `A-Z a-z 0-9 _ -`.
    pub fn new(text: impl Into<String>) -> Result<Self, NodeIdError> {
        let text = text.into();
        let valid = (1..=LONGEST).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        valid.then_some(Self(text)).ok_or(NodeIdError)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NodeId {
    type Error = NodeIdError;

    fn try_from(text: String) -> Result<Self, NodeIdError> {
        Self::new(text)
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> Self {
        id.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a node tells of itself with every heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// Its name.
    pub id: NodeId,
    /// Made up by its process at the start: tells two processes of one name apart.
    pub instance: String,
    /// What browsers and other nodes call it.
    pub url: String,
    /// The address in its ICE candidates.
    pub ip: String,
    /// Where it is, in the operator's words.
    pub region: Option<String>,
    /// The methods that it can run.
    pub methods: Vec<String>,
    /// Its version of this software.
    pub version: String,
    /// Whether it takes no more broadcasts.
    pub draining: bool,
    /// What it has.
    pub capacity: Cores,
    /// What is promised, and what was measured beyond that.
    pub taken: Cores,
    /// How many broadcasts it has.
    pub broadcasts: u32,
}

impl NodeReport {
    /// What it could still take.
    pub fn free(&self) -> Cores {
        self.capacity - self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_64_safe_characters() {
        assert!(NodeId::new("a".repeat(64)).is_ok());
        for wrong in ["", &"a".repeat(65), "node 1", "node{1}", "knötchen"] {
            assert_eq!(NodeId::new(wrong), Err(NodeIdError), "{wrong}");
        }
        assert!(serde_json::from_str::<NodeId>("\"a b\"").is_err());
    }
}
