//! Livepeer Studio's streams and multistream targets.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{HeaderMap, Method, StatusCode},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::{TOKEN, is_authorized};
use crate::{FakeSettings, Media, Records, Server};

/// A service that ends when it is dropped.
#[derive(Debug)]
pub struct FakeLivepeer {
    server: Server,
    account: Arc<Account>,
}

#[derive(Debug)]
struct Account {
    media: Arc<dyn Media>,
    things: Mutex<Things>,
}

#[derive(Debug, Default)]
struct Things {
    streams: BTreeMap<String, Stream>,
    /// Addresses by the targets' names; they stay when their stream goes.
    targets: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
struct Stream {
    name: String,
    key: String,
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct NewStream {
    name: String,
}

#[derive(Deserialize)]
struct NewTarget {
    profile: String,
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    url: String,
}

impl FakeLivepeer {
    /// Serves an empty account.
    pub async fn start(settings: FakeSettings) -> io::Result<Self> {
        let account = Arc::new(Account {
            media: settings.media.clone(),
            things: Mutex::default(),
        });
        let router = Router::new()
            .route("/api/stream", get(list).post(create))
            .route("/api/stream/{id}", get(read).delete(remove))
            .route("/api/stream/{id}/create-multistream-target", post(add))
            .route("/api/stream/{id}/multistream/{target}", delete(take_off))
            .route("/api/multistream/target/{id}", delete(remove_target))
            .layer(from_fn(authorize))
            .with_state(Arc::clone(&account));
        let server = Server::start(&settings, operation, router).await?;
        Ok(Self { server, account })
    }

    /// Where its API is.
    #[expect(
        clippy::missing_panics_doc,
        reason = "a path can be put behind any address"
    )]
    pub fn base(&self) -> Url {
        self.server.base().join("/api").expect("it is a path")
    }

    /// What it was asked.
    pub fn records(&self) -> &Records {
        self.server.records()
    }

    /// The names of its streams.
    pub fn streams(&self) -> Vec<String> {
        let things = self.account.lock();
        things
            .streams
            .values()
            .map(|stream| stream.name.clone())
            .collect()
    }

    /// The addresses of all targets in the account.
    pub fn targets(&self) -> Vec<String> {
        self.account.lock().targets.values().cloned().collect()
    }
}

impl Account {
    fn lock(&self) -> MutexGuard<'_, Things> {
        self.things.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self, id: &str, stream: &Stream) -> Value {
        let target = |id: &String| json!({ "id": id, "profile": "source" });
        let targets: Vec<_> = stream.targets.iter().map(target).collect();
        json!({
            "id": id, "name": stream.name, "streamKey": stream.key, "suspended": false,
            "isActive": self.media.is_arriving(&stream.key),
            "multistream": { "targets": targets },
        })
    }
}

fn operation(method: &Method, path: &str) -> Option<String> {
    let segments: Vec<_> = path.strip_prefix("/api/")?.split('/').collect();
    let name = match (method.as_str(), segments.as_slice()) {
        ("GET", ["stream"]) => "list_streams",
        ("POST", ["stream"]) => "create_stream",
        ("GET", ["stream", _]) => "get_stream",
        ("DELETE", ["stream", _]) => "delete_stream",
        ("POST", ["stream", _, "create-multistream-target"]) => "create_target",
        ("DELETE", ["stream", _, "multistream", _]) => "remove_target",
        ("DELETE", ["multistream", "target", _]) => "delete_target",
        _ => return None,
    };
    Some(name.to_owned())
}

async fn authorize(headers: HeaderMap, request: Request, next: Next) -> Response {
    if is_authorized(&headers, &format!("Bearer {TOKEN}")) {
        next.run(request).await
    } else {
        refusal(StatusCode::UNAUTHORIZED, "no token")
    }
}

fn refusal(status: StatusCode, words: &str) -> Response {
    (status, Json(json!({ "errors": [words] }))).into_response()
}

fn unknown() -> Response {
    refusal(StatusCode::NOT_FOUND, "not found")
}

async fn list(State(account): State<Arc<Account>>) -> Response {
    let things = account.lock();
    let streams: Vec<_> = things
        .streams
        .iter()
        .map(|(id, stream)| account.view(id, stream))
        .collect();
    Json(streams).into_response()
}

async fn create(State(account): State<Arc<Account>>, Json(new): Json<NewStream>) -> Response {
    let id = Uuid::new_v4().to_string();
    let stream = Stream {
        name: new.name,
        key: Uuid::new_v4().to_string(),
        targets: Vec::new(),
    };
    account.media.ingest(&stream.key).await;
    let view = account.view(&id, &stream);
    account.lock().streams.insert(id, stream);
    (StatusCode::CREATED, Json(view)).into_response()
}

async fn read(State(account): State<Arc<Account>>, Path(id): Path<String>) -> Response {
    let things = account.lock();
    let found = things.streams.get(&id);
    found.map_or_else(unknown, |stream| {
        Json(account.view(&id, stream)).into_response()
    })
}

async fn remove(State(account): State<Arc<Account>>, Path(id): Path<String>) -> Response {
    let Some(stream) = account.lock().streams.remove(&id) else {
        return unknown();
    };
    account.media.forget(&stream.key).await;
    StatusCode::NO_CONTENT.into_response()
}

async fn add(
    State(account): State<Arc<Account>>,
    Path(id): Path<String>,
    Json(new): Json<NewTarget>,
) -> Response {
    if new.profile != "source" {
        return refusal(StatusCode::UNPROCESSABLE_ENTITY, "there is no such profile");
    }
    let target = Uuid::new_v4().to_string();
    let key = {
        let mut things = account.lock();
        let Some(stream) = things.streams.get_mut(&id) else {
            return unknown();
        };
        stream.targets.push(target.clone());
        let key = stream.key.clone();
        things.targets.insert(target.clone(), new.spec.url.clone());
        key
    };
    account.media.connect(&key, &target, &new.spec.url).await;
    Json(json!({ "id": target, "profile": "source" })).into_response()
}

async fn take_off(
    State(account): State<Arc<Account>>,
    Path((id, target)): Path<(String, String)>,
) -> Response {
    let key = {
        let mut things = account.lock();
        let Some(stream) = things.streams.get_mut(&id) else {
            return unknown();
        };
        let before = stream.targets.len();
        stream.targets.retain(|known| *known != target);
        if stream.targets.len() == before {
            return unknown();
        }
        stream.key.clone()
    };
    account.media.disconnect(&key, &target).await;
    StatusCode::NO_CONTENT.into_response()
}

async fn remove_target(State(account): State<Arc<Account>>, Path(id): Path<String>) -> Response {
    match account.lock().targets.remove(&id) {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => unknown(),
    }
}
