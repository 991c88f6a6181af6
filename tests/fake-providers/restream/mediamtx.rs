//! `MediaMTX`'s control API as of August 2026: path configurations with `forward` lists, and what comes of them.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, Method, StatusCode},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{delete, get, patch, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::{TOKEN, basic, is_authorized};
use crate::{FakeSettings, Media, OutputState, Records, Server};

/// What a destination has been sent once it has taken the show.
const SENT_BYTES: u64 = 100_000;

/// A server that ends when it is dropped.
#[derive(Debug)]
pub struct FakeMediaMtx {
    server: Server,
    paths: Arc<Paths>,
}

#[derive(Debug)]
struct Paths {
    media: Arc<dyn Media>,
    configured: Mutex<BTreeMap<String, Vec<Forward>>>,
}

#[derive(Debug, Clone)]
struct Forward {
    id: Uuid,
    dest: String,
    has_sent: bool,
}

#[derive(Deserialize)]
struct Configuration {
    forward: Option<Vec<Dest>>,
}

#[derive(Deserialize)]
struct Dest {
    dest: String,
}

impl FakeMediaMtx {
    /// Serves without any path.
    pub async fn start(settings: FakeSettings) -> io::Result<Self> {
        let paths = Arc::new(Paths {
            media: settings.media.clone(),
            configured: Mutex::default(),
        });
        let router = Router::new()
            .route("/v3/config/paths/list", get(list_configured))
            .route("/v3/config/paths/get/{*path}", get(get_configured))
            .route("/v3/config/paths/add/{*path}", post(add))
            .route("/v3/config/paths/patch/{*path}", patch(change))
            .route("/v3/config/paths/delete/{*path}", delete(remove))
            .route("/v3/paths/list", get(list_configured))
            .route("/v3/paths/get/{*path}", get(get_path))
            .route("/v3/paths/forward/list", get(list_forwards))
            .layer(from_fn(authorize))
            .with_state(Arc::clone(&paths));
        let server = Server::start(&settings, operation, router).await?;
        Ok(Self { server, paths })
    }

    /// Where its API is.
    pub fn base(&self) -> &Url {
        self.server.base()
    }

    /// What it was asked.
    pub const fn records(&self) -> &Records {
        self.server.records()
    }

    /// The paths that are configured, with where each is forwarded to.
    pub fn paths(&self) -> BTreeMap<String, Vec<String>> {
        let configured = self.paths.lock();
        let dests = |forwards: &Vec<Forward>| forwards.iter().map(|one| one.dest.clone()).collect();
        configured
            .iter()
            .map(|(path, forwards)| (path.clone(), dests(forwards)))
            .collect()
    }
}

