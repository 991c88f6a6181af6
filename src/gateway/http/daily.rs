//! Streamlick's routes for Daily, as its backend has them: they drive a broadcast of the method `daily` whose studio goes to
//! Daily itself. `docs/dialects.md` has the table.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use broadcast::{
    AfterCut, BackupMode, BroadcastId, BroadcastSpec, DestinationId, DestinationSpec,
    DestinationState, Endpoint, Method, Platform, Provider,
};
use egress_providers::{daily::room_of, hosted::ProviderError};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Face, access, error::ApiError};
use crate::{
    auth::{Action, Identity},
    broadcasts::{BroadcastHandle, Created},
};

/// What Streamlick's media server says instead of a user's token.
const SECRET_HEADER: &str = "x-media-server-secret";

/// The routes, with and without `/api` before them.
pub(super) fn routes() -> Router<Arc<Face>> {
    let mut router = Router::new();
    for prefix in ["/api/daily", "/daily"] {
        let at = |rest: &str| format!("{prefix}/broadcasts/{{id}}/{rest}");
        router = router
            .route(&at("room"), post(open_room).merge(delete(close_room)))
            .route(&at("streaming/start"), post(start))
            .route(&at("streaming/stop"), post(stop))
            .route(&at("streaming/status"), get(status))
            .route(&at("streaming/add-endpoints"), post(add));
    }
    router
}

/// Why a request is not fulfilled, in Streamlick's words. No message holds a secret.
#[derive(Debug)]
enum Refusal {
    /// Another node has the broadcast, or may have it.
    Elsewhere(ApiError),
    /// 400: the request is wrong.
    Request(String),
    /// Whoever asks may not.
    Access(ApiError),
    /// 500, whatever has failed; what was to be done, and why it was not.
    Failed(&'static str, ApiError),
    /// The same, of Daily's own.
    Daily(&'static str, ProviderError),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, body) = match self {
            Self::Request(error) => (StatusCode::BAD_REQUEST, json!({ "error": error })),
            Self::Access(error) => {
                let status = if matches!(error, ApiError::Forbidden(_)) {
                    StatusCode::FORBIDDEN
                } else if matches!(error, ApiError::AuthenticationUnavailable(_)) {
                    StatusCode::SERVICE_UNAVAILABLE
                } else {
                    StatusCode::UNAUTHORIZED
                };
                (status, json!({ "error": error.to_string() }))
            }
            Self::Elsewhere(error) | Self::Failed(_, error @ ApiError::Elsewhere(_)) => {
                return error.into_response();
            }
            Self::Failed(what, error) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                json!({ "error": what, "message": error.to_string(), "details": error.code() }),
            ),
            Self::Daily(what, error) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                json!({
                    "error": what,
                    "message": error.to_string(),
                    "details": error.reason().code(),
                }),
            ),
        };
        (status, Json(body)).into_response()
    }
}

/// The media server shows its secret, everybody else a token.
async fn identify(face: &Face, headers: &HeaderMap) -> Result<Identity, Refusal> {
    let shown = headers
        .get(SECRET_HEADER)
        .map(axum::http::HeaderValue::as_bytes);
    if let (Some(shown), Some(secret)) = (shown, &face.media_server_secret)
        && bool::from(shown.ct_eq(secret.expose().as_bytes()))
    {
        return Ok(Identity::anonymous());
    }
    let identity = access::identify(face, headers).await;
    identity.map_err(Refusal::Access)
}

/// The broadcast that a path names, for somebody who may do that with it; no other node has it.
async fn enter(
    face: &Face,
    headers: &HeaderMap,
    id: String,
    action: impl for<'a> Fn(&'a BroadcastId) -> Action<'a>,
) -> Result<(Identity, BroadcastId), Refusal> {
    let identity = identify(face, headers).await?;
    let id = BroadcastId::new(id).map_err(|error| Refusal::Request(error.to_string()))?;
    access::allow(&identity, action(&id)).map_err(Refusal::Access)?;
    if face.broadcasts.find(&id).is_none() {
        let elsewhere = face.find_elsewhere(&id).await;
        if let Some(url) = elsewhere.map_err(Refusal::Elsewhere)? {
            return Err(Refusal::Elsewhere(ApiError::Elsewhere(url)));
        }
    }
    Ok((identity, id))
}

