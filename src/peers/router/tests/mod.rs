//! Rooms over real sockets: clients that speak what browsers speak, on one worker.

mod client;
mod clocks;
mod composites;
mod media;
mod transports;

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use ortc::{
    CodecParameters, ConsumerSsrcs, EncodingParameters, HeaderExtensionParameters, MediaKind,
    ProducerMapping, RtcpFeedback, RtpParameters, RtxParameters, consumable, consumer,
    extension::{AUDIO_LEVEL, MID, REPAIRED_RID, RID, TRANSPORT_SEQUENCE},
    router_capabilities,
};

use super::{ConsumerOrder, ProducerOrder, RouterId};
use crate::{Peers, PeersConfig};
use client::{Client, Rtp};

/// An H.264 IDR slice, as far as the worker looks.
const KEYFRAME: &[u8] = &[0x65, 0x88, 0x84];
/// An H.264 slice of another picture.
const PICTURE: &[u8] = &[0x41, 0x9a, 0x11];
/// What the client calls its streams and payload types.
const VIDEO_SSRC: u32 = 1111;
const REPAIR_SSRC: u32 = 1112;
const AUDIO_SSRC: u32 = 2222;
const VIDEO_TYPE: u8 = 96;
const REPAIR_TYPE: u8 = 97;
const AUDIO_TYPE: u8 = 111;
const MID_ID: u8 = 1;
const STREAM_ID_ID: u8 = 2;
const REPAIRED_ID: u8 = 3;
const TRANSPORT_ID: u8 = 5;
const LEVEL_ID: u8 = 6;

fn peers(sessions_limit: usize) -> Peers {
    Peers::start(PeersConfig {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        announced: Vec::new(),
        workers: 2,
        sessions_limit,
    })
    .unwrap()
}

fn extensions(of: &[(&str, u8)]) -> Vec<HeaderExtensionParameters> {
    of.iter()
        .map(|(uri, id)| HeaderExtensionParameters {
            uri: (*uri).to_owned(),
            id: *id,
            encrypt: false,
            parameters: ortc::Fmtp::default(),
        })
        .collect()
}

fn codec(
    mime_type: &str,
    payload_type: u8,
    parameters: &[(&str, serde_json::Value)],
) -> CodecParameters {
    let is_video = mime_type.starts_with("video");
    let feedback = |kind: &str, parameter: &str| RtcpFeedback {
        kind: kind.to_owned(),
        parameter: parameter.to_owned(),
    };
    CodecParameters {
        mime_type: mime_type.to_owned(),
        payload_type,
        clock_rate: if is_video { 90_000 } else { 48_000 },
        channels: (!is_video).then_some(2),
        parameters: parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
        rtcp_feedback: if mime_type == "video/H264" {
            vec![
                feedback("nack", ""),
                feedback("nack", "pli"),
                feedback("transport-cc", ""),
            ]
        } else {
            Vec::new()
        },
    }
}

fn video_codecs() -> Vec<CodecParameters> {
    vec![
        codec(
            "video/H264",
            VIDEO_TYPE,
            &[
                ("packetization-mode", 1.into()),
                ("level-asymmetry-allowed", 1.into()),
                ("profile-level-id", "42e01f".into()),
            ],
        ),
        codec("video/rtx", REPAIR_TYPE, &[("apt", VIDEO_TYPE.into())]),
    ]
}

fn video_parameters() -> RtpParameters {
    RtpParameters {
        mid: Some("0".to_owned()),
        codecs: video_codecs(),
        header_extensions: extensions(&[(MID, MID_ID), (TRANSPORT_SEQUENCE, TRANSPORT_ID)]),
        encodings: vec![EncodingParameters {
            ssrc: Some(VIDEO_SSRC),
            rtx: Some(RtxParameters { ssrc: REPAIR_SSRC }),
            ..EncodingParameters::default()
        }],
        ..RtpParameters::default()
    }
}

/// Simulcast by names alone, as Chrome has it.
fn layered_parameters() -> RtpParameters {
    RtpParameters {
        header_extensions: extensions(&[
            (MID, MID_ID),
            (RID, STREAM_ID_ID),
            (REPAIRED_RID, REPAIRED_ID),
            (TRANSPORT_SEQUENCE, TRANSPORT_ID),
        ]),
        encodings: ["q", "h", "f"]
            .map(|rid| EncodingParameters {
                rid: Some(rid.to_owned()),
                ..EncodingParameters::default()
            })
            .to_vec(),
        ..video_parameters()
    }
}

fn audio_parameters() -> RtpParameters {
    RtpParameters {
        mid: Some("1".to_owned()),
        codecs: vec![codec("audio/opus", AUDIO_TYPE, &[])],
        header_extensions: extensions(&[(MID, MID_ID), (AUDIO_LEVEL, LEVEL_ID)]),
        encodings: vec![EncodingParameters {
            ssrc: Some(AUDIO_SSRC),
            ..EncodingParameters::default()
        }],
        ..RtpParameters::default()
    }
}

fn producer(id: &str, kind: MediaKind, rtp: RtpParameters) -> ProducerOrder {
    ProducerOrder {
        id: id.to_owned(),
        kind,
        rtp,
        paused: false,
    }
}

/// What a consumer of these gets, by the router's own rules.
fn consumer_of(id: &str, of: &ProducerOrder, ssrc: u32, mid: &str) -> ConsumerOrder {
    let router = router_capabilities();
    let mapping = ProducerMapping::new(&of.rtp, &router).unwrap();
    let consumable = consumable(of.kind, &of.rtp, &router, &mapping);
    let ssrcs = ConsumerSsrcs {
        ssrc,
        rtx: ssrc + 1,
    };
    ConsumerOrder {
        id: id.to_owned(),
        producer: of.id.clone(),
        rtp: consumer(&consumable, &router, ssrcs, mid).unwrap(),
        paused: false,
    }
}

fn video_order() -> ProducerOrder {
    producer("camera", MediaKind::Video, video_parameters())
}

fn audio_order() -> ProducerOrder {
    producer("microphone", MediaKind::Audio, audio_parameters())
}

fn picture(sequence: u16, payload: &'static [u8]) -> Rtp {
    Rtp {
        payload_type: VIDEO_TYPE,
        sequence,
        timestamp: u32::from(sequence) * 3000,
        ssrc: VIDEO_SSRC,
        payload: Bytes::from_static(payload),
        extensions: vec![
            (MID_ID, b"0".to_vec()),
            (TRANSPORT_ID, sequence.to_be_bytes().to_vec()),
        ],
    }
}

fn sound(sequence: u16, level: u8) -> Rtp {
    Rtp {
        payload_type: AUDIO_TYPE,
        sequence,
        timestamp: u32::from(sequence) * 960,
        ssrc: AUDIO_SSRC,
        payload: Bytes::from_static(b"sound"),
        extensions: vec![(MID_ID, b"1".to_vec()), (LEVEL_ID, vec![level])],
    }
}

/// A room with one who sends pictures and one who gets them.
async fn pair(peers: &Peers) -> (RouterId, Client, Client) {
    let router = peers.open_router("room").await;
    let studio = Client::connected(peers, router).await;
    let guest = Client::connected(peers, router).await;
    let order = video_order();
    peers.produce(&studio.session, order.clone()).await.unwrap();
    let consumer = consumer_of("view", &order, 5000, "0");
    peers.consume(&guest.session, consumer).await.unwrap();
    (router, studio, guest)
}
