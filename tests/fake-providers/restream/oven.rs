//! `OvenMediaEngine`'s push API: pushes by name that wait for the stream of theirs.

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
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::{TOKEN, basic, is_authorized};
use crate::{FakeSettings, Media, OutputState, Records, Server};

/// What a destination has been sent once it has taken the show.
const SENT_BYTES: u64 = 100_000;

/// The application that it has.
const APPLICATION: &str = "/v1/vhosts/default/apps/app";

/// A server that ends when it is dropped.
#[derive(Debug)]
pub struct FakeOven {
    server: Server,
    pushes: Arc<Pushes>,
}

#[derive(Debug)]
struct Pushes {
    media: Arc<dyn Media>,
    by_id: Mutex<BTreeMap<String, Push>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Push {
    id: String,
    stream: Stream,
    protocol: String,
    url: String,
    stream_key: String,
    #[serde(default)]
    has_sent: bool,
}

#[derive(Debug, Clone, Deserialize)]
struct Stream {
    name: String,
}

impl FakeOven {
    /// Serves without any push.
    pub async fn start(settings: FakeSettings) -> io::Result<Self> {
        let pushes = Arc::new(Pushes {
            media: settings.media.clone(),
            by_id: Mutex::default(),
        });
        let router = Router::new()
            .route(&format!("{APPLICATION}:startPush"), post(start))
            .route(&format!("{APPLICATION}:stopPush"), post(stop))
            .route(&format!("{APPLICATION}:pushes"), post(list))
            .route(&format!("{APPLICATION}/streams/{{name}}"), get(stream))
            .layer(from_fn(authorize))
            .with_state(Arc::clone(&pushes));
        let server = Server::start(&settings, operation, router).await?;
        Ok(Self { server, pushes })
    }

    /// Where its API is: the application's URL.
    #[expect(
        clippy::missing_panics_doc,
        reason = "a path can be put behind any address"
    )]
    pub fn base(&self) -> Url {
        self.server.base().join(APPLICATION).expect("it is a path")
    }

    /// What it was asked.
    pub fn records(&self) -> &Records {
        self.server.records()
    }

    /// The streams that are pushed, each as often as it is.
    pub fn pushed(&self) -> Vec<String> {
        let pushes = self.pushes.lock();
        pushes
            .values()
            .map(|push| push.stream.name.clone())
            .collect()
    }
}

impl Pushes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Push>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self, push: &mut Push) -> Value {
        let state = match self.media.state(&push.stream.name, &push.id) {
            OutputState::Live => {
                push.has_sent = true;
                "pushing"
            }
            OutputState::Connecting if self.media.is_arriving(&push.stream.name) => "started",
            OutputState::Connecting | OutputState::Absent => "ready",
            OutputState::Failed(_) => "error",
        };
        let sent = if push.has_sent { SENT_BYTES } else { 0 };
        json!({
            "id": push.id, "app": "app", "vhost": "default", "protocol": push.protocol,
            "stream": { "name": push.stream.name, "tracks": [] },
            "url": push.url, "streamKey": push.stream_key,
            "state": state, "sentBytes": sent, "totalsentBytes": sent, "sequence": 0,
        })
    }
}

fn operation(method: &Method, path: &str) -> Option<String> {
    let rest = path.strip_prefix(APPLICATION)?;
    match (method.as_str(), rest) {
        ("POST", ":startPush") => Some("start_push".to_owned()),
        ("POST", ":stopPush") => Some("stop_push".to_owned()),
        ("POST", ":pushes") => Some("list_pushes".to_owned()),
        ("GET", _) if rest.starts_with("/streams/") => Some("get_stream".to_owned()),
        _ => None,
    }
}

async fn authorize(headers: HeaderMap, request: Request, next: Next) -> Response {
    if is_authorized(&headers, &basic(TOKEN)) {
        next.run(request).await
    } else {
        refusal(
            StatusCode::UNAUTHORIZED,
            "Authorization header is required to call API",
        )
    }
}

fn refusal(status: StatusCode, words: &str) -> Response {
    let document = json!({ "statusCode": status.as_u16(), "message": words });
    (status, Json(document)).into_response()
}

fn answer(response: &Value) -> Response {
    Json(json!({ "statusCode": 200, "message": "OK", "response": response })).into_response()
}

async fn start(State(pushes): State<Arc<Pushes>>, Json(mut push): Json<Push>) -> Response {
    let (id, stream) = (push.id.clone(), push.stream.name.clone());
    if pushes.lock().contains_key(&id) {
        let words = format!("Duplicate ID already exists [{id}] (400)");
        return refusal(StatusCode::BAD_REQUEST, &words);
    }
    let url = format!("{}/{}", push.url, push.stream_key);
    pushes.media.connect(&stream, &id, &url).await;
    let view = pushes.view(&mut push);
    pushes.lock().insert(id, push);
    answer(&json!([view]))
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

async fn stop(State(pushes): State<Arc<Pushes>>, Json(Named { id }): Json<Named>) -> Response {
    let Some(mut push) = pushes.lock().remove(&id) else {
        let words = format!("There is no push information related to the ID [{id}] (404)");
        return refusal(StatusCode::NOT_FOUND, &words);
    };
    let view = pushes.view(&mut push);
    pushes.media.disconnect(&push.stream.name, &id).await;
    answer(&json!([view]))
}

async fn list(State(pushes): State<Arc<Pushes>>) -> Response {
    let mut by_id = pushes.lock();
    if by_id.is_empty() {
        // A status that cannot have a body, as documented.
        return StatusCode::NO_CONTENT.into_response();
    }
    let views: Vec<_> = by_id.values_mut().map(|push| pushes.view(push)).collect();
    answer(&json!(views))
}

async fn stream(State(pushes): State<Arc<Pushes>>, Path(name): Path<String>) -> Response {
    if pushes.media.is_arriving(&name) {
        answer(&json!({ "name": name, "input": { "sourceType": "Rtmp" } }))
    } else {
        refusal(StatusCode::NOT_FOUND, "Could not find the stream (404)")
    }
}
