//! Builds the `rtc` peer connection that answers one offer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rtc::{
    interceptor::{ReceiverReportBuilder, Registry, Slot, TwccReceiverBuilder},
    peer_connection::{
        RTCPeerConnection, RTCPeerConnectionBuilder,
        configuration::{
            media_engine::{MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_RTX, MediaEngine},
            setting_engine::SettingEngineBuilder,
        },
        sdp::RTCSessionDescription,
        transport::{CandidateConfig, CandidateHostConfig, RTCDtlsRole, RTCIceCandidate},
    },
    rtp_transceiver::rtp_sender::{
        RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability,
        RtpCodecKind,
    },
    shared::error::Error,
};

use super::{
    inner::{AGENT, InnerPeer},
    offer::{ChosenCodec, Offer},
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

/// Answers `offer` with an agent that has the credentials `local`; returns it with its answer's SDP.
pub(crate) fn answer(
    offer: &Offer,
    local: &Credentials,
    inner: &InnerPeer,
    counters: &Arc<RepairCounters>,
    now: Instant,
) -> Result<(RTCPeerConnection, String), Error> {
    let mut media = MediaEngine::default();
    if let Some(video) = &offer.video {
        register(&mut media, video, MIME_TYPE_H264, RtpCodecKind::Video)?;
    }
    if let Some(audio) = &offer.audio {
        register(&mut media, audio, MIME_TYPE_OPUS, RtpCodecKind::Audio)?;
    }
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
    let mut connection = RTCPeerConnectionBuilder::new()
        .with_setting_engine(settings)
        .with_media_engine(media)
        .with_interceptor_registry(repair::register(registry, counters))
        .build(now)?;
    let offer = RTCSessionDescription::offer(offer.for_inner_agent(inner.credentials()))?;
    connection.set_remote_description(now, offer)?;
    connection.add_local_candidate(RTCIceCandidate::from(&agent_candidate()?).to_json()?)?;
    let answer = connection.create_answer(None)?;
    let sdp = answer.sdp.clone();
    connection.set_local_description(now, answer)?;
    Ok((connection, sdp))
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
