//! Secrets of the configuration, which no formatter can print.

use std::fmt;

use zeroize::Zeroizing;

/// A secret from the environment; its memory is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a secret, byte for byte.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(hidden)")
    }
}

/// Texts that stand in examples and are copied by mistake.
const PLACEHOLDERS: [&str; 15] = [
    "your-",
    "your_",
    "yoursecret",
    "changeme",
    "change-me",
    "change_me",
    "change-this",
    "change_this",
    "placeholder",
    "replace-me",
    "replace_me",
    "replaceme",
    "example",
    "insert-",
    "todo",
];

/// Words that are no secret when they stand alone.
const WORDS: [&str; 6] = [
    "secret",
    "password",
    "jwt-secret",
    "jwt_secret",
    "turn-secret",
    "dev",
];

/// The fewest bytes of a secret that can sign anything: 128 bits.
const SHORTEST_BYTES: usize = 16;

/// Says what is wrong with a secret, without showing it.
pub(super) fn weakness(secret: &str) -> Option<String> {
    let lower = secret.to_ascii_lowercase();
    let mut bytes = secret.bytes();
    let first = bytes.next();
    let template = (lower.starts_with('<') && lower.ends_with('>')) || lower.starts_with("${");
    if template
        || PLACEHOLDERS.iter().any(|text| lower.contains(text))
        || WORDS.contains(&lower.as_str())
    {
        Some("is a placeholder; make one with `openssl rand -hex 32`".to_owned())
    } else if secret.len() < SHORTEST_BYTES {
        Some(format!(
            "is shorter than {SHORTEST_BYTES} bytes; make one with `openssl rand -hex 32`"
        ))
    } else if bytes.all(|byte| Some(byte) == first) {
        Some("is one character repeated; make one with `openssl rand -hex 32`".to_owned())
    } else {
        None
    }
}

/// Says why a text cannot be what somebody gave us to be known by, without showing it.
pub(super) fn mistaken_credential(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let template = (lower.starts_with('<') && lower.ends_with('>')) || lower.starts_with("${");
    if template || PLACEHOLDERS.iter().any(|text| lower.starts_with(text)) {
        Some("is a placeholder; the provider shows the real one".to_owned())
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some("has characters that no credential has".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(hidden)");
    }

    #[test]
    fn placeholders_and_short_secrets_are_refused() {
        for bad in [
            "your-secret",
            "YOUR-SECRET-KEY-0123456789",
            "changeme-changeme-changeme",
            "secret",
            "${JWT_SECRET:-abcdefghijkl}",
            "short",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert!(weakness(bad).is_some(), "{bad}");
        }
        assert_eq!(weakness("8f1d5c0b77aa4e019e33"), None);
    }

    #[test]
    fn a_credential_may_be_short_but_is_no_placeholder() {
        for bad in [
            "your-api-key",
            "<key>",
            "${KEY}",
            "changeme",
            "two words",
            "tab\t",
        ] {
            assert!(mistaken_credential(bad).is_some(), "{bad}");
        }
        for good in ["devkey", "secret", "mytodo+/=", "user:password"] {
            assert_eq!(mistaken_credential(good), None, "{good}");
        }
    }
}
