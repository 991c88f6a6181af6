//! The variables of hosted providers, and of broadcasts that choose among them.

use super::{
    Fallback::{Computed, Off, Text},
    Variable, secret, variable,
};

/// Every variable of hosted providers, in the order of the documentation.
pub(super) const HOSTED: &[Variable] = &[
    variable(
        "STATE_DIR",
        Off,
        "Folder for what a node must know after it was started anew: who it is to hosted providers, and what it has made there. Without it, providers are asked by name for what a dead node left behind, which needs `SERVER_ID` or `PROVIDER_OWNER`.",
    ),
    variable(
        "PROVIDER_OWNER",
        Computed("made of `SERVER_ID` if that is set, else kept in `STATE_DIR`, else random"),
        "Whose the things at hosted providers are: 1 to 24 of `A-Z a-z 0-9`, another for each node. It is part of their names.",
    ),
    secret(variable(
        "DAILY_API_KEY",
        Off,
        "API key of the domain at Daily; makes the method `daily` available.",
    )),
    variable(
        "DAILY_API_URL",
        Text("https://api.daily.co/v1"),
        "Where Daily's API is.",
    ),
    secret(variable(
        "DAILY_WEBHOOK_SECRET",
        Off,
        "The `hmac` of the webhook at Daily, in base64. Without it webhooks are refused.",
    )),
    secret(variable(
        "MEDIA_SERVER_SECRET",
        Off,
        "What Streamlick's media server shows as `x-media-server-secret` on the routes `/api/daily/...`, in place of a token; it may do all there. Without it only tokens open them.",
    )),
    variable(
        "DAILY_CONTRIBUTION",
        Text("sidecar"),
        "How shows get to Daily: `sidecar` (a process beside this one joins the call, see `scripts/enable-daily`) or `direct` (the studio joins it itself with a token that we make).",
    ),
    variable(
        "DAILY_PYTHON",
        Off,
        "The Python that runs the sidecar, with `daily-python` in it; when not set, the one that `scripts/enable-daily` makes.",
    ),
    variable(
        "DAILY_PRICES",
        Off,
        "What it costs: dollars for a minute of each unit (`participant`, `output`), such as `participant:0.004,output:0.015`. Without it nothing is reckoned.",
    ),
    variable(
        "LIVEKIT_URL",
        Off,
        "Where LiveKit is, such as `wss://example.livekit.cloud`; `http` and `ws` are for a server of one's own.",
    ),
    secret(variable(
        "LIVEKIT_API_KEY",
        Off,
        "API key at LiveKit; with `LIVEKIT_URL` and `LIVEKIT_API_SECRET` it makes the method `livekit` available.",
    )),
    secret(variable(
        "LIVEKIT_API_SECRET",
        Off,
        "Its secret, which signs our tokens and LiveKit's webhooks.",
    )),
    variable(
        "LIVEKIT_PRICES",
        Off,
        "What it costs: dollars for a minute of each unit (`participant`, `show`), such as `show:0.02`. Without it nothing is reckoned.",
    ),
    variable(
        "CLOUDFLARE_ACCOUNT_ID",
        Off,
        "The account at Cloudflare; with `CLOUDFLARE_API_TOKEN` it makes the method `cloudflare` available.",
    ),
    secret(variable(
        "CLOUDFLARE_API_TOKEN",
        Off,
        "API token with the permission Stream:Edit.",
    )),
    variable(
        "CLOUDFLARE_API_URL",
        Text("https://api.cloudflare.com/client/v4"),
        "Where Cloudflare's API is.",
    ),
    secret(variable(
        "CLOUDFLARE_WEBHOOK_SECRET",
        Off,
        "What Cloudflare's notifications carry in `cf-webhook-auth`. Without it webhooks are refused.",
    )),
    variable(
        "CLOUDFLARE_PRICES",
        Off,
        "What it costs: dollars for a minute of each unit (`output`), such as `output:0.001`. Without it nothing is reckoned.",
    ),
    variable(
        "MUX_TOKEN_ID",
        Off,
        "Id of an access token at Mux; with `MUX_TOKEN_SECRET` it makes the method `mux` available.",
    ),
    secret(variable("MUX_TOKEN_SECRET", Off, "Its secret.")),
    variable(
        "MUX_API_URL",
        Text("https://api.mux.com"),
        "Where Mux's API is.",
    ),
    variable(
        "MUX_INGEST_URL",
        Text("rtmps://global-live.mux.com:443/app"),
        "Where Mux takes shows in.",
    ),
    variable(
        "MUX_KEEP_RECORDINGS",
        Text("false"),
        "Whether Mux keeps the recording that it makes of each show, and bills for; else it is deleted with the show.",
    ),
    secret(variable(
        "MUX_WEBHOOK_SECRET",
        Off,
        "What signs Mux's webhooks. Without it webhooks are refused.",
    )),
    variable(
        "MUX_PRICES",
        Off,
        "What it costs: dollars for a minute of each unit (`show`, `output`), such as `show:0.032,output:0.02`. Without it nothing is reckoned.",
    ),
    variable(
        "RESTREAM_KIND",
        Off,
        "Whose API the method `restream` speaks: `mediamtx`, `ovenmediaengine`, `livepeer` or `api.video`. It makes the method available.",
    ),
    variable(
        "RESTREAM_API_URL",
        Off,
        "Where that API is; a service's own when not set. For OvenMediaEngine the URL of the application, `http://host:8081/v1/vhosts/default/apps/app`.",
    ),
    secret(variable(
        "RESTREAM_TOKEN",
        Off,
        "How it knows us: MediaMTX `user:password`, a JWT or nothing; OvenMediaEngine the access token; services the API key.",
    )),
    secret(variable(
        "RESTREAM_INGEST_URL",
        Off,
        "Where it takes shows in, `rtmp[s]://host[:port]/application[?query]`; a service's own when not set.",
    )),
    variable(
        "RESTREAM_PRICES",
        Off,
        "What it costs: dollars for a minute of each unit (`show`, `output`), such as `output:0.001`. Without it nothing is reckoned.",
    ),
    variable(
        "HYBRID_ORDER",
        Text("own"),
        "Who carries broadcasts of the method `hybrid`, the best first: some of `own`, `daily`, `livekit`, `cloudflare`, `mux`, `restream`, separated by commas. The next one is tried when one fails before a destination is live.",
    ),
    variable(
        "HYBRID_PRODUCTION_ORDER",
        Off,
        "The same for broadcasts that are marked as `production`; `HYBRID_ORDER` when not set.",
    ),
    variable(
        "HYBRID_OWN_DESTINATIONS",
        Off,
        "With more destinations than this, 0 to 20, `own` comes last.",
    ),
    variable(
        "HYBRID_OWN_LOAD_PERCENT",
        Text("80"),
        "When more than this of the node's capacity is taken, 1 to 100, `own` comes last for broadcasts that it does not carry yet.",
    ),
    variable(
        "HYBRID_COST_LIMIT",
        Off,
        "What an hour of one broadcast may cost, in dollars, such as `2.50`; who would cost more is not asked.",
    ),
    variable(
        "HYBRID_LIVE_FAILOVER",
        Text("false"),
        "Lets the next provider take over what is live when one fails; viewers see a cut of some seconds. Two providers never send to one key at a time.",
    ),
];
