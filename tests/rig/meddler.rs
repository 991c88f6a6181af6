//! Somebody between a studio and the gateway's HTTP who rewrites offers.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::Result;
use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::Request,
    http::{HeaderMap, Response, StatusCode},
};
use reqwest::Client;
use tokio::{net::TcpListener, task::JoinSet};

use crate::gateway::client;

const BODY_LIMIT_BYTES: usize = 1024 * 1024;

/// The proxy. Dropping it ends it.
#[derive(Debug)]
pub struct Meddler {
    address: SocketAddr,
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
        let router = Router::new().fallback(move |request: Request| {
            let (client, rewrite) = (client.clone(), Arc::clone(&rewrite));
            async move {
                pass(&client, gateway, request, &*rewrite)
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
            _tasks: tasks,
        })
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
) -> Result<Response<axum::body::Body>> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_LIMIT_BYTES).await?;
    let answer = client
        .request(parts.method, format!("http://{gateway}{}", parts.uri))
        .headers(without_length(&parts.headers))
        .body(rewrite(String::from_utf8(body.to_vec())?))
        .send()
        .await?;
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