/// The broadcast, which is created if there is none.
async fn find_or_create(
    face: &Face,
    identity: &Identity,
    id: &BroadcastId,
) -> Result<BroadcastHandle, ApiError> {
    if let Some(handle) = face.broadcasts.find(id) {
        return Ok(handle);
    }
    access::allow(identity, Action::Create(id))?;
    face.broadcasts.methods().check(Method::Daily)?;
    let spec = BroadcastSpec::new(id.clone(), Method::Daily, false, Vec::new())?;
    match face.create(spec).await? {
        Created::New(handle) | Created::Same(handle) => Ok(handle),
    }
}

async fn open_room(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    const WHAT: &str = "Failed to create Daily room";
    let (identity, id) = enter(&face, &headers, id, |id| Action::Publish(id)).await?;
    find_or_create(&face, &identity, &id)
        .await
        .map_err(|error| Refusal::Failed(WHAT, error))?;
    let daily = face.providers.find_hosted(Provider::Daily);
    let daily = daily.ok_or(Refusal::Failed(WHAT, ApiError::NothingToJoin))?;
    let invited = daily.provider.invite(&id).await;
    let invitation = invited.map_err(|error| Refusal::Daily(WHAT, error))?;
    let room = room_of(&invitation.handle);
    let room = room.ok_or(Refusal::Failed(WHAT, ApiError::Internal))?;
    let body = json!({
        "room": { "name": room.name, "url": invitation.join.url.as_str(), "id": room.id },
        "token": invitation.join.token.expose(),
    });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// Ends the broadcast, and removes its room.
async fn close_room(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let (_, id) = enter(&face, &headers, id, |id| Action::Change(id)).await?;
    face.broadcasts.end(&id).await;
    if let Some(daily) = face.providers.find_hosted(Provider::Daily) {
        daily.provider.uninvite(&id).await;
    }
    Ok(done())
}

/// Has the broadcast go to these destinations and no others.
async fn start(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    const WHAT: &str = "Failed to start streaming";
    let (identity, id) = enter(&face, &headers, id, |id| Action::Change(id)).await?;
    let wanted = destinations(&face, &body)?;
    let failed = |error| Refusal::Failed(WHAT, error);
    let handle = find_or_create(&face, &identity, &id)
        .await
        .map_err(failed)?;
    let there = handle.snapshot();
    for old in &there.destinations {
        if !wanted.iter().any(|wanted| wanted.id == old.id) {
            let removed = handle.remove_destination(old.id.clone()).await;
            removed.map_err(|error| failed(error.into()))?;
        }
    }
    add_missing(&handle, wanted).await.map_err(failed)?;
    let started = handle.start().await;
    started.map_err(|error| failed(error.into()))?;
    Ok(done())
}

/// Ends what is sent, and the room with it. What is not sent anywhere is as good.
async fn stop(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let (_, id) = enter(&face, &headers, id, |id| Action::Change(id)).await?;
    if let Some(handle) = face.broadcasts.find(&id) {
        let stopped = handle.stop().await;
        stopped.map_err(|error| Refusal::Failed("Failed to stop streaming", error.into()))?;
    }
    Ok(done())
}

async fn status(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let (_, id) = enter(&face, &headers, id, |id| Action::Read(id)).await?;
    let Some(handle) = face.broadcasts.find(&id) else {
        return Ok(Json(json!({ "is_streaming": false })));
    };
    let snapshot = handle.snapshot();
    let mut is_streaming = false;
    let destinations: Vec<_> = snapshot
        .destinations
        .iter()
        .map(|destination| {
            let state = destination.primary.state;
            is_streaming |= state == DestinationState::Live;
            json!({
                "id": destination.id.as_str(),
                "platform": destination.platform.as_str(),
                "state": state.as_str(),
            })
        })
        .collect();
    Ok(Json(json!({
        "is_streaming": is_streaming,
        "state": snapshot.state.as_str(),
        "destinations": destinations,
    })))
}

/// Has the broadcast go to these destinations as well.
async fn add(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let failed = |error| Refusal::Failed("Failed to add endpoints", error);
    let (_, id) = enter(&face, &headers, id, |id| Action::Change(id)).await?;
    let wanted = destinations(&face, &body)?;
    let handle = face.broadcasts.find(&id);
    let handle = handle.ok_or(failed(ApiError::NoSuchBroadcast))?;
    add_missing(&handle, wanted).await.map_err(failed)?;
    Ok(done())
}

async fn add_missing(
    handle: &BroadcastHandle,
    wanted: Vec<DestinationSpec>,
) -> Result<(), ApiError> {
    for destination in wanted {
        let there = handle.snapshot();
        if there.destination(destination.id.as_str()).is_none() {
            handle.add_destination(destination).await?;
        }
    }
    Ok(())
}

fn done() -> Json<Value> {
    Json(json!({ "success": true }))
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    destinations: Vec<WantedDestination>,
}

/// Other fields are Streamlick's own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WantedDestination {
    rtmp_url: String,
    #[serde(default)]
    stream_key: Option<String>,
    #[serde(default)]
    platform: Option<String>,
}

