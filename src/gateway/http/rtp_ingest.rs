//! Routes of plain RTP that comes in: ports for another media server or an encoder.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use media::VideoCodec;
use peers::plain::{
    CryptoSuite, KeyframeRequest, PlainError, PlainIngestOrder, PlainSource, PlainTrack, PortPair,
    SrtpParameters, TrackReport, describe, parse_sender,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Face,
    body::JsonBody,
    error::{ApiError, Problem},
    wire::Hidden,
};
use crate::broadcasts::{PlainRtpError, RtpIngest};

/// What a sender says of itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RtpIngestRequest {
    /// The sender's session description, such as `ffmpeg -sdp_file` writes, in place of `video` and `audio`.
    #[schema(value_type = Option<String>)]
    sdp: Option<Hidden>,
    /// The pictures.
    video: Option<RtpVideoRequest>,
    /// The sound.
    audio: Option<RtpAudioRequest>,
    /// Whether the sender is known by its first packet; true when absent. False needs `source` with its ports.
    comedia: Option<bool>,
    /// Where the sender is; packets of others are dropped.
    source: Option<RtpSourceRequest>,
    /// Whether RTCP comes on the port of RTP; false when absent.
    rtcp_mux: Option<bool>,
    /// How packets are protected. The same key serves the RTCP that goes back.
    srtp: Option<SrtpRequest>,
    /// Whether to take the seat of a studio that publishes, once media come; false when absent.
    takeover: Option<bool>,
}

/// Pictures that are going to come.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RtpVideoRequest {
    /// `H264`, `VP8`, `VP9` or `AV1`.
    #[schema(example = "H264")]
    codec: String,
    /// 0 to 127.
    #[schema(example = 96)]
    payload_type: u8,
    /// 90000.
    clock_rate: Option<u32>,
    /// The only one that is taken; the first that comes when absent.
    ssrc: Option<u32>,
    /// What stands behind the payload type in `a=fmtp`.
    fmtp: Option<String>,
    /// As `rtcpMux` beside it.
    rtcp_mux: Option<bool>,
    /// Whether the sender repeats packets that it is asked for (NACK), as mediasoup does; false when absent.
    nack: Option<bool>,
    /// How the sender is asked for a keyframe: `pli` (when absent) or `fir`.
    keyframe_request: Option<String>,
}

/// Sound that is going to come.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RtpAudioRequest {
    /// `opus`.
    #[schema(example = "opus")]
    codec: String,
    /// 0 to 127.
    #[schema(example = 97)]
    payload_type: u8,
    /// 48000.
    clock_rate: Option<u32>,
    /// 1 or 2; told by the packets when absent.
    channels: Option<u8>,
    /// The only one that is taken; the first that comes when absent.
    ssrc: Option<u32>,
    /// What stands behind the payload type in `a=fmtp`.
    fmtp: Option<String>,
    /// As `rtcpMux` beside it.
    rtcp_mux: Option<bool>,
}

/// Where a sender is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RtpSourceRequest {
    #[schema(value_type = String, example = "192.0.2.1")]
    ip: IpAddr,
    /// Where RTP of pictures comes from.
    video_port: Option<u16>,
    /// Where RTCP of pictures comes from; the port above RTP's when absent.
    video_rtcp_port: Option<u16>,
    /// Where RTP of sound comes from.
    audio_port: Option<u16>,
    /// Where RTCP of sound comes from; the port above RTP's when absent.
    audio_rtcp_port: Option<u16>,
}

/// How packets are protected.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SrtpRequest {
    /// `AES_CM_128_HMAC_SHA1_80` or `AEAD_AES_128_GCM`.
    #[schema(example = "AES_CM_128_HMAC_SHA1_80")]
    crypto_suite: String,
    /// Master key and salt behind each other, 30 or 28 bytes, in base64. Never shown again.
    #[schema(value_type = String, write_only)]
    key_base64: Hidden,
}

impl SrtpRequest {
    pub(super) fn into_parameters(self) -> Result<SrtpParameters, ApiError> {
        let suite = CryptoSuite::find(&self.crypto_suite).ok_or_else(|| {
            let names = CryptoSuite::ALL.map(CryptoSuite::as_str).join(" and ");
            ApiError::invalid("srtp.cryptoSuite", format!("supported are {names}"))
        })?;
        let wrong = || {
            ApiError::invalid(
                "srtp.keyBase64",
                format!("the key is {} bytes in base64", suite.key_bytes()),
            )
        };
        let key = STANDARD
            .decode(self.key_base64.expose())
            .map_err(|_| wrong())?;
        SrtpParameters::new(suite, key).ok_or_else(wrong)
    }
}

/// Reads the name of a codec.
pub(super) fn parse_codec(name: &str, field: &str) -> Result<VideoCodec, ApiError> {
    VideoCodec::ALL
        .into_iter()
        .find(|codec| codec.as_str().eq_ignore_ascii_case(name))
        .ok_or_else(|| {
            let known: String = name
                .chars()
                .filter(char::is_ascii_graphic)
                .take(24)
                .collect();
            ApiError::invalid(
                field,
                format!("the codec {known} is not supported; H264, VP8, VP9 and AV1 are"),
            )
        })
}

