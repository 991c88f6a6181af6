//! The route of a destination's black box.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Json,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use pipelines::rtmp::{BlackBoxView, Event, Sample};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Face,
    error::{ApiError, Problem},
    wire::milliseconds,
};
use crate::broadcasts::DestinationSnapshot;

/// What of it, and how.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct Choice {
    /// Whether a browser is to save it as a file.
    #[serde(default)]
    download: bool,
    /// Whether it is that of the second connection of a destination whose backup is `simultaneous`.
    #[serde(default)]
    backup: bool,
}

/// What is known of the last minute of a destination. It holds no key and no path.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BlackBoxBody {
    destination: String,
    /// Scheme, host and port.
    server: String,
    /// One for each second of a connection, oldest first, at most 60.
    samples: Vec<SampleBody>,
    /// Oldest first, at most 20.
    events: Vec<BoxEventBody>,
}

/// How a connection stood at one moment.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SampleBody {
    at: Option<String>,
    /// Over all connections.
    bytes_sent: u64,
    bitrate_kbps: u64,
    /// Media that the server has not acknowledged.
    queue_ms: u64,
    unacknowledged_bytes: u64,
    round_trip_ms: f64,
    /// Segments that were sent again on this connection.
    retransmits: u32,
    /// In segments.
    congestion_window: u32,
    /// Over all connections.
    frames_sent: u64,
    /// Over all connections.
    frames_dropped: u64,
}

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BoxEventBody {
    at: Option<String>,
    /// `dns`, `connect`, `tls`, `handshake`, `connectReply`, `createStream`, `publish`, `live`, `catchingUp`, `caughtUp`,
    /// `jumped`, `paused`, `resumed`, `stalled`, `refused`, `lost` or `closed`.
    what: &'static str,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_ms: Option<u64>,
    /// More about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<String>,
}

/// Read the black box of a destination: its last 60 seconds in figures and its last 20 events.
#[utoipa::path(
    get, path = "/api/v1/broadcasts/{id}/destinations/{destination}/black-box", tag = "destinations",
    params(("id" = String, Path), ("destination" = String, Path), Choice),
    responses(
        (status = 200, description = "What it holds now.", body = BlackBoxBody),
        (status = 404, description = "There is no such broadcast or destination.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn read(
    State(face): State<Arc<Face>>,
    Path((id, destination)): Path<(String, String)>,
    headers: HeaderMap,
    choice: Result<Query<Choice>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, ApiError> {
    let handle = face.find_to_read(&id, &headers).await?;
    let Query(choice) = choice.map_err(|_| {
        ApiError::invalid("download", "'download' and 'backup' must be true or false")
    })?;
    let snapshot = handle.snapshot();
    let destination = snapshot
        .destination(&destination)
        .ok_or(ApiError::NoSuchDestination)?;
    let body = Json(BlackBoxBody::new(destination, choice.backup)?);
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if choice.download {
        // Ids hold nothing that would have to be quoted.
        let name = format!(
            "attachment; filename=\"black-box-{id}-{}.json\"",
            destination.id
        );
        let name = HeaderValue::try_from(name).map_err(|_| ApiError::Internal)?;
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

impl BlackBoxBody {
    fn new(destination: &DestinationSnapshot, backup: bool) -> Result<Self, ApiError> {
        let line = if backup {
            destination
                .backup
                .as_ref()
                .ok_or(ApiError::NoSuchDestination)?
        } else {
            &destination.primary
        };
        let view = line.black_box.as_ref().map(|black_box| black_box.view());
        let BlackBoxView {
            samples, events, ..
        } = view.unwrap_or_default();
        Ok(Self {
            destination: destination.id.to_string(),
            server: line.server.clone(),
            samples: samples.iter().map(SampleBody::new).collect(),
            events: events.into_iter().map(BoxEventBody::new).collect(),
        })
    }
}

impl SampleBody {
    fn new(sample: &Sample) -> Self {
        Self {
            at: timestamp(sample.at),
            bytes_sent: sample.bytes_sent,
            bitrate_kbps: sample.bits_per_second / 1000,
            queue_ms: milliseconds(sample.queued),
            unacknowledged_bytes: sample.unacknowledged_bytes,
            round_trip_ms: sample.round_trip.as_secs_f64() * 1000.0,
            retransmits: sample.retransmits,
            congestion_window: sample.congestion_window,
            frames_sent: sample.frames_sent,
            frames_dropped: sample.frames_dropped,
        }
    }
}

impl BoxEventBody {
    fn new(event: Event) -> Self {
        Self {
            at: timestamp(event.at),
            what: event.what.as_str(),
            elapsed_ms: event.elapsed.map(milliseconds),
            words: (!event.words.is_empty()).then_some(event.words),
        }
    }
}

fn timestamp(since_1970: Duration) -> Option<String> {
    let at = Timestamp::try_from(SystemTime::UNIX_EPOCH + since_1970).ok()?;
    Some(format!("{at:.3}"))
}
