//! What every tree asks of a request: who sends it, which room it names, and its JSON.

use axum::{
    body::Bytes,
    extract::{FromRequest, Path, Request, rejection::PathRejection},
    http::{HeaderMap, StatusCode},
};
use broadcast::BroadcastId;
use rooms::RoomError;
use serde_json::{Map, Value};

use super::Refusal;
use crate::{
    BODY_PATIENCE, Bearer,
    rooms::{Guest, Rooms},
};

/// Who sends the request.
pub(crate) async fn guest(rooms: &dyn Rooms, headers: &HeaderMap) -> Result<Guest, Refusal> {
    let token = Bearer::of_request(headers)?;
    Ok(rooms.admit(token.as_ref()).await?)
}

/// The room in the path. A name that no room can have is a room that is not there.
pub(crate) fn room_of(path: Result<Path<String>, PathRejection>) -> Result<BroadcastId, Refusal> {
    path.ok()
        .and_then(|Path(name)| BroadcastId::new(name).ok())
        .ok_or(Refusal::Room(RoomError::NoSuchRoom))
}

/// The object in the body; an empty body is an empty object. The media type does not matter: clients in the wild
/// send none.
pub(crate) async fn object(request: Request) -> Result<Map<String, Value>, Refusal> {
    let body = tokio::time::timeout(BODY_PATIENCE, Bytes::from_request(request, &()))
        .await
        .map_err(|_| Refusal::BodyLost)?
        .map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge,
            _ => Refusal::BodyLost,
        })?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    // What serde says of a broken body may hold a piece of it, so it is not repeated.
    serde_json::from_slice(&body)
        .map_err(|_| Refusal::Malformed("the body must be a JSON object".to_owned()))
}
