//! Routes of broadcasts: create, list, read, end, start, stop, watch.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use broadcast::BroadcastId;

use super::{
    Face, access,
    body::JsonBody,
    error::{ApiError, Problem},
    events::{self, EventBody, Naming},
    wire::{BroadcastBody, BroadcastList, BroadcastPatch, BroadcastRequest},
};
use crate::{
    auth::Action,
    broadcasts::{BroadcastHandle, Created},
};

/// Create a broadcast.
///
/// The same request again answers 200 with the same broadcast.
#[utoipa::path(
    post, path = "/api/v1/broadcasts", tag = "broadcasts", request_body = BroadcastRequest,
    responses(
        (status = 201, description = "It is new.", body = BroadcastBody, headers(("Location" = String))),
        (status = 200, description = "It was created by the same request before.", body = BroadcastBody),
        (status = 401, description = "A token is needed, or not good.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token does not allow this.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another broadcast has this id.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong; it is named.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The node is full or shutting down.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create(
    State(face): State<Arc<Face>>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<BroadcastRequest>,
) -> Result<Response, ApiError> {
    let identity = access::identify(&face, &headers).await?;
    let spec = request.into_spec(face.method)?;
    access::allow(&identity, Action::Create(spec.id()))?;
    face.broadcasts.methods().check(spec.method())?;
    for (index, destination) in spec.destinations().iter().enumerate() {
        access::check_destination(&face, destination, &format!("destinations[{index}]."))?;
    }
    let (status, handle) = match face.create(spec).await? {
        Created::New(handle) => (StatusCode::CREATED, handle),
        Created::Same(handle) => (StatusCode::OK, handle),
    };
    let location = HeaderValue::try_from(format!("/api/v1/broadcasts/{}", handle.id()));
    let location = location.map_err(|_| ApiError::Internal)?;
    let body = face.show(&handle, &headers);
    Ok((status, [(header::LOCATION, location)], Json(body)).into_response())
}

/// List the broadcasts of this node that the token may see.
#[utoipa::path(
    get, path = "/api/v1/broadcasts", tag = "broadcasts",
    responses(
        (status = 200, description = "By id.", body = BroadcastList),
        (status = 401, description = "A token is needed, or not good.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    State(face): State<Arc<Face>>,
    headers: HeaderMap,
) -> Result<Json<BroadcastList>, ApiError> {
    let identity = access::identify(&face, &headers).await?;
    let visible = face
        .broadcasts
        .list()
        .into_iter()
        .filter(|handle| identity.may(Action::Read(handle.id())));
    let broadcasts = visible.map(|handle| face.show(&handle, &headers)).collect();
    Ok(Json(BroadcastList { broadcasts }))
}

/// Read a broadcast.
#[utoipa::path(
    get, path = "/api/v1/broadcasts/{id}", tag = "broadcasts", params(("id" = String, Path)),
    responses(
        (status = 200, body = BroadcastBody, description = "As it is now."),
        (status = 404, description = "There is no such broadcast, or it has ended.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn read(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<BroadcastBody>, ApiError> {
    let handle = face.find_to_read(&id, &headers).await?;
    Ok(Json(face.show(&handle, &headers)))
}

/// Change how a broadcast is carried, also while it is live.
///
/// Another engine takes over at a picture: no destination is connected anew, and viewers see nothing of it.
#[utoipa::path(
    patch, path = "/api/v1/broadcasts/{id}", tag = "broadcasts", params(("id" = String, Path)),
    request_body = BroadcastPatch,
    responses(
        (status = 200, body = BroadcastBody, description = "It is going to be carried so."),
        (status = 404, description = "There is no such broadcast.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong; it is named.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The node has no room for it.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn change(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<BroadcastPatch>,
) -> Result<Json<BroadcastBody>, ApiError> {
    let handle = face.find_to_change(&id, &headers).await?;
    let change = request.into_change()?;
    if let Some(method) = change.method {
        face.broadcasts.methods().check(method)?;
    }
    handle.change(change).await?;
    Ok(Json(face.show(&handle, &headers)))
}

/// End a broadcast.
///
/// Answers when its destinations are closed. Ending one that is not there is no error.
#[utoipa::path(
    delete, path = "/api/v1/broadcasts/{id}", tag = "broadcasts", params(("id" = String, Path)),
    responses((status = 204, description = "It is over.")),
)]
pub(super) async fn end(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let identity = access::identify(&face, &headers).await?;
    // What cannot be an id is not there.
    if let Ok(id) = BroadcastId::new(id) {
        access::allow(&identity, Action::Change(&id))?;
        if face.broadcasts.find(&id).is_none()
            && let Some(url) = face.find_elsewhere(&id).await?
        {
            return Err(ApiError::Elsewhere(url));
        }
        face.broadcasts.end(&id).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Open all destinations, now or once the studio is there.
#[utoipa::path(
    post, path = "/api/v1/broadcasts/{id}/start", tag = "broadcasts", params(("id" = String, Path)),
    responses(
        (status = 200, body = BroadcastBody, description = "Started, or started before."),
        (status = 404, description = "There is no such broadcast.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn start(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<BroadcastBody>, ApiError> {
    let handle = face.find_to_change(&id, &headers).await?;
    handle.start().await?;
    Ok(Json(face.show(&handle, &headers)))
}

/// Close all destinations while the studio stays connected.
#[utoipa::path(
    post, path = "/api/v1/broadcasts/{id}/stop", tag = "broadcasts", params(("id" = String, Path)),
    responses(
        (status = 200, body = BroadcastBody, description = "Stopped, or stopped before."),
        (status = 404, description = "There is no such broadcast.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn stop(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<BroadcastBody>, ApiError> {
    let handle = face.find_to_change(&id, &headers).await?;
    handle.stop().await?;
    Ok(Json(face.show(&handle, &headers)))
}

/// Watch a broadcast by server-sent events.
///
/// The first event is `snapshot`. Then `broadcast`, `destination` and `alarm` tell each change with its reason, and
/// `statistics` comes about once a second while media flow. The data of every event hold the whole broadcast.
/// The stream ends after the event that says `ended`.
#[utoipa::path(
    get, path = "/api/v1/broadcasts/{id}/events", tag = "broadcasts", params(("id" = String, Path)),
    responses(
        (status = 200, description = "Events.", body = EventBody, content_type = "text/event-stream"),
        (status = 404, description = "There is no such broadcast.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn watch(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    let handle = face.find_to_read(&id, &headers).await?;
    let naming = Naming {
        base: face.base(&headers),
        node: face.node.clone(),
    };
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((no_store, events::stream_events(&handle, naming)))
}

impl Face {
    /// Finds a broadcast that the caller may see.
    pub(super) async fn find_to_read(
        &self,
        id: &str,
        headers: &HeaderMap,
    ) -> Result<BroadcastHandle, ApiError> {
        self.find(id, headers, |id| Action::Read(id)).await
    }

    /// Finds a broadcast that the caller may change.
    pub(super) async fn find_to_change(
        &self,
        id: &str,
        headers: &HeaderMap,
    ) -> Result<BroadcastHandle, ApiError> {
        self.find(id, headers, |id| Action::Change(id)).await
    }

    /// Permission comes first: whoever has none is not told what there is.
    async fn find(
        &self,
        id: &str,
        headers: &HeaderMap,
        action: impl for<'a> Fn(&'a BroadcastId) -> Action<'a>,
    ) -> Result<BroadcastHandle, ApiError> {
        let identity = access::identify(self, headers).await?;
        let id = BroadcastId::new(id).map_err(|_| ApiError::NoSuchBroadcast)?;
        access::allow(&identity, action(&id))?;
        self.broadcasts.find(&id).ok_or(ApiError::NoSuchBroadcast)
    }

    fn show(&self, handle: &BroadcastHandle, headers: &HeaderMap) -> BroadcastBody {
        BroadcastBody::new(&handle.snapshot(), &self.base(headers), &self.node)
    }

    /// What the caller calls this node.
    fn base(&self, headers: &HeaderMap) -> String {
        if let Some(url) = &self.public_url {
            return url.clone();
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let scheme = if text("x-forwarded-proto") == Some("https") {
            "https"
        } else {
            "http"
        };
        let plain = |host: &&str| {
            host.bytes().all(|byte| {
                byte.is_ascii_alphanumeric()
                    || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']')
            })
        };
        match text("host").filter(plain) {
            Some(host) => format!("{scheme}://{host}"),
            None => format!("{scheme}://{}", self.local_address),
        }
    }
}
