//! The configuration: typed, checked as a whole, read from the environment through a lookup.

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use broadcast::Method;
use signalling::Origins;
use url::Url;

mod addresses;
mod fleet;
mod hosted;
mod parse;
mod reader;
mod secret;
mod settings;
mod variables;

#[cfg(test)]
mod tests;

use reader::{Effective, Origin, Reader};

use crate::admission::Cost;

pub use addresses::machine_addresses;
pub use fleet::{FleetConfig, SecretsKeys};
pub use hosted::{
    CloudflareConfig, DailyConfig, HostedConfig, LivekitConfig, MuxConfig, OwnerConfig,
    RestreamConfig,
};
pub(crate) use hosted::{needs, owner_of};
pub use reader::{Mistake, Mistakes};
pub use secret::Secret;
pub use settings::{
    AuthConfig, DestinationPolicy, IceServersConfig, JwtConfig, JwtKeys, LogConfig, LogLevel,
    RateLimit, TurnConfig,
};
pub use variables::{Fallback, LATER, Variable, documentation, variables};

/// How much of the cores is promised to broadcasts by default; the rest is for bursts, TLS and the system.
const PROMISED_SHARE: f64 = 0.85;

/// Where programs are when there is no `PATH`.
const USUAL_SEARCH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What the configuration depends on beside the environment.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Cores of this machine, at least 1.
    pub cores: usize,
    /// A random name for this node, used when none is set.
    pub server_id: String,
    /// Whether the log goes to a terminal.
    pub terminal: bool,
}

/// Everything that can be set from outside.
#[derive(Debug, Clone)]
pub struct Config {
    /// HTTP listener; port 0 takes a free one.
    pub http: SocketAddr,
    /// UDP and ICE-TCP listener; port 0 takes a free one.
    pub rtc: SocketAddr,
    /// The first and the last UDP port for plain RTP.
    pub rtp_ports: (u16, u16),
    /// Addresses in ICE candidates. Empty: the RTC listener's own, or [`machine_addresses`] when it listens on all.
    pub announced: Vec<IpAddr>,
    /// What browsers call this node; `None`: relative URLs.
    pub public_url: Option<Url>,
    /// This node's name.
    pub server_id: String,
    /// Where it is, in the operator's words.
    pub region: Option<String>,
    /// How it finds others; `None`: it is alone.
    pub fleet: Option<FleetConfig>,
    /// Media threads, at least 1.
    pub workers: usize,
    /// Method of the broadcasts that name none.
    pub method: Method,
    /// Providers on other machines, and how broadcasts choose among them.
    pub hosted: HostedConfig,
    /// The `FFmpeg` program: a path, or a name that is looked for.
    pub ffmpeg: PathBuf,
    /// The folders in which it is looked for, as in `PATH`.
    pub search: OsString,
    /// AAC bitrate, in kb/s.
    pub audio_bitrate_kbps: u32,
    /// Whether this is a production node.
    pub production: bool,
    /// Who may do what.
    pub auth: AuthConfig,
    /// Whose pages may use this gateway.
    pub origins: Origins,
    /// What clients are given to get through their NAT.
    pub ice_servers: IceServersConfig,
    /// Where destinations may point.
    pub destinations: DestinationPolicy,
    /// Where to start the built-in RTMP receiver; port 0 takes a free one.
    pub local_receiver: Option<SocketAddr>,
    /// What may be promised to broadcasts.
    pub capacity: Cost,
    /// The most broadcasts at a time.
    pub broadcasts_limit: usize,
    /// The most WebRTC sessions at a time.
    pub sessions_limit: usize,
    /// The most rooms in which people meet at a time.
    pub rooms_limit: usize,
    /// The most participants of a room at a time.
    pub participants_limit: usize,
    /// The most Socket.IO connections of one address; 0: no limit.
    pub connections_per_address: usize,
    /// The most HTTP requests of one address in a window; `None`: no limit.
    pub rate_limit: Option<RateLimit>,
    /// How long broadcasts may take to end at shutdown.
    pub shutdown_timeout: Duration,
    /// What is logged, and how.
    pub log: LogConfig,
    /// Variables that are set but not acted on by this version.
    pub ignored: Vec<&'static str>,
    effective: Vec<Effective>,
}

#[derive(Debug, Clone, Copy)]
enum AuthMode {
    Anonymous,
    Jwt,
    Callback,
}

