//! The route that tries a destination out without a broadcast.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
};
use broadcast::{Endpoint, EndpointError, Failure, Reason, Scheme};
use pipelines::rtmp::{self, BlackBox, Limits, Target, Trust, What};
use serde::{Deserialize, Serialize};
use tokio::{sync::Semaphore, time::timeout};
use utoipa::ToSchema;

use super::{
    Face, access,
    body::JsonBody,
    error::{ApiError, Problem},
    wire::{FailureBody, Hidden, milliseconds},
};
use crate::{auth::Action, clock::now};

/// How many probes there are at a time: each holds a connection to somebody else.
const PROBES_LIMIT: usize = 8;

/// How long a probe may take in all, so that its answer is there before the request times out.
const PATIENCE: Duration = Duration::from_secs(14);

/// How long each part of a probe may take.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    handshake: Duration::from_secs(4),
    publish: Duration::from_secs(5),
    stall_window: Duration::from_secs(5),
    close: Duration::from_millis(500),
};

/// In place of a key that is not sent.
const NO_KEY: &str = "-";

/// What probes share.
#[derive(Debug)]
pub(crate) struct Probes {
    permits: Semaphore,
    trust: Trust,
}

impl Probes {
    /// Probes that trust `trust`.
    pub(crate) fn new(trust: Trust) -> Self {
        Self {
            permits: Semaphore::new(PROBES_LIMIT),
            trust,
        }
    }
}

/// A destination to try out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ProbeRequest {
    /// `rtmp://` or `rtmps://`; the key may be at its end.
    #[schema(value_type = String, example = "rtmps://a.rtmps.youtube.com/live2")]
    rtmp_url: Hidden,
    /// The key. It is sent only with `publish`.
    #[schema(value_type = Option<String>, write_only)]
    stream_key: Option<Hidden>,
    /// Whether to name the key and ask to publish, which a platform may take for the beginning of a broadcast; no media
    /// are sent. False when absent: then it ends when the server has given a stream, and the key is not checked.
    publish: Option<bool>,
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProbeBody {
    /// Whether a broadcast could go there, as far as was tried.
    ok: bool,
    /// Scheme, host and port.
    #[schema(example = "rtmps://a.rtmps.youtube.com:443")]
    server: String,
    /// Why not.
    #[serde(flatten)]
    failure: Option<FailureBody>,
    /// What was done, in order.
    steps: Vec<StepBody>,
}

/// A step that is over.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StepBody {
    /// `dns`, `connect`, `tls`, `handshake`, `connectReply`, `createStream` or `publish`.
    step: &'static str,
    elapsed_ms: u64,
    /// What the server said, shortened and without the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// Try a destination out.
///
/// Answers within 15 s. A destination that fails is an answer of 200 with `ok: false`. A forbidden address is told
/// before anything is sent there. At most eight are tried at a time.
#[utoipa::path(
    post, path = "/api/v1/destinations/probe", tag = "destinations", request_body = ProbeRequest,
    responses(
        (status = 200, description = "It was tried.", body = ProbeBody),
        (status = 403, description = "The token does not allow this.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong; it is named.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many are being tried.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn probe(
    State(face): State<Arc<Face>>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<ProbeRequest>,
) -> Result<([(header::HeaderName, HeaderValue); 1], Json<ProbeBody>), ApiError> {
    let identity = access::identify(&face, &headers).await?;
    access::allow(&identity, Action::Probe)?;
    let endpoint = request.endpoint()?;
    let publish = request.publish.unwrap_or_default();
    let _permit = face
        .probes
        .permits
        .try_acquire()
        .map_err(|_| ApiError::Busy)?;
    let black_box = BlackBox::default();
    let tried = timeout(PATIENCE, go(&face, endpoint.clone(), publish, &black_box)).await;
    let ended = tried.unwrap_or_else(|_| Err(too_slow(&endpoint, &black_box)));
    let body = ProbeBody {
        ok: ended.is_ok(),
        server: endpoint.to_string(),
        failure: ended.err().map(|failure| FailureBody::new(&failure, None)),
        steps: steps(&black_box),
    };
    let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(([no_store], Json(body)))
}

async fn go(
    face: &Face,
    endpoint: Endpoint,
    publish: bool,
    black_box: &BlackBox,
) -> Result<(), Failure> {
    let asked = now();
    let addresses = face.guard.resolve(&endpoint).await?;
    black_box.note(What::Dns, Some(now() - asked), "");
    let target = Target {
        endpoint,
        addresses,
        trust: face.probes.trust.clone(),
        limits: LIMITS,
    };
    rtmp::probe(&target, publish, black_box).await
}

/// The reason of the step that was not over when patience was.
fn too_slow(endpoint: &Endpoint, black_box: &BlackBox) -> Failure {
    let last = black_box.view().events.last().map(|event| event.what);
    let reason = match (last, endpoint.scheme()) {
        (None, _) => Reason::DnsFailed,
        (Some(What::Dns), _) => Reason::ConnectTimeout,
        (Some(What::Connect), Scheme::Rtmps) => Reason::TlsFailed,
        (Some(What::Connect | What::Tls), _) => Reason::HandshakeFailed,
        _ => Reason::PublishRefused,
    };
    let seconds = PATIENCE.as_secs();
    Failure::new(
        reason,
        format!("the server took more than {seconds} s in all"),
    )
}

fn steps(black_box: &BlackBox) -> Vec<StepBody> {
    let events = black_box.view().events.into_iter();
    let steps = events.filter(|event| {
        matches!(
            event.what,
            What::Dns
                | What::Connect
                | What::Tls
                | What::Handshake
                | What::ConnectReply
                | What::CreateStream
                | What::Publish
        )
    });
    let body = steps.map(|event| StepBody {
        step: event.what.as_str(),
        elapsed_ms: milliseconds(event.elapsed.unwrap_or_default()),
        detail: (!event.words.is_empty()).then_some(event.words),
    });
    body.collect()
}

impl ProbeRequest {
    fn endpoint(&self) -> Result<Endpoint, ApiError> {
        let url = self.rtmp_url.expose();
        let key = self.stream_key.as_ref().map(Hidden::expose);
        let parsed = match Endpoint::parse(url, key) {
            // Without a key only the server can be tried.
            Err(EndpointError::Key) if !self.publish.unwrap_or_default() => {
                Endpoint::parse(url, Some(NO_KEY))
            }
            parsed => parsed,
        };
        parsed.map_err(|error| {
            let field = if error == EndpointError::Key {
                "streamKey"
            } else {
                "rtmpUrl"
            };
            ApiError::invalid(field, error)
        })
    }
}
