//! Statistics of `MeetLite` (`/stats`) and of nself-chat (`/api/stats`), and nself-chat's ICE servers.

use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Refusal, Shared, Tongue, guest, listing};

/// `GET /stats`. A worker is a thread of this one process, so its line has the process's number and no usage of its own.
pub(super) async fn meetlite(State(tree): State<Shared>, headers: HeaderMap) -> Response {
    let read = async {
        let guest = guest(&*tree.rooms, &headers).await?;
        let rooms = tree.rooms.list(&guest).await?;
        let figures = (tree.figures)();
        let participants: usize = rooms.iter().map(|room| room.participants.len()).sum();
        let producers: usize = rooms.iter().map(|room| room.producers.len()).sum();
        let consumers: usize = rooms.iter().map(listing::consumers).sum();
        let statistics: Vec<Value> = rooms.iter().map(listing::statistics).collect();
        let workers: Vec<Value> = (0..figures.workers)
            .map(|index| json!({ "index": index, "pid": std::process::id() }))
            .collect();
        Ok(Json(json!({
            "workers": figures.workers,
            "rooms": rooms.len(),
            "totalParticipants": participants,
            "totalProducers": producers,
            "totalConsumers": consumers,
            "roomStats": statistics,
            "workerStats": workers,
            "uptime": figures.uptime.as_secs_f64(),
        }))
        .into_response())
    };
    told(read.await, "Failed to get stats")
}

/// `GET /api/stats`. There are no recordings.
pub(super) async fn nself(State(tree): State<Shared>, headers: HeaderMap) -> Response {
    let read = async {
        let guest = guest(&*tree.rooms, &headers).await?;
        let rooms = tree.rooms.list(&guest).await?;
        let figures = (tree.figures)();
        let participants: usize = rooms.iter().map(|room| room.participants.len()).sum();
        let lines: Vec<Value> = rooms.iter().map(listing::line).collect();
        Ok(Json(json!({
            "workers": { "total": figures.workers },
            "rooms": { "total": rooms.len(), "list": lines },
            "participants": { "total": participants },
            "recordings": { "active": 0 },
            "uptime": figures.uptime.as_secs(),
            "memory": { "heapUsed": figures.memory_bytes },
        }))
        .into_response())
    };
    told(read.await, "Failed to get stats")
}

/// `GET /api/ice-servers`. TURN credentials are those of the one who asks.
pub(super) async fn ice_servers(State(tree): State<Shared>, headers: HeaderMap) -> Response {
    let read = async {
        let guest = guest(&*tree.rooms, &headers).await?;
        let servers = listing::single_ice_servers(&tree.rooms.ice_servers(&guest));
        Ok(Json(json!({ "iceServers": servers })).into_response())
    };
    told(read.await, "Failed to get ICE servers")
}

fn told(result: Result<Response, Refusal>, ours: &str) -> Response {
    match result {
        Ok(response) => response,
        Err(refusal) if refusal.status().is_server_error() => refusal.told_as(Tongue::Error, ours),
        Err(refusal) => refusal.told(Tongue::Error),
    }
}
