//! Tests of the workers against the async `webrtc` stack: another driver, another chain, real sockets.

#[path = "limit_tests.rs"]
mod limits;
#[path = "viewer_tests.rs"]
mod viewers;
#[path = "watcher_tests.rs"]
mod watchers;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::Bytes;
use media::{MediaSink, RtpPacket, SenderReport, SourceDescription, TrackKind, VideoCodec};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::mpsc,
    time::timeout,
};

use crate::{
    OfferError, PeerEvent, Peers, PeersConfig, Published, SinkId,
    client::{ClientEvent, ClientOptions, PublishingPeer},
    door::stun::{Credentials, Untrusted, nominating_request},
};

const DEADLINE: Duration = Duration::from_mins(1);
/// More than a test produces.
const QUEUE: usize = 10_000;
/// An H.264 IDR slice, as far as the worker looks.
const KEYFRAME: [u8; 3] = [0x65, 0x88, 0x84];

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Started(SourceDescription),
    Packet(TrackKind, u16, Bytes),
    Report(TrackKind, SenderReport),
    Ended,
}

struct Tap(mpsc::Sender<Seen>);

impl MediaSink for Tap {
    fn handle_source_started(&mut self, source: SourceDescription, _: Instant) {
        self.0.try_send(Seen::Started(source)).unwrap();
    }

    fn handle_packet(&mut self, kind: TrackKind, packet: RtpPacket, _: Instant) {
        self.0
            .try_send(Seen::Packet(kind, packet.sequence, packet.payload))
            .unwrap();
    }

