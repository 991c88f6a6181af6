//! Names that we give to things at a provider.

use std::fmt;

use broadcast::{BroadcastId, DestinationId, LineName};

/// Whose things at a provider are: a node, or what stands for it after it was started anew.
///
/// It is part of the names of what is made there, so that what a dead node left behind is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(String);

/// The text is no owner's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an owner's name is 1 to 24 of a-z A-Z 0-9")]
pub struct OwnerError;

impl Owner {
    /// Takes 1 to 24 of `a-z A-Z 0-9`, so that a `-` ends it in longer names.
    pub fn new(text: impl Into<String>) -> Result<Self, OwnerError> {
        let text = text.into();
        let valid =
            (1..=24).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        valid.then_some(Self(text)).ok_or(OwnerError)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the owner's thing for a broadcast is named at a provider: `castgate-OWNER-BROADCAST`, at most 98 characters of
    /// `A-Z a-z 0-9 _ -`. The same broadcast has the same name each time, so that what is there already is found.
    pub fn name_for(&self, broadcast: &BroadcastId) -> String {
        format!("castgate-{self}-{broadcast}")
    }

    /// Whose broadcast a thing at a provider was made for, if it was this owner's.
    pub fn broadcast_named(&self, name: &str) -> Option<BroadcastId> {
        let rest = name.strip_prefix("castgate-")?;
        let id = rest.strip_prefix(self.as_str())?.strip_prefix('-')?;
        BroadcastId::new(id).ok()
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One connection of a destination, as a provider's handle remembers it: `ID` or `ID.backup`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId(String);

impl TargetId {
    /// Names a destination's line.
    pub fn new(destination: &DestinationId, line: LineName) -> Self {
        Self(match line {
            LineName::Primary => destination.to_string(),
            LineName::Backup => format!("{destination}.backup"),
        })
    }

    /// A name that was written down before.
    pub fn known(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_has_1_to_24_letters_and_digits() {
        assert!(Owner::new("a".repeat(24)).is_ok());
        for wrong in ["", &"a".repeat(25), "node-1", "ä"] {
            assert_eq!(Owner::new(wrong), Err(OwnerError), "{wrong}");
        }
    }

    #[test]
    fn an_owner_knows_its_own_things_by_name_and_no_others() {
        let owner = Owner::new("node1").unwrap();
        let broadcast = BroadcastId::new("late-show").unwrap();

        let name = owner.name_for(&broadcast);

        assert_eq!(name, "castgate-node1-late-show");
        assert_eq!(owner.broadcast_named(&name), Some(broadcast));
        assert_eq!(Owner::new("node").unwrap().broadcast_named(&name), None);
        assert_eq!(owner.broadcast_named("castgate-node1-"), None);
        assert_eq!(owner.broadcast_named("node1-late-show"), None);
    }

    #[test]
    fn a_backup_line_is_a_target_of_its_own() {
        let destination = DestinationId::new("youtube").unwrap();

        let primary = TargetId::new(&destination, LineName::Primary);
        let backup = TargetId::new(&destination, LineName::Backup);

        assert_eq!(primary.as_str(), "youtube");
        assert_eq!(backup, TargetId::known("youtube.backup"));
    }
}
