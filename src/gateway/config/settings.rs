//! What the parts of the gateway are told by the configuration.

use std::time::Duration;

use url::Url;

use super::Secret;

/// Who may do what.
#[derive(Debug, Clone)]
pub enum AuthConfig {
    /// Everybody may do everything.
    Anonymous,
    /// Whoever has a signed token.
    Jwt(JwtConfig),
    /// Whoever the backend vouches for; its base URL.
    Callback(Url),
}

/// Which tokens are good.
#[derive(Debug, Clone)]
pub struct JwtConfig {
    /// What signs them.
    pub keys: JwtKeys,
    /// The `iss` that they must carry.
    pub issuer: Option<String>,
    /// The `aud` that they must carry.
    pub audience: Option<String>,
}

/// What signs tokens.
#[derive(Debug, Clone)]
pub enum JwtKeys {
    /// HS256 with this secret.
    Secret(Secret),
    /// RS256, ES256 or `EdDSA` with the keys published at this URL.
    Published(Url),
    /// RS256, ES256 or `EdDSA` with this public key, as PEM.
    PublicKey(String),
}

/// What clients are given to get through their NAT.
#[derive(Debug, Clone)]
pub struct IceServersConfig {
    /// STUN URLs.
    pub stun: Vec<String>,
    /// TURN, if there is a server and its secret.
    pub turn: Option<TurnConfig>,
}

/// A TURN server with the REST scheme of credentials.
#[derive(Debug, Clone)]
pub struct TurnConfig {
    /// TURN URLs.
    pub urls: Vec<String>,
    /// The secret shared with the server.
    pub secret: Secret,
    /// How long credentials are valid.
    pub lifetime: Duration,
}

/// Where destinations may point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationPolicy {
    /// Whether private, loopback, link-local and carrier-grade NAT addresses are allowed.
    pub private: bool,
    /// Allowed hosts, `*.` before a name for all below it; `None`: any.
    pub hosts: Option<Vec<String>>,
    /// Allowed TCP ports; `None`: any.
    pub ports: Option<Vec<u16>>,
}

/// How many requests one address may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// The most requests in a window, at least 1.
    pub requests: u32,
    /// The window.
    pub window: Duration,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// The level of everything.
    pub level: LogLevel,
    /// `RUST_LOG`, which refines the level by module.
    pub refinement: Option<String>,
    /// One JSON object for each line, rather than text for people.
    pub json: bool,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Every packet.
    Trace,
    /// Why things happen.
    Debug,
    /// What an operator would tell the studio.
    Info,
    /// What is retried or degraded.
    Warn,
    /// What is broken on our side.
    Error,
}

impl LogLevel {
    pub(super) const WORDS: [(&'static str, Self); 5] = [
        ("trace", Self::Trace),
        ("debug", Self::Debug),
        ("info", Self::Info),
        ("warn", Self::Warn),
        ("error", Self::Error),
    ];

    /// The word of the public contract, which is also a `tracing` directive.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}
