//! Producers that feed a broadcast, as a studio's session would.

use std::time::{Duration, Instant};

use ::media::{MediaSink, RtpPacket, SenderReport, SourceDescription, TrackKind, VideoCodec};
use rtc::rtcp::payload_feedbacks::{
    picture_loss_indication::PictureLossIndication,
    receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate,
};
use tokio::sync::mpsc;

use super::{client::*, *};
use crate::{
    IngestStatistics, PeerEvent, SinkId,
    router::{Composed, RouterError},
};

/// More than a test produces.
const QUEUE: usize = 10_000;

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Started(SourceDescription),
    Packet(TrackKind, Bytes),
    Report(TrackKind),
    Ended,
}

struct Tap(mpsc::Sender<Seen>);

impl MediaSink for Tap {
    fn handle_source_started(&mut self, source: SourceDescription, _: Instant) {
        self.0.try_send(Seen::Started(source)).unwrap();
    }

    fn handle_packet(&mut self, kind: TrackKind, packet: RtpPacket, _: Instant) {
        self.0.try_send(Seen::Packet(kind, packet.payload)).unwrap();
    }

    fn handle_sender_report(&mut self, kind: TrackKind, _: SenderReport, _: Instant) {
        self.0.try_send(Seen::Report(kind)).unwrap();
    }

