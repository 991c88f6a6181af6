//! Providers on other machines: what each needs to be asked, and how broadcasts choose among them.

use std::path::PathBuf;

use broadcast::{Method, Provider, StreamKey};
use egress_providers::{
    Money, Prices, daily::DailyContribution, hosted::Owner, hybrid::Policy, restream::RestreamKind,
};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{parse, reader::Reader};

/// How many bytes of a name's hash stand in an owner's name: 48 bits, among the nodes of one account.
const OWNER_HASH_BYTES: usize = 6;

/// How much of a node's own name stands before that, for people.
const OWNER_PREFIX: usize = 12;

/// Providers on other machines.
#[derive(Debug, Clone)]
pub struct HostedConfig {
    /// Whose the things at providers are.
    pub owner: OwnerConfig,
    /// Where what was made there is written down.
    pub state: Option<PathBuf>,
    /// Daily.
    pub daily: Option<DailyConfig>,
    /// `LiveKit`.
    pub livekit: Option<LivekitConfig>,
    /// Cloudflare Stream.
    pub cloudflare: Option<CloudflareConfig>,
    /// Mux.
    pub mux: Option<MuxConfig>,
    /// A server or service that takes RTMP and is told targets.
    pub restream: Option<RestreamConfig>,
    /// How hybrid broadcasts choose.
    pub hybrid: Policy,
}

/// Whose the things at providers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerConfig {
    /// Known. `lasting`: and the same after the process was started anew.
    Named {
        /// Who.
        owner: Owner,
        /// Whether it is not random.
        lasting: bool,
    },
    /// Whoever is written down in this folder; made up the first time.
    Kept(PathBuf),
}

/// Daily.
#[derive(Debug, Clone)]
pub struct DailyConfig {
    /// Of the domain.
    pub api_key: StreamKey,
    /// Where the API is.
    pub api: Url,
    /// What signs webhooks, in base64.
    pub webhook_secret: Option<StreamKey>,
    /// What Streamlick's media server shows in place of a token.
    pub media_server_secret: Option<StreamKey>,
    /// How shows get there.
    pub contribution: DailyContribution,
    /// What runs the sidecar; `None`: what `scripts/enable-daily` has made.
    pub python: Option<PathBuf>,
    /// What it costs.
    pub prices: Prices,
}

/// `LiveKit`.
#[derive(Debug, Clone)]
pub struct LivekitConfig {
    /// Where it is.
    pub url: Url,
    /// Who we are.
    pub api_key: StreamKey,
    /// What signs our tokens and its webhooks.
    pub api_secret: StreamKey,
    /// What it costs.
    pub prices: Prices,
}

/// Cloudflare Stream.
#[derive(Debug, Clone)]
pub struct CloudflareConfig {
    /// Whose.
    pub account: String,
    /// Who we are.
    pub api_token: StreamKey,
    /// Where the API is.
    pub api: Url,
    /// What notifications carry.
    pub webhook_secret: Option<StreamKey>,
    /// What it costs.
    pub prices: Prices,
}

/// Mux.
#[derive(Debug, Clone)]
pub struct MuxConfig {
    /// Who we are.
    pub token_id: String,
    /// Its secret.
    pub token_secret: StreamKey,
    /// Where the API is.
    pub api: Url,
    /// Where shows are sent, without a key.
    pub ingest: String,
    /// Whether its recordings are kept.
    pub keep_recordings: bool,
    /// What signs webhooks.
    pub webhook_secret: Option<StreamKey>,
    /// What it costs.
    pub prices: Prices,
}

/// A server or service that takes RTMP and is told targets.
#[derive(Debug, Clone)]
pub struct RestreamConfig {
    /// Whose API is spoken.
    pub kind: RestreamKind,
    /// Where the API is.
    pub api: Option<Url>,
    /// Who we are.
    pub token: Option<StreamKey>,
    /// Where shows come in.
    pub ingest: Option<StreamKey>,
    /// What it costs.
    pub prices: Prices,
}

impl HostedConfig {
    /// What opens Streamlick's routes for Daily without a token; `None`: nothing does.
    pub(crate) fn media_server_secret(&self) -> Option<StreamKey> {
        self.daily.as_ref()?.media_server_secret.clone()
    }

    /// Whether this provider's variables are set; our own publisher needs none.
    pub const fn has(&self, provider: Provider) -> bool {
        match provider {
            Provider::Own => true,
            Provider::Daily => self.daily.is_some(),
            Provider::Livekit => self.livekit.is_some(),
            Provider::Cloudflare => self.cloudflare.is_some(),
            Provider::Mux => self.mux.is_some(),
            Provider::Restream => self.restream.is_some(),
        }
    }
}

