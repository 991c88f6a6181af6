//! Routes of plain RTP that goes out: a media node elsewhere, or another gateway.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use media::VideoCodec;
use peers::plain::{
    EgressTrackReport, PlainEgressOrder, PlainReceiver, PlainTrack, PortPair, SrtpParameters,
    describe,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Face,
    body::JsonBody,
    error::{ApiError, Problem},
    rtp_ingest::{SrtpBody, SrtpRequest, parse_codec},
};
use crate::broadcasts::{PlainRtpError, RtpEgress, RtpEgressOrder};

/// What receivers are told unless they say otherwise; what `FFmpeg` and the seeds use.
const VIDEO_PAYLOAD_TYPE: u8 = 96;
const AUDIO_PAYLOAD_TYPE: u8 = 97;
/// Ports from one stream to the next: RTP and RTCP of pictures, then of sound.
const PORTS_OF_A_STREAM: u16 = 2;

/// Where packets are to go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RtpEgressRequest {
    /// `host:port`: pictures at the port, their RTCP above it, sound at the port after that, and its RTCP. Or each of them.
    address: RtpAddressRequest,
    /// Whether RTCP shares the port of RTP; false when absent.
    rtcp_mux: Option<bool>,
    /// How packets are protected. The same key serves the RTCP that comes back.
    srtp: Option<SrtpRequest>,
    /// How pictures are sent.
    video: Option<RtpSentVideo>,
    /// How sound is sent.
    audio: Option<RtpSentAudio>,
}

/// `host:port`, or ports one by one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
enum RtpAddressRequest {
    /// Four ports in a row.
    #[schema(example = "media.example.org:40200")]
    Text(String),
    /// Ports one by one.
    Ports(RtpPortsRequest),
}

/// Ports one by one; a stream without one is not sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RtpPortsRequest {
    #[schema(value_type = String, example = "192.0.2.1")]
    ip: IpAddr,
    video_port: Option<u16>,
    /// The port above RTP's when absent.
    video_rtcp_port: Option<u16>,
    audio_port: Option<u16>,
    /// The port above RTP's when absent.
    audio_rtcp_port: Option<u16>,
}

/// How pictures are sent.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RtpSentVideo {
    /// `H264`, `VP8`, `VP9` or `AV1`: the studio's when absent, or `H264` while there is none. A studio's pictures of
    /// another codec are not sent.
    codec: Option<String>,
    /// 96 when absent.
    payload_type: Option<u8>,
    /// At random when absent.
    ssrc: Option<u32>,
}

/// How sound is sent: Opus.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RtpSentAudio {
    /// 97 when absent.
    payload_type: Option<u8>,
    /// At random when absent.
    ssrc: Option<u32>,
}

impl RtpEgressRequest {
    async fn into_order(self, face: &Face) -> Result<RtpEgressOrder, ApiError> {
        let mux = self.rtcp_mux.unwrap_or(false);
        let srtp = self.srtp.map(SrtpRequest::into_parameters).transpose()?;
        let (video_to, audio_to) = self.address.resolve(face, mux).await?;
        let video = self.video.unwrap_or_default();
        let audio = self.audio.unwrap_or_default();
        let codec = video
            .codec
            .map(|codec| parse_codec(&codec, "video.codec"))
            .transpose()?;
        let track = |payload_type, ssrc, srtp: &Option<SrtpParameters>| PlainTrack {
            payload_type,
            ssrc,
            rtcp_mux: mux,
            srtp: srtp.clone(),
            ..PlainTrack::default()
        };
        let pictures = video_to.map(|to| {
            let payload_type = video.payload_type.unwrap_or(VIDEO_PAYLOAD_TYPE);
            let mut track = track(payload_type, video.ssrc, &srtp);
            track.nack = true;
            (track, to)
        });
        let sound = audio_to.map(|to| {
            let payload_type = audio.payload_type.unwrap_or(AUDIO_PAYLOAD_TYPE);
            let mut track = track(payload_type, audio.ssrc, &srtp);
            track.format_parameters = Some("sprop-stereo=1".to_owned());
            (track, to)
        });
        if let (Some((video, _)), Some((audio, _))) = (&pictures, &sound)
            && video.ssrc.is_some()
            && video.ssrc == audio.ssrc
        {
            return Err(ApiError::invalid(
                "audio.ssrc",
                "the pictures have the same",
            ));
        }
        Ok(RtpEgressOrder {
            order: PlainEgressOrder {
                ports: face.rtp.ports,
                codec: codec.unwrap_or(VideoCodec::H264),
                video: pictures,
                audio: sound,
            },
            codec,
        })
    }
}