impl Paths {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Forward>>> {
        self.configured
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Forwards a path to these and no others; those that were among them before notice nothing.
    async fn forward(&self, path: &str, dests: Vec<Dest>) {
        let before = self.lock().get(path).cloned().unwrap_or_default();
        let forwards: Vec<_> = dests
            .into_iter()
            .map(|Dest { dest }| {
                let known = before.iter().find(|forward| forward.dest == dest);
                known.cloned().unwrap_or(Forward {
                    id: Uuid::new_v4(),
                    dest,
                    has_sent: false,
                })
            })
            .collect();
        let stays = |id| forwards.iter().any(|forward| forward.id == id);
        for gone in before.iter().filter(|forward| !stays(forward.id)) {
            self.media.disconnect(key(path), &gone.id.to_string()).await;
        }
        let is_new = |id| !before.iter().any(|forward| forward.id == id);
        for new in forwards.iter().filter(|forward| is_new(forward.id)) {
            let url = new.dest.replacen('#', "/", 1).replace("%25", "%");
            self.media
                .connect(key(path), &new.id.to_string(), &url)
                .await;
        }
        self.lock().insert(path.to_owned(), forwards);
    }
}

/// What a path is published under, as the media know it.
fn key(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn operation(method: &Method, path: &str) -> Option<String> {
    let known = [
        ("GET", "/v3/config/paths/list", "list_configured"),
        ("GET", "/v3/config/paths/get/", "get_configured"),
        ("POST", "/v3/config/paths/add/", "add_path"),
        ("PATCH", "/v3/config/paths/patch/", "patch_path"),
        ("DELETE", "/v3/config/paths/delete/", "delete_path"),
        ("GET", "/v3/paths/list", "list_paths"),
        ("GET", "/v3/paths/get/", "get_path"),
        ("GET", "/v3/paths/forward/list", "list_forwards"),
    ];
    known
        .iter()
        .find(|(verb, prefix, _)| method == verb && path.starts_with(prefix))
        .map(|(_, _, name)| (*name).to_owned())
}

async fn authorize(headers: HeaderMap, request: Request, next: Next) -> Response {
    if is_authorized(&headers, &basic(&format!("castgate:{TOKEN}"))) {
        next.run(request).await
    } else {
        refusal(StatusCode::UNAUTHORIZED, "authentication error")
    }
}

fn refusal(status: StatusCode, words: &str) -> Response {
    (status, Json(json!({ "status": "error", "error": words }))).into_response()
}

fn done() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

fn unknown() -> Response {
    refusal(StatusCode::NOT_FOUND, "path not found")
}

fn list(items: &[Value]) -> Response {
    Json(json!({ "itemCount": items.len(), "pageCount": 1, "items": items })).into_response()
}

async fn list_configured(State(paths): State<Arc<Paths>>) -> Response {
    let names: Vec<_> = paths
        .lock()
        .keys()
        .map(|path| json!({ "name": path }))
        .collect();
    list(&names)
}

async fn get_configured(State(paths): State<Arc<Paths>>, Path(path): Path<String>) -> Response {
    match paths.lock().get(&path) {
        Some(forwards) => {
            let dests: Vec<_> = forwards
                .iter()
                .map(|one| json!({ "dest": one.dest }))
                .collect();
            Json(json!({ "name": path, "source": "publisher", "forward": dests })).into_response()
        }
        None => refusal(StatusCode::NOT_FOUND, "path configuration not found"),
    }
}

async fn add(
    State(paths): State<Arc<Paths>>,
    Path(path): Path<String>,
    Json(configuration): Json<Configuration>,
) -> Response {
    if paths.lock().contains_key(&path) {
        return refusal(StatusCode::BAD_REQUEST, "path already exists");
    }
    paths.media.ingest(key(&path)).await;
    paths
        .forward(&path, configuration.forward.unwrap_or_default())
        .await;
    done()
}

async fn change(
    State(paths): State<Arc<Paths>>,
    Path(path): Path<String>,
    Json(configuration): Json<Configuration>,
) -> Response {
    if !paths.lock().contains_key(&path) {
        return refusal(StatusCode::NOT_FOUND, "path configuration not found");
    }
    if let Some(forward) = configuration.forward {
        paths.forward(&path, forward).await;
    }
    done()
}

async fn remove(State(paths): State<Arc<Paths>>, Path(path): Path<String>) -> Response {
    if paths.lock().remove(&path).is_none() {
        return refusal(StatusCode::NOT_FOUND, "path configuration not found");
    }
    paths.media.forget(key(&path)).await;
    done()
}

async fn get_path(State(paths): State<Arc<Paths>>, Path(path): Path<String>) -> Response {
    if !paths.lock().contains_key(&path) {
        return unknown();
    }
    let there = paths.media.is_arriving(key(&path));
    Json(json!({ "name": path, "ready": there, "available": there, "online": there }))
        .into_response()
}

async fn list_forwards(
    State(paths): State<Arc<Paths>>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let path = query.get("path").cloned().unwrap_or_default();
    let mut configured = paths.lock();
    let Some(forwards) = configured.get_mut(&path) else {
        return unknown();
    };
    let items: Vec<_> = forwards
        .iter_mut()
        .enumerate()
        .map(|(nth, forward)| {
            let state = match paths.media.state(key(&path), &forward.id.to_string()) {
                OutputState::Live => {
                    forward.has_sent = true;
                    "forwarding"
                }
                // As the real one: it is said before the destination has answered.
                OutputState::Connecting if paths.media.is_arriving(key(&path)) => "forwarding",
                OutputState::Connecting | OutputState::Absent => "idle",
                OutputState::Failed(_) => "error",
            };
            json!({
                "id": forward.id.to_string(),
                "pos": nth + 1,
                "conf": { "dest": forward.dest },
                "state": state,
                // The real one's words hold addresses with keys.
                "lastError": if state == "error" { forward.dest.as_str() } else { "" },
                "outboundBytes": if forward.has_sent { SENT_BYTES } else { 0 },
            })
        })
        .collect();
    list(&items)
}