impl Config {
    /// Reads and checks everything; `lookup` answers what a variable holds.
    ///
    /// Only files named by variables are opened. On failure every mistake is told, not just the first.
    pub fn read(
        lookup: &dyn Fn(&str) -> Option<String>,
        surroundings: &Surroundings,
    ) -> Result<Self, Mistakes> {
        let mut reader = Reader::new(lookup);
        let r = &mut reader;
        let production = r.required("NODE_ENV", |text| {
            parse::word(
                text,
                &[
                    ("production", true),
                    ("development", false),
                    ("test", false),
                ],
            )
        });
        let http = SocketAddr::new(
            r.required("HTTP_IP", parse::address),
            r.required("PORT", parse::port),
        );
        let announced = announced(r, http.ip(), production);
        let rtc = SocketAddr::new(
            rtc_address(http.ip(), &announced),
            r.required("RTC_PORT", parse::port),
        );
        let workers = r
            .optional("WORKERS", |text| parse::number(text, 1, 256))
            .unwrap_or_else(|| {
                r.computed("WORKERS", surroundings.cores);
                surroundings.cores
            });
        let capacity = capacity(r, surroundings.cores);
        let broadcasts_limit = r
            .optional("MAX_BROADCASTS", |text| parse::number(text, 1, 100_000))
            .unwrap_or_else(|| {
                let limit = capacity.count(Cost::passthrough(1)).max(1);
                r.computed("MAX_BROADCASTS", format!("{limit} (by cost)"));
                limit
            });
        let server_id = r.optional("SERVER_ID", parse::identity).unwrap_or_else(|| {
            r.computed("SERVER_ID", &surroundings.server_id);
            surroundings.server_id.clone()
        });
        let method = r.required("STREAMING_METHOD", parse::method);
        let hosted = hosted::read(r, method, &server_id);
        let public_url = r.optional("PUBLIC_URL", parse::base_url);
        let config = Self {
            http,
            rtc,
            rtp_ports: rtp_ports(r),
            announced,
            region: r.optional("REGION", parse::identity),
            fleet: fleet::read(r, production, public_url.as_ref()),
            public_url,
            server_id,
            workers,
            method,
            hosted,
            search: lookup("PATH").map_or_else(|| USUAL_SEARCH.into(), OsString::from),
            ffmpeg: r.required("FFMPEG_PATH", parse::program),
            audio_bitrate_kbps: r.required("AUDIO_BITRATE_KBPS", |text| {
                parse::word(text, &[("160", 160), ("192", 192)])
            }),
            production,
            auth: auth(r, http.ip()),
            origins: origins(r),
            ice_servers: ice_servers(r),
            destinations: DestinationPolicy {
                private: r.required("DESTINATION_ALLOW_PRIVATE", parse::boolean),
                hosts: r.required("DESTINATION_ALLOW_HOSTS", parse::hosts),
                ports: r.required("DESTINATION_ALLOW_PORTS", parse::ports),
            },
            local_receiver: r.optional("LOCAL_RECEIVER_ADDRESS", parse::loopback_socket),
            capacity,
            broadcasts_limit,
            sessions_limit: r.required("MAX_SESSIONS", |text| parse::number(text, 1, 1_000_000)),
            rooms_limit: r.required("MAX_ROOMS_PER_INSTANCE", |text| {
                parse::number(text, 1, 100_000)
            }),
            participants_limit: r.required("MAX_PARTICIPANTS_PER_ROOM", |text| {
                parse::number(text, 1, 1_000)
            }),
            connections_per_address: r.required("MAX_CONNECTIONS_PER_ADDRESS", |text| {
                parse::number(text, 0, 1_000_000)
            }),
            rate_limit: rate_limit(r),
            shutdown_timeout: r.required("SHUTDOWN_TIMEOUT_MS", |text| {
                parse::milliseconds(text, 0, 3_600_000)
            }),
            log: log(r, surroundings.terminal),
            ignored: LATER
                .iter()
                .copied()
                .filter(|name| r.is_set(name))
                .collect(),
            effective: Vec::new(),
        };
        if !reader.mistakes.is_empty() {
            return Err(Mistakes(reader.mistakes));
        }
        Ok(Self {
            effective: reader.effective,
            ..config
        })
    }

    /// Writes the effective configuration, one variable in a line with where it comes from, secrets hidden.
    pub fn describe(&self) -> String {
        let variables = variables().map(|variable| self.describe_one(variable.name));
        let ignored = self
            .ignored
            .iter()
            .map(|name| format!("# {name} is set, but this version does not act on it\n"));
        variables.chain(ignored).collect()
    }

