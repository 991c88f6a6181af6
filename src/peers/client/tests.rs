//! Tests of the publishing client against a receiver built on the same crate.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use bytes::Bytes;
use media::{RtpPacket, SenderReport, TrackKind};
use rtc::{
    ice::mdns::MulticastDnsMode,
    interceptor::{Interceptor, Packet, Registry, Slot, StreamInfo, TaggedPacket},
    peer_connection::configuration::{
        interceptor_registry::register_default_interceptors, media_engine::MediaEngine,
        setting_engine::SettingEngineBuilder,
    },
    rtcp::{
        payload_feedbacks::picture_loss_indication::PictureLossIndication,
        sender_report::SenderReport as WireReport,
    },
    sansio::Protocol,
    shared::error::Error,
};
use tokio::sync::mpsc;
use webrtc::{
    media_stream::track_remote::TrackRemote,
    peer_connection::{
        PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCSessionDescription,
    },
    runtime::default_runtime,
};

use super::{ClientError, ClientEvent, ClientOptions, PublishingPeer};

const DEADLINE: Duration = Duration::from_mins(1);

/// More events than a test makes.
const QUEUE: usize = 1_000;

/// What the receiver saw.
#[derive(Debug)]
enum Seen {
    Track(Arc<dyn TrackRemoteDebug>),
    Packet(u8, u16, u32, Bytes),
    Report(WireReport),
}

/// A track that can stand in a `Debug` enum.
trait TrackRemoteDebug: std::fmt::Debug + Send + Sync {
    fn track(&self) -> &Arc<dyn TrackRemote>;
}

struct Shown(Arc<dyn TrackRemote>);

impl std::fmt::Debug for Shown {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Track")
    }
}

impl TrackRemoteDebug for Shown {
    fn track(&self) -> &Arc<dyn TrackRemote> {
        &self.0
    }
}

struct Receiver {
    connection: Arc<dyn PeerConnection>,
    seen: mpsc::Receiver<Seen>,
    answer: String,
}

