//! Routes about the process: alive, ready, health, metrics.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use broadcast::BroadcastState;
use fleet::Standing;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Face,
    error::{ApiError, Problem},
};
use crate::{
    broadcasts::Snapshot,
    clock::now,
    metrics::{Moment, Population},
    system::Usage,
};

const MEBIBYTE: u64 = 1024 * 1024;
const GIBIBYTE: u64 = 1024 * MEBIBYTE;

/// Whether the process is alive.
#[utoipa::path(get, path = "/livez", tag = "node", responses((status = 200, description = "It is.")))]
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// Whether the node takes new broadcasts.
#[utoipa::path(
    get, path = "/readyz", tag = "node",
    responses(
        (status = 200, description = "It does. A second line says when the registry does not answer.", body = String),
        (status = 503, description = "It is full, draining or cut off from the other nodes.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn ready(State(face): State<Arc<Face>>) -> Result<&'static str, ApiError> {
    face.broadcasts.readiness()?;
    if face.membership.is_draining() {
        return Err(ApiError::Draining);
    }
    if face.membership.standing() == Standing::Cut {
        return Err(ApiError::RegistryUnavailable);
    }
    if face.membership.view().reachable {
        Ok("ready\n")
    } else {
        // Live broadcasts go on, so studios of this node must still get here.
        Ok("ready\nthe registry does not answer: nodes are assigned from those last known\n")
    }
}

/// What monitoring programs want to know, in the words of several media servers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct HealthBody {
    /// `ok`, also while draining; `/readyz` tells the difference.
    status: &'static str,
    service: &'static str,
    version: &'static str,
    timestamp: String,
    instance_id: String,
    /// Whether new broadcasts are taken.
    ready: bool,
    /// Broadcasts whose media goes out.
    active_streams: usize,
    /// Load of the machine in percent.
    cpu_usage: u8,
    /// Used memory of the machine in percent.
    memory_usage: u64,
    /// Seconds since the process began.
    uptime: u64,
    /// Of the process, in MiB.
    memory: MemoryBody,
    cpu: CpuBody,
    /// What is taken of what may be promised: 0 when idle, 1 when full.
    load_ratio: f64,
    /// The version of `FFmpeg` that the method `ffmpeg` uses, or why it is not available.
    ffmpeg: String,
    system: SystemBody,
    stats: StatsBody,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MemoryBody {
    used: u64,
    total: u64,
    external: u64,
}

/// Time of the process, in microseconds.
#[derive(Debug, Serialize, ToSchema)]
struct CpuBody {
    user: u64,
    system: u64,
}

/// The machine; memory in GiB.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SystemBody {
    platform: &'static str,
    cpu_count: usize,
    total_memory: u64,
    free_memory: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StatsBody {
    total_rooms: usize,
    total_peers: usize,
    workers_count: usize,
    routers_count: usize,
}

/// What the process and the machine are doing.
#[utoipa::path(get, path = "/health", tag = "node", responses((status = 200, description = "The process answers.", body = HealthBody)))]
pub(super) async fn health(State(face): State<Arc<Face>>) -> Json<HealthBody> {
    Json(body(&face))
}

/// The same as `/health`.
#[utoipa::path(get, path = "/api/health", tag = "node", responses((status = 200, description = "The process answers.", body = HealthBody)))]
pub(super) async fn api_health(State(face): State<Arc<Face>>) -> Json<HealthBody> {
    Json(body(&face))
}

/// Counters and gauges in the `OpenMetrics` text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "node", responses((status = 200, description = "Metrics.", body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn metrics(State(face): State<Arc<Face>>) -> Result<Response, ApiError> {
    let broadcasts = snapshots(&face);
    let usage = Usage::read();
    let moment = Moment {
        broadcasts: &broadcasts,
        sessions: face.peers.sessions(),
        workers: face.peers.workers(),
        worker_panics: face.peers.panics(),
        usage: &usage,
        method: face.method,
        room: face.broadcasts.admission().figures(),
        rooms: &face.rooms.figures(),
        rooms_limit: face.rooms.limit(),
        breakers: &face.providers.breakers(),
        connections: face.sockets.connections(),
        sockets: face.sockets.counts(),
        fleet: &face.membership.figures(),
    };
    let text = face
        .metrics
        .write(&moment)
        .map_err(|_| ApiError::Internal)?;
    let media_type =
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, media_type)], text).into_response())
}

fn snapshots(face: &Face) -> Vec<Arc<Snapshot>> {
    face.broadcasts
        .list()
        .iter()
        .map(crate::broadcasts::BroadcastHandle::snapshot)
        .collect()
}

fn body(face: &Face) -> HealthBody {
    let usage = Usage::read();
    let broadcasts = snapshots(face);
    let live = broadcasts
        .iter()
        .filter(|broadcast| broadcast.state == BroadcastState::Live)
        .count();
    let population = Population::of(&broadcasts, &face.rooms.figures());
    HealthBody {
        status: "ok",
        service: "castgate",
        version: env!("CARGO_PKG_VERSION"),
        timestamp: Timestamp::now().to_string(),
        instance_id: face.node.clone(),
        ready: face.broadcasts.readiness().is_ok(),
        active_streams: live,
        cpu_usage: usage.cpu_percent,
        memory_usage: usage.memory_percent(),
        uptime: now().saturating_duration_since(face.started).as_secs(),
        memory: MemoryBody {
            used: usage.resident_bytes / MEBIBYTE,
            total: usage.virtual_bytes / MEBIBYTE,
            external: 0,
        },
        cpu: CpuBody {
            user: microseconds(usage.user),
            system: microseconds(usage.system),
        },
        load_ratio: face.broadcasts.admission().figures().load_ratio(),
        ffmpeg: face.broadcasts.methods().describe_ffmpeg(),
        system: SystemBody {
            platform: std::env::consts::OS,
            cpu_count: usage.cores,
            total_memory: usage.memory_total_bytes / GIBIBYTE,
            free_memory: usage.memory_available_bytes / GIBIBYTE,
        },
        stats: StatsBody {
            total_rooms: population.rooms,
            total_peers: population.people,
            workers_count: face.peers.workers(),
            routers_count: population.rooms,
        },
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
