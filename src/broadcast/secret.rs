//! Stream keys, which no formatter can print.

use std::fmt;

use zeroize::Zeroizing;

/// What a platform knows a studio by: whoever has it can publish.
///
/// It has no `Display`, its `Debug` shows nothing of it, and its memory is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamKey(Zeroizing<String>);

impl StreamKey {
    /// Wraps a key, byte for byte.
    pub fn new(key: impl Into<String>) -> Self {
        Self(Zeroizing::new(key.into()))
    }

    /// The key itself, for the wire and for nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("StreamKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(
            format!("{:?}", StreamKey::new("live_123")),
            "StreamKey(hidden)"
        );
    }
}
