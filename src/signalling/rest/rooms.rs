//! `/api/rooms` of the camelCase SFU and of nself-chat. Where both have a resource, its answer has the words of both.

use axum::{
    Json,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use broadcast::BroadcastId;
use rooms::RoomError;
use serde_json::{Value, json};

use super::{Refusal, Shared, Tongue, guest, listing, object, room_of};

/// What the camelCase SFU says of a body without a room.
const ROOM_ID_MISSING: &str = "roomId is required and must be a non-empty string";

/// `GET /api/rooms`.
pub(super) async fn list(State(tree): State<Shared>, headers: HeaderMap) -> Response {
    let listed = async {
        let guest = guest(&*tree.rooms, &headers).await?;
        let rooms = tree.rooms.list(&guest).await?;
        let lines: Vec<Value> = rooms.iter().map(listing::line).collect();
        Ok(Json(json!({ "rooms": lines })).into_response())
    };
    told(listed.await)
}

/// `POST /api/rooms`: makes a room that is not there yet.
pub(super) async fn create(State(tree): State<Shared>, request: Request) -> Response {
    let created = async {
        let guest = guest(&*tree.rooms, request.headers()).await?;
        let body = object(request).await?;
        let name = body.get("roomId").and_then(Value::as_str).map(str::trim);
        let name = name
            .filter(|name| !name.is_empty())
            .ok_or_else(|| Refusal::Malformed(ROOM_ID_MISSING.to_owned()))?;
        let room = BroadcastId::new(name)
            .map_err(|error| Refusal::Malformed(format!("roomId is not valid: {error}")))?;
        let room = tree.rooms.create(&guest, &room).await?;
        Ok((StatusCode::CREATED, Json(listing::room(&room))).into_response())
    };
    told(created.await)
}

/// `POST /api/rooms/{id}` of nself-chat: makes a room or takes the one that is there.
pub(super) async fn open(
    State(tree): State<Shared>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let opened = async {
        let room = room_of(id)?;
        let guest = guest(&*tree.rooms, &headers).await?;
        tree.rooms.capabilities(&guest, &room).await?;
        let room = tree.rooms.find(&guest, &room).await?;
        Ok(Json(listing::room(&room)).into_response())
    };
    told(opened.await)
}

/// `GET /api/rooms/{id}`.
pub(super) async fn read(
    State(tree): State<Shared>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let found = async {
        let room = room_of(id)?;
        let guest = guest(&*tree.rooms, &headers).await?;
        let room = tree.rooms.find(&guest, &room).await?;
        Ok(Json(listing::room(&room)).into_response())
    };
    told(found.await)
}

/// `DELETE /api/rooms/{id}`.
pub(super) async fn close(
    State(tree): State<Shared>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let closed = async {
        let room = room_of(id)?;
        let guest = guest(&*tree.rooms, &headers).await?;
        tree.rooms.close(&guest, &room).await?;
        Ok(Json(json!({ "success": true })).into_response())
    };
    told(closed.await)
}

fn told(result: Result<Response, Refusal>) -> Response {
    match result {
        Ok(response) => response,
        Err(refusal @ Refusal::Room(RoomError::NoSuchRoom)) => {
            refusal.told_as(Tongue::Error, "Room not found")
        }
        Err(refusal @ Refusal::Room(RoomError::RoomExists)) => {
            refusal.told_as(Tongue::Error, "Room already exists")
        }
        Err(refusal) => refusal.told(Tongue::Error),
    }
}
