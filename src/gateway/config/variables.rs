//! Every variable in one table, from which the reader, `check-config` and the documentation follow.

/// What holds when a variable is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// This text, read like a set one.
    Text(&'static str),
    /// Worked out from other things, told in words.
    Computed(&'static str),
    /// Nothing: the feature is off.
    Off,
}

/// One variable of the environment.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its own name.
    pub name: &'static str,
    /// Other names that are read when the own name is not set; the first that is set wins.
    pub aliases: &'static [&'static str],
    /// What holds when none of the names is set.
    pub fallback: Fallback,
    /// Whether its value must not be shown; such a variable is also read from the file named by `<name>_FILE`.
    pub secret: bool,
    /// What it means, in a sentence or two of Markdown.
    pub meaning: &'static str,
}

const fn variable(name: &'static str, fallback: Fallback, meaning: &'static str) -> Variable {
    Variable {
        name,
        aliases: &[],
        fallback,
        secret: false,
        meaning,
    }
}

const fn also(mut variable: Variable, aliases: &'static [&'static str]) -> Variable {
    variable.aliases = aliases;
    variable
}

const fn secret(mut variable: Variable) -> Variable {
    variable.secret = true;
    variable
}

mod hosted;

use Fallback::{Computed, Off, Text};

/// Every variable that the gateway reads, in the order of the documentation.
pub fn variables() -> impl Iterator<Item = &'static Variable> {
    NODE.iter().chain(hosted::HOSTED)
}