    fn describe_one(&self, name: &str) -> String {
        let effective = self
            .effective
            .iter()
            .find(|effective| effective.name == name);
        match effective {
            None => format!("# {name} is not set\n"),
            Some(Effective {
                shown,
                origin: Origin::Default,
                ..
            }) => {
                format!("{name}={shown}  # default\n")
            }
            Some(Effective {
                shown,
                origin: Origin::Set(by),
                ..
            }) if by == name => {
                format!("{name}={shown}\n")
            }
            Some(Effective {
                shown,
                origin: Origin::Set(by),
                ..
            }) => {
                format!("{name}={shown}  # from {by}\n")
            }
        }
    }
}

fn capacity(r: &mut Reader<'_>, cores: usize) -> Cost {
    r.optional("NODE_CAPACITY_CORES", parse::cores)
        .unwrap_or_else(|| {
            let cores = f64::from(u32::try_from(cores).unwrap_or(u32::MAX));
            let capacity = Cost::of_cores(cores * PROMISED_SHARE);
            if !r.find_any("NODE_CAPACITY_CORES") {
                r.computed("NODE_CAPACITY_CORES", capacity);
            }
            capacity
        })
}

fn announced(r: &mut Reader<'_>, http: IpAddr, production: bool) -> Vec<IpAddr> {
    let set = r.optional("ANNOUNCED_IP", parse::addresses);
    if set.is_none() {
        if http.is_unspecified() {
            r.computed("ANNOUNCED_IP", "(addresses of this machine)");
        } else {
            r.computed("ANNOUNCED_IP", http);
        }
    }
    let announced = set.unwrap_or_default();
    let loopback = if announced.is_empty() {
        http.is_loopback()
    } else {
        announced.iter().any(IpAddr::is_loopback)
    };
    if production && loopback {
        r.mistake(
            "ANNOUNCED_IP",
            "is a loopback address, which no studio reaches; refused with NODE_ENV=production",
        );
    }
    announced
}

/// Room for one RTP stream at least.
fn rtp_ports(r: &mut Reader<'_>) -> (u16, u16) {
    let port = |text: &str| parse::number(text, 1024, 65_535);
    let first = r.required("RTC_MIN_PORT", port);
    let last = r.required("RTC_MAX_PORT", port);
    if first >= last {
        r.mistake(
            "RTC_MAX_PORT",
            format!("must be above RTC_MIN_PORT, which is {first}"),
        );
    }
    (first, last)
}

