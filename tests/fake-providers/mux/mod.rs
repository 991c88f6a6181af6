//! Mux's live streams and simulcast targets: targets that change only while nothing is live, each with its state, and signed
//! webhooks.

mod answers;
mod routes;
mod state;
mod stream;

use std::{io, sync::Arc, time::Duration};

use axum::http::Method;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use url::Url;

use self::state::State;
use crate::{Delivery, FakeSettings, Records, Server, Webhooks};

/// How often the fake looks at its media for what to tell by webhook.
const LOOK: Duration = Duration::from_millis(50);

/// What differs between accounts and times.
#[derive(Debug, Clone, Copy, Default)]
pub struct MuxQuirks {
    /// Whether the account has no live streams.
    pub is_free: bool,
    /// How long a live stream stays active after its show has broken off; the real one waits as long as it was told to.
    pub reconnect_window: Duration,
    /// Whether the keys of targets are left out of answers.
    pub hides_keys: bool,
}

/// A live stream as the fake knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeStream {
    /// Its id.
    pub id: String,
    /// What it was made for.
    pub passthrough: String,
    /// The key that shows are sent to it with.
    pub key: String,
    /// Where it is sent to: address and key of each target.
    pub targets: Vec<(String, String)>,
}

/// The fake.
#[derive(Debug)]
pub struct FakeMux {
    server: Server,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

impl FakeMux {
    /// The id of the only access token.
    pub const TOKEN_ID: &str = "fake-mux-token-id";

    /// Its secret.
    pub const TOKEN_SECRET: &str = "fake-mux-token-secret";

    /// What its webhooks are signed with.
    pub const WEBHOOK_SECRET: &str = "fake-mux-webhook-secret";

    /// Listens, with nothing in its account.
    pub async fn start(settings: &FakeSettings, quirks: MuxQuirks) -> io::Result<Self> {
        let state = Arc::new(State::new(
            Arc::clone(&settings.media),
            Webhooks::new(settings),
            quirks,
        ));
        let router = routes::router(Arc::clone(&state));
        let server = Server::start(settings, operation, router).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(watch(Arc::clone(&state)));
        Ok(Self {
            server,
            state,
            _tasks: tasks,
        })
    }

    /// The base of its API.
    pub const fn base(&self) -> &Url {
        self.server.base()
    }

    /// What it was asked.
    pub const fn records(&self) -> &Records {
        self.server.records()
    }

    /// Its webhooks so far.
    pub fn webhooks(&self) -> Vec<Delivery> {
        self.state.webhooks().sent()
    }

    /// What there is.
    pub fn streams(&self) -> Vec<FakeStream> {
        self.state.view()
    }

    /// The recordings that are kept.
    pub fn recordings(&self) -> Vec<String> {
        self.state.recordings()
    }

    /// Disables a live stream, as somebody in the dashboard may.
    pub async fn disable(&self, stream: &str) {
        drop(self.state.disable(stream).await);
    }
}

/// Tells when shows come and go.
async fn watch(state: Arc<State>) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        state.look();
    }
}

/// The names of our client's operations, and of what only others ask for.
fn operation(method: &Method, path: &str) -> Option<String> {
    let rest = path.strip_prefix("/video/v1/")?;
    let segments: Vec<_> = rest.split('/').collect();
    let name = match (method.as_str(), segments.as_slice()) {
        ("GET", ["live-streams"]) => "list_live_streams",
        ("POST", ["live-streams"]) => "create_live_stream",
        ("GET", ["live-streams", _]) => "get_live_stream",
        ("DELETE", ["live-streams", _]) => "delete_live_stream",
        ("PUT", ["live-streams", _, "complete"]) => "complete_live_stream",
        ("PUT", ["live-streams", _, "disable"]) => "disable_live_stream",
        ("PUT", ["live-streams", _, "enable"]) => "enable_live_stream",
        ("POST", ["live-streams", _, "simulcast-targets"]) => "create_simulcast_target",
        ("GET", ["live-streams", _, "simulcast-targets", _]) => "get_simulcast_target",
        ("DELETE", ["live-streams", _, "simulcast-targets", _]) => "delete_simulcast_target",
        ("DELETE", ["assets", _]) => "delete_asset",
        _ => return None,
    };
    Some(name.to_owned())
}
