//! The HTTP of a WHIP client (RFC 9725): POST an offer, DELETE the session.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    time::Duration,
};

use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode,
    header::{CONTENT_TYPE, ETAG, HeaderMap, HeaderName, LOCATION, RETRY_AFTER},
    redirect::Policy,
};
use url::Url;

use crate::config::Secret;

/// How long the server may take for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Redirects in a row: one to the node in charge, some to spare.
const REDIRECTS: usize = 5;

/// Largest body that is read: an answer is a few kilobytes.
const BODY_LIMIT_BYTES: usize = 256 * 1024;

/// Why the server did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WhipError {
    /// No answer came.
    #[error("the server was not reached: {0}")]
    Unreachable(String),
    /// The server said no.
    #[error("the server answered {status}: {detail}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What the server said, shortened.
        detail: String,
        /// How long it wants to be left alone, if it says so in seconds.
        retry_after: Option<Duration>,
    },
    /// The answer breaks RFC 9725.
    #[error("the server's answer is not WHIP: {0}")]
    Protocol(&'static str),
}

/// Speaks WHIP with one server, and with those it redirects to.
#[derive(Debug, Clone)]
pub struct WhipClient {
    http: Client,
    token: Option<Secret>,
}

/// A session that the server has granted.
///
/// Its location may hold a key and its answer holds the session's password, so that neither is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct WhipSession {
    /// Where it is changed and ended.
    pub location: Url,
    /// Names its ICE session, as the server quotes it.
    pub etag: Option<String>,
    /// The SDP answer.
    pub answer: String,
}

impl fmt::Debug for WhipSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.location.host_str().unwrap_or_default();
        formatter
            .debug_struct("WhipSession")
            .field("host", &host)
            .finish_non_exhaustive()
    }
}

impl WhipClient {
    /// A client that shows `token` with each request.
    pub fn new(token: Option<Secret>) -> Result<Self, WhipError> {
        // Fails when the process has chosen a provider already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Redirects are followed here: the library's own way drops the token on the way to another node.
        let http = Client::builder()
            .redirect(Policy::none())
            .timeout(ANSWER_LIMIT)
            .build()
            .map_err(|error| WhipError::Unreachable(chain(&error)))?;
        Ok(Self { http, token })
    }

    /// Offers a session at a WHIP URL.
    pub async fn publish(&self, url: &Url, offer: &str) -> Result<WhipSession, WhipError> {
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            let response = self
                .request(Method::POST, &url)
                .header(CONTENT_TYPE, "application/sdp")
                .body(offer.to_owned())
                .send()
                .await
                .map_err(|error| WhipError::Unreachable(chain(&error)))?;
            match response.status() {
                StatusCode::CREATED => return granted(&url, response).await,
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {
                    url = redirected(&url, response.headers())?;
                }
                _ => return Err(refused(response).await),
            }
        }
        Err(WhipError::Protocol("it redirects in circles"))
    }

    /// Ends a session. One that has ended already is no error.
    pub async fn end(&self, session: &WhipSession) -> Result<(), WhipError> {
        let response = self
            .request(Method::DELETE, &session.location)
            .send()
            .await
            .map_err(|error| WhipError::Unreachable(chain(&error)))?;
        if response.status().is_success() || response.status() == StatusCode::NOT_FOUND {
            Ok(())
        } else {
            Err(refused(response).await)
        }
    }

    fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        let request = self.http.request(method, url.clone());
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }
}

/// The address of this machine that reaches the server: the system's own choice of route.
pub(crate) async fn local_address(url: &Url) -> std::io::Result<IpAddr> {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().unwrap_or_default();
    let mut failure = std::io::Error::other("the host has no address");
    // The first may be of a family that this machine has no route for.
    for remote in tokio::net::lookup_host((host, port)).await? {
        let any: IpAddr = if remote.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        // Connecting a UDP socket sends nothing.
        let route = UdpSocket::bind((any, 0)).and_then(|socket| {
            socket.connect(remote)?;
            socket.local_addr()
        });
        match route {
            Ok(local) => return Ok(local.ip()),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn granted(url: &Url, response: Response) -> Result<WhipSession, WhipError> {
    let location = text(response.headers(), &LOCATION)
        .and_then(|location| url.join(&location).ok())
        .ok_or(WhipError::Protocol("there is no usable Location"))?;
    let etag = text(response.headers(), &ETAG);
    let sdp = text(response.headers(), &CONTENT_TYPE)
        .is_some_and(|kind| kind.split(';').next().map(str::trim) == Some("application/sdp"));
    if !sdp {
        return Err(WhipError::Protocol("the body is not application/sdp"));
    }
    Ok(WhipSession {
        location,
        etag,
        answer: body(response).await?,
    })
}

fn redirected(url: &Url, headers: &HeaderMap) -> Result<Url, WhipError> {
    let next = text(headers, &LOCATION)
        .and_then(|location| url.join(&location).ok())
        .ok_or(WhipError::Protocol("a redirect has no usable Location"))?;
    if url.scheme() == "https" && next.scheme() != "https" {
        return Err(WhipError::Protocol("a redirect leaves TLS"));
    }
    Ok(next)
}

async fn refused(response: Response) -> WhipError {
    let status = response.status().as_u16();
    let retry_after = text(response.headers(), &RETRY_AFTER)
        .and_then(|seconds| seconds.trim().parse().ok())
        .map(Duration::from_secs);
    let detail = body(response).await.unwrap_or_default();
    WhipError::Refused {
        status,
        detail: detail.chars().take(500).collect(),
        retry_after,
    }
}

async fn body(mut response: Response) -> Result<String, WhipError> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| WhipError::Unreachable(chain(&error)))?
    {
        if body.len() + chunk.len() > BODY_LIMIT_BYTES {
            return Err(WhipError::Protocol("the body is too large"));
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).map_err(|_| WhipError::Protocol("the body is not text"))
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// The error with its causes, which alone say what went wrong. The URL is left out: it may carry a token.
fn chain(error: &reqwest::Error) -> String {
    let mut texts = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    if texts.is_empty() {
        texts.push("the request failed".to_owned());
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_local_address_is_on_the_way_to_the_server() {
        let url = Url::parse("http://127.0.0.1:3001/whip/one").unwrap();

        let local = local_address(&url).await.unwrap();

        assert!(local.is_loopback());
    }

    #[test]
    fn a_session_does_not_show_its_location() {
        let session = WhipSession {
            location: Url::parse("https://whip.example/w/secret-key/1").unwrap(),
            etag: None,
            answer: "a=ice-pwd:secret-password".to_owned(),
        };

        let shown = format!("{session:?}");

        assert!(shown.contains("whip.example"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}