fn check_clock(rate: Option<u32>, right: u32, field: &str) -> Result<(), ApiError> {
    match rate {
        Some(rate) if rate != right => Err(ApiError::invalid(
            field,
            format!("the clock rate is {right}"),
        )),
        _ => Ok(()),
    }
}

type Described = (Option<(VideoCodec, PlainTrack)>, Option<PlainTrack>);

impl RtpIngestRequest {
    fn into_order(mut self, face: &Face) -> Result<(PlainIngestOrder, bool), ApiError> {
        let takeover = self.takeover.unwrap_or(false);
        let (mut video, mut audio) = self.tracks()?;
        if let Some(srtp) = self.srtp.take() {
            let parameters = srtp.into_parameters()?;
            for track in video.iter_mut().map(|(_, track)| track).chain(&mut audio) {
                if track.srtp.is_some() {
                    return Err(ApiError::invalid(
                        "srtp",
                        "the description has a key already",
                    ));
                }
                track.srtp = Some(parameters.clone());
            }
        }
        let source = self.place_source(face, &mut video, &mut audio)?;
        let order = PlainIngestOrder {
            ports: face.rtp.ports,
            video,
            audio,
            source,
        };
        order.check()?;
        Ok((order, takeover))
    }

    fn tracks(&mut self) -> Result<Described, ApiError> {
        let mux = self.rtcp_mux.unwrap_or(false);
        let Some(sdp) = self.sdp.take() else {
            let video = self.video.take().map(|video| video.into_track(mux));
            let audio = self.audio.take().map(|audio| audio.into_track(mux));
            return Ok((video.transpose()?, audio.transpose()?));
        };
        for (given, field) in [
            (self.video.is_some(), "video"),
            (self.audio.is_some(), "audio"),
            (self.rtcp_mux.is_some(), "rtcpMux"),
        ] {
            if given {
                return Err(ApiError::invalid(
                    field,
                    "the description says this already",
                ));
            }
        }
        parse_sender(sdp.expose()).map_err(|error| ApiError::invalid("sdp", error))
    }

    fn place_source(
        &self,
        face: &Face,
        video: &mut Option<(VideoCodec, PlainTrack)>,
        audio: &mut Option<PlainTrack>,
    ) -> Result<Option<PlainSource>, ApiError> {
        let pinned = self.comedia == Some(false);
        let Some(source) = &self.source else {
            return if pinned {
                Err(ApiError::MissingField("source".to_owned()))
            } else {
                Ok(None)
            };
        };
        face.guard
            .check_datagrams(source.ip)
            .map_err(|failure| ApiError::invalid("source.ip", failure.message))?;
        if let Some((_, track)) = video {
            track.source_port = source.video_port;
            track.source_rtcp_port = source.video_rtcp_port;
            if pinned && track.source_port.is_none() {
                return Err(ApiError::MissingField("source.videoPort".to_owned()));
            }
        }
        if let Some(track) = audio {
            track.source_port = source.audio_port;
            track.source_rtcp_port = source.audio_rtcp_port;
            if pinned && track.source_port.is_none() {
                return Err(ApiError::MissingField("source.audioPort".to_owned()));
            }
        }
        Ok(Some(PlainSource { ip: source.ip }))
    }
}

impl RtpVideoRequest {
    fn into_track(self, mux: bool) -> Result<(VideoCodec, PlainTrack), ApiError> {
        let codec = parse_codec(&self.codec, "video.codec")?;
        check_clock(self.clock_rate, 90_000, "video.clockRate")?;
        let keyframe_request = match self.keyframe_request.as_deref() {
            None | Some("pli") => KeyframeRequest::Pli,
            Some("fir") => KeyframeRequest::Fir,
            Some(_) => {
                return Err(ApiError::invalid("video.keyframeRequest", "pli or fir"));
            }
        };
        let track = PlainTrack {
            payload_type: self.payload_type,
            ssrc: self.ssrc,
            format_parameters: self.fmtp,
            rtcp_mux: self.rtcp_mux.unwrap_or(mux),
            nack: self.nack.unwrap_or(false),
            keyframe_request,
            ..PlainTrack::default()
        };
        Ok((codec, track))
    }
}

impl RtpAudioRequest {
    fn into_track(self, mux: bool) -> Result<PlainTrack, ApiError> {
        if !self.codec.eq_ignore_ascii_case("opus") {
            let known: String = self
                .codec
                .chars()
                .filter(char::is_ascii_graphic)
                .take(24)
                .collect();
            return Err(ApiError::invalid(
                "audio.codec",
                format!("the codec {known} is not supported; opus is"),
            ));
        }
        check_clock(self.clock_rate, 48_000, "audio.clockRate")?;
        if self
            .channels
            .is_some_and(|channels| !(1..=2).contains(&channels))
        {
            return Err(ApiError::invalid("audio.channels", "1 or 2"));
        }
        Ok(PlainTrack {
            payload_type: self.payload_type,
            ssrc: self.ssrc,
            format_parameters: self.fmtp,
            rtcp_mux: self.rtcp_mux.unwrap_or(mux),
            ..PlainTrack::default()
        })
    }
}

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
