//! A fleet's way in for studios: for each offer it asks which node is to take it, as our own client does.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, Response, StatusCode, header::LOCATION},
};
use reqwest::Client;
use tokio::{net::TcpListener, task::JoinSet};

use crate::gateway::client;

const BODY_LIMIT_BYTES: usize = 1024 * 1024;

/// What a gateway gives a studio so that it may come back.
const RESUME_TOKEN: &str = "castgate-resume-token";

/// A node that stands still is left after this long, and the next one asked.
const PATIENCE: Duration = Duration::from_secs(2);

/// One to the right node, and some for shows that move meanwhile.
const REDIRECTS: u32 = 4;

/// Passes offers on. Sessions themselves are the business of studio and node. Dropping it ends it.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct State {
    client: Client,
    nodes: Vec<SocketAddr>,
    /// The resume token of the last answer that had one.
    token: Mutex<Option<HeaderValue>>,
}

impl Door {
    /// One for a single studio, since it remembers one resume token.
    pub(super) async fn before(nodes: impl Iterator<Item = SocketAddr>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            client: client()?,
            nodes: nodes.collect(),
            token: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let router = Router::new().fallback(move |request: Request| {
            let state = Arc::clone(&shared);
            async move {
                let passed = state.pass(request).await;
                passed.map_err(|error| (StatusCode::BAD_GATEWAY, format!("{error:#}")))
            }
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            state,
            _tasks: tasks,
        })
    }

    /// Where to offer a broadcast.
    pub fn whip(&self, broadcast: &str) -> String {
        format!("http://{}/whip/{broadcast}", self.address)
    }

    /// The resume token of the last answer, as a header has it.
    pub fn resume_token(&self) -> Option<String> {
        let token = self.state.token();
        token.as_ref()?.to_str().ok().map(str::to_owned)
    }
}

impl State {
    fn token(&self) -> MutexGuard<'_, Option<HeaderValue>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The URL of the node that is to take a broadcast, as any of the nodes says.
    async fn assigned(&self, broadcast: &str) -> Result<String> {
        let mut last = None;
        for node in &self.nodes {
            let url = format!("http://{node}/media-servers/assign?broadcast={broadcast}");
            let answer = self.client.get(url).timeout(PATIENCE).send().await;
            let Ok(answer) = answer else { continue };
            let (status, body) = (answer.status(), answer.text().await?);
            let found: Option<serde_json::Value> = serde_json::from_str(&body).ok();
            match found.and_then(|found| found["url"].as_str().map(str::to_owned)) {
                Some(url) if status.is_success() => return Ok(url),
                Some(_) | None => last = Some(format!("{status}: {body}")),
            }
        }
        bail!("nobody assigns a node: {last:?}")
    }

    async fn pass(&self, request: Request) -> Result<Response<axum::body::Body>> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let broadcast = path.strip_prefix("/whip/").context("not an offer")?;
        let mut headers = without_length(&parts.headers);
        if let Some(token) = self.token().clone() {
            headers.insert(RESUME_TOKEN, token);
        }
        let body = to_bytes(body, BODY_LIMIT_BYTES).await?;
        let mut url = format!("{}{path}", self.assigned(broadcast).await?);
        let mut redirects = 0;
        let answer = loop {
            let offer = self.client.post(&url).headers(headers.clone());
            let answer = offer.body(body.clone()).send().await?;
            let next = answer.headers().get(LOCATION);
            match next.and_then(|next| next.to_str().ok()) {
                Some(next)
                    if answer.status() == StatusCode::TEMPORARY_REDIRECT
                        && redirects < REDIRECTS =>
                {
                    url = next.to_owned();
                    redirects += 1;
                }
                Some(_) | None => break answer,
            }
        };
        if let Some(given) = answer.headers().get(RESUME_TOKEN) {
            *self.token() = Some(given.clone());
        }
        let mut response = Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            *headers = without_length(answer.headers());
            // Seen from here a relative one would lead to us.
            if let Some(location) = headers.get(LOCATION) {
                let location = reqwest::Url::parse(&url)?.join(location.to_str()?)?;
                headers.insert(LOCATION, HeaderValue::from_str(location.as_str())?);
            }
        }
        let body: Bytes = answer.bytes().await?;
        Ok(response.body(body.into())?)
    }
}

fn without_length(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in ["content-length", "transfer-encoding", "host"] {
        headers.remove(name);
    }
    headers
}