/// What must be set for a provider, in words.
pub(crate) const fn needs(provider: Provider) -> &'static str {
    match provider {
        Provider::Own => "nothing",
        Provider::Daily => "DAILY_API_KEY",
        Provider::Livekit => "LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET",
        Provider::Cloudflare => "CLOUDFLARE_ACCOUNT_ID and CLOUDFLARE_API_TOKEN",
        Provider::Mux => "MUX_TOKEN_ID and MUX_TOKEN_SECRET",
        Provider::Restream => "RESTREAM_KIND",
    }
}

/// Reads everything about hosted providers.
pub(super) fn read(r: &mut Reader<'_>, method: Method, server_id: &str) -> HostedConfig {
    let state = r.optional("STATE_DIR", parse::program);
    let mistakes_before = r.mistakes.len();
    let config = HostedConfig {
        owner: owner(r, state.as_ref(), server_id),
        state,
        daily: daily(r),
        livekit: livekit(r),
        cloudflare: cloudflare(r),
        mux: mux(r),
        restream: restream(r),
        hybrid: hybrid(r),
    };
    // Whoever has made a mistake in a variable is not told in addition that it is missing.
    if r.mistakes.len() == mistakes_before {
        check_named(r, method, &config);
    }
    config
}

/// What the method or the order names must be there.
fn check_named(r: &mut Reader<'_>, method: Method, config: &HostedConfig) {
    if let Some(provider) = method.provider().filter(|provider| !config.has(*provider)) {
        let message = format!("{method} needs {}", needs(provider));
        r.mistake("STREAMING_METHOD", message);
    }
    let policy = &config.hybrid;
    let production = policy.production_order.as_deref().unwrap_or_default();
    for (name, order) in [
        ("HYBRID_ORDER", policy.order.as_slice()),
        ("HYBRID_PRODUCTION_ORDER", production),
    ] {
        for provider in order.iter().filter(|provider| !config.has(**provider)) {
            r.mistake(name, format!("{provider} needs {}", needs(*provider)));
        }
    }
}

fn owner(r: &mut Reader<'_>, state: Option<&PathBuf>, server_id: &str) -> OwnerConfig {
    let set = r.optional("PROVIDER_OWNER", |text| {
        Owner::new(text).map_err(|error| error.to_string())
    });
    if let Some(owner) = set {
        let lasting = true;
        return OwnerConfig::Named { owner, lasting };
    }
    let lasting = r.find_any("SERVER_ID");
    if let Some(state) = state.filter(|_| !lasting) {
        r.computed("PROVIDER_OWNER", "(kept in STATE_DIR)");
        return OwnerConfig::Kept(state.clone());
    }
    let owner = owner_of(server_id);
    r.computed("PROVIDER_OWNER", &owner);
    OwnerConfig::Named { owner, lasting }
}

/// The owner that a node of this name is: the name itself where it fits, else its beginning and its hash.
pub(crate) fn owner_of(server_id: &str) -> Owner {
    if let Ok(owner) = Owner::new(server_id) {
        return owner;
    }
    let letters = server_id
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(OWNER_PREFIX);
    let hash = Sha256::digest(server_id.as_bytes());
    let hash = hash.iter().take(OWNER_HASH_BYTES);
    let name = letters.chain(
        hash.flat_map(|byte| format!("{byte:02x}").into_bytes())
            .map(char::from),
    );
    Owner::new(name.collect::<String>())
        .expect("24 letters and digits at most, and a hash at least")
}

fn prices(r: &mut Reader<'_>, name: &'static str) -> Prices {
    let read = |text: &str| text.parse::<Prices>().map_err(|error| error.to_string());
    r.optional(name, read).unwrap_or_default()
}

/// Tells which of several variables are missing when only some are set.
fn check_together(r: &mut Reader<'_>, names: &[&'static str]) {
    let given = |r: &Reader<'_>, name: &str| r.is_set(name) || r.is_set(&format!("{name}_FILE"));
    let (set, missing): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| given(r, name));
    if let Some(first) = set.first().filter(|_| !missing.is_empty()) {
        r.mistake(*first, format!("needs {}", missing.join(" and ")));
    }
}