/// The variables of the node itself.
const NODE: &[Variable] = &[
    also(
        variable(
            "HTTP_IP",
            Text("127.0.0.1"),
            "Address of the HTTP listener.",
        ),
        &["MEDIASOUP_LISTEN_IP"],
    ),
    also(
        variable(
            "PORT",
            Text("3001"),
            "TCP port of the HTTP listener; 0 takes a free one.",
        ),
        &["HTTP_PORT", "MEDIA_SERVER_PORT"],
    ),
    also(
        variable(
            "ANNOUNCED_IP",
            Computed("the listener's address, or those of this machine when it listens on all"),
            "Addresses that studios reach, as they stand in the ICE candidates; several are separated by commas. A loopback address is refused with `NODE_ENV=production`.",
        ),
        &["MEDIASOUP_ANNOUNCED_IP", "MEDIA_SERVER_PUBLIC_IP"],
    ),
    variable(
        "RTC_PORT",
        Text("40000"),
        "The one UDP and ICE-TCP port for WebRTC; 0 takes a free one. It listens on all addresses when `ANNOUNCED_IP` is not a loopback address, else on the HTTP listener's.",
    ),
    also(
        variable(
            "RTC_MIN_PORT",
            Text("40100"),
            "The first UDP port for plain RTP (`rtp-ingest`, `rtp-egress`). It must be reachable from whoever sends.",
        ),
        &["MEDIASOUP_RTC_MIN_PORT", "MEDIASOUP_MIN_PORT"],
    ),
    also(
        variable(
            "RTC_MAX_PORT",
            Text("49999"),
            "The last UDP port for plain RTP; at least the one after `RTC_MIN_PORT`. Ports that others have are skipped.",
        ),
        &["MEDIASOUP_RTC_MAX_PORT", "MEDIASOUP_MAX_PORT"],
    ),
    variable(
        "PUBLIC_URL",
        Computed("relative URLs, which fit every proxy"),
        "What browsers and other nodes call this node, such as `https://media.example.org`.",
    ),
    also(
        variable(
            "SERVER_ID",
            Computed("random"),
            "Name of this node: 1 to 64 of `A-Z a-z 0-9 _ -`.",
        ),
        &["INSTANCE_ID"],
    ),
    variable(
        "REGION",
        Off,
        "Where this node is, in your words: 1 to 64 of `A-Z a-z 0-9 _ -`. Broadcasts that ask for it are rather put here.",
    ),
    secret(variable(
        "REDIS_URL",
        Off,
        "Where the registry of the nodes is, with its password: `redis://`, `rediss://`, `redis+sentinel://:password@host,host/master` or `redis+cluster://host,host`; Redis 6.0 or newer. Needs `SECRETS_KEY`, and a `SERVER_ID` and a `PUBLIC_URL` of the node's own. Not set: this node is alone. See [fleet.md](fleet.md).",
    )),
    secret(variable(
        "SECRETS_KEY",
        Off,
        "Seals what nodes write into the registry, such as stream keys, and signs what they tell each other: 32 bytes in hexadecimal or base64, the same on all nodes. To change it set the new one and the old one, `new,old`, on all nodes, then the new one alone.",
    )),
    also(
        variable(
            "WORKERS",
            Computed("the number of cores"),
            "Media threads, 1 to 256.",
        ),
        &["MEDIASOUP_WORKERS", "MEDIASOUP_NUM_WORKERS"],
    ),
    variable(
        "STREAMING_METHOD",
        Text("gstreamer"),
        "Method of the broadcasts that name none: `gstreamer`, `ffmpeg`, `daily`, `livekit`, `cloudflare`, `mux`, `restream` or `hybrid`. With the first two this process sends to the destinations: H.264 goes out as it came unless another shape is asked for, and with `ffmpeg` it goes through an FFmpeg child process. The others are hosted providers, whose variables must be set; `hybrid` chooses among them by the `HYBRID_` variables.",
    ),
    variable(
        "FFMPEG_PATH",
        Text("ffmpeg"),
        "The FFmpeg program (4.4 or newer) of the method `ffmpeg`: a path, or a name that is looked for on `PATH`. Without one the node starts all the same and refuses that method.",
    ),
    variable(
        "AUDIO_BITRATE_KBPS",
        Text("160"),
        "AAC bitrate of the sound that goes out: `160` or `192` kb/s.",
    ),
    variable(
        "NODE_ENV",
        Text("development"),
        "`production` refuses what only fits a developer's machine; `development` and `test` do not.",
    ),
    variable(
        "AUTH_MODE",
        Computed("`jwt` when a `JWT_` variable is set, else `none`"),
        "Who may do what: `none`, `jwt` or `callback`. `none` is refused unless `HTTP_IP` is a loopback address or `ALLOW_ANONYMOUS=true`.",
    ),
    variable(
        "ALLOW_ANONYMOUS",
        Text("false"),
        "Allows `AUTH_MODE=none` on a listener that others reach.",
    ),
    secret(variable(
        "JWT_SECRET",
        Off,
        "HS256 key of `AUTH_MODE=jwt`, at least 16 bytes; placeholders are refused.",
    )),
    variable(
        "JWT_JWKS_URL",
        Off,
        "Where the public keys (RS256, ES256, EdDSA) of `AUTH_MODE=jwt` are published.",
    ),
    variable(
        "JWT_PUBLIC_KEY_FILE",
        Off,
        "File with one PEM public key (RS256, ES256 or EdDSA, by its kind) for `AUTH_MODE=jwt`.",
    ),
    variable(
        "JWT_ISSUER",
        Off,
        "When set, the `iss` that every token must carry.",
    ),
    variable(
        "JWT_AUDIENCE",
        Off,
        "When set, an `aud` that every token must carry.",
    ),
    variable(
        "BACKEND_API_URL",
        Off,
        "Base URL of the backend that `AUTH_MODE=callback` asks: `POST …/api/verify-media-server-token`.",
    ),
    also(
        variable(
            "FRONTEND_URL",
            Computed("pages of this machine (`localhost`, any port)"),
            "Origins whose pages may use this gateway, separated by commas; `*` allows all.",
        ),
        &["CORS_ORIGIN"],
    ),
    variable(
        "STUN_URL",
        Off,
        "STUN servers handed to clients, such as `stun:stun.example.org`; several are separated by commas.",
    ),
    variable(
        "TURN_URL",
        Off,
        "TURN servers handed to clients, such as `turn:turn.example.org?transport=udp`; needs `TURN_SECRET`.",
    ),
    secret(variable(
        "TURN_SECRET",
        Off,
        "Secret shared with the TURN server (coturn's `static-auth-secret`), from which time-limited credentials are made.",
    )),
    variable(
        "TURN_TTL_SECONDS",
        Text("86400"),
        "How long TURN credentials are valid, 60 to 172800 seconds; longer than a broadcast.",
    ),
    variable(
        "DESTINATION_ALLOW_PRIVATE",
        Text("false"),
        "Lets destinations be at private, loopback, link-local and carrier-grade NAT addresses. Multicast, reserved and cloud metadata addresses and this gateway's own ports stay forbidden.",
    ),
    variable(
        "DESTINATION_ALLOW_HOSTS",
        Text("any"),
        "Hosts that destinations may have, separated by commas; `*.example.org` means every name below it.",
    ),
    variable(
        "DESTINATION_ALLOW_PORTS",
        Text("1935,443,80,2935,5222"),
        "TCP ports that destinations may have, separated by commas; `any` allows all.",
    ),
    variable(
        "LOCAL_RECEIVER_ADDRESS",
        Off,
        "Starts the built-in RTMP receiver at this loopback address and port; destinations may always point there.",
    ),
    variable(
        "NODE_CAPACITY_CORES",
        Computed("85 % of the cores that the process may use"),
        "How many cores may be promised to broadcasts, 0.1 to 1024, such as `3.5`. What does not fit by its cost is answered with 503 `node_full`.",
    ),
    variable(
        "MAX_BROADCASTS",
        Computed(
            "by cost: as many as fit into `NODE_CAPACITY_CORES`, passed through to one destination each",
        ),
        "The most broadcasts at a time, whatever they cost; one more is answered with 503.",
    ),
    variable(
        "MAX_SESSIONS",
        Text("1000"),
        "The most WebRTC sessions at a time; one more is answered with 503.",
    ),
    variable(
        "MAX_ROOMS_PER_INSTANCE",
        Text("100"),
        "The most rooms in which people meet at a time; whoever would need one more is refused.",
    ),
    variable(
        "MAX_PARTICIPANTS_PER_ROOM",
        Text("50"),
        "The most participants of a room at a time.",
    ),
    variable(
        "MAX_CONNECTIONS_PER_ADDRESS",
        Text("250"),
        "The most Socket.IO connections of one address (an IPv6 /64 is one) at a time; one more is answered with 429. 0 sets no limit, which a proxy in front needs.",
    ),
    variable(
        "RATE_LIMIT_MAX_REQUESTS",
        Text("100"),
        "The most HTTP requests of one address in a window; one more is answered with 429. 0 sets no limit.",
    ),
    variable(
        "RATE_LIMIT_WINDOW_MS",
        Text("60000"),
        "That window, in milliseconds.",
    ),
    variable(
        "SHUTDOWN_TIMEOUT_MS",
        Text("30000"),
        "How long broadcasts may take to end after SIGTERM, in milliseconds.",
    ),
    variable(
        "LOG_LEVEL",
        Text("info"),
        "`trace`, `debug`, `info`, `warn` or `error`.",
    ),
    variable(
        "RUST_LOG",
        Off,
        "Refines `LOG_LEVEL` by module, such as `peers=debug`.",
    ),
    variable(
        "LOG_FORMAT",
        Computed("`pretty` on a terminal, else `json`"),
        "`pretty` or `json`.",
    ),
];

