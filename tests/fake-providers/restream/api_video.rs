//! api.video's live streams with their restreams.

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
    routing::get,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::{TOKEN, basic, is_authorized};
use crate::{FakeSettings, Media, Records, Server};

/// The most restreams of a live stream.
const RESTREAMS_LIMIT: usize = 5;

/// A service that ends when it is dropped.
#[derive(Debug)]
pub struct FakeApiVideo {
    server: Server,
    account: Arc<Account>,
}

#[derive(Debug)]
struct Account {
    media: Arc<dyn Media>,
    streams: Mutex<BTreeMap<String, LiveStream>>,
}

#[derive(Debug, Clone)]
struct LiveStream {
    name: String,
    key: String,
    restreams: Vec<Restream>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Restream {
    name: String,
    server_url: String,
    stream_key: String,
}

#[derive(Deserialize)]
struct Payload {
    name: Option<String>,
    restreams: Option<Vec<Restream>>,
}

impl FakeApiVideo {
    /// Serves an empty account.
    pub async fn start(settings: FakeSettings) -> io::Result<Self> {
        let account = Arc::new(Account {
            media: settings.media.clone(),
            streams: Mutex::default(),
        });
        let router = Router::new()
            .route("/live-streams", get(list).post(create))
            .route("/live-streams/{id}", get(read).patch(change).delete(remove))
            .layer(from_fn(authorize))
            .with_state(Arc::clone(&account));
        let server = Server::start(&settings, operation, router).await?;
        Ok(Self { server, account })
    }

    /// Where its API is.
    pub fn base(&self) -> &Url {
        self.server.base()
    }

    /// What it was asked.
    pub const fn records(&self) -> &Records {
        self.server.records()
    }

    /// The names of its live streams.
    pub fn streams(&self) -> Vec<String> {
        let streams = self.account.lock();
        streams.values().map(|stream| stream.name.clone()).collect()
    }
}

impl Account {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, LiveStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self, id: &str, stream: &LiveStream) -> Value {
        json!({
            "liveStreamId": id, "name": stream.name, "streamKey": stream.key,
            "broadcasting": self.media.is_arriving(&stream.key), "restreams": stream.restreams,
        })
    }

    async fn connect(&self, stream: &LiveStream) {
        for restream in &stream.restreams {
            let url = format!("{}/{}", restream.server_url, restream.stream_key);
            self.media.connect(&stream.key, &restream.name, &url).await;
        }
    }
}

fn operation(method: &Method, path: &str) -> Option<String> {
    let rest = path.strip_prefix("/live-streams")?;
    let name = match (method.as_str(), rest.is_empty()) {
        ("GET", true) => "list_streams",
        ("POST", true) => "create_stream",
        ("GET", false) => "get_stream",
        ("PATCH", false) => "update_stream",
        ("DELETE", false) => "delete_stream",
        _ => return None,
    };
    Some(name.to_owned())
}

async fn authorize(headers: HeaderMap, request: Request, next: Next) -> Response {
    if is_authorized(&headers, &basic(&format!("{TOKEN}:"))) {
        next.run(request).await
    } else {
        refusal(StatusCode::UNAUTHORIZED, "Unauthorized")
    }
}

fn refusal(status: StatusCode, title: &str) -> Response {
    let document =
        json!({ "type": "https://docs.api.video", "title": title, "status": status.as_u16() });
    (status, Json(document)).into_response()
}

fn unknown() -> Response {
    refusal(
        StatusCode::NOT_FOUND,
        "The requested resource was not found.",
    )
}

async fn list(
    State(account): State<Arc<Account>>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let part = query.get("name").cloned().unwrap_or_default();
    let streams = account.lock();
    let found: Vec<_> = streams
        .iter()
        .filter(|(_, stream)| stream.name.contains(&part))
        .map(|(id, stream)| account.view(id, stream))
        .collect();
    Json(json!({ "data": found, "pagination": { "itemsTotal": found.len() } })).into_response()
}

async fn create(State(account): State<Arc<Account>>, Json(new): Json<Payload>) -> Response {
    let (Some(name), restreams) = (new.name, new.restreams.unwrap_or_default()) else {
        return refusal(StatusCode::BAD_REQUEST, "This attribute is required: name.");
    };
    if restreams.len() > RESTREAMS_LIMIT {
        return refusal(StatusCode::BAD_REQUEST, "Too many restreams.");
    }
    let id = format!("li{}", Uuid::new_v4().simple());
    let stream = LiveStream {
        name,
        key: Uuid::new_v4().to_string(),
        restreams,
    };
    account.media.ingest(&stream.key).await;
    account.connect(&stream).await;
    let view = account.view(&id, &stream);
    account.lock().insert(id, stream);
    (StatusCode::CREATED, Json(view)).into_response()
}

async fn read(State(account): State<Arc<Account>>, Path(id): Path<String>) -> Response {
    let streams = account.lock();
    let found = streams.get(&id);
    found.map_or_else(unknown, |stream| {
        Json(account.view(&id, stream)).into_response()
    })
}

async fn change(
    State(account): State<Arc<Account>>,
    Path(id): Path<String>,
    Json(change): Json<Payload>,
) -> Response {
    let Some(mut stream) = account.lock().get(&id).cloned() else {
        return unknown();
    };
    if let Some(restreams) = change.restreams {
        if restreams.len() > RESTREAMS_LIMIT {
            return refusal(StatusCode::BAD_REQUEST, "Too many restreams.");
        }
        let before = std::mem::replace(&mut stream.restreams, restreams);
        // A list that is changed while a show is on is followed from the next one on.
        if !account.media.is_arriving(&stream.key) {
            for restream in before {
                account.media.disconnect(&stream.key, &restream.name).await;
            }
            account.connect(&stream).await;
        }
    }
    let view = account.view(&id, &stream);
    account.lock().insert(id, stream);
    Json(view).into_response()
}

async fn remove(State(account): State<Arc<Account>>, Path(id): Path<String>) -> Response {
    let Some(stream) = account.lock().remove(&id) else {
        return unknown();
    };
    account.media.forget(&stream.key).await;
    StatusCode::NO_CONTENT.into_response()
}
