//! The gateway as its users have it: a process, an environment, an HTTP address.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use reqwest::{Client, Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::Value;
use tokio::process::Command;

use crate::{Process, Scratch, binary::gateway_binary, eventually, free_port};

/// On a machine that is busy.
const START_LIMIT: Duration = Duration::from_mins(1);

/// Longer than the gateway takes to give up whatever it is asked for.
const REQUEST_LIMIT: Duration = Duration::from_secs(90);

/// A running gateway. It is killed when this is dropped.
#[derive(Debug)]
pub struct Gateway {
    /// The process itself.
    pub process: Process,
    http: SocketAddr,
    rtc: SocketAddr,
    client: Client,
    authorization: Option<String>,
    _scratch: Scratch,
}

/// What came back from the gateway.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// HTTP headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body)
            .with_context(|| format!("{} with: {}", self.status, self.body))
    }

    /// A header that must be there.
    pub fn header(&self, name: &str) -> Result<&str> {
        let value = self
            .headers
            .get(name)
            .with_context(|| format!("no '{name}' in {:?}", self.headers))?;
        Ok(value.to_str()?)
    }
}

impl Gateway {
    /// Starts it on free ports of loopback, with destinations on loopback allowed, and waits until it is ready.
    ///
    /// `variables` are added to its environment, which has nothing else of ours.
    pub async fn start(variables: &[(&str, &str)]) -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST, variables).await
    }

    /// The same at another of this machine's addresses.
    pub async fn start_at(address: Ipv4Addr, variables: &[(&str, &str)]) -> Result<Self> {
        let http = SocketAddr::from((address, free_port()?));
        let rtc = SocketAddr::from((address, free_port()?));
        Self::start_on(http, rtc, variables).await
    }

    /// The same on ports that were chosen before, so that a later process can have them, too.
    pub async fn start_on(
        http: SocketAddr,
        rtc: SocketAddr,
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let scratch = Scratch::new()?;
        let mut command = gateway_command().await?;
        command
            .arg("serve")
            .env("HTTP_IP", http.ip().to_string())
            .env("PORT", http.port().to_string())
            .env("RTC_PORT", rtc.port().to_string())
            .env("DESTINATION_ALLOW_PRIVATE", "true")
            .env("DESTINATION_ALLOW_PORTS", "any")
            // Tests ask more often than people do.
            .env("RATE_LIMIT_MAX_REQUESTS", "100000")
            // What a test asks for is not to be refused because a build without optimisation takes more than it should.
            .env("NODE_CAPACITY_CORES", "1000")
            .env("LOG_FORMAT", "json")
            .envs(variables.iter().copied());
        if !http.ip().is_loopback() {
            command.env("ALLOW_ANONYMOUS", "true");
        }
        let mut gateway = Self {
            process: Process::spawn("gateway", command, scratch.path().join("gateway.log"))?,
            http,
            rtc,
            client: client()?,
            authorization: None,
            _scratch: scratch,
        };
        gateway.wait_until_ready().await?;
        Ok(gateway)
    }

    /// Sends this bearer token with every request from now on.
    pub fn authorise(&mut self, token: &str) {
        self.authorization = Some(format!("Bearer {token}"));
    }

    /// Where it listens for HTTP.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where it listens for WebRTC, by UDP and TCP.
    pub fn rtc(&self) -> SocketAddr {
        self.rtc
    }

    /// The whole URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// A request to be completed by the caller.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, self.url(path));
        match &self.authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        }
    }

    /// `GET`
    pub async fn get(&self, path: &str) -> Result<Answer> {
        send(self.request(Method::GET, path)).await
    }

    /// `POST` of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        send(self.request(Method::POST, path).json(body)).await
    }

    /// `PATCH` of JSON.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Answer> {
        send(self.request(Method::PATCH, path).json(body)).await
    }

    /// `PUT` of a file.
    pub async fn put(&self, path: &str, content_type: &str, body: Vec<u8>) -> Result<Answer> {
        let request = self.request(Method::PUT, path);
        send(request.header("content-type", content_type).body(body)).await
    }

    /// `DELETE`
    pub async fn delete(&self, path: &str) -> Result<Answer> {
        send(self.request(Method::DELETE, path)).await
    }

    /// `POST` of an SDP offer, as a WHIP client does it.
    pub async fn offer(&self, broadcast: &str, offer: &str) -> Result<Answer> {
        let request = self.request(Method::POST, &format!("/whip/{broadcast}"));
        send(
            request
                .header("content-type", "application/sdp")
                .body(offer.to_owned()),
        )
        .await
    }

    /// Creates a broadcast, which must succeed.
    pub async fn create(&self, broadcast: &str, destinations: Value) -> Result<Value> {
        let body = serde_json::json!({ "id": broadcast, "destinations": destinations });
        let answer = self.post("/api/v1/broadcasts", &body).await?;
        if answer.status != StatusCode::CREATED {
            bail!("{} for {body}: {}", answer.status, answer.body);
        }
        answer.json()
    }

    /// Reads a broadcast, which must be there.
    pub async fn broadcast(&self, broadcast: &str) -> Result<Value> {
        let answer = self.get(&format!("/api/v1/broadcasts/{broadcast}")).await?;
        if answer.status != StatusCode::OK {
            bail!("{}: {}", answer.status, answer.body);
        }
        answer.json()
    }

    /// Waits until somebody else has made a broadcast.
    pub async fn made(&self, broadcast: &str, limit: Duration) -> Result<()> {
        let path = format!("/api/v1/broadcasts/{broadcast}");
        eventually("the broadcast is made", limit, async || {
            Ok((self.get(&path).await?.status == StatusCode::OK).then_some(()))
        })
        .await
    }

    /// Waits until a broadcast is as `wanted` says, and returns it.
    pub async fn broadcast_until(
        &self,
        broadcast: &str,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = Value::Null;
        let found = eventually(what, limit, async || {
            last = self.broadcast(broadcast).await?;
            Ok(wanted(&last).then_some(()))
        })
        .await;
        found.with_context(|| format!("the broadcast: {last:#}"))?;
        Ok(last)
    }

    /// Waits until a destination of a broadcast has come to `state`, and returns the destination.
    pub async fn destination_until(
        &self,
        broadcast: &str,
        destination: &str,
        state: &str,
        limit: Duration,
    ) -> Result<Value> {
        let what = format!("destination {destination} is {state}");
        let found = self
            .broadcast_until(broadcast, &what, limit, |snapshot| {
                destination_of(snapshot, destination)["state"] == state
            })
            .await?;
        Ok(destination_of(&found, destination).clone())
    }

    /// Asks it to drain.
    pub fn terminate(&self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let url = self.url("/readyz");
        let client = self.client.clone();
        eventually("the gateway is ready", START_LIMIT, async || {
            if let Some(status) = self.process.ended()? {
                bail!(
                    "the gateway ended with {status}: {}",
                    self.process.output()?
                );
            }
            let answer = client.get(&url).send().await;
            Ok(answer
                .is_ok_and(|answer| answer.status().is_success())
                .then_some(()))
        })
        .await
    }
}

/// The destination's part of a broadcast, or null.
pub fn destination_of<'a>(broadcast: &'a Value, destination: &str) -> &'a Value {
    broadcast["destinations"]
        .as_array()
        .and_then(|destinations| destinations.iter().find(|found| found["id"] == destination))
        .unwrap_or(&Value::Null)
}

/// The binary, with an environment that has nothing of ours.
pub async fn gateway_command() -> Result<Command> {
    let mut command = Command::new(gateway_binary().await?);
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin");
    Ok(command)
}

/// An HTTP client that follows nothing and uses no proxy.
pub fn client() -> Result<Client> {
    // The client insists on a provider although all is plain HTTP; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(REQUEST_LIMIT)
        .build()?)
}

/// Sends a request and reads the whole answer.
pub async fn send(request: RequestBuilder) -> Result<Answer> {
    let response = request.send().await?;
    Ok(Answer {
        status: response.status(),
        headers: response.headers().clone(),
        body: response.text().await?,
    })
}
