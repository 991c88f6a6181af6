//! What the publishing client offers: codecs, feedback, and the interceptors behind them.

use media::VideoCodec;
use rtc::{
    interceptor::{NackResponderBuilder, Registry, Slot},
    media_stream::MediaStreamTrack,
    peer_connection::configuration::{
        interceptor_registry::configure_twcc_sender_only,
        media_engine::{
            MIME_TYPE_AV1, MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_RTX, MIME_TYPE_VP8,
            MIME_TYPE_VP9, MediaEngine,
        },
    },
    rtp_transceiver::rtp_sender::{
        RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters,
        RTCRtpEncodingParameters, RTCRtpRtxParameters, RtpCodecKind,
    },
    shared::error::Result,
};

use super::ear::Ear;

/// The payload type of the picture, unless the answer takes another; an answer repeats the offer's.
pub(super) const VIDEO_PAYLOAD_TYPE: u8 = 102;
const RTX_PAYLOAD_TYPE: u8 = 103;
/// The same H.264 under the other name of its profile, for servers that compare names.
pub(super) const BASELINE_PAYLOAD_TYPE: u8 = 104;
const BASELINE_RTX_PAYLOAD_TYPE: u8 = 105;
pub(super) const AUDIO_PAYLOAD_TYPE: u8 = 111;

/// Constrained baseline, which all have, by the name that browsers prefer.
const CONSTRAINED: &str = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";

/// And by the name that SFUs prefer.
const BASELINE: &str = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f";

/// Sent packets kept for retransmission: about two seconds of 1080p at 4.5 Mb/s. A power of two, as the crate wants.
const RETRANSMISSION_PACKETS: u16 = 1024;

/// Media engine and interceptors. Sender reports are not among them: ours tell the time of capture.
pub(super) fn engine(codec: VideoCodec, ear: Ear) -> Result<(MediaEngine, Registry)> {
    let mut engine = MediaEngine::default();
    for offered in pictures(codec) {
        engine.register_codec(offered, RtpCodecKind::Video)?;
    }
    engine.register_codec(parameters(opus(), AUDIO_PAYLOAD_TYPE), RtpCodecKind::Audio)?;
    let registry = Registry::new()
        .with(
            Slot::NackResponder,
            NackResponderBuilder::new()
                .with_size(RETRANSMISSION_PACKETS)
                .build(),
        )
        // Behind everything else that reads feedback.
        .with(Slot::from(Slot::JitterBuffer.slot() + 1), ear);
    let registry = configure_twcc_sender_only(registry, &mut engine)?;
    Ok((engine, registry))
}

/// All that is offered for the picture, the favourite first.
pub(super) fn pictures(codec: VideoCodec) -> Vec<RTCRtpCodecParameters> {
    let mut offered = vec![
        parameters(picture(codec), VIDEO_PAYLOAD_TYPE),
        parameters(rtx(VIDEO_PAYLOAD_TYPE), RTX_PAYLOAD_TYPE),
    ];
    if codec == VideoCodec::H264 {
        let baseline = RTCRtpCodec {
            sdp_fmtp_line: BASELINE.to_owned(),
            ..picture(codec)
        };
        offered.push(parameters(baseline, BASELINE_PAYLOAD_TYPE));
        let repeats = parameters(rtx(BASELINE_PAYLOAD_TYPE), BASELINE_RTX_PAYLOAD_TYPE);
        offered.push(repeats);
    }
    offered
}

/// The local video track. Lost packets are sent again on an SSRC of their own.
pub(super) fn video_track(
    codec: VideoCodec,
    ssrc: u32,
    retransmission_ssrc: u32,
) -> MediaStreamTrack {
    track(
        RtpCodecKind::Video,
        picture(codec),
        RTCRtpCodingParameters {
            ssrc: Some(ssrc),
            rtx: Some(RTCRtpRtxParameters {
                ssrc: retransmission_ssrc,
            }),
            ..Default::default()
        },
    )
}

/// The local audio track.
pub(super) fn audio_track(ssrc: u32) -> MediaStreamTrack {
    let coding = RTCRtpCodingParameters {
        ssrc: Some(ssrc),
        ..Default::default()
    };
    track(RtpCodecKind::Audio, opus(), coding)
}

fn track(
    kind: RtpCodecKind,
    codec: RTCRtpCodec,
    coding: RTCRtpCodingParameters,
) -> MediaStreamTrack {
    MediaStreamTrack::new(
        "studio".to_owned(),
        format!("studio-{kind}"),
        format!("studio-{kind}"),
        kind,
        vec![RTCRtpEncodingParameters {
            rtp_coding_parameters: coding,
            codec,
            ..Default::default()
        }],
    )
}

fn picture(codec: VideoCodec) -> RTCRtpCodec {
    let (mime_type, parameters) = match codec {
        VideoCodec::H264 => (MIME_TYPE_H264, CONSTRAINED),
        VideoCodec::Vp8 => (MIME_TYPE_VP8, ""),
        VideoCodec::Vp9 => (MIME_TYPE_VP9, "profile-id=0"),
        VideoCodec::Av1 => (MIME_TYPE_AV1, "level-idx=5;profile=0;tier=0"),
    };
    let feedback = |kind: &str, parameter: &str| RTCPFeedback {
        typ: kind.to_owned(),
        parameter: parameter.to_owned(),
    };
    RTCRtpCodec {
        mime_type: mime_type.to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: parameters.to_owned(),
        rtcp_feedback: vec![
            feedback("ccm", "fir"),
            feedback("nack", ""),
            feedback("nack", "pli"),
        ],
    }
}

fn rtx(repeated: u8) -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_RTX.to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: format!("apt={repeated}"),
        rtcp_feedback: Vec::new(),
    }
}

fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.to_owned(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1".to_owned(),
        rtcp_feedback: Vec::new(),
    }
}

fn parameters(rtp_codec: RTCRtpCodec, payload_type: u8) -> RTCRtpCodecParameters {
    RTCRtpCodecParameters {
        rtp_codec,
        payload_type,
    }
}
