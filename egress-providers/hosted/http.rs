//! One client for the HTTP API of any provider: bounded in time and size, patient within limits, and silent about secrets.

mod exchange;
mod refusal;
#[cfg(test)]
mod tests;
mod words;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use broadcast::{Provider, StreamKey};
use reqwest::{
    Client, Method,
    header::{HeaderName, HeaderValue},
    redirect::Policy,
};
use serde::{Serialize, de::DeserializeOwned};
use url::Url;

pub use self::refusal::{Refusal, Refusals};
pub use self::words::harmless;
use self::words::{Hidden, Remembered};
use super::{
    Budget, Cost, Observer, ProviderError, Unobserved,
    breaker::{Breaker, BreakerState},
};
use crate::Trust;

/// How long a connection may take to open.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long a connection is kept for the next request.
///
/// Shorter than the minute after which most servers close it, so that a request seldom meets a closing one.
const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiLimits {
    /// One answer, from the connection to the last byte; at most 10 s, so that the breaker's trials end in time.
    pub answer: Duration,
    /// All pauses of one request together: for the budget, and between its attempts.
    pub patience: Duration,
    /// The pause after the first failed attempt; the second is four times as long. Half of each is random.
    pub pause: Duration,
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(10),
            patience: Duration::from_secs(10),
            pause: Duration::from_millis(250),
        }
    }
}

/// What all clients have in common: the process around them.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Whom HTTPS is trusted by.
    pub trust: Trust,
    /// Who is told of requests.
    pub observer: Arc<dyn Observer>,
    /// How long things may take.
    pub limits: ApiLimits,
}

impl Surroundings {
    /// Nobody is told, and the usual limits hold.
    pub fn new(trust: Trust) -> Self {
        Self {
            trust,
            observer: Arc::new(Unobserved),
            limits: ApiLimits::default(),
        }
    }
}

/// How a provider knows us.
#[derive(Debug, Clone)]
pub enum Authorization {
    /// `Bearer TOKEN`, the same for all requests.
    Bearer(StreamKey),
    /// HTTP Basic.
    Basic {
        /// Who we are; no secret.
        user: String,
        /// Its password.
        password: StreamKey,
    },
    /// The header's whole value, for those that have a form of their own.
    Whole(StreamKey),
    /// Each request brings its own, by [`Request::bearer`] or not at all.
    PerRequest,
}

/// What a client is made of.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Whose API it is.
    pub provider: Provider,
    /// What all paths are appended to; `http` is for tests and servers of one's own.
    pub base: Url,
    /// How it knows us.
    pub authorization: Authorization,
    /// How often it may be asked.
    pub budget: Arc<dyn Budget>,
    /// Its own rules for refusals; `|_| None` leaves all to the status.
    pub refusals: Refusals,
    /// The process around.
    pub surroundings: Surroundings,
}

/// Why a client cannot be made. Its texts hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiSetupError {
    /// The base is no address of an API.
    #[error("the address of the API must be https://… or http://…, without a query")]
    Base,
    /// A token that no header can carry.
    #[error("the API's credentials hold characters that no header can carry")]
    Credentials,
    /// The HTTP client does not start.
    #[error("the HTTP client does not start: {0}")]
    Client(String),
}

/// What is asked of an API.
#[derive(Debug, Clone, Copy)]
pub struct Operation<'a> {
    /// Its name in metrics and logs, such as `create_room`: one of a few.
    pub name: &'static str,
    /// HTTP method, in capitals.
    pub method: &'static str,
    /// Path behind the base, from its `/` on; a query is added by [`Request::query`].
    pub path: &'a str,
    /// Whether asking twice is as good as asking once, so that it is tried again even if it may have been done.
    pub idempotent: bool,
    /// What it is counted as.
    pub cost: Cost,
    /// What it is about, for "there is no … any more".
    pub thing: &'static str,
}

/// An answer that was a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// HTTP status, 200 to 299.
    pub status: u16,
    /// Its document.
    pub body: T,
}

/// A client of one provider's API; what it knows about the provider's health holds for all its users.
pub struct ApiClient {
    http: Client,
    provider: Provider,
    base: Url,
    authorization: Option<HeaderValue>,
    secret: Hidden,
    budget: Arc<dyn Budget>,
    refusals: Refusals,
    observer: Arc<dyn Observer>,
    limits: ApiLimits,
    breaker: Mutex<Breaker>,
    remembered: Mutex<Remembered>,
}

