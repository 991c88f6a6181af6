//! Offers of browsers as ORTC's values, and answers to them out of ours. One bundle, RTCP beside RTP, ICE-lite on our side.

mod answer;
mod attribute;
mod media;
mod negotiation;
mod offer;
#[cfg(test)]
mod tests;

pub use answer::{Agreed, AnsweringTransport, answer};
pub use negotiation::negotiate;
pub use offer::{MAX_SDP_BYTES, MAX_SECTIONS, Offer, parse_offer};

use crate::{ExtensionDirection, MediaKind, RtpParameters};

/// Which way a section carries media, seen from who wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SectionDirection {
    /// Both.
    #[default]
    SendReceive,
    /// From the writer.
    Send,
    /// To the writer.
    Receive,
    /// None.
    Inactive,
}

impl SectionDirection {
    /// Whether the writer sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendReceive | Self::Send)
    }

    /// Whether the writer receives.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendReceive | Self::Receive)
    }
}

/// A section of an offer that can be answered: sound or pictures in the bundle.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// Its name, once in the offer.
    pub mid: String,
    /// Picture or sound.
    pub kind: MediaKind,
    /// Which way.
    pub direction: SectionDirection,
    /// All that the client can use, in its order; of what it sends also the encodings.
    pub rtp: RtpParameters,
    /// Header extensions that go one way only, by id, seen from the client.
    extension_directions: Vec<(u8, ExtensionDirection)>,
}