/// Variables of the public contract that this version does not act on yet; one that is set is warned about.
pub const LATER: &[&str] = &["NATS_URL", "RECORDING_ENABLED", "RECORDING_DIR"];

/// Finds a variable by its own name.
pub(super) fn find(name: &str) -> &'static Variable {
    variables()
        .find(|variable| variable.name == name)
        .expect("the reader asks only for variables of the table")
}

/// Writes `docs/configuration.md`.
pub fn documentation() -> String {
    let mut text = String::from(
        "# Configuration

The gateway is configured by environment variables only.
`media-server check-config` prints the effective configuration with secrets hidden; on a bad one it lists every mistake and exits with 78.

- An empty variable counts as not set.
- Aliases are the names that other media servers use. The first that is set wins; two that disagree are a mistake.
- A secret `X` may instead come from the file named by `X_FILE`.

This page is written from the tables in `src/gateway/config/variables.rs` and `variables/hosted.rs`: `UPDATE=1 cargo test -p gateway configuration`.

| variable (aliases) | default | meaning |
|---|---|---|
",
    );
    text.extend(variables().map(row));
    text.push_str("\nNot acted on by this version, with a warning in the log when set: ");
    let later = LATER
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>();
    text.push_str(&later.join(", "));
    text.push_str(".\n");
    text
}

fn row(variable: &Variable) -> String {
    let aliases: Vec<String> = variable
        .aliases
        .iter()
        .map(|name| format!("`{name}`"))
        .collect();
    let aliases = match aliases.as_slice() {
        [] => String::new(),
        aliases => format!(" ({})", aliases.join(", ")),
    };
    let secret = if variable.secret { " · secret" } else { "" };
    let fallback = match variable.fallback {
        Text(text) => format!("`{text}`"),
        Computed(words) => words.to_owned(),
        Off => "none".to_owned(),
    };
    format!(
        "| `{}`{aliases}{secret} | {fallback} | {} |\n",
        variable.name, variable.meaning
    )
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, fs, path::Path};

    use super::*;

    #[test]
    fn no_name_stands_for_two_variables() {
        let mut seen = HashSet::new();

        for variable in variables() {
            for name in std::iter::once(&variable.name).chain(variable.aliases) {
                assert!(seen.insert(*name), "{name}");
            }
            if variable.secret {
                assert!(
                    seen.insert(format!("{}_FILE", variable.name).leak()),
                    "{}",
                    variable.name
                );
            }
        }
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "UPDATE is for the developer, not configuration"
    )]
    fn the_configuration_page_tells_what_the_table_tells() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");

        if std::env::var("UPDATE").is_ok_and(|value| value == "1") {
            fs::write(&page, documentation()).unwrap();
        }

        assert_eq!(
            fs::read_to_string(&page).unwrap(),
            documentation(),
            "run the test with UPDATE=1 to write {}",
            page.display()
        );
    }
}
