//! Why a destination is lost: whose fault it is, and whether to try again.

use std::fmt;

/// Who has to act for it to go away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The studio sent what cannot be broadcast.
    Studio,
    /// The platform, its address or its key.
    Destination,
    /// We are broken.
    Gateway,
}

impl Fault {
    /// The word of the public contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Studio => "studio",
            Self::Destination => "destination",
            Self::Gateway => "gateway",
        }
    }
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Nothing changes until somebody edits the destination.
    Never,
    /// Again after a growing pause.
    Backoff,
}

impl Retry {
    /// The word of the public contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Backoff => "backoff",
        }
    }
}

/// The stable reason codes of the public contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The name has no address.
    DnsFailed,
    /// Nothing listens there.
    ConnectRefused,
    /// No answer to the connection attempt.
    ConnectTimeout,
    /// The TLS handshake or the certificate failed.
    TlsFailed,
    /// The RTMP handshake failed or never ended.
    HandshakeFailed,
    /// The server refused the application (`NetConnection.Connect.Rejected`).
    AppRefused,
    /// The server refused the stream key.
    KeyRefused,
    /// The server refused to publish for another reason.
    PublishRefused,
    /// The peer stopped taking bytes.
    WriteStalled,
    /// The peer closed the connection.
    ClosedByPeer,
    /// The address is not one that destinations may have.
    ForbiddenAddress,
    /// The studio's codec cannot go there.
    UnsupportedCodec,
    /// The studio's picture is smaller than the rendition that is to go there, or has fewer pictures a second.
    RenditionTooLarge,
    /// The engine between studio and destination failed.
    EngineFailed,
}

impl Reason {
    /// The code as clients see it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::DnsFailed => "dns_failed",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::TlsFailed => "tls_failed",
            Self::HandshakeFailed => "handshake_failed",
            Self::AppRefused => "app_refused",
            Self::KeyRefused => "key_refused",
            Self::PublishRefused => "publish_refused",
            Self::WriteStalled => "write_stalled",
            Self::ClosedByPeer => "closed_by_peer",
            Self::ForbiddenAddress => "forbidden_address",
            Self::UnsupportedCodec => "unsupported_codec",
            Self::RenditionTooLarge => "rendition_too_large",
            Self::EngineFailed => "engine_failed",
        }
    }

    /// Who has to act.
    pub const fn fault(self) -> Fault {
        match self {
            Self::UnsupportedCodec | Self::RenditionTooLarge => Fault::Studio,
            Self::EngineFailed => Fault::Gateway,
            Self::DnsFailed
            | Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::TlsFailed
            | Self::HandshakeFailed
            | Self::AppRefused
            | Self::KeyRefused
            | Self::PublishRefused
            | Self::WriteStalled
            | Self::ClosedByPeer
            | Self::ForbiddenAddress => Fault::Destination,
        }
    }

    /// Whether the same attempt may succeed later.
    pub const fn retry(self) -> Retry {
        match self {
            Self::KeyRefused
            | Self::ForbiddenAddress
            | Self::UnsupportedCodec
            | Self::RenditionTooLarge => Retry::Never,
            Self::DnsFailed
            | Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::TlsFailed
            | Self::HandshakeFailed
            | Self::AppRefused
            | Self::PublishRefused
            | Self::WriteStalled
            | Self::ClosedByPeer
            | Self::EngineFailed => Retry::Backoff,
        }
    }
}

/// One loss of one destination, told in words without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The stable code.
    pub reason: Reason,
    /// One sentence for the host of the show. Never holds a key.
    pub message: String,
}

impl Failure {
    /// Names a loss.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    /// Who has to act.
    pub const fn fault(&self) -> Fault {
        self.reason.fault()
    }

    /// Whether to try again.
    pub const fn retry(&self) -> Retry {
        self.reason.retry()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.reason.code(), self.message)
    }
}

impl std::error::Error for Failure {}
