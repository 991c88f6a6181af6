//! Builds the `rtc` peer connection that answers one offer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use media::VideoCodec;
use rtc::{
    interceptor::{ReceiverReportBuilder, Registry, Slot, TwccReceiverBuilder},
    media_stream::MediaStreamTrack,
    peer_connection::{
        RTCPeerConnection, RTCPeerConnectionBuilder,
        configuration::{
            media_engine::{
                MIME_TYPE_AV1, MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_RTX, MIME_TYPE_VP8,
                MIME_TYPE_VP9, MediaEngine,
            },
            setting_engine::SettingEngineBuilder,
        },
        sdp::RTCSessionDescription,
        transport::{CandidateConfig, CandidateHostConfig, RTCDtlsRole, RTCIceCandidate},
    },
    rtp_transceiver::{
        RTCRtpTransceiverDirection, RTCRtpTransceiverInit,
        rtp_sender::{
            RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters,
            RTCRtpEncodingParameters, RTCRtpHeaderExtensionCapability, RTCRtpRtxParameters,
            RtpCodecKind,
        },
    },
    shared::error::Error,
};

use super::{
    codecs::ChosenCodec,
    inner::{AGENT, InnerPeer},
    offer::Offer,
};
use crate::{
    door::stun::Credentials,
    repair::{self, RepairCounters},
};

/// How often transport-cc tells Chrome what arrived; its own receiver uses 50 to 250 ms.
const TRANSPORT_FEEDBACK_INTERVAL: Duration = Duration::from_millis(100);
const TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
/// Larger than any datagram of a browser (1,200 bytes) and of OBS (1,500).
const RECEIVE_MTU: usize = 2048;
/// The media stream that a viewer gets, which is its canonical name too (RFC 3550 § 6.5.1); tracks of one stream are
/// played in time with each other.
pub(super) const STREAM: &str = "broadcast";

/// Answers a studio's `offer` with an agent that has the credentials `local`; returns it with its answer's SDP.
pub(crate) fn answer_studio(
    offer: &Offer,
    local: &Credentials,
    inner: &InnerPeer,
    counters: &Arc<RepairCounters>,
    now: Instant,
) -> Result<(RTCPeerConnection, String), Error> {
    let mut media = media_engine(offer)?;
    for kind in [RtpCodecKind::Video, RtpCodecKind::Audio] {
        let extension = RTCRtpHeaderExtensionCapability {
            uri: TRANSPORT_CC.to_owned(),
        };
        media.register_header_extension(extension, kind, None)?;
    }
    let registry = Registry::new()
        .with(
            Slot::TwccReceiver,
            TwccReceiverBuilder::new()
                .with_interval(TRANSPORT_FEEDBACK_INTERVAL)
                .build(),
        )
        .with(Slot::ReceiverReport, ReceiverReportBuilder::new().build());
    let mut connection = connection(media, repair::register(registry, counters), local, now)?;
    let answer = negotiate(&mut connection, offer, inner, now)?;
    Ok((connection, answer))
}

/// Answers a viewer's `offer` with an agent that has the credentials `local` and sends on these SSRCs.
pub(crate) fn answer_viewer(
    offer: &Offer,
    local: &Credentials,
    inner: &InnerPeer,
    ssrcs: &ViewerSsrcs,
    now: Instant,
) -> Result<(RTCPeerConnection, String), Error> {
    let registry = repair::register_viewer(Registry::new());
    let mut connection = connection(media_engine(offer)?, registry, local, now)?;
    if let Some(video) = offer.video.first() {
        let retransmission = video
            .line
            .retransmission
            .map(|_| ssrcs.video_retransmission);
        let kind = RtpCodecKind::Video;
        add_track(&mut connection, kind, ssrcs.video, retransmission)?;
    }
    if offer.audio.is_some() {
        add_track(&mut connection, RtpCodecKind::Audio, ssrcs.audio, None)?;
    }
    let answer = negotiate(&mut connection, offer, inner, now)?;
    Ok((connection, answer))
}

/// Where a viewer's tracks come from.
#[derive(Debug)]
pub(crate) struct ViewerSsrcs {
    pub(crate) video: u32,
    pub(crate) video_retransmission: u32,
    pub(crate) audio: u32,
}

