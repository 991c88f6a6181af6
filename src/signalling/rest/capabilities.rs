//! Streamlick's `GET /broadcasts/{id}/rtp-capabilities`.

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{Refusal, Shared, Tongue, guest, room_of};

/// What can be sent in a room, which is made if there is none.
pub(super) async fn read(
    State(tree): State<Shared>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    match capabilities(&tree, id, &headers).await {
        Ok(response) => response,
        Err(refusal) if refusal.status().is_server_error() => {
            refusal.told_as(Tongue::Error, "Failed to get RTP capabilities")
        }
        Err(refusal) => refusal.told(Tongue::Error),
    }
}

async fn capabilities(
    tree: &Shared,
    id: Result<Path<String>, PathRejection>,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let room = room_of(id)?;
    let guest = guest(&*tree.rooms, headers).await?;
    let capabilities = tree.rooms.capabilities(&guest, &room).await?;
    Ok(Json(json!({ "rtpCapabilities": capabilities })).into_response())
}
