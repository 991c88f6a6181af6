//! Cloudflare Stream's live inputs and outputs: keys against doubles, outputs that cannot be changed and of whose health not
//! a word is said, and a status in two shapes.

mod answers;
mod routes;
mod state;

use std::{io, sync::Arc, time::Duration};

use axum::http::Method;
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use url::Url;

use self::state::State;
use crate::{Delivery, FakeSettings, Records, Server, Webhooks};

/// How often the fake looks at its media for what to tell by webhook.
const LOOK: Duration = Duration::from_millis(50);

/// How a live input's status looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatusShape {
    /// One word, as the SDK of today types it.
    #[default]
    Word,
    /// The latest state and a history, as older answers had it.
    History,
}

/// What differs between accounts and times.
#[derive(Debug, Clone, Copy, Default)]
pub struct CloudflareQuirks {
    /// How a status looks.
    pub status: StatusShape,
    /// Whether the keys of outputs are left out of answers.
    pub hides_keys: bool,
    /// How long a deleted output still gets the show; up to 30 s at the real one.
    pub disconnects_after: Duration,
}

/// A live input as the fake knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeInput {
    /// Its id.
    pub uid: String,
    /// The name in its notes.
    pub name: String,
    /// The key that shows are sent to it with.
    pub key: String,
    /// Where it is sent to: address and key of each output that is on.
    pub outputs: Vec<(String, String)>,
}

/// The fake.
#[derive(Debug)]
pub struct FakeCloudflare {
    server: Server,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

impl FakeCloudflare {
    /// The only account there is.
    pub const ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";

    /// The only token that is taken.
    pub const TOKEN: &str = "fake-cloudflare-token";

    /// What its notifications bring.
    pub const WEBHOOK_SECRET: &str = "fake-cloudflare-webhook-secret";

    /// Listens, with nothing in its account.
    pub async fn start(settings: &FakeSettings, quirks: CloudflareQuirks) -> io::Result<Self> {
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
    pub fn base(&self) -> Url {
        let mut base = self.server.base().clone();
        base.set_path("/client/v4");
        base
    }

    /// What it was asked.
    pub const fn records(&self) -> &Records {
        self.server.records()
    }

    /// Its notifications so far.
    pub fn webhooks(&self) -> Vec<Delivery> {
        self.state.webhooks().sent()
    }

    /// What there is.
    pub fn inputs(&self) -> Vec<FakeInput> {
        self.state.inputs()
    }

    /// From now on the account's storage is full.
    pub fn fill_storage(&self) {
        self.state.fill_storage();
    }

    /// Switches a live input off, as somebody in the dashboard may.
    pub fn switch_off(&self, uid: &str) {
        self.state.switch_off(uid);
    }

    /// Switches all outputs off, as somebody in the dashboard may.
    pub async fn switch_outputs_off(&self) {
        self.state.switch_outputs_off().await;
    }

    /// Tells by webhook that a live input's show cannot be carried.
    pub fn fail_input(&self, uid: &str, code: &str) {
        let errored = json!({
            "error": { "code": code, "message": "told by the fake" },
            "video_codec": "",
            "audio_codec": "",
        });
        self.state.notify(uid, "live_input.errored", Some(errored));
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
    let rest = path.strip_prefix("/client/v4/accounts/")?;
    let segments: Vec<_> = rest.split('/').skip(1).collect();
    let name = match (method.as_str(), segments.as_slice()) {
        ("GET", ["stream", "storage-usage"]) => "get_storage_usage",
        ("GET", ["stream", "live_inputs"]) => "list_live_inputs",
        ("POST", ["stream", "live_inputs"]) => "create_live_input",
        ("GET", ["stream", "live_inputs", _]) => "get_live_input",
        ("PUT", ["stream", "live_inputs", _]) => "update_live_input",
        ("DELETE", ["stream", "live_inputs", _]) => "delete_live_input",
        ("GET", ["stream", "live_inputs", _, "outputs"]) => "list_outputs",
        ("POST", ["stream", "live_inputs", _, "outputs"]) => "create_output",
        ("PUT", ["stream", "live_inputs", _, "outputs", _]) => "enable_output",
        ("DELETE", ["stream", "live_inputs", _, "outputs", _]) => "delete_output",
        _ => return None,
    };
    Some(name.to_owned())
}