    fn handle_sender_report(&mut self, kind: TrackKind, report: SenderReport, _: Instant) {
        self.0.try_send(Seen::Report(kind, report)).unwrap();
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

struct Panicking;

impl MediaSink for Panicking {
    fn handle_source_started(&mut self, _: SourceDescription, _: Instant) {
        panic!("on purpose");
    }

    fn handle_packet(&mut self, _: TrackKind, _: RtpPacket, _: Instant) {}
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

fn workers(count: usize, sessions_limit: usize) -> Peers {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Peers::start(PeersConfig {
        listen,
        announced: Vec::new(),
        workers: count,
        sessions_limit,
    })
    .unwrap()
}

async fn tapped(peers: &Peers) -> (SinkId, mpsc::Receiver<Seen>) {
    let (sender, seen) = mpsc::channel(QUEUE);
    // Each on the next worker, as broadcasts are.
    let name = format!("broadcast {}", rand::random::<u64>());
    (peers.attach(&name, Box::new(Tap(sender))).await, seen)
}

async fn next<T>(queue: &mut mpsc::Receiver<T>) -> T {
    timeout(DEADLINE, queue.recv())
        .await
        .expect("something happens in time")
        .expect("the queue is open")
}

async fn until(
    events: &mut mpsc::Receiver<PeerEvent>,
    wanted: impl Fn(&PeerEvent) -> bool,
) -> PeerEvent {
    loop {
        let event = next(events).await;
        if wanted(&event) {
            return event;
        }
    }
}

struct Studio {
    peer: PublishingPeer,
    events: mpsc::Receiver<ClientEvent>,
    published: Published,
}

async fn offering() -> (PublishingPeer, String, mpsc::Receiver<ClientEvent>) {
    let options = ClientOptions {
        local: IpAddr::V4(Ipv4Addr::LOCALHOST),
        video: true,
        codec: media::VideoCodec::H264,
        audio: true,
        patience: Duration::from_secs(8),
    };
    PublishingPeer::offer(options).await.unwrap()
}

async fn studio(peers: &Peers, sink: SinkId) -> Studio {
    let (peer, offer, events) = offering().await;
    let published = peers.publish(sink, &offer, &VideoCodec::ALL).await.unwrap();
    peer.accept_answer(&published.answer).await.unwrap();
    Studio {
        peer,
        events,
        published,
    }
}

fn packet(sequence: u16, payload: &[u8]) -> RtpPacket {
    let payload = Bytes::copy_from_slice(payload);
    RtpPacket {
        sequence,
        timestamp: u32::from(sequence) * 3000,
        ssrc: 0,
        marker: true,
        payload,
    }
}

#[tokio::test]
async fn packets_and_reports_of_a_studio_reach_its_sink() {
    let peers = workers(2, 10);
    let (sink, mut seen) = tapped(&peers).await;
    let mut studio = studio(&peers, sink).await;
    until(&mut studio.published.events, |event| {
        matches!(event, PeerEvent::Connected)
    })
    .await;
    assert!(matches!(
        next(&mut seen).await,
        Seen::Started(SourceDescription {
            video: Some(_),
            audio: true
        })
    ));
    assert_eq!(next(&mut studio.events).await, ClientEvent::Connected);

    for sequence in 1..=100 {
        studio
            .peer
            .send(TrackKind::Video, packet(sequence, &KEYFRAME))
            .await
            .unwrap();
    }
    studio
        .peer
        .send(TrackKind::Audio, packet(7, b"opus"))
        .await
        .unwrap();

    let mut video = Vec::new();
    while video.len() < 100 {
        if let Seen::Packet(TrackKind::Video, sequence, payload) = next(&mut seen).await {
            assert_eq!(payload[..], KEYFRAME);
            video.push(sequence);
        }
    }
    assert_eq!(video, (1..=100).collect::<Vec<u16>>());
    assert_eq!(
        next(&mut studio.events).await,
        ClientEvent::KeyframeRequested
    );
    let report = SenderReport {
        ssrc: 0,
        ntp_time: Duration::from_mins(65_000_000),
        rtp_timestamp: 99,
    };
    studio
        .peer
        .send_report(TrackKind::Video, report)
        .await
        .unwrap();
    loop {
        if let Seen::Report(TrackKind::Video, seen) = next(&mut seen).await
            && seen.rtp_timestamp == 99
        {
            assert_eq!(seen.ntp_time, report.ntp_time);
            break;
        }
    }
    peers.shutdown().await;
    assert_eq!(peers.panics(), 0);
}

#[tokio::test]
async fn a_wrong_fingerprint_gets_no_media() {
    let peers = workers(1, 10);
    let (sink, mut seen) = tapped(&peers).await;
    let (peer, offer, _events) = offering().await;
    let forged: Vec<String> = offer
        .lines()
        .map(|line| match line.strip_prefix("a=fingerprint:sha-256 ") {
            Some(_) => format!("a=fingerprint:sha-256 {}", vec!["AB"; 32].join(":")),
            None => line.to_owned(),
        })
        .collect();
    let mut published = peers
        .publish(sink, &(forged.join("\r\n") + "\r\n"), &VideoCodec::ALL)
        .await
        .unwrap();
    peer.accept_answer(&published.answer).await.unwrap();

    let ended = until(&mut published.events, |event| {
        matches!(event, PeerEvent::Ended(_) | PeerEvent::Connected)
    })
    .await;

    assert!(matches!(ended, PeerEvent::Ended(_)), "{ended:?}");
    let _ = peer.send(TrackKind::Video, packet(1, &KEYFRAME)).await;
    peers.detach(sink).await;
    assert_eq!(seen.recv().await, None);
}

#[tokio::test]
async fn a_second_studio_takes_over_once_it_is_connected() {
    let peers = workers(2, 10);
    let (sink, mut seen) = tapped(&peers).await;
    let mut first = studio(&peers, sink).await;
    until(&mut first.published.events, |event| {
        matches!(event, PeerEvent::Connected)
    })
    .await;

    let mut second = studio(&peers, sink).await;

    until(&mut second.published.events, |event| {
        matches!(event, PeerEvent::Connected)
    })
    .await;
    let ended = until(&mut first.published.events, |event| {
        matches!(event, PeerEvent::Ended(_))
    })
    .await;
    assert!(matches!(ended, PeerEvent::Ended(reason) if reason.contains("took over")));
    assert!(matches!(next(&mut seen).await, Seen::Started(_)));
    assert_eq!(next(&mut seen).await, Seen::Ended);
    assert!(matches!(next(&mut seen).await, Seen::Started(_)));
    assert_eq!(peers.sessions(), 1);
}

#[tokio::test]
async fn sessions_are_limited_and_given_back() {
    let peers = workers(2, 1);
    let (sink, _seen) = tapped(&peers).await;
    let (_peer, offer, _events) = offering().await;
    let first = peers.publish(sink, &offer, &VideoCodec::ALL).await.unwrap();
    assert_eq!(
        peers.publish(sink, &offer, &VideoCodec::ALL).await.err(),
        Some(OfferError::Full)
    );

    peers.close(&first.session).await;

    assert!(peers.publish(sink, &offer, &VideoCodec::ALL).await.is_ok());
}

#[tokio::test]
async fn an_offer_to_a_detached_sink_is_refused() {
    let peers = workers(1, 10);
    let (sink, _seen) = tapped(&peers).await;
    peers.detach(sink).await;
    let (_peer, offer, _events) = offering().await;

    assert_eq!(
        peers.publish(sink, &offer, &VideoCodec::ALL).await.err(),
        Some(OfferError::NoSuchSink)
    );
}

#[tokio::test]
async fn after_an_ice_restart_the_new_password_is_believed() {
    let peers = workers(2, 10);
    let (sink, _seen) = tapped(&peers).await;
    let (_peer, offer, _events) = offering().await;
    let published = peers.publish(sink, &offer, &VideoCodec::ALL).await.unwrap();
    let remote = Credentials {
        fragment: "newstudio".into(),
        password: "p".repeat(24),
    };
    let text = format!(
        "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n",
        remote.fragment, remote.password
    );

    let restart = peers.restart_ice(&published.session, &text).await.unwrap();

    assert_ne!(restart.etag, published.etag);
    let value = |key: &str| {
        restart
            .fragment
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .map(str::to_owned)
            .unwrap()
    };
    let local = Credentials {
        fragment: value("a=ice-ufrag:"),
        password: value("a=ice-pwd:"),
    };
    let provider = rtc::crypto::default_provider().unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let request = nominating_request(&remote, &local, provider.crypto()).unwrap();
    socket
        .send_to(&request, peers.local_address())
        .await
        .unwrap();
    let mut answer = [0; 1500];
    let (length, _) = timeout(DEADLINE, socket.recv_from(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(
        Untrusted::decode(&answer[..length])
            .unwrap()
            .success_transaction()
            .is_some()
    );
}

#[tokio::test]
async fn a_panicking_sink_ends_only_itself() {
    let peers = workers(1, 10);
    let broken = peers.attach("broken", Box::new(Panicking)).await;
    let (sink, mut seen) = tapped(&peers).await;

    let mut victim = studio(&peers, broken).await;
    let mut other = studio(&peers, sink).await;

    until(&mut victim.published.events, |event| {
        matches!(event, PeerEvent::Ended(_))
    })
    .await;
    until(&mut other.published.events, |event| {
        matches!(event, PeerEvent::Connected)
    })
    .await;
    assert!(matches!(next(&mut seen).await, Seen::Started(_)));
    assert_eq!(peers.panics(), 1);
}

/// A session nobody has connected to, and a request that proves to know its password.
async fn awaiting(peers: &Peers) -> (PublishingPeer, Published, Vec<u8>) {
    let (sink, _) = tapped(peers).await;
    let (peer, offer, _) = offering().await;
    let published = peers.publish(sink, &offer, &VideoCodec::ALL).await.unwrap();
    let value = |key: &str| {
        let line = published
            .answer
            .lines()
            .find_map(|line| line.strip_prefix(key));
        line.map(str::to_owned).unwrap()
    };
    let local = Credentials {
        fragment: value("a=ice-ufrag:"),
        password: value("a=ice-pwd:"),
    };
    let remote = Credentials {
        fragment: "studio".into(),
        password: "p".repeat(24),
    };
    let provider = rtc::crypto::default_provider().unwrap();
    let request = nominating_request(&remote, &local, provider.crypto()).unwrap();
    (peer, published, request)
}

fn is_success(answer: &[u8]) -> bool {
    Untrusted::decode(answer).is_some_and(|answer| answer.success_transaction().is_some())
}

#[tokio::test]
async fn a_path_is_proven_whichever_worker_the_kernel_picks() {
    let peers = workers(4, 10);
    let (_peer, _published, request) = awaiting(&peers).await;

    for _ in 0..32 {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        socket
            .send_to(&request, peers.local_address())
            .await
            .unwrap();
        let mut answer = [0; 1500];
        let (length, from) = timeout(DEADLINE, socket.recv_from(&mut answer))
            .await
            .unwrap()
            .unwrap();

        assert_eq!(from, peers.local_address());
        assert!(is_success(&answer[..length]));
    }
}

#[tokio::test]
async fn ice_tcp_answers_in_frames_on_the_same_port() {
    let peers = workers(2, 10);
    let (_peer, _published, request) = awaiting(&peers).await;
    let mut stream = TcpStream::connect(peers.local_address()).await.unwrap();

    for _ in 0..2 {
        stream
            .write_u16(u16::try_from(request.len()).unwrap())
            .await
            .unwrap();
        stream.write_all(&request).await.unwrap();
        let length = timeout(DEADLINE, stream.read_u16()).await.unwrap().unwrap();
        let mut answer = vec![0; usize::from(length)];
        timeout(DEADLINE, stream.read_exact(&mut answer))
            .await
            .unwrap()
            .unwrap();

        assert!(is_success(&answer));
    }
}

#[tokio::test]
async fn strangers_on_ice_tcp_are_closed_without_an_answer() {
    let peers = workers(2, 10);
    for hostile in [
        &b"\xff\xffGET / HTTP/1.1\r\n"[..],
        b"\x00\x00",
        b"\x00\x04abcd",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(peers.local_address()).await.unwrap();
        stream.write_all(hostile).await.unwrap();
        stream.shutdown().await.unwrap();

        let mut answer = Vec::new();
        // A reset is as good as an end.
        let _ = timeout(DEADLINE, stream.read_to_end(&mut answer))
            .await
            .unwrap();

        assert!(answer.is_empty());
    }
    let (_peer, _published, _request) = awaiting(&peers).await;
    assert_eq!(peers.panics(), 0);
}