impl ApiClient {
    /// A client that has asked nothing yet.
    pub fn new(settings: ApiSettings) -> Result<Self, ApiSetupError> {
        let ApiSettings {
            provider,
            base,
            authorization,
            budget,
            refusals,
            surroundings,
        } = settings;
        if !matches!(base.scheme(), "http" | "https")
            || base.query().is_some()
            || base.fragment().is_some()
            || !base.username().is_empty()
            || base.password().is_some()
        {
            return Err(ApiSetupError::Base);
        }
        let mut secret = Hidden::default();
        let authorization = match authorization {
            Authorization::PerRequest => None,
            Authorization::Bearer(token) => {
                secret.add(token.expose());
                Some(bearer(&token).ok_or(ApiSetupError::Credentials)?)
            }
            Authorization::Whole(value) => {
                secret.add(value.expose());
                Some(sensitive(value.expose()).ok_or(ApiSetupError::Credentials)?)
            }
            Authorization::Basic { user, password } => {
                secret.add(password.expose());
                let header = basic(&user, &password);
                Some(header.ok_or(ApiSetupError::Credentials)?)
            }
        };
        let http = Client::builder()
            .tls_backend_preconfigured(surroundings.trust.tls())
            .connect_timeout(CONNECT_LIMIT)
            .pool_idle_timeout(IDLE_LIMIT)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .user_agent(concat!("castgate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ApiSetupError::Client(error.without_url().to_string()))?;
        Ok(Self {
            http,
            provider,
            base,
            authorization,
            secret,
            budget,
            refusals,
            observer: surroundings.observer,
            limits: surroundings.limits,
            breaker: Mutex::default(),
            remembered: Mutex::default(),
        })
    }

    /// Begins a request.
    pub fn request<'a>(&'a self, operation: Operation<'a>) -> Request<'a> {
        let mut url = self.base.clone();
        let path = format!("{}{}", url.path().trim_end_matches('/'), operation.path);
        url.set_path(&path);
        Request {
            client: self,
            operation,
            url,
            headers: Vec::new(),
            body: Vec::new(),
            hidden: self.secret.clone(),
            unsound: None,
        }
    }

    /// Whether the provider is asked at the moment.
    pub fn breaker(&self) -> BreakerState {
        self.with_breaker(|breaker, now| breaker.state(now))
    }

    /// What no error about this request may hold: what is sent with it, and what was sent before.
    fn hidden(&self, request: &Hidden) -> Hidden {
        let remembered = self.remembered.lock();
        remembered
            .unwrap_or_else(PoisonError::into_inner)
            .with(request)
    }

    fn remember(&self, request: &Hidden) {
        let remembered = self.remembered.lock();
        remembered
            .unwrap_or_else(PoisonError::into_inner)
            .add(request);
    }

    fn with_breaker<T>(&self, look: impl FnOnce(&mut Breaker, std::time::Instant) -> T) -> T {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        look(&mut breaker, tokio::time::Instant::now().into_std())
    }
}

impl fmt::Debug for ApiClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ApiClient")
            .field("provider", &self.provider)
            .field("host", &self.base.host_str())
            .finish_non_exhaustive()
    }
}

/// A request on its way to be sent. Whatever is in its document is kept out of errors.
#[derive(Debug)]
#[must_use = "a request that is not sent does nothing"]
pub struct Request<'a> {
    client: &'a ApiClient,
    operation: Operation<'a>,
    url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
    hidden: Hidden,
    /// Why it cannot be sent.
    unsound: Option<&'static str>,
}

impl Request<'_> {
    /// Sends a document; every text in it is taken for a secret.
    pub fn json(mut self, document: &impl Serialize) -> Self {
        match serde_json::to_value(document) {
            Ok(document) => {
                self.hidden.add_all(&document);
                self.body = document.to_string().into_bytes();
            }
            Err(_) => self.unsound = Some("its document is none"),
        }
        self
    }

    /// Says who we are, instead of what the client was made with.
    pub fn bearer(mut self, token: &StreamKey) -> Self {
        self.hidden.add(token.expose());
        match bearer(token) {
            Some(value) => self.headers.push((reqwest::header::AUTHORIZATION, value)),
            None => self.unsound = Some("its token holds characters that no header can carry"),
        }
        self
    }

    /// Adds a header; `name` in lower case.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        match (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        ) {
            (Ok(name), Ok(value)) => self.headers.push((name, value)),
            _ => self.unsound = Some("one of its headers is none"),
        }
        self
    }

    /// Adds `name=value` to the query, encoded.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Keeps a text out of errors that is not in the document.
    pub fn hiding(mut self, secret: &StreamKey) -> Self {
        self.hidden.add(secret.expose());
        self
    }

    /// Sends it, and again if that helps, and reads the answer's document.
    ///
    /// An answer takes at most 10 s and 1 MiB, and redirects are not followed. There are up to three attempts, for what
    /// may be repeated and for what was surely not done; their pauses take at most 10 s. An answer without a body is read
    /// as `null`, so that an [`Option`] takes it.
    pub async fn send<T: DeserializeOwned>(self) -> Result<Answer<T>, ProviderError> {
        let name = self.operation.name;
        let (status, mut body) = self.exchange().await?;
        if body.is_empty() {
            body.extend_from_slice(b"null");
        }
        serde_json::from_slice(&body)
            .map(|body| Answer { status, body })
            // The error's own text holds parts of the document.
            .map_err(|error| {
                ProviderError::Protocol(format!(
                    "the answer to {name} is not the documented one, from line {} column {} on",
                    error.line(),
                    error.column()
                ))
            })
    }

    /// The same for an answer that tells nothing but its status; it is empty or any JSON, so that the page of something
    /// in between is not taken for it.
    pub async fn done(self) -> Result<u16, ProviderError> {
        let name = self.operation.name;
        let (status, body) = self.exchange().await?;
        let empty = body.iter().all(u8::is_ascii_whitespace);
        if empty || serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok() {
            return Ok(status);
        }
        Err(ProviderError::Protocol(format!(
            "the answer to {name} is no JSON"
        )))
    }

    fn method(&self) -> Option<Method> {
        Method::from_bytes(self.operation.method.as_bytes()).ok()
    }
}

fn bearer(token: &StreamKey) -> Option<HeaderValue> {
    sensitive(&format!("Bearer {}", token.expose()))
}

fn basic(user: &str, password: &StreamKey) -> Option<HeaderValue> {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let pair = format!("{user}:{}", password.expose());
    sensitive(&format!("Basic {}", BASE64_STANDARD.encode(pair)))
}

/// A value that the HTTP client does not print.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
