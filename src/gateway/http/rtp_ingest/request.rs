//! What is asked of plain RTP that comes in, and how it becomes an order.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use media::VideoCodec;
use peers::plain::{
    CryptoSuite, KeyframeRequest, PlainIngestOrder, PlainSource, PlainTrack, SrtpParameters,
    parse_sender,
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::{Face, error::ApiError, wire::Hidden};

/// What a sender says of itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct RtpIngestRequest {
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
pub(in crate::http) struct RtpVideoRequest {
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
pub(in crate::http) struct RtpAudioRequest {
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
pub(in crate::http) struct RtpSourceRequest {
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
pub(in crate::http) struct SrtpRequest {
    /// `AES_CM_128_HMAC_SHA1_80` or `AEAD_AES_128_GCM`.
    #[schema(example = "AES_CM_128_HMAC_SHA1_80")]
    crypto_suite: String,
    /// Master key and salt behind each other, 30 or 28 bytes, in base64. Never shown again.
    #[schema(value_type = String, write_only)]
    key_base64: Hidden,
}

impl SrtpRequest {
    pub(in crate::http) fn into_parameters(self) -> Result<SrtpParameters, ApiError> {
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
pub(in crate::http) fn parse_codec(name: &str, field: &str) -> Result<VideoCodec, ApiError> {
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
    pub(super) fn into_order(mut self, face: &Face) -> Result<(PlainIngestOrder, bool), ApiError> {
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