    fn handle_source_ended(&mut self, _: Instant) {
        self.0.try_send(Seen::Ended).unwrap();
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_keyframe_request(&mut self) -> bool {
        false
    }
}

async fn tapped(peers: &Peers) -> (SinkId, mpsc::Receiver<Seen>) {
    let (sender, seen) = mpsc::channel(QUEUE);
    (peers.attach("room", Box::new(Tap(sender))).await, seen)
}

async fn next<T>(queue: &mut mpsc::Receiver<T>) -> T {
    tokio::time::timeout(DEADLINE, queue.recv())
        .await
        .unwrap()
        .unwrap()
}

async fn statistics(events: &mut mpsc::Receiver<PeerEvent>) -> IngestStatistics {
    loop {
        if let PeerEvent::Statistics(statistics) = next(events).await {
            return statistics;
        }
    }
}

const BOTH: SourceDescription = SourceDescription {
    video: Some(VideoCodec::H264),
    audio: true,
};

/// A studio that sends picture and sound, and a sink that they feed.
async fn composed(peers: &Peers) -> (RouterId, Client, SinkId, mpsc::Receiver<Seen>, Composed) {
    let router = peers.open_router("room").await;
    let (sink, mut seen) = tapped(peers).await;
    let studio = Client::connected(peers, router).await;
    for order in [video_order(), audio_order()] {
        peers.produce(&studio.session, order).await.unwrap();
    }
    let composed = peers
        .compose(sink, router, Some("camera"), Some("microphone"))
        .await
        .unwrap();
    assert_eq!(composed.source, BOTH);
    assert_eq!(next(&mut seen).await, Seen::Started(BOTH));
    (router, studio, sink, seen, composed)
}

#[tokio::test]
async fn picture_and_sound_feed_the_sink_as_a_studios_do() {
    let peers = peers(10);
    let (_, mut studio, _, mut seen, mut composed) = composed(&peers).await;

    studio.send_rtp(&picture(1, KEYFRAME)).await;
    studio.send_rtp(&sound(1, 40)).await;
    studio
        .send_rtcp(vec![Box::new(rtc::rtcp::sender_report::SenderReport {
            ssrc: AUDIO_SSRC,
            ntp_time: 3_900_000_000 << 32,
            rtp_time: 960,
            ..Default::default()
        })])
        .await;

    let picture = Seen::Packet(TrackKind::Video, Bytes::from_static(KEYFRAME));
    let sound = Seen::Packet(TrackKind::Audio, Bytes::from_static(b"sound"));
    assert_eq!(next(&mut seen).await, picture);
    assert_eq!(next(&mut seen).await, sound);
    assert_eq!(next(&mut seen).await, Seen::Report(TrackKind::Audio));
    assert!(matches!(
        next(&mut composed.events).await,
        PeerEvent::Connected
    ));
    assert!(matches!(
        next(&mut composed.events).await,
        PeerEvent::MediaArrived
    ));
    let told = statistics(&mut composed.events).await;
    assert_eq!(told.packets_received, 2);
    assert!(told.video_bits_per_second > 0 && told.audio_bits_per_second > 0);
    peers.shutdown().await;
}

#[tokio::test]
async fn keyframes_come_as_often_as_platforms_want_while_a_sink_is_fed() {
    let peers = peers(10);
    let (_, mut studio, _, _seen, composed) = composed(&peers).await;
    studio.send_rtp(&picture(1, PICTURE)).await;
    let mut asked = Vec::new();
    let began = Instant::now();
    for sequence in 2..=3 {
        let request: PictureLossIndication = studio.get_rtcp().await;
        assert_eq!(request.media_ssrc, VIDEO_SSRC);
        asked.push(began.elapsed());
        studio.send_rtp(&picture(sequence, KEYFRAME)).await;
    }
    let apart = asked[1].saturating_sub(asked[0]);
    // Two seconds, but for what the first comes late on a machine that is busy, and then some.
    println!("{apart:?} from one request to the next");
    assert!(apart > Duration::from_secs(1), "{apart:?}");

    peers.close(&composed.session).await;

    let until = Instant::now() + Duration::from_secs(3);
    while let Some(got) = studio
        .get(until.saturating_duration_since(Instant::now()))
        .await
    {
        if let Got::Rtcp(packets) = got {
            let asks = packets
                .iter()
                .any(|packet| packet.as_any().is::<PictureLossIndication>());
            assert!(!asks, "nobody needs keyframes any more");
        }
    }
    peers.shutdown().await;
}

#[tokio::test]
async fn a_limit_of_the_sink_is_told_to_the_client() {
    let peers = peers(10);
    let (_, mut studio, sink, _seen, _composed) = composed(&peers).await;
    studio.send_rtp(&picture(1, KEYFRAME)).await;

    peers.limit_bitrate(sink, Some(1_000_000)).await;

    let told: ReceiverEstimatedMaximumBitrate = studio.get_rtcp().await;
    assert!((told.bitrate - 1e6).abs() < 1e4, "{}", told.bitrate);
    assert!(told.ssrcs.contains(&VIDEO_SSRC));
    peers.shutdown().await;
}

#[tokio::test]
async fn a_producer_that_ends_ends_the_source_and_the_sink_goes_on() {
    let peers = peers(10);
    let (router, studio, sink, mut seen, mut composed) = composed(&peers).await;

    peers
        .close_producer(&studio.session, "camera")
        .await
        .unwrap();

    assert_eq!(next(&mut seen).await, Seen::Ended);
    assert!(matches!(
        next(&mut composed.events).await,
        PeerEvent::Connected
    ));
    assert!(matches!(
        next(&mut composed.events).await,
        PeerEvent::Ended(reason) if reason == "the producer has ended"
    ));
    // The same studio again, with a new picture.
    peers.produce(&studio.session, video_order()).await.unwrap();
    let again = peers
        .compose(sink, router, Some("camera"), Some("microphone"))
        .await
        .unwrap();
    assert_eq!(next(&mut seen).await, Seen::Started(BOTH));
    peers.close(&again.session).await;
    assert_eq!(next(&mut seen).await, Seen::Ended);
    peers.shutdown().await;
}

#[tokio::test]
async fn the_picture_goes_on_when_the_sound_ends_and_another_sound_can_be_added() {
    let peers = peers(10);
    let (router, mut studio, sink, mut seen, _composed) = composed(&peers).await;

    peers
        .close_producer(&studio.session, "microphone")
        .await
        .unwrap();
    studio.send_rtp(&picture(1, KEYFRAME)).await;

    let keyframe = || Seen::Packet(TrackKind::Video, Bytes::from_static(KEYFRAME));
    assert_eq!(next(&mut seen).await, keyframe());
    peers.produce(&studio.session, audio_order()).await.unwrap();
    peers
        .compose(sink, router, Some("camera"), Some("microphone"))
        .await
        .unwrap();
    assert_eq!(next(&mut seen).await, Seen::Ended);
    assert_eq!(next(&mut seen).await, Seen::Started(BOTH));
    studio.send_rtp(&picture(2, KEYFRAME)).await;
    assert_eq!(next(&mut seen).await, keyframe());
    peers.shutdown().await;
}

#[tokio::test]
async fn a_client_that_goes_ends_the_source() {
    let peers = peers(10);
    let (_, mut studio, _, mut seen, mut composed) = composed(&peers).await;

    studio.say_goodbye().await;

    assert_eq!(next(&mut seen).await, Seen::Ended);
    assert!(matches!(
        next(&mut composed.events).await,
        PeerEvent::Connected
    ));
    assert!(matches!(
        next(&mut composed.events).await,
        PeerEvent::Ended(_)
    ));
    peers.shutdown().await;
}

#[tokio::test]
async fn another_composite_takes_over_and_the_first_is_ended() {
    let peers = peers(10);
    let (router, mut studio, sink, mut seen, mut first) = composed(&peers).await;

    let second = peers
        .compose(sink, router, Some("camera"), None)
        .await
        .unwrap();

    assert_eq!(next(&mut seen).await, Seen::Ended);
    let picture_only = SourceDescription {
        audio: false,
        ..BOTH
    };
    assert_eq!(next(&mut seen).await, Seen::Started(picture_only));
    assert!(matches!(
        next(&mut first.events).await,
        PeerEvent::Connected
    ));
    assert!(matches!(next(&mut first.events).await, PeerEvent::Ended(_)));
    studio.send_rtp(&sound(1, 40)).await;
    studio.send_rtp(&picture(1, KEYFRAME)).await;
    assert_eq!(
        next(&mut seen).await,
        Seen::Packet(TrackKind::Video, Bytes::from_static(KEYFRAME))
    );
    peers.detach(sink).await;
    assert_eq!(peers.panics(), 0);
    drop(second);
    peers.shutdown().await;
}

#[tokio::test]
async fn a_composite_waits_for_its_transports() {
    let peers = peers(10);
    let router = peers.open_router("room").await;
    let (sink, mut seen) = tapped(&peers).await;
    let (mut studio, open) = Client::open(&peers, router).await;
    peers.produce(&studio.session, video_order()).await.unwrap();
    let mut composed = peers
        .compose(sink, router, Some("camera"), None)
        .await
        .unwrap();
    assert!(composed.events.try_recv().is_err() && seen.try_recv().is_err());

    studio.prove(&open.ice).await;
    studio.greet(&open.dtls);
    let dtls = studio.parameters(ortc::DtlsRole::Client);
    peers
        .connect_transport(&studio.session, dtls)
        .await
        .unwrap();
    studio.shake_hands().await;

    assert!(matches!(
        next(&mut composed.events).await,
        PeerEvent::Connected
    ));
    assert!(matches!(next(&mut seen).await, Seen::Started(_)));
    peers.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_composed_is_refused() {
    let peers = peers(10);
    let (router, _studio, sink, _seen, _composed) = composed(&peers).await;
    let (sender, _) = mpsc::channel(QUEUE);
    let elsewhere = peers.attach("another room", Box::new(Tap(sender))).await;
    let refused =
        async |sink, video, audio| peers.compose(sink, router, video, audio).await.unwrap_err();

    assert_eq!(
        refused(elsewhere, Some("camera"), None).await,
        RouterError::NoSuchSink
    );
    assert_eq!(
        refused(sink, Some("nothing"), None).await,
        RouterError::NoSuchProducer
    );
    assert!(matches!(
        refused(sink, None, None).await,
        RouterError::Malformed(_)
    ));
    assert!(matches!(
        refused(sink, Some("microphone"), None).await,
        RouterError::Malformed(_)
    ));
    peers.shutdown().await;
}

#[tokio::test]
async fn the_highest_layer_that_comes_feeds_the_sink() {
    let peers = peers(10);
    let router = peers.open_router("room").await;
    let (sink, mut seen) = tapped(&peers).await;
    let mut studio = Client::connected(&peers, router).await;
    let order = producer("camera", MediaKind::Video, layered_parameters());
    peers.produce(&studio.session, order).await.unwrap();
    let composed = peers
        .compose(sink, router, Some("camera"), None)
        .await
        .unwrap();
    let layer = |rid: &str, sequence: u16, payload: &'static [u8]| {
        let mut packet = picture(sequence, payload);
        packet.ssrc = 70 + u32::from(rid.as_bytes()[0]);
        packet
            .extensions
            .push((STREAM_ID_ID, rid.as_bytes().to_vec()));
        packet
    };
    assert!(matches!(next(&mut seen).await, Seen::Started(_)));

    studio.send_rtp(&layer("q", 1, &[0x65, 1])).await;
    studio.send_rtp(&layer("f", 1, &[0x41, 2])).await;
    studio.send_rtp(&layer("f", 2, &[0x65, 3])).await;
    studio.send_rtp(&layer("q", 2, &[0x41, 4])).await;
    studio.send_rtp(&layer("f", 3, &[0x41, 5])).await;

    let mut all = Vec::new();
    while all.last()
        != Some(&Seen::Packet(
            TrackKind::Video,
            Bytes::from_static(&[0x41, 5]),
        ))
    {
        all.push(next(&mut seen).await);
    }
    let video = |bytes: &'static [u8]| Seen::Packet(TrackKind::Video, Bytes::from_static(bytes));
    assert_eq!(
        all,
        [
            video(&[0x65, 1]),
            Seen::Ended,
            Seen::Started(composed.source),
            video(&[0x65, 3]),
            video(&[0x41, 5]),
        ]
    );
    peers.shutdown().await;
}

struct Panicking;

impl MediaSink for Panicking {
    fn handle_source_started(&mut self, _: SourceDescription, _: Instant) {}
    fn handle_packet(&mut self, _: TrackKind, _: RtpPacket, _: Instant) {
        panic!("on purpose");
    }
    fn handle_sender_report(&mut self, _: TrackKind, _: SenderReport, _: Instant) {}
    fn handle_source_ended(&mut self, _: Instant) {}
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    fn handle_timeout(&mut self, _: Instant) {}
    fn poll_keyframe_request(&mut self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_sink_that_panics_leaves_the_room_alone() {
    let peers = peers(10);
    let (router, mut studio, mut guest) = pair(&peers).await;
    let sink = peers.attach("room", Box::new(Panicking)).await;
    let mut composed = peers
        .compose(sink, router, Some("camera"), None)
        .await
        .unwrap();

    studio.send_rtp(&picture(1, KEYFRAME)).await;
    studio.send_rtp(&picture(2, PICTURE)).await;

    for expected in [KEYFRAME, PICTURE] {
        assert_eq!(&guest.get_rtp().await.packet.payload[..], expected);
    }
    while !matches!(next(&mut composed.events).await, PeerEvent::Ended(_)) {}
    assert_eq!(peers.panics(), 1);
    peers.shutdown().await;
}
