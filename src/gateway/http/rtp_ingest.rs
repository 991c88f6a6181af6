//! Routes of plain RTP that comes in: ports for another media server or an encoder.

mod request;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use peers::plain::{PlainError, PlainTrack, PortPair, TrackReport, describe};
use serde::Serialize;
use utoipa::ToSchema;

use self::request::RtpIngestRequest;
pub(super) use self::request::{SrtpRequest, parse_codec};
use super::{
    Face,
    body::JsonBody,
    error::{ApiError, Problem},
};
use crate::broadcasts::{PlainRtpError, RtpIngest};

/// Ports that take plain RTP.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RtpIngestBody {
    id: String,
    /// Where packets are to be sent.
    ip: String,
    /// `waiting` for media, or `receiving`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    video: Option<RtpPortsBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<RtpPortsBody>,
    /// How packets are protected; the key is not repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    srtp: Option<SrtpBody>,
    /// The ports as a session description, without a key.
    sdp: String,
}

/// Where a stream goes, and what came.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RtpPortsBody {
    port: u16,
    /// The same as `port` when they share it.
    rtcp_port: u16,
    /// The sender that is listened to, once it has sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    packets: u64,
    /// Packets that were not taken, by why.
    refused: RefusedBody,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RefusedBody {
    /// From somebody else than the sender.
    source: u64,
    /// Of another payload type.
    payload_type: u64,
    /// Of another SSRC.
    ssrc: u64,
    /// Not sealed with the key, or come twice.
    authentication: u64,
    /// Not RTP.
    malformed: u64,
}

/// How packets are protected.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SrtpBody {
    crypto_suite: &'static str,
}

impl SrtpBody {
    /// The first suite of some tracks.
    pub(super) fn of<'a>(tracks: impl IntoIterator<Item = &'a PlainTrack>) -> Option<Self> {
        tracks.into_iter().find_map(|track| {
            track.srtp.as_ref().map(|srtp| Self {
                crypto_suite: srtp.suite().as_str(),
            })
        })
    }
}

/// Everything that takes plain RTP.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RtpIngestList {
    ingests: Vec<RtpIngestBody>,
}

impl RtpPortsBody {
    fn new(ports: PortPair, report: Option<TrackReport>) -> Self {
        let report = report.unwrap_or_default();
        Self {
            port: ports.rtp,
            rtcp_port: ports.rtcp,
            source: report.source.map(|source| source.to_string()),
            packets: report.packets,
            refused: RefusedBody {
                source: report.refused.source,
                payload_type: report.refused.payload_type,
                ssrc: report.refused.ssrc,
                authentication: report.refused.authentication,
                malformed: report.refused.malformed,
            },
        }
    }
}

impl RtpIngestBody {
    fn new(ingest: &RtpIngest, ip: IpAddr) -> Self {
        let video = ingest.video.as_ref();
        let audio = ingest.audio.as_ref();
        let tracks = video
            .map(|(_, track, _)| track)
            .into_iter()
            .chain(audio.map(|(track, _)| track));
        Self {
            id: ingest.id.clone(),
            ip: ip.to_string(),
            state: if ingest.report.receiving {
                "receiving"
            } else {
                "waiting"
            },
            video: video.map(|(_, _, ports)| RtpPortsBody::new(*ports, ingest.report.video)),
            audio: audio.map(|(_, ports)| RtpPortsBody::new(*ports, ingest.report.audio)),
            srtp: SrtpBody::of(tracks),
            sdp: describe(
                ip,
                video.map(|(codec, track, ports)| (*codec, track, *ports)),
                audio.map(|(track, ports)| (track, *ports)),
            ),
        }
    }
}