fn media_engine(offer: &Offer) -> Result<MediaEngine, Error> {
    let mut media = MediaEngine::default();
    for video in &offer.video {
        let mime_type = match video.codec {
            VideoCodec::H264 => MIME_TYPE_H264,
            VideoCodec::Vp8 => MIME_TYPE_VP8,
            VideoCodec::Vp9 => MIME_TYPE_VP9,
            VideoCodec::Av1 => MIME_TYPE_AV1,
        };
        register(&mut media, &video.line, mime_type, RtpCodecKind::Video)?;
    }
    if let Some(audio) = &offer.audio {
        register(&mut media, audio, MIME_TYPE_OPUS, RtpCodecKind::Audio)?;
    }
    Ok(media)
}

fn connection(
    media: MediaEngine,
    registry: Registry,
    local: &Credentials,
    now: Instant,
) -> Result<RTCPeerConnection, Error> {
    let never = Some(Duration::ZERO);
    let settings = SettingEngineBuilder::new()
        .with_ice_credentials(local.fragment.clone(), local.password.clone())
        .with_answering_dtls_role(RTCDtlsRole::Server)
        .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
        .with_include_loopback_candidate(true)
        // The door watches consent; the inner agent has no network to watch.
        .with_ice_timeouts(never, never, never)
        .with_receive_mtu(RECEIVE_MTU)
        .build();
    RTCPeerConnectionBuilder::new()
        .with_setting_engine(settings)
        .with_media_engine(media)
        .with_interceptor_registry(registry)
        .build(now)
}

fn add_track(
    connection: &mut RTCPeerConnection,
    kind: RtpCodecKind,
    ssrc: u32,
    retransmission: Option<u32>,
) -> Result<(), Error> {
    let coding = RTCRtpCodingParameters {
        ssrc: Some(ssrc),
        rtx: retransmission.map(|ssrc| RTCRtpRtxParameters { ssrc }),
        ..Default::default()
    };
    // Without a codec: the line answers all of the offer's, and the current studio's is sent.
    let track = MediaStreamTrack::new(
        STREAM.to_owned(),
        format!("{STREAM}-{kind}"),
        format!("{STREAM}-{kind}"),
        kind,
        vec![RTCRtpEncodingParameters {
            rtp_coding_parameters: coding,
            ..Default::default()
        }],
    );
    let send_only = RTCRtpTransceiverInit {
        direction: RTCRtpTransceiverDirection::Sendonly,
        ..Default::default()
    };
    connection.add_transceiver_from_track(track, Some(send_only))?;
    Ok(())
}

fn negotiate(
    connection: &mut RTCPeerConnection,
    offer: &Offer,
    inner: &InnerPeer,
    now: Instant,
) -> Result<String, Error> {
    let offer = RTCSessionDescription::offer(offer.for_inner_agent(inner.credentials()))?;
    connection.set_remote_description(now, offer)?;
    connection.add_local_candidate(RTCIceCandidate::from(&agent_candidate()?).to_json()?)?;
    let answer = connection.create_answer(None)?;
    let sdp = answer.sdp.clone();
    connection.set_local_description(now, answer)?;
    Ok(sdp)
}

fn agent_candidate() -> Result<rtc::ice::candidate::Candidate, Error> {
    CandidateHostConfig {
        base_config: CandidateConfig {
            network: "udp".to_owned(),
            address: AGENT.ip().to_string(),
            port: AGENT.port(),
            component: 1,
            ..Default::default()
        },
        ..Default::default()
    }
    .new_candidate_host()
}

fn register(
    media: &mut MediaEngine,
    codec: &ChosenCodec,
    mime_type: &str,
    kind: RtpCodecKind,
) -> Result<(), Error> {
    let (clock_rate, channels) = if kind == RtpCodecKind::Video {
        (90_000, 0)
    } else {
        (48_000, 2)
    };
    let feedback = |text: &String| {
        let (kind, parameter) = text.split_once(' ').unwrap_or((text, ""));
        RTCPFeedback {
            typ: kind.to_owned(),
            parameter: parameter.to_owned(),
        }
    };
    let primary = RTCRtpCodecParameters {
        rtp_codec: RTCRtpCodec {
            mime_type: mime_type.to_owned(),
            clock_rate,
            channels,
            sdp_fmtp_line: codec.parameters.clone(),
            rtcp_feedback: codec.feedback.iter().map(feedback).collect(),
        },
        payload_type: codec.payload_type,
    };
    media.register_codec(primary, kind)?;
    if let Some(payload_type) = codec.retransmission {
        let repair = RTCRtpCodecParameters {
            rtp_codec: RTCRtpCodec {
                mime_type: MIME_TYPE_RTX.to_owned(),
                clock_rate,
                channels,
                sdp_fmtp_line: format!("apt={}", codec.payload_type),
                rtcp_feedback: Vec::new(),
            },
            payload_type,
        };
        media.register_codec(repair, kind)?;
    }
    Ok(())
}
