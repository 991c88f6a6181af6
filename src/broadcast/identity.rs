//! Names of broadcasts and destinations, safe in paths, logs and labels.

use std::fmt;

/// How long an identity may be, in characters.
const LONGEST_IDENTITY: usize = 64;

/// Why a text is not an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id has 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-'")]
pub struct IdentityError;

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Takes 1 to 64 characters of `A-Z a-z 0-9 _ -`.
            pub fn new(text: impl Into<String>) -> Result<Self, IdentityError> {
                let text = text.into();
                if is_identity(&text) { Ok(Self(text)) } else { Err(IdentityError) }
            }

            /// The identity as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

identity! {
    /// Names one broadcast on this fleet.
    BroadcastId
}

identity! {
    /// Names one destination within its broadcast.
    DestinationId
}

fn is_identity(text: &str) -> bool {
    (1..=LONGEST_IDENTITY).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_has_at_most_64_characters() {
        assert!(BroadcastId::new("a".repeat(64)).is_ok());
        assert_eq!(BroadcastId::new("a".repeat(65)), Err(IdentityError));
        assert_eq!(BroadcastId::new(""), Err(IdentityError));
    }

    #[test]
    fn a_path_is_no_identity() {
        assert_eq!(DestinationId::new("../etc"), Err(IdentityError));
    }
}
