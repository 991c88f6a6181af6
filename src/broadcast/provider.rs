//! Who carries a broadcast to its destinations.

use std::{fmt, str::FromStr};

use crate::SpecError;

/// Who carries a broadcast to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Provider {
    /// This process, by its own RTMP publisher.
    Own,
    /// Daily.
    Daily,
    /// `LiveKit`, its cloud or a server of one's own.
    Livekit,
    /// Cloudflare Stream.
    Cloudflare,
    /// Mux.
    Mux,
    /// A server of one's own, or another service, that takes RTMP and is told targets.
    Restream,
}

impl Provider {
    /// Every provider.
    pub const ALL: [Self; 6] = [
        Self::Own,
        Self::Daily,
        Self::Livekit,
        Self::Cloudflare,
        Self::Mux,
        Self::Restream,
    ];

    /// The word of the public contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Daily => "daily",
            Self::Livekit => "livekit",
            Self::Cloudflare => "cloudflare",
            Self::Mux => "mux",
            Self::Restream => "restream",
        }
    }

    /// Whether it is somebody else's machine, or at least another server.
    pub const fn is_hosted(self) -> bool {
        !matches!(self, Self::Own)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Provider {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        Self::ALL
            .into_iter()
            .find(|provider| provider.as_str() == text)
            .ok_or(SpecError::Provider)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_read_by_the_word_they_are_told_by() {
        for provider in Provider::ALL {
            assert_eq!(provider.as_str().parse(), Ok(provider));
        }
        assert_eq!("zoom".parse::<Provider>(), Err(SpecError::Provider));
    }
}