/// Open ports for plain RTP.
///
/// For another media server (mediasoup's `PlainTransport`, Janus' `rtp_forward`) or an encoder (`FFmpeg`, `GStreamer`). Media
/// that come are the broadcast's as a studio's would be. The ports stay open until they are closed or the broadcast ends.
#[utoipa::path(
    post, path = "/api/v1/broadcasts/{id}/rtp-ingest", tag = "plain RTP", params(("id" = String, Path)),
    request_body = RtpIngestRequest,
    responses(
        (status = 201, description = "The ports are open.", body = RtpIngestBody, headers(("Location" = String))),
        (status = 404, description = "There is no such broadcast.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`studio_connected`: a studio publishes, and `takeover` is not set.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong; it is named.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`ports_exhausted`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn open(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<RtpIngestRequest>,
) -> Result<Response, ApiError> {
    let handle = face.find_to_change(&id, &headers).await?;
    let (order, takeover) = request.into_order(&face)?;
    let ingest = handle.open_rtp_ingest(order, takeover).await?;
    let location = format!("/api/v1/broadcasts/{id}/rtp-ingest/{}", ingest.id);
    let location = HeaderValue::try_from(location).map_err(|_| ApiError::Internal)?;
    let body = Json(RtpIngestBody::new(&ingest, face.rtp.announced));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], body).into_response())
}

/// List what takes plain RTP: one, and a second one while it is taking over.
#[utoipa::path(
    get, path = "/api/v1/broadcasts/{id}/rtp-ingest", tag = "plain RTP", params(("id" = String, Path)),
    responses(
        (status = 200, description = "As it is now.", body = RtpIngestList),
        (status = 404, description = "There is no such broadcast.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<RtpIngestList>, ApiError> {
    // Not for who may only read: to know the ports is to be able to send there.
    let handle = face.find_to_change(&id, &headers).await?;
    let (ingests, _) = handle.plain_rtp().await.map_err(PlainRtpError::from)?;
    let ingests = ingests
        .iter()
        .map(|ingest| RtpIngestBody::new(ingest, face.rtp.announced))
        .collect();
    Ok(Json(RtpIngestList { ingests }))
}

/// Read what takes plain RTP.
#[utoipa::path(
    get, path = "/api/v1/broadcasts/{id}/rtp-ingest/{ingest}", tag = "plain RTP",
    params(("id" = String, Path), ("ingest" = String, Path)),
    responses(
        (status = 200, description = "As it is now.", body = RtpIngestBody),
        (status = 404, description = "There is no such broadcast or ingest.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn read(
    State(face): State<Arc<Face>>,
    Path((id, ingest)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<RtpIngestBody>, ApiError> {
    let handle = face.find_to_change(&id, &headers).await?;
    let (ingests, _) = handle.plain_rtp().await.map_err(PlainRtpError::from)?;
    let found = ingests
        .iter()
        .find(|known| known.id == ingest)
        .ok_or(ApiError::NoSuchStream)?;
    Ok(Json(RtpIngestBody::new(found, face.rtp.announced)))
}

/// Close ports for plain RTP. Closing what is not open is no error.
#[utoipa::path(
    delete, path = "/api/v1/broadcasts/{id}/rtp-ingest/{ingest}", tag = "plain RTP",
    params(("id" = String, Path), ("ingest" = String, Path)),
    responses(
        (status = 204, description = "They are closed."),
        (status = 404, description = "There is no such broadcast.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn close(
    State(face): State<Arc<Face>>,
    Path((id, ingest)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let handle = face.find_to_change(&id, &headers).await?;
    handle
        .close_rtp_ingest(&ingest)
        .await
        .map_err(PlainRtpError::from)?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<PlainRtpError> for ApiError {
    fn from(error: PlainRtpError) -> Self {
        match error {
            PlainRtpError::Gone(_) => Self::NoSuchBroadcast,
            PlainRtpError::Taken => Self::StudioConnected,
            PlainRtpError::NoRoom(no_room) => Self::NodeFull(no_room),
            PlainRtpError::Timeout => Self::Timeout,
            PlainRtpError::Plain(error) => error.into(),
        }
    }
}

impl From<PlainError> for ApiError {
    fn from(error: PlainError) -> Self {
        match error {
            PlainError::Invalid { field, message } => Self::InvalidField { field, message },
            PlainError::PortsExhausted { first, last } => Self::PortsExhausted(first, last),
            PlainError::Full => Self::Busy,
            PlainError::NoSuchSink => Self::NoSuchBroadcast,
            error @ PlainError::Internal(_) | error => {
                tracing::error!(%error, fault = "gateway", "plain RTP was not set up");
                Self::Internal
            }
        }
    }
}
