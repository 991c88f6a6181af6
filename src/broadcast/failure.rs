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
    /// Another broadcast, or another provider, publishes with the same key.
    KeyInUse,
    /// This node may have been taken over by another, which then publishes with the same key.
    Fenced,
    /// The hosted provider refuses our credentials.
    ProviderAuth,
    /// The hosted provider does not allow this to our account.
    ProviderForbidden,
    /// What was made at the hosted provider is there no more.
    ProviderNotFound,
    /// Something else of the same name is at the hosted provider.
    ProviderConflict,
    /// The hosted provider does not take what it was asked for.
    ProviderInvalid,
    /// The hosted provider was asked too often.
    ProviderRateLimited,
    /// What our account may use of the hosted provider is used up.
    ProviderQuota,
    /// The hosted provider is out of order or cannot be reached.
    ProviderUnavailable,
    /// The hosted provider did not answer, or did not begin, in time.
    ProviderTimeout,
    /// The hosted provider's answer makes no sense.
    ProviderProtocol,
    /// The hosted provider takes this only while nothing is live.
    ProviderRestartRequired,
    /// The process that speaks to the hosted provider failed.
    ProviderSidecar,
    /// The show does not get to the hosted provider.
    ProviderContribution,
    /// The hosted provider lost the destination.
    ProviderDestination,
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
            Self::KeyInUse => "key_in_use",
            Self::Fenced => "fenced",
            Self::ProviderAuth => "provider_auth",
            Self::ProviderForbidden => "provider_forbidden",
            Self::ProviderNotFound => "provider_not_found",
            Self::ProviderConflict => "provider_conflict",
            Self::ProviderInvalid => "provider_invalid",
            Self::ProviderRateLimited => "provider_rate_limited",
            Self::ProviderQuota => "provider_quota",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::ProviderTimeout => "provider_timeout",
            Self::ProviderProtocol => "provider_protocol",
            Self::ProviderRestartRequired => "provider_restart_required",
            Self::ProviderSidecar => "provider_sidecar",
            Self::ProviderContribution => "provider_contribution",
            Self::ProviderDestination => "provider_destination",
        }
    }

    /// Who has to act.
    pub const fn fault(self) -> Fault {
        match self {
            Self::UnsupportedCodec | Self::RenditionTooLarge => Fault::Studio,
            // The operator's account, or the hosted provider itself, which is on our side of the show.
            Self::EngineFailed
            | Self::Fenced
            | Self::ProviderAuth
            | Self::ProviderForbidden
            | Self::ProviderNotFound
            | Self::ProviderConflict
            | Self::ProviderInvalid
            | Self::ProviderRateLimited
            | Self::ProviderQuota
            | Self::ProviderUnavailable
            | Self::ProviderTimeout
            | Self::ProviderProtocol
            | Self::ProviderRestartRequired
            | Self::ProviderSidecar
            | Self::ProviderContribution => Fault::Gateway,
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
            | Self::ForbiddenAddress
            | Self::KeyInUse
            | Self::ProviderDestination => Fault::Destination,
        }
    }

    /// Whether the same attempt may succeed later.
    pub const fn retry(self) -> Retry {
        match self {
            Self::KeyRefused
            | Self::ForbiddenAddress
            | Self::UnsupportedCodec
            | Self::RenditionTooLarge
            | Self::ProviderAuth
            | Self::ProviderForbidden
            | Self::ProviderInvalid
            | Self::ProviderQuota
            | Self::ProviderRestartRequired => Retry::Never,
            Self::DnsFailed
            | Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::TlsFailed
            | Self::HandshakeFailed
            | Self::AppRefused
            | Self::PublishRefused
            | Self::WriteStalled
            | Self::ClosedByPeer
            | Self::EngineFailed
            | Self::KeyInUse
            | Self::Fenced
            | Self::ProviderNotFound
            | Self::ProviderConflict
            | Self::ProviderRateLimited
            | Self::ProviderUnavailable
            | Self::ProviderTimeout
            | Self::ProviderProtocol
            | Self::ProviderSidecar
            | Self::ProviderContribution
            | Self::ProviderDestination => Retry::Backoff,
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
