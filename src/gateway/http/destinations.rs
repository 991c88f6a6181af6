//! Routes of one destination: add, change, remove.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use broadcast::DestinationId;

use super::{
    Face, access,
    body::JsonBody,
    error::{ApiError, Problem},
    wire::{DestinationBody, DestinationPatch, DestinationRequest},
};
use crate::broadcasts::BroadcastHandle;

/// Add a destination, also while live.
#[utoipa::path(
    post, path = "/api/v1/broadcasts/{id}/destinations", tag = "destinations",
    params(("id" = String, Path)), request_body = DestinationRequest,
    responses(
        (status = 201, description = "It is there.", body = DestinationBody, headers(("Location" = String))),
        (status = 404, description = "There is no such broadcast.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "There is a destination of this id.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong; it is named.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn add(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<DestinationRequest>,
) -> Result<Response, ApiError> {
    let handle = face.find_to_change(&id, &headers).await?;
    let snapshot = handle.snapshot();
    let spec = request.into_spec("", |id| snapshot.destination(id.as_str()).is_some())?;
    access::check_destination(&face, &spec, "")?;
    access::check_rendition(&handle, &spec)?;
    let destination = spec.id.clone();
    handle.add_destination(spec).await?;
    let body = show(&handle, &destination)?;
    let location = format!("/api/v1/broadcasts/{id}/destinations/{destination}");
    let location = HeaderValue::try_from(location).map_err(|_| ApiError::Internal)?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], body).into_response())
}

/// Enable or disable a destination, or give it another key.
#[utoipa::path(
    patch, path = "/api/v1/broadcasts/{id}/destinations/{destination}", tag = "destinations",
    params(("id" = String, Path), ("destination" = String, Path)), request_body = DestinationPatch,
    responses(
        (status = 200, description = "As it is now.", body = DestinationBody),
        (status = 404, description = "There is no such broadcast or destination.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong; it is named.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn change(
    State(face): State<Arc<Face>>,
    Path((id, destination)): Path<(String, String)>,
    headers: HeaderMap,
    JsonBody(patch): JsonBody<DestinationPatch>,
) -> Result<Json<DestinationBody>, ApiError> {
    let handle = face.find_to_change(&id, &headers).await?;
    let destination = DestinationId::new(destination).map_err(|_| ApiError::NoSuchDestination)?;
    handle
        .change_destination(destination.clone(), patch.into_change()?)
        .await?;
    show(&handle, &destination)
}

/// Close a destination and forget it. Removing one that is not there is no error.
#[utoipa::path(
    delete, path = "/api/v1/broadcasts/{id}/destinations/{destination}", tag = "destinations",
    params(("id" = String, Path), ("destination" = String, Path)),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "There is no such broadcast.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn remove(
    State(face): State<Arc<Face>>,
    Path((id, destination)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let handle = face.find_to_change(&id, &headers).await?;
    if let Ok(destination) = DestinationId::new(destination) {
        match handle
            .remove_destination(destination)
            .await
            .map_err(ApiError::from)
        {
            Ok(()) | Err(ApiError::NoSuchDestination) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

fn show(
    handle: &BroadcastHandle,
    destination: &DestinationId,
) -> Result<Json<DestinationBody>, ApiError> {
    let snapshot = handle.snapshot();
    let destination = snapshot
        .destination(destination.as_str())
        .ok_or(ApiError::NoSuchDestination)?;
    Ok(Json(DestinationBody::new(destination)))
}