/// Media cannot come through an HTTP proxy: an announced address that is not loopback is reached from outside.
fn rtc_address(http: IpAddr, announced: &[IpAddr]) -> IpAddr {
    match announced.iter().find(|address| !address.is_loopback()) {
        None => http,
        Some(_) if !http.is_loopback() => http,
        Some(_) if announced.iter().any(IpAddr::is_ipv6) => Ipv6Addr::UNSPECIFIED.into(),
        Some(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}

fn auth(r: &mut Reader<'_>, http: IpAddr) -> AuthConfig {
    let mode = r.optional("AUTH_MODE", |text| {
        parse::word(
            text,
            &[
                ("none", AuthMode::Anonymous),
                ("jwt", AuthMode::Jwt),
                ("callback", AuthMode::Callback),
            ],
        )
    });
    let allowed = r.required("ALLOW_ANONYMOUS", parse::boolean);
    let keys = jwt_keys(r);
    let text = |text: &str| Ok(text.to_owned());
    let issuer = r.optional("JWT_ISSUER", text);
    let audience = r.optional("JWT_AUDIENCE", text);
    let backend = r.optional("BACKEND_API_URL", parse::base_url);
    let mistaken = r
        .mistakes
        .iter()
        .any(|mistake| mistake.variable.starts_with("JWT_"));
    let mode = mode.unwrap_or_else(|| {
        let (word, mode) = if keys.is_some() || mistaken {
            ("jwt", AuthMode::Jwt)
        } else {
            ("none", AuthMode::Anonymous)
        };
        if !r.find_any("AUTH_MODE") {
            r.computed("AUTH_MODE", word);
        }
        mode
    });
    match (mode, keys, backend) {
        (AuthMode::Anonymous, _, _) => {
            if !http.is_loopback() && !allowed {
                r.mistake(
                    "AUTH_MODE",
                    "none lets everybody who reaches HTTP_IP broadcast; set jwt or callback, or ALLOW_ANONYMOUS=true",
                );
            }
            AuthConfig::Anonymous
        }
        (AuthMode::Jwt, Some(keys), _) => AuthConfig::Jwt(JwtConfig {
            keys,
            issuer,
            audience,
        }),
        (AuthMode::Jwt, None, _) => {
            if !mistaken {
                r.mistake(
                    "AUTH_MODE",
                    "jwt needs JWT_SECRET, JWT_JWKS_URL or JWT_PUBLIC_KEY_FILE",
                );
            }
            AuthConfig::Anonymous
        }
        (AuthMode::Callback, _, Some(url)) => AuthConfig::Callback(url),
        (AuthMode::Callback, _, None) => {
            if !r.find_any("BACKEND_API_URL") {
                r.mistake("AUTH_MODE", "callback needs BACKEND_API_URL");
            }
            AuthConfig::Anonymous
        }
    }
}

/// Exactly one kind of key: a token must not choose by which it is checked.
fn jwt_keys(r: &mut Reader<'_>) -> Option<JwtKeys> {
    let mut keys = Vec::new();
    if let Some(secret) = r.secret("JWT_SECRET") {
        keys.push(("JWT_SECRET", JwtKeys::Secret(secret)));
    }
    if let Some(url) = r.optional("JWT_JWKS_URL", parse::web_url) {
        keys.push(("JWT_JWKS_URL", JwtKeys::Published(url)));
    }
    if let Some(path) = r.optional("JWT_PUBLIC_KEY_FILE", |text| Ok(text.to_owned()))
        && let Some(pem) = r.file("JWT_PUBLIC_KEY_FILE", &path)
    {
        match crate::auth::check_public_key(&pem) {
            Ok(()) => keys.push(("JWT_PUBLIC_KEY_FILE", JwtKeys::PublicKey(pem))),
            Err(message) => r.mistake("JWT_PUBLIC_KEY_FILE", message),
        }
    }
    if let [(first, _), (second, _), ..] = keys.as_slice() {
        r.mistake(
            *second,
            format!("and {first} are both set; tokens are checked by one kind of key"),
        );
    }
    keys.into_iter().next().map(|(_, keys)| keys)
}

fn origins(r: &mut Reader<'_>) -> Origins {
    r.optional("FRONTEND_URL", Origins::parse)
        .unwrap_or_else(|| {
            if !r.find_any("FRONTEND_URL") {
                r.computed("FRONTEND_URL", "(pages of this machine)");
            }
            Origins::Loopback
        })
}

fn ice_servers(r: &mut Reader<'_>) -> IceServersConfig {
    let stun = r.optional("STUN_URL", |text| parse::ice_urls(text, &["stun", "stuns"]));
    let urls = r.optional("TURN_URL", |text| parse::ice_urls(text, &["turn", "turns"]));
    let secret = r.secret("TURN_SECRET");
    let lifetime = r.required("TURN_TTL_SECONDS", |text| parse::number(text, 60, 172_800));
    let secret_is_set = r.is_set("TURN_SECRET") || r.is_set("TURN_SECRET_FILE");
    if r.is_set("TURN_URL") && !secret_is_set {
        r.mistake("TURN_URL", "needs TURN_SECRET");
    }
    if secret_is_set && !r.is_set("TURN_URL") {
        r.mistake("TURN_SECRET", "needs TURN_URL");
    }
    IceServersConfig {
        stun: stun.unwrap_or_default(),
        turn: urls.zip(secret).map(|(urls, secret)| TurnConfig {
            urls,
            secret,
            lifetime: Duration::from_secs(lifetime),
        }),
    }
}

fn rate_limit(r: &mut Reader<'_>) -> Option<RateLimit> {
    let requests = r.required("RATE_LIMIT_MAX_REQUESTS", |text| {
        parse::number(text, 0, 1_000_000)
    });
    let window = r.required("RATE_LIMIT_WINDOW_MS", |text| {
        parse::milliseconds(text, 1, 86_400_000)
    });
    (requests > 0).then_some(RateLimit { requests, window })
}

fn log(r: &mut Reader<'_>, terminal: bool) -> LogConfig {
    LogConfig {
        level: r.required("LOG_LEVEL", |text| parse::word(text, &LogLevel::WORDS)),
        refinement: r.optional("RUST_LOG", |text| Ok(text.to_owned())),
        json: r
            .optional("LOG_FORMAT", |text| {
                parse::word(text, &[("pretty", false), ("json", true)])
            })
            .unwrap_or_else(|| {
                if !r.find_any("LOG_FORMAT") {
                    r.computed("LOG_FORMAT", if terminal { "pretty" } else { "json" });
                }
                !terminal
            }),
    }
}