impl RtpAddressRequest {
    /// Where pictures and sound go.
    async fn resolve(
        self,
        face: &Face,
        mux: bool,
    ) -> Result<(Option<PlainReceiver>, Option<PlainReceiver>), ApiError> {
        let pair = |rtp: u16, rtcp: Option<u16>, field: &str| {
            let above = rtp.checked_add(1).filter(|_| rtp > 0);
            let above =
                above.ok_or_else(|| ApiError::invalid(field, "a port is from 1 to 65534"))?;
            let rtcp = if mux { rtp } else { rtcp.unwrap_or(above) };
            Ok::<_, ApiError>(PortPair { rtp, rtcp })
        };
        match self {
            Self::Text(text) => {
                let wrong = || ApiError::invalid("address", "'address' must be host:port");
                let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let port: u16 = port.parse().map_err(|_| wrong())?;
                let ip = face
                    .guard
                    .resolve_datagrams(host)
                    .await
                    .map_err(|failure| ApiError::invalid("address", failure.message))?;
                let second = port.checked_add(PORTS_OF_A_STREAM).ok_or_else(wrong)?;
                let to = |ports| PlainReceiver { ip, ports };
                let video = pair(port, None, "address")?;
                let audio = pair(second, None, "address")?;
                Ok((Some(to(video)), Some(to(audio))))
            }
            Self::Ports(ports) => {
                let ip = ports.ip;
                face.guard
                    .check_datagrams(ip)
                    .map_err(|failure| ApiError::invalid("address.ip", failure.message))?;
                let to = |rtp: Option<u16>, rtcp, field| {
                    rtp.map(|rtp| pair(rtp, rtcp, field))
                        .transpose()
                        .map(|ports| ports.map(|ports| PlainReceiver { ip, ports }))
                };
                let video = to(ports.video_port, ports.video_rtcp_port, "address.videoPort")?;
                let audio = to(ports.audio_port, ports.audio_rtcp_port, "address.audioPort")?;
                if video.is_none() && audio.is_none() {
                    return Err(ApiError::MissingField("address.videoPort".to_owned()));
                }
                Ok((video, audio))
            }
        }
    }
}

/// A receiver of plain RTP.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RtpEgressBody {
    id: String,
    /// Where packets go.
    ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    video: Option<RtpSentBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<RtpSentBody>,
    /// How packets are protected; the key is not repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    srtp: Option<SrtpBody>,
    /// True while pictures are not sent because the studio's are of another codec.
    codec_differs: bool,
    /// What the receiver needs to know, such as `ffmpeg -protocol_whitelist file,udp,rtp -i` reads; without a key.
    sdp: String,
}

/// A stream that goes out.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RtpSentBody {
    codec: &'static str,
    payload_type: u8,
    ssrc: Option<u32>,
    /// Where it is received.
    port: u16,
    rtcp_port: u16,
    /// Where it comes from.
    source_port: u16,
    source_rtcp_port: u16,
    packets: u64,
    bytes: u64,
    /// Packets that were sent again on request.
    repeated: u64,
    keyframe_requests: u64,
    /// What the receiver says that it lost lately.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost_percent: Option<f64>,
}

/// Everybody who receives plain RTP.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RtpEgressList {
    egresses: Vec<RtpEgressBody>,
}

impl RtpSentBody {
    fn new(
        codec: &'static str,
        track: &PlainTrack,
        to: PortPair,
        from: PortPair,
        report: Option<EgressTrackReport>,
    ) -> Self {
        let report = report.unwrap_or_default();
        Self {
            codec,
            payload_type: track.payload_type,
            ssrc: track.ssrc,
            port: to.rtp,
            rtcp_port: to.rtcp,
            source_port: from.rtp,
            source_rtcp_port: from.rtcp,
            packets: report.packets,
            bytes: report.bytes,
            repeated: report.repeated,
            keyframe_requests: report.keyframe_requests,
            lost_percent: report
                .lost_of_256
                .map(|lost| (f64::from(lost) * 1000.0 / 256.0).round() / 10.0),
        }
    }
}

/// What a format of ours says of itself beyond its name.
fn parameters_of(codec: VideoCodec) -> Option<String> {
    (codec == VideoCodec::H264).then(|| "packetization-mode=1".to_owned())
}

