//! `LiveKit` that is not there: rooms, ingress, egress and webhooks with the quirks of the real one.
//!
//! After `livekit/livekit pkg/service`, `livekit/egress pkg/pipeline` and `livekit/protocol`: it answers with `snake_case`
//! and all default values, refuses tokens in plain text, leaves most of each key out of addresses, begins an egress only
//! when its participant is really there and ends it when that leaves, keeps the ended streams in its results, and signs
//! webhooks in `camelCase` without default values.

mod documents;
mod egress;
mod grants;
mod hooks;
mod methods;
mod state;

use std::{io, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State as Extracted},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::{sync::Mutex, task::JoinSet, time::interval};
use url::Url;

use self::{
    documents::snake,
    hooks::Hooks,
    state::{Refused, State},
};
use crate::{FakeSettings, Records, Server, Webhooks};

/// How often it looks at its media.
const TICK: Duration = Duration::from_millis(20);

/// Its only API key.
pub const API_KEY: &str = "APIfakelivekit";

/// The secret of the key: nothing that it signs is worth anything.
pub const API_SECRET: &str = "secret-of-the-fake-livekit-0123456789";

/// A server of `LiveKit`'s API. It ends when it is dropped.
#[derive(Debug)]
pub struct FakeLivekit {
    server: Server,
    state: Arc<Mutex<State>>,
    webhooks: Webhooks,
    _tasks: JoinSet<()>,
}

impl FakeLivekit {
    /// Begins to serve.
    pub async fn start(settings: FakeSettings) -> io::Result<Self> {
        let webhooks = Webhooks::new(&settings);
        let hooks = Hooks::new(webhooks.clone());
        let state = State::new(Arc::clone(&settings.media), hooks);
        let state = Arc::new(Mutex::new(state));
        let router = Router::new()
            .route("/twirp/{service}/{method}", post(call))
            .with_state(Arc::clone(&state));
        let server = Server::start(&settings, operation, router).await?;
        let mut tasks = JoinSet::new();
        let ticking = Arc::clone(&state);
        tasks.spawn(async move {
            let mut ticks = interval(TICK);
            loop {
                ticks.tick().await;
                ticking.lock().await.step().await;
            }
        });
        Ok(Self {
            server,
            state,
            webhooks,
            _tasks: tasks,
        })
    }

    /// Where it listens.
    pub const fn base(&self) -> &Url {
        self.server.base()
    }

    /// What it was asked; an operation is the method's name, such as `CreateRoom`.
    pub const fn records(&self) -> &Records {
        self.server.records()
    }

    /// The webhooks it has sent; a kind is the event, such as `egress_ended`.
    pub const fn webhooks(&self) -> &Webhooks {
        &self.webhooks
    }

    /// The rooms that are there.
    pub async fn rooms(&self) -> Vec<String> {
        self.state.lock().await.room_names()
    }

    /// The stream keys of the ways into a room.
    pub async fn stream_keys(&self, room: &str) -> Vec<String> {
        self.state.lock().await.stream_keys(room)
    }

    /// The addresses that a room's show is sent to at the moment, whole, in the order in which they were added.
    pub async fn addresses(&self, room: &str) -> Vec<String> {
        self.state.lock().await.addresses(room)
    }

    /// How many egresses are not over.
    pub async fn active_egresses(&self) -> usize {
        self.state.lock().await.active_egresses()
    }

    /// Whether nothing is left: no room, no way into one, and none out of one.
    pub async fn is_empty(&self) -> bool {
        let state = self.state.lock().await;
        state.is_empty()
    }

    /// Ends the egresses of a room as if their longest time were over.
    pub async fn reach_limit(&self, room: &str) {
        self.state.lock().await.reach_limit(room).await;
    }

    /// From now on no more egresses than this may run at a time.
    pub async fn allow_egresses(&self, limit: usize) {
        self.state.lock().await.egress_limit = limit;
    }
}

/// `CreateRoom` of `/twirp/livekit.RoomService/CreateRoom`.
fn operation(method: &Method, path: &str) -> Option<String> {
    let (_, name) = path.strip_prefix("/twirp/livekit.")?.split_once('/')?;
    (method == Method::POST).then(|| name.to_owned())
}

async fn call(
    Extracted(state): Extracted<Arc<Mutex<State>>>,
    Path((service, method)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authorization = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let grants = match grants::read(authorization) {
        Ok(grants) => grants,
        // Its middleware is older than Twirp in it: no JSON.
        Err(why) => return (StatusCode::UNAUTHORIZED, why).into_response(),
    };
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return refuse(&Refused::new(
            "malformed",
            "the json request could not be decoded",
        ));
    };
    let service = service.strip_prefix("livekit.").unwrap_or_default();
    let request = snake(request);
    match methods::call(&state, service, &method, &grants, &request).await {
        Ok(answer) => Json(answer).into_response(),
        Err(refused) => refuse(&refused),
    }
}

/// Twirp's errors, with the statuses of its specification.
fn refuse(refused: &Refused) -> Response {
    let status = match refused.code {
        "invalid_argument" | "malformed" | "out_of_range" => StatusCode::BAD_REQUEST,
        "unauthenticated" => StatusCode::UNAUTHORIZED,
        "permission_denied" => StatusCode::FORBIDDEN,
        "not_found" | "bad_route" => StatusCode::NOT_FOUND,
        "failed_precondition" => StatusCode::PRECONDITION_FAILED,
        "resource_exhausted" => StatusCode::TOO_MANY_REQUESTS,
        "unavailable" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let body = json!({ "code": refused.code, "msg": refused.words });
    (status, Json(body)).into_response()
}