impl Receiver {
    async fn answering(offer: &str) -> Self {
        let (sender, seen) = mpsc::channel(QUEUE);
        let mut engine = MediaEngine::default();
        engine.register_default_codecs().unwrap();
        let registry = register_default_interceptors(Registry::new(), &mut engine)
            .unwrap()
            .with(Slot::from(500), Tap::new(sender.clone()));
        let building = PeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_setting_engine(
                SettingEngineBuilder::new()
                    .with_multicast_dns_mode(MulticastDnsMode::Disabled)
                    .with_include_loopback_candidate(true)
                    .build(),
            )
            .with_handler(Arc::new(OnTrack(sender)))
            .with_runtime(default_runtime().unwrap())
            .with_udp_addrs(vec!["127.0.0.1:0"])
            .build();
        let connection: Arc<dyn PeerConnection> = Arc::new(Box::pin(building).await.unwrap());
        let offer = RTCSessionDescription::offer(offer.to_owned()).unwrap();
        connection.set_remote_description(offer).await.unwrap();
        let answer = connection.create_answer(None).await.unwrap();
        connection.set_local_description(answer).await.unwrap();
        let answer = tokio::time::timeout(DEADLINE, async {
            loop {
                let answer = connection.local_description().await.unwrap().sdp;
                if answer.contains("a=candidate") {
                    break answer;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        Self {
            connection,
            seen,
            answer,
        }
    }

    async fn next(&mut self) -> Seen {
        tokio::time::timeout(DEADLINE, self.seen.recv())
            .await
            .expect("the receiver sees something in time")
            .unwrap()
    }
}

struct OnTrack(mpsc::Sender<Seen>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for OnTrack {
    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let _ = self.0.try_send(Seen::Track(Arc::new(Shown(track))));
    }
}

/// Sees everything that arrives before the receiver's own interceptors change it.
struct Tap {
    seen: mpsc::Sender<Seen>,
    inbound: std::collections::VecDeque<TaggedPacket>,
    outbound: std::collections::VecDeque<TaggedPacket>,
}

impl Tap {
    fn new(seen: mpsc::Sender<Seen>) -> Self {
        Self {
            seen,
            inbound: std::collections::VecDeque::new(),
            outbound: std::collections::VecDeque::new(),
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = std::time::Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        match &packet.message.packet {
            Packet::Rtp(rtp) => {
                let _ = self.seen.try_send(Seen::Packet(
                    rtp.header.payload_type,
                    rtp.header.sequence_number,
                    rtp.header.timestamp,
                    rtp.payload.clone(),
                ));
            }
            Packet::Rtcp(reports) => {
                for report in reports {
                    if let Some(report) = report.as_any().downcast_ref::<WireReport>() {
                        let _ = self.seen.try_send(Seen::Report(report.clone()));
                    }
                }
            }
            _ => {}
        }
        self.inbound.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.outbound.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outbound.pop_front()
    }
}

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

fn both() -> ClientOptions {
    ClientOptions {
        local: Ipv4Addr::LOCALHOST.into(),
        video: true,
        codec: media::VideoCodec::H264,
        audio: true,
        patience: Duration::from_secs(2),
    }
}

async fn next_event(events: &mut mpsc::Receiver<ClientEvent>) -> ClientEvent {
    tokio::time::timeout(DEADLINE, events.recv())
        .await
        .expect("an event comes in time")
        .unwrap()
}

async fn connected() -> (PublishingPeer, mpsc::Receiver<ClientEvent>, Receiver) {
    let (peer, offer, mut events) = PublishingPeer::offer(both()).await.unwrap();
    let receiver = Receiver::answering(&offer).await;
    peer.accept_answer(&receiver.answer).await.unwrap();
    assert_eq!(next_event(&mut events).await, ClientEvent::Connected);
    (peer, events, receiver)
}

fn packet(sequence: u16, payload: &'static [u8]) -> RtpPacket {
    RtpPacket {
        sequence,
        timestamp: 90_000 + u32::from(sequence),
        ssrc: 1,
        marker: true,
        payload: Bytes::from_static(payload),
    }
}

/// A whole H.264 NAL unit, so that the receiver makes a track of it.
const NAL: &[u8] = &[0x65, 0x88, 0x84, 0x00];

#[tokio::test]
async fn the_offer_is_what_a_browser_would_send() {
    let (peer, offer, _events) = PublishingPeer::offer(both()).await.unwrap();

    for line in [
        "a=rtpmap:102 H264/90000",
        "packetization-mode=1",
        "profile-level-id=42e01f",
        "a=rtpmap:103 rtx/90000",
        "a=fmtp:103 apt=102",
        "a=ssrc-group:FID",
        "a=rtpmap:104 H264/90000",
        "profile-level-id=42001f",
        "a=fmtp:105 apt=104",
        "a=rtcp-fb:102 nack pli",
        "a=rtcp-fb:102 transport-cc",
        "a=rtpmap:111 opus/48000/2",
        "stereo=1",
        "a=sendonly",
        "a=setup:actpass",
        "a=candidate:",
    ] {
        assert!(offer.contains(line), "{line} is missing in {offer}");
    }
    assert_eq!(offer.matches("a=group:BUNDLE").count(), 1);
    peer.close().await.unwrap();
}

/// As a server answers that does not know the profile by the name of payload types 102 and 103.
fn without_constrained(answer: &str) -> String {
    let is_left = |line: &&str| !line.contains(":102 ") && !line.contains(":103 ");
    let lines: Vec<&str> = answer.lines().filter(is_left).collect();
    let answer = lines.join("\r\n") + "\r\n";
    answer.replace("SAVPF 102 104 103 105", "SAVPF 104 105")
}

#[tokio::test]
async fn a_server_that_knows_the_profile_by_its_other_name_is_sent_that() {
    let (peer, offer, mut events) = PublishingPeer::offer(both()).await.unwrap();
    let mut receiver = Receiver::answering(&offer).await;
    let answer = without_constrained(&receiver.answer);
    assert!(answer.contains("SAVPF 104 105"), "{answer}");

    peer.accept_answer(&answer).await.unwrap();
    assert_eq!(next_event(&mut events).await, ClientEvent::Connected);
    peer.send(TrackKind::Video, packet(7, NAL)).await.unwrap();

    loop {
        if let Seen::Packet(payload_type, 7, _, payload) = receiver.next().await {
            assert_eq!((payload_type, &payload[..]), (104, NAL));
            break;
        }
    }
    peer.close().await.unwrap();
}

#[tokio::test]
async fn a_server_that_takes_only_the_sound_is_told_apart() {
    let (peer, offer, _events) = PublishingPeer::offer(both()).await.unwrap();
    let receiver = Receiver::answering(&offer).await;
    let answer = receiver.answer.replace("m=video 9", "m=video 0");

    let refused = peer.accept_answer(&answer).await;

    assert_eq!(refused, Err(ClientError::NotTaken(TrackKind::Video)));
    peer.close().await.unwrap();
}

#[tokio::test]
async fn packets_and_reports_arrive_as_they_were_sent() {
    let (peer, _events, mut receiver) = connected().await;
    let report = SenderReport {
        ssrc: 1,
        ntp_time: Duration::new(3_900_000_000, 500_000_000),
        rtp_timestamp: 123_456,
    };

    peer.send(TrackKind::Video, packet(7, NAL)).await.unwrap();
    peer.send(TrackKind::Audio, packet(9, b"opus"))
        .await
        .unwrap();
    peer.send_report(TrackKind::Video, report).await.unwrap();

    let (mut video, mut audio, mut told) = (false, false, None);
    while !video || !audio || told.is_none() {
        match receiver.next().await {
            Seen::Packet(102, 7, 90_007, payload) => video = payload == NAL,
            Seen::Packet(111, 9, 90_009, payload) => audio = payload == b"opus"[..],
            Seen::Packet(..) | Seen::Track(_) => {}
            Seen::Report(report) => told = Some(report),
        }
    }
    let told = told.unwrap();
    assert_eq!(told.ntp_time, (3_900_000_000 << 32) + (1 << 31));
    assert_eq!(told.rtp_time, 123_456);
    assert_eq!((told.packet_count, told.octet_count), (1, 4));
    peer.close().await.unwrap();
    receiver.connection.close().await.unwrap();
}

#[tokio::test]
async fn a_wish_for_a_keyframe_is_told() {
    let (peer, mut events, mut receiver) = connected().await;
    let mut sequence = 0;
    let track = loop {
        peer.send(TrackKind::Video, packet(sequence, NAL))
            .await
            .unwrap();
        sequence += 1;
        match receiver.next().await {
            Seen::Track(track) => break track,
            Seen::Packet(..) | Seen::Report(_) => {}
        }
    };
    let track = track.track();

    let media_ssrc = track.ssrcs().await[0];
    track
        .write_rtcp(vec![Box::new(PictureLossIndication {
            sender_ssrc: 0,
            media_ssrc,
        })])
        .await
        .unwrap();

    assert_eq!(
        next_event(&mut events).await,
        ClientEvent::KeyframeRequested
    );
    peer.close().await.unwrap();
    receiver.connection.close().await.unwrap();
}

#[tokio::test]
async fn the_end_of_the_server_is_told() {
    let (peer, mut events, receiver) = connected().await;

    receiver.connection.close().await.unwrap();

    assert_eq!(next_event(&mut events).await, ClientEvent::Closed);
    drop(peer);
}

#[tokio::test]
async fn what_was_not_offered_cannot_be_sent() {
    let options = ClientOptions {
        audio: false,
        ..both()
    };
    let (peer, offer, _events) = PublishingPeer::offer(options).await.unwrap();

    let sent = peer.send(TrackKind::Audio, packet(1, b"opus")).await;

    assert!(!offer.contains("m=audio"));
    assert_eq!(sent, Err(ClientError::NoSuchTrack(TrackKind::Audio)));
    peer.close().await.unwrap();
}

#[tokio::test]
async fn an_answer_that_is_not_sdp_is_refused() {
    let (peer, _offer, _events) = PublishingPeer::offer(both()).await.unwrap();

    let accepted = peer.accept_answer("not sdp").await;

    assert!(matches!(accepted, Err(ClientError::Answer(_))));
    peer.close().await.unwrap();
}
