//! Tests of viewers against the async `webrtc` stack: one client publishes, others watch.

use rtc::{
    rtcp::{
        payload_feedbacks::picture_loss_indication::PictureLossIndication,
        transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack},
    },
    rtp,
};

use super::{watchers::connected, *};
use crate::{
    VIEWERS_LIMIT, Watching,
    client::receiver::{Received, WatchingPeer},
};

/// A slice that refers to pictures before it.
const DELTA: [u8; 3] = [0x41, 0x9a, 0x24];
/// As the client registers them.
const VIDEO: u8 = 102;
const REPAIR: u8 = 103;
const AUDIO: u8 = 111;

struct Viewer {
    peer: WatchingPeer,
    watching: Watching,
}

async fn viewer(peers: &Peers, sink: SinkId, codec: VideoCodec) -> Viewer {
    let (peer, offer) = WatchingPeer::offer(codec).await;
    let mut watching = peers.watch(sink, &offer).await.unwrap();
    peer.accept_answer(&watching.answer).await;
    until(&mut watching.events, |event| {
        matches!(event, PeerEvent::Connected)
    })
    .await;
    Viewer { peer, watching }
}

impl Viewer {
    async fn packet(&mut self, payload_type: u8) -> rtp::Packet {
        let arriving = async {
            loop {
                if let Received::Packet(packet) = next(&mut self.peer.arrivals).await
                    && packet.header.payload_type == payload_type
                {
                    return packet;
                }
            }
        };
        timeout(DEADLINE, arriving)
            .await
            .expect("reports alone come")
    }
}

async fn sends(studio: &Studio, sequence: u16, payload: &[u8]) {
    studio
        .peer
        .send(TrackKind::Video, packet(sequence, payload))
        .await
        .unwrap();
}

