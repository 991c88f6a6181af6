//! `MeetLite`'s `/api/media/rooms/{id}`.

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use rooms::RoomError;
use serde_json::{Value, json};

use super::{Refusal, Shared, Tongue, guest, listing, room_of};

/// `POST`: makes a room or takes the one that is there.
pub(super) async fn open(
    State(tree): State<Shared>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let opened = async {
        let room = room_of(id)?;
        let guest = guest(&*tree.rooms, &headers).await?;
        let capabilities = tree.rooms.capabilities(&guest, &room).await?;
        Ok(Json(json!({
            "success": true,
            "roomId": room.as_str(),
            "rtpCapabilities": capabilities,
            "iceServers": listing::ice_servers(&tree.rooms.ice_servers(&guest)),
        }))
        .into_response())
    };
    told(opened.await)
}

/// `GET`.
pub(super) async fn read(
    State(tree): State<Shared>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let found = async {
        let room = room_of(id)?;
        let guest = guest(&*tree.rooms, &headers).await?;
        let room = tree.rooms.find(&guest, &room).await?;
        let participants: Vec<Value> = room
            .participants
            .iter()
            .map(|participant| {
                json!({
                    "userId": participant.id.as_str(),
                    "userInfo": participant.details,
                    "joinedAt": milliseconds(participant.joined),
                })
            })
            .collect();
        Ok(Json(json!({
            "success": true,
            "roomId": room.room.as_str(),
            "participants": participants,
            "rtpCapabilities": room.capabilities,
            "iceServers": listing::ice_servers(&tree.rooms.ice_servers(&guest)),
        }))
        .into_response())
    };
    told(found.await)
}

fn milliseconds(moment: std::time::SystemTime) -> u64 {
    let since = moment
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn told(result: Result<Response, Refusal>) -> Response {
    match result {
        Ok(response) => response,
        Err(refusal @ Refusal::Room(RoomError::NoSuchRoom)) => {
            refusal.told_as(Tongue::Success, "Room not found")
        }
        Err(refusal @ Refusal::Room(RoomError::Forbidden(_))) => {
            refusal.told_as(Tongue::Success, "Access denied to this room")
        }
        Err(refusal) => refusal.told(Tongue::Success),
    }
}
