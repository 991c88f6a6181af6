//! Somebody between a studio and the gateway's HTTP who rewrites offers, or remembers resume tokens for it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode},
};
use reqwest::Client;
use tokio::{net::TcpListener, task::JoinSet};

use crate::gateway::client;

const BODY_LIMIT_BYTES: usize = 1024 * 1024;

/// What a gateway gives a studio so that it may come back.
const RESUME_TOKEN: &str = "castgate-resume-token";

/// The resume token of the last answer that had one.
type Token = Arc<Mutex<Option<HeaderValue>>>;

/// The proxy. Dropping it ends it.
#[derive(Debug)]
pub struct Meddler {
    address: SocketAddr,
    token: Token,
    _tasks: JoinSet<()>,
}

impl Meddler {
    /// Passes all requests on to `gateway`, with bodies changed by `rewrite`.
    pub async fn before(
        gateway: SocketAddr,
        rewrite: impl Fn(String) -> String + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let client = client()?;
        let rewrite = Arc::new(rewrite);
        let token = Token::default();
        let shared = Arc::clone(&token);
        let router = Router::new().fallback(move |request: Request| {
            let (client, rewrite) = (client.clone(), Arc::clone(&rewrite));
            let token = Arc::clone(&shared);
            async move {
                pass(&client, gateway, request, &*rewrite, &token)
                    .await
                    .map_err(|error| (StatusCode::BAD_GATEWAY, error.to_string()))
            }
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            token,
            _tasks: tasks,
        })
    }

    /// Passes all requests on as they are, and shows the resume token of each answer with the next offer: so a studio
    /// that was killed comes back as itself.
    pub async fn remembering(gateway: SocketAddr) -> Result<Self> {
        Self::before(gateway, |body| body).await
    }

    /// The resume token of the last answer, as a header has it.
    pub fn resume_token(&self) -> Option<String> {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        token.as_ref()?.to_str().ok().map(str::to_owned)
    }

    /// The whole URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

async fn pass(
    client: &Client,
    gateway: SocketAddr,
    request: Request,
    rewrite: &(impl Fn(String) -> String + ?Sized),
    token: &Token,
) -> Result<Response<axum::body::Body>> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_LIMIT_BYTES).await?;
    let mut headers = without_length(&parts.headers);
    let remembered = token.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(remembered) = remembered
        && parts.method == Method::POST
    {
        headers.insert(RESUME_TOKEN, remembered);
    }
    let answer = client
        .request(parts.method, format!("http://{gateway}{}", parts.uri))
        .headers(headers)
        .body(rewrite(String::from_utf8(body.to_vec())?))
        .send()
        .await?;
    if let Some(given) = answer.headers().get(RESUME_TOKEN) {
        let mut token = token.lock().unwrap_or_else(PoisonError::into_inner);
        *token = Some(given.clone());
    }
    let mut response = Response::builder().status(answer.status());
    if let Some(headers) = response.headers_mut() {
        *headers = without_length(answer.headers());
    }
    let body: Bytes = answer.bytes().await?;
    Ok(response.body(body.into())?)
}

fn without_length(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove("content-length");
    headers.remove("transfer-encoding");
    headers.remove("host");
    headers
}