impl RtpEgressBody {
    fn new(egress: &RtpEgress) -> Self {
        let video = egress.video.as_ref().map(|(codec, track, to, from)| {
            let mut track = track.clone();
            track.format_parameters = parameters_of(*codec);
            (*codec, track, *to, *from)
        });
        let audio = egress.audio.as_ref();
        let ip = video
            .as_ref()
            .map(|(_, _, to, _)| to.ip)
            .or_else(|| audio.map(|(_, to, _)| to.ip))
            .unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let tracks = video
            .as_ref()
            .map(|(_, track, ..)| track)
            .into_iter()
            .chain(audio.map(|(track, ..)| track));
        let srtp = SrtpBody::of(tracks);
        let sdp = describe(
            ip,
            video
                .as_ref()
                .map(|(codec, track, to, _)| (*codec, track, to.ports)),
            audio.map(|(track, to, _)| (track, to.ports)),
        );
        Self {
            id: egress.id.clone(),
            ip: ip.to_string(),
            video: video.as_ref().map(|(codec, track, to, from)| {
                RtpSentBody::new(codec.as_str(), track, to.ports, *from, egress.report.video)
            }),
            audio: audio.map(|(track, to, from)| {
                RtpSentBody::new("opus", track, to.ports, *from, egress.report.audio)
            }),
            srtp,
            codec_differs: egress.report.codec_differs,
            sdp,
        }
    }
}

/// Send the studio's packets on by plain RTP.
///
/// As they came, not transcoded and without the slate; one unbroken stream over studios that come and go. At most 8 for
/// each broadcast.
#[utoipa::path(
    post, path = "/api/v1/broadcasts/{id}/rtp-egress", tag = "plain RTP", params(("id" = String, Path)),
    request_body = RtpEgressRequest,
    responses(
        (status = 201, description = "What the studio sends goes there.", body = RtpEgressBody, headers(("Location" = String))),
        (status = 404, description = "There is no such broadcast.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong; it is named.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`ports_exhausted`, or `busy`: there are 8 already.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn open(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<RtpEgressRequest>,
) -> Result<Response, ApiError> {
    let handle = face.find_to_change(&id, &headers).await?;
    let order = request.into_order(&face).await?;
    let egress = handle.open_rtp_egress(order).await?;
    let location = format!("/api/v1/broadcasts/{id}/rtp-egress/{}", egress.id);
    let location = HeaderValue::try_from(location).map_err(|_| ApiError::Internal)?;
    let body = Json(RtpEgressBody::new(&egress));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], body).into_response())
}

/// List who receives plain RTP.
#[utoipa::path(
    get, path = "/api/v1/broadcasts/{id}/rtp-egress", tag = "plain RTP", params(("id" = String, Path)),
    responses(
        (status = 200, description = "As it is now.", body = RtpEgressList),
        (status = 404, description = "There is no such broadcast.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<RtpEgressList>, ApiError> {
    let handle = face.find_to_read(&id, &headers).await?;
    let (_, egresses) = handle.plain_rtp().await.map_err(PlainRtpError::from)?;
    let egresses = egresses.iter().map(RtpEgressBody::new).collect();
    Ok(Json(RtpEgressList { egresses }))
}

/// Read who receives plain RTP.
#[utoipa::path(
    get, path = "/api/v1/broadcasts/{id}/rtp-egress/{egress}", tag = "plain RTP",
    params(("id" = String, Path), ("egress" = String, Path)),
    responses(
        (status = 200, description = "As it is now.", body = RtpEgressBody),
        (status = 404, description = "There is no such broadcast or egress.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn read(
    State(face): State<Arc<Face>>,
    Path((id, egress)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<RtpEgressBody>, ApiError> {
    let handle = face.find_to_read(&id, &headers).await?;
    let (_, egresses) = handle.plain_rtp().await.map_err(PlainRtpError::from)?;
    let found = egresses
        .iter()
        .find(|known| known.id == egress)
        .ok_or(ApiError::NoSuchStream)?;
    Ok(Json(RtpEgressBody::new(found)))
}

/// Send no more to a receiver, which is told good-bye. Closing what is not open is no error.
#[utoipa::path(
    delete, path = "/api/v1/broadcasts/{id}/rtp-egress/{egress}", tag = "plain RTP",
    params(("id" = String, Path), ("egress" = String, Path)),
    responses(
        (status = 204, description = "Nothing is sent there any more."),
        (status = 404, description = "There is no such broadcast.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn close(
    State(face): State<Arc<Face>>,
    Path((id, egress)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let handle = face.find_to_change(&id, &headers).await?;
    handle
        .close_rtp_egress(&egress)
        .await
        .map_err(PlainRtpError::from)?;
    Ok(StatusCode::NO_CONTENT)
}
