//! Routes of the built-in RTMP receiver: what it receives, and its picture for the studio page.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use broadcast::BroadcastId;
use futures_util::StreamExt as _;
use pipelines::rtmp::receiver::{Cadence, Ending, StreamId, StreamReport};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Face, access,
    error::{ApiError, Problem},
};
use crate::{auth::Action, receiver::LocalReceiver};

/// The receiver and what it holds.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReceiverBody {
    /// A destination for `rtmpUrl`, to which a `streamKey` belongs. A stream whose key is the id of a broadcast is
    /// named by it.
    #[schema(example = "rtmp://127.0.0.1:1935/live")]
    rtmp_url: String,
    streams: Vec<StreamBody>,
}

/// What was received on one publish.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StreamBody {
    /// The broadcast that it shows, where its key is that broadcast's id and it goes on; else a number.
    id: String,
    application: String,
    /// `live` or `ended`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    video_codec: Option<&'static str>,
    width: u32,
    height: u32,
    video_frames: u64,
    keyframes: u64,
    keyframe_interval_ms: Option<u64>,
    /// The longest time between two pictures after the first second.
    video_gap_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_codec: Option<&'static str>,
    sample_rate_hz: u32,
    channels: u8,
    audio_frames: u64,
    audio_gap_ms: u64,
    /// How far the sound's timestamps are ahead of the picture's.
    audio_video_offset_ms: Option<i64>,
    bytes: u64,
    /// How often the publisher broke a rule, and the first of them in words.
    violations_count: u64,
    violations: Vec<String>,
}

/// Read what the local receiver receives.
#[utoipa::path(
    get, path = "/api/v1/local-receiver", tag = "local receiver",
    responses(
        (status = 200, description = "Its address and its streams, the oldest first.", body = ReceiverBody),
        (status = 404, description = "This gateway runs none.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn read(
    State(face): State<Arc<Face>>,
    headers: HeaderMap,
) -> Result<Json<ReceiverBody>, ApiError> {
    let identity = access::identify(&face, &headers).await?;
    let receiver = face.receiver.as_ref().ok_or(ApiError::NoLocalReceiver)?;
    let shown = |report: &StreamReport| match broadcast_of(&face, report) {
        Some(id) => identity
            .may(Action::Read(&id))
            .then(|| StreamBody::new(report, id.to_string())),
        None => identity
            .may(Action::Operate)
            .then(|| StreamBody::new(report, report.id.0.to_string())),
    };
    let streams = receiver.streams().iter().filter_map(shown).collect();
    Ok(Json(ReceiverBody {
        rtmp_url: receiver.rtmp_url().to_owned(),
        streams,
    }))
}

/// Watch a received stream as FLV over HTTP.
#[utoipa::path(
    get, path = "/api/v1/local-receiver/{stream}/live.flv", tag = "local receiver", params(("stream" = String, Path)),
    responses(
        (status = 200, description = "From the newest keyframe on, until the stream ends.", body = Vec<u8>, content_type = "video/x-flv"),
        (status = 404, description = "There is no such stream.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn watch(
    State(face): State<Arc<Face>>,
    Path(stream): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let identity = access::identify(&face, &headers).await?;
    match BroadcastId::new(stream.as_str()) {
        Ok(id) if face.broadcasts.find(&id).is_some() => {
            access::allow(&identity, Action::Read(&id))?;
        }
        Ok(_) | Err(_) => access::allow(&identity, Action::Operate)?,
    }
    let receiver = face.receiver.as_ref().ok_or(ApiError::NoLocalReceiver)?;
    let id = find(receiver, &stream).ok_or(ApiError::NoSuchStream)?;
    let bytes = receiver.flv(id).ok_or(ApiError::NoSuchStream)?;
    let stop = face.stop.clone();
    let body = Body::from_stream(
        bytes
            .map(Ok::<_, std::convert::Infallible>)
            .take_until(async move { stop.cancelled().await }),
    );
    let kind = (
        header::CONTENT_TYPE,
        HeaderValue::from_static("video/x-flv"),
    );
    let cache = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(([kind, cache], body).into_response())
}

/// A key is shown only where it is no secret: as the id of a broadcast, which whoever may read it knows.
fn broadcast_of(face: &Face, report: &StreamReport) -> Option<BroadcastId> {
    let id = BroadcastId::new(report.stream_key.expose()).ok()?;
    (report.ending.is_none() && face.broadcasts.find(&id).is_some()).then_some(id)
}

/// The newest live stream of this key, or the stream of this number.
fn find(receiver: &LocalReceiver, name: &str) -> Option<StreamId> {
    let streams = receiver.streams();
    let by_key = streams
        .iter()
        .rev()
        .find(|report| report.ending.is_none() && report.stream_key.expose() == name);
    let number = name.parse().ok().map(StreamId);
    by_key.map(|report| report.id).or(number)
}

impl StreamBody {
    fn new(report: &StreamReport, id: String) -> Self {
        let (video, audio) = (&report.video, &report.audio);
        let gap = |cadence: &Cadence| milliseconds(cadence.longest_settled_gap);
        Self {
            id,
            application: report.application.clone(),
            state: match report.ending {
                None => "live",
                Some(Ending::Unpublished | Ending::Deleted | Ending::Cut) => "ended",
            },
            video_codec: video.codec,
            width: video.width,
            height: video.height,
            video_frames: video.cadence.frames,
            keyframes: video.keyframes,
            keyframe_interval_ms: video.keyframe_intervals.last().copied().map(milliseconds),
            video_gap_ms: gap(&video.cadence),
            audio_codec: audio.codec,
            sample_rate_hz: audio.sample_rate_hz,
            channels: audio.channels,
            audio_frames: audio.cadence.frames,
            audio_gap_ms: gap(&audio.cadence),
            audio_video_offset_ms: report.audio_video_offset_ms,
            bytes: report.bytes,
            violations_count: report.violations_count,
            violations: report.violations.clone(),
        }
    }
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