/// Reads a request's destinations, each once. No error repeats an address or a key.
fn destinations(face: &Face, body: &[u8]) -> Result<Vec<DestinationSpec>, Refusal> {
    let wanted: Wanted = serde_json::from_slice(body)
        // The error's own text holds parts of the document.
        .map_err(|_| Refusal::Request("Invalid destinations".to_owned()))?;
    if wanted.destinations.is_empty() {
        let words = "At least one destination is required";
        return Err(Refusal::Request(words.to_owned()));
    }
    let mut specs: Vec<DestinationSpec> = Vec::new();
    for (index, wanted) in wanted.destinations.iter().enumerate() {
        let spec = destination(wanted)
            .map_err(|error| Refusal::Request(format!("destination {}: {error}", index + 1)))?;
        let place = format!("destinations[{index}].");
        access::check_destination(face, &spec, &place)
            .map_err(|error| Refusal::Request(error.to_string()))?;
        if !specs.iter().any(|other| other.id == spec.id) {
            specs.push(spec);
        }
    }
    Ok(specs)
}

fn destination(wanted: &WantedDestination) -> Result<DestinationSpec, String> {
    let endpoint = Endpoint::parse(&wanted.rtmp_url, wanted.stream_key.as_deref())
        .map_err(|error| error.to_string())?;
    let platform = wanted.platform.as_deref();
    let platform = platform.and_then(|platform| Platform::new(platform).ok());
    Ok(DestinationSpec {
        id: name_of(&endpoint).map_err(|error| error.to_string())?,
        platform: platform.unwrap_or_else(|| Platform::of_host(endpoint.host())),
        endpoint,
        backup: None,
        backup_mode: BackupMode::default(),
        required: false,
        enabled: true,
        paused: false,
        after_cut: AfterCut::default(),
        rendition: None,
        provider: None,
    })
}

/// These destinations come without names: the same address and key have the same one, so that a request that is sent again
/// changes nothing. It shows 48 bits of a hash.
fn name_of(endpoint: &Endpoint) -> Result<DestinationId, broadcast::IdentityError> {
    let mut hash = Sha256::new();
    for part in [
        &endpoint.to_string(),
        endpoint.application().expose(),
        endpoint.stream_key().expose(),
    ] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let name = digest[..6].iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    let name: String = name
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect();
    DestinationId::new(format!("daily-{name}"))
}