/// Sends keyframes until the viewer has one: the first ones may be lost while it is connecting.
async fn seen_first(studio: &Studio, viewer: &mut Viewer, sequence: &mut u16) -> rtp::Packet {
    let sending = async {
        loop {
            sends(studio, *sequence, &KEYFRAME).await;
            *sequence += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        packet = viewer.packet(VIDEO) => packet,
        () = sending => unreachable!("it never ends"),
    }
}

#[tokio::test]
async fn a_viewer_begins_with_a_keyframe_and_goes_on_over_a_takeover() {
    let peers = workers(2, 10);
    let (sink, _seen) = tapped(&peers).await;
    let mut first = studio(&peers, sink).await;
    connected(&mut first).await;
    let mut viewer = viewer(&peers, sink, VideoCodec::H264).await;
    let mut sequence = 100;
    sends(&first, 99, &DELTA).await;
    let begun = seen_first(&first, &mut viewer, &mut sequence).await;
    assert_eq!(begun.payload[..], KEYFRAME);
    sends(&first, sequence, &DELTA).await;
    let mut last = begun;
    loop {
        let packet = viewer.packet(VIDEO).await;
        assert_eq!(
            packet.header.sequence_number,
            last.header.sequence_number.wrapping_add(1)
        );
        assert_eq!(packet.header.ssrc, last.header.ssrc);
        last = packet;
        if last.payload[..] == DELTA {
            break;
        }
    }

    let mut second = studio(&peers, sink).await;
    connected(&mut second).await;
    sends(&second, 7, &DELTA).await;
    sends(&second, 8, &KEYFRAME).await;

    let packet = viewer.packet(VIDEO).await;
    assert_eq!(packet.payload[..], KEYFRAME);
    assert_eq!(
        packet.header.sequence_number,
        last.header.sequence_number.wrapping_add(1)
    );
    assert_eq!(packet.header.ssrc, last.header.ssrc);
    let later = packet.header.timestamp.wrapping_sub(last.header.timestamp);
    assert!(later.cast_signed() > 0, "{later}");
    assert_eq!((peers.sessions(), peers.viewers()), (1, 1));
    peers.shutdown().await;
    assert_eq!(peers.panics(), 0);
}

#[tokio::test]
async fn a_viewer_may_come_first_and_hears_sound_and_clocks() {
    let peers = workers(1, 10);
    let (sink, _seen) = tapped(&peers).await;
    let mut viewer = viewer(&peers, sink, VideoCodec::H264).await;

    let mut studio = studio(&peers, sink).await;
    connected(&mut studio).await;
    let report = SenderReport {
        ssrc: 0,
        ntp_time: Duration::from_mins(65_000_000),
        rtp_timestamp: 3000,
    };
    for kind in [TrackKind::Audio, TrackKind::Video] {
        studio.peer.send(kind, packet(1, &KEYFRAME)).await.unwrap();
        studio.peer.send_report(kind, report).await.unwrap();
    }

    let sound = viewer.packet(AUDIO).await;
    assert_eq!(sound.payload[..], KEYFRAME);
    let mut reporting = Vec::new();
    while reporting.len() < 2 {
        if let Received::Report(report) = next(&mut viewer.peer.arrivals).await
            && !reporting.contains(&report.ssrc)
        {
            reporting.push(report.ssrc);
        }
    }
    assert!(reporting.contains(&sound.header.ssrc));
    peers.shutdown().await;
}

#[tokio::test]
async fn what_a_viewer_misses_comes_again_by_retransmission() {
    let peers = workers(1, 10);
    let (sink, _seen) = tapped(&peers).await;
    let mut studio = studio(&peers, sink).await;
    connected(&mut studio).await;
    let mut viewer = viewer(&peers, sink, VideoCodec::H264).await;
    let mut sequence = 1;
    let missed = seen_first(&studio, &mut viewer, &mut sequence).await;

    let number = missed.header.sequence_number;
    viewer
        .peer
        .ask(TransportLayerNack {
            sender_ssrc: 1,
            media_ssrc: missed.header.ssrc,
            nacks: vec![NackPair::new(number)],
        })
        .await;

    let again = viewer.packet(REPAIR).await;
    assert_eq!(again.payload[..2], number.to_be_bytes());
    assert_eq!(again.payload[2..], KEYFRAME);
    assert_eq!(again.header.timestamp, missed.header.timestamp);
    assert_ne!(again.header.ssrc, missed.header.ssrc);
    peers.shutdown().await;
}

#[tokio::test]
async fn a_viewers_wish_for_a_keyframe_reaches_the_studio() {
    let peers = workers(1, 10);
    let (sink, _seen) = tapped(&peers).await;
    let mut studio = studio(&peers, sink).await;
    connected(&mut studio).await;
    let mut viewer = viewer(&peers, sink, VideoCodec::H264).await;
    let mut sequence = 1;
    let begun = seen_first(&studio, &mut viewer, &mut sequence).await;
    // Answers what was asked at the start, so that the next request is for this wish or of the cadence.
    while studio.events.try_recv().is_ok() {}

    viewer
        .peer
        .ask(PictureLossIndication {
            sender_ssrc: 1,
            media_ssrc: begun.header.ssrc,
        })
        .await;

    assert_eq!(
        next(&mut studio.events).await,
        ClientEvent::KeyframeRequested
    );
    peers.shutdown().await;
}

#[tokio::test]
async fn a_viewer_that_cannot_take_the_studios_codec_is_told_so() {
    let peers = workers(1, 10);
    let (sink, _seen) = tapped(&peers).await;
    let mut viewer = viewer(&peers, sink, VideoCodec::Vp8).await;

    let mut studio = studio(&peers, sink).await;
    connected(&mut studio).await;

    let ended = until(&mut viewer.watching.events, |event| {
        matches!(event, PeerEvent::Ended(_))
    })
    .await;
    assert!(matches!(ended, PeerEvent::Ended(reason) if reason.contains("H.264")));
    assert_eq!((peers.sessions(), peers.viewers()), (1, 0));
}

#[tokio::test]
async fn a_viewer_that_leaves_takes_nobody_along() {
    let peers = workers(1, 10);
    let (sink, mut seen) = tapped(&peers).await;
    let mut studio = studio(&peers, sink).await;
    connected(&mut studio).await;
    let mut leaving = viewer(&peers, sink, VideoCodec::H264).await;
    let mut staying = viewer(&peers, sink, VideoCodec::H264).await;
    let mut sequence = 1;
    seen_first(&studio, &mut leaving, &mut sequence).await;

    let closed = leaving.watching.session.clone();
    leaving.peer.close().await;
    until(&mut leaving.watching.events, |event| {
        matches!(event, PeerEvent::Ended(_))
    })
    .await;
    peers.close(&closed).await;

    seen_first(&studio, &mut staying, &mut sequence).await;
    sends(&studio, sequence, &DELTA).await;
    loop {
        if staying.packet(VIDEO).await.payload[..] == DELTA {
            break;
        }
    }
    loop {
        match next(&mut seen).await {
            Seen::Packet(TrackKind::Video, _, payload) if payload[..] == DELTA => break,
            Seen::Ended => panic!("the studio was ended"),
            Seen::Started(_) | Seen::Packet(..) | Seen::Report(..) => {}
        }
    }
    assert_eq!((peers.sessions(), peers.viewers()), (1, 1));
}

#[tokio::test]
async fn a_broadcast_has_a_bounded_number_of_viewers_who_take_no_studios_place() {
    let peers = workers(1, 1);
    let (sink, _seen) = tapped(&peers).await;
    let (_peer, offer) = WatchingPeer::offer(VideoCodec::H264).await;
    let mut sessions = Vec::new();
    for _ in 0..VIEWERS_LIMIT {
        sessions.push(peers.watch(sink, &offer).await.unwrap());
    }
    assert_eq!(
        peers.watch(sink, &offer).await.err(),
        Some(OfferError::TooManyViewers)
    );
    assert_eq!(peers.viewers(), VIEWERS_LIMIT);

    let mut studio = studio(&peers, sink).await;
    connected(&mut studio).await;
    peers.close(&sessions[0].session).await;

    assert!(peers.watch(sink, &offer).await.is_ok());
    peers.detach(sink).await;
    assert_eq!(peers.viewers(), 0);
    assert_eq!(
        peers.watch(sink, &offer).await.err(),
        Some(OfferError::NoSuchSink)
    );
}

#[tokio::test]
async fn chrome_is_answered_with_every_codec_on_one_source() {
    let peers = workers(1, 1);
    let (sink, _seen) = tapped(&peers).await;
    let offer = include_str!("fixtures/chrome-offer.sdp").replace("a=sendonly", "a=recvonly");

    let answer = peers.watch(sink, &offer).await.unwrap().answer;

    let has = |line: &str| answer.lines().any(|other| other.starts_with(line));
    for line in [
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "m=video 9 UDP/TLS/RTP/SAVPF 108 96 98 45 109 97 99 46",
        "a=sendonly",
        "a=rtpmap:108 H264/90000",
        "a=rtpmap:96 VP8/90000",
        "a=rtpmap:98 VP9/90000",
        "a=rtpmap:45 AV1/90000",
        "a=fmtp:109 apt=108",
        "a=rtcp-fb:96 nack pli",
        "a=ssrc-group:FID ",
        "a=ice-lite",
        "a=candidate:1 1 udp",
    ] {
        assert!(has(line), "{line} is missing in\n{answer}");
    }
    for line in ["a=recvonly", "a=sendrecv", "a=inactive"] {
        assert!(!has(line), "{line} is in\n{answer}");
    }
}