fn daily(r: &mut Reader<'_>) -> Option<DailyConfig> {
    let api_key = r.credential("DAILY_API_KEY");
    let api = r.required("DAILY_API_URL", parse::base_url);
    let webhook_secret = r.credential("DAILY_WEBHOOK_SECRET");
    let media_server_secret = r.credential("MEDIA_SERVER_SECRET");
    let contribution = r.required("DAILY_CONTRIBUTION", |text| {
        parse::word(
            text,
            &[
                ("sidecar", DailyContribution::Sidecar),
                ("direct", DailyContribution::Direct),
            ],
        )
    });
    let python = r.optional("DAILY_PYTHON", parse::program);
    let prices = prices(r, "DAILY_PRICES");
    Some(DailyConfig {
        api_key: api_key?,
        api,
        webhook_secret,
        media_server_secret,
        contribution,
        python,
        prices,
    })
}

fn livekit(r: &mut Reader<'_>) -> Option<LivekitConfig> {
    let url = r.optional("LIVEKIT_URL", parse::api_url);
    let api_key = r.credential("LIVEKIT_API_KEY");
    let api_secret = r.credential("LIVEKIT_API_SECRET");
    check_together(r, &["LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"]);
    let prices = prices(r, "LIVEKIT_PRICES");
    Some(LivekitConfig {
        url: url?,
        api_key: api_key?,
        api_secret: api_secret?,
        prices,
    })
}

fn cloudflare(r: &mut Reader<'_>) -> Option<CloudflareConfig> {
    let account = r.optional("CLOUDFLARE_ACCOUNT_ID", parse::account);
    let api_token = r.credential("CLOUDFLARE_API_TOKEN");
    check_together(r, &["CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_API_TOKEN"]);
    let api = r.required("CLOUDFLARE_API_URL", parse::base_url);
    let webhook_secret = r.credential("CLOUDFLARE_WEBHOOK_SECRET");
    let prices = prices(r, "CLOUDFLARE_PRICES");
    Some(CloudflareConfig {
        account: account?,
        api_token: api_token?,
        api,
        webhook_secret,
        prices,
    })
}

fn mux(r: &mut Reader<'_>) -> Option<MuxConfig> {
    let token_id = r.optional("MUX_TOKEN_ID", parse::account);
    let token_secret = r.credential("MUX_TOKEN_SECRET");
    check_together(r, &["MUX_TOKEN_ID", "MUX_TOKEN_SECRET"]);
    let api = r.required("MUX_API_URL", parse::base_url);
    let ingest = r.required("MUX_INGEST_URL", parse::ingest);
    let keep_recordings = r.required("MUX_KEEP_RECORDINGS", parse::boolean);
    let webhook_secret = r.credential("MUX_WEBHOOK_SECRET");
    let prices = prices(r, "MUX_PRICES");
    Some(MuxConfig {
        token_id: token_id?,
        token_secret: token_secret?,
        api,
        ingest,
        keep_recordings,
        webhook_secret,
        prices,
    })
}

fn restream(r: &mut Reader<'_>) -> Option<RestreamConfig> {
    let kinds = RestreamKind::ALL.map(|kind| (kind.as_str(), kind));
    let kind = r.optional("RESTREAM_KIND", |text| parse::word(text, &kinds));
    let api = r.optional("RESTREAM_API_URL", parse::api_url);
    let token = r.credential("RESTREAM_TOKEN");
    let ingest = r.credential("RESTREAM_INGEST_URL");
    let prices = prices(r, "RESTREAM_PRICES");
    Some(RestreamConfig {
        kind: kind?,
        api,
        token,
        ingest,
        prices,
    })
}

fn hybrid(r: &mut Reader<'_>) -> Policy {
    let percent: u8 = r.required("HYBRID_OWN_LOAD_PERCENT", |text| {
        parse::number(text, 1, 100)
    });
    Policy {
        order: r.required("HYBRID_ORDER", parse::providers),
        production_order: r.optional("HYBRID_PRODUCTION_ORDER", parse::providers),
        own_destinations_limit: r.optional("HYBRID_OWN_DESTINATIONS", |text| {
            parse::number(text, 0, broadcast::DESTINATIONS_LIMIT)
        }),
        own_load_limit: f64::from(percent) / 100.0,
        cost_limit_per_hour: r.optional("HYBRID_COST_LIMIT", |text| {
            text.parse::<Money>().map_err(|error| error.to_string())
        }),
        live_failover: r.required("HYBRID_LIVE_FAILOVER", parse::boolean),
    }
}
