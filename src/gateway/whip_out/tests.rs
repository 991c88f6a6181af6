//! Tests of WHIP out against the front door behind a small WHIP server, and against servers that refuse.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, post},
};
use broadcast::{BroadcastId, StreamKey};
use egress_providers::{
    Show,
    hosted::{Contribute, Contribution, ContributionOrder, WhipOrder},
};
use media::{Fanout, MediaSink, RtpPacket, SenderReport, SourceDescription, TrackKind, VideoCodec};
use peers::{PeerEvent, Peers, PeersConfig};
use pipelines::{
    gstreamer::{StudioOptions, TestStudio},
    path::{MediaPath, PathConfig},
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use super::WhipOut;

/// Longer than anything here takes on a busy machine.
pub(super) const DEADLINE: Duration = Duration::from_mins(1);

pub(super) const TOKEN: &str = "secret-bearer-token";

/// What the front door's broadcast was given.
#[derive(Debug, Default)]
struct Received {
    pictures: AtomicU64,
    sounds: AtomicU64,
    reports: Mutex<Vec<(TrackKind, SenderReport)>>,
}

struct CountingSink {
    received: Arc<Received>,
    next_keyframe: Option<Instant>,
    is_wanted: bool,
}

impl MediaSink for CountingSink {
    fn handle_source_started(&mut self, _source: SourceDescription, now: Instant) {
        self.next_keyframe = Some(now);
    }

    fn handle_packet(&mut self, kind: TrackKind, packet: RtpPacket, _now: Instant) {
        match kind {
            TrackKind::Video if packet.marker => self.received.pictures.fetch_add(1, Relaxed),
            TrackKind::Video => 0,
            TrackKind::Audio => self.received.sounds.fetch_add(1, Relaxed),
        };
    }

    fn handle_sender_report(&mut self, kind: TrackKind, report: SenderReport, _now: Instant) {
        self.received.reports.lock().unwrap().push((kind, report));
    }

    fn handle_source_ended(&mut self, _now: Instant) {}

    fn poll_timeout(&self) -> Option<Instant> {
        self.next_keyframe
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.next_keyframe.is_some_and(|due| due <= now) {
            self.is_wanted = true;
            self.next_keyframe = Some(now + Duration::from_secs(1));
        }
    }

    fn poll_keyframe_request(&mut self) -> bool {
        std::mem::take(&mut self.is_wanted)
    }
}

/// A provider's WHIP endpoint over the front door.
#[derive(Clone)]
pub(super) struct Server {
    peers: Peers,
    received: Arc<Received>,
    asked: Arc<AtomicU64>,
    pub(super) ended: Arc<AtomicU64>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl Server {
    pub(super) async fn start() -> (Self, String) {
        let peers = Peers::start(PeersConfig {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            announced: Vec::new(),
            workers: 1,
            sessions_limit: 10,
        })
        .unwrap();
        let server = Self {
            peers,
            received: Arc::default(),
            asked: Arc::default(),
            ended: Arc::default(),
            tasks: Arc::default(),
        };
        let router = Router::new()
            .route("/w", post(offered))
            .route("/sessions/{session}", delete(ended))
            .route("/refuse/{status}", post(refuse))
            .route("/deaf", post(deaf))
            .with_state(server.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        (server, base)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().unwrap().spawn(task);
    }
}

async fn offered(State(server): State<Server>, headers: HeaderMap, offer: String) -> Response {
    server.asked.fetch_add(1, Relaxed);
    let expected = format!("Bearer {TOKEN}");
    if headers
        .get(header::AUTHORIZATION)
        .map(reqwest::header::HeaderValue::as_bytes)
        != Some(expected.as_bytes())
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let sink = CountingSink {
        received: Arc::clone(&server.received),
        next_keyframe: None,
        is_wanted: false,
    };
    let sink = server.peers.attach("provider", Box::new(sink)).await;
    let codecs = [VideoCodec::H264];
    let mut published = server.peers.publish(sink, &offer, &codecs).await.unwrap();
    server.spawn(async move {
        while let Some(event) = published.events.recv().await {
            if matches!(event, PeerEvent::Ended(_)) {
                break;
            }
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/sdp".to_owned()),
        (
            header::LOCATION,
            format!("sessions/{}", published.session.as_str()),
        ),
    ];
    (StatusCode::CREATED, headers, published.answer).into_response()
}

async fn ended(State(server): State<Server>, Path(_session): Path<String>) -> StatusCode {
    server.ended.fetch_add(1, Relaxed);
    StatusCode::OK
}

async fn refuse(Path(status): Path<u16>, headers: HeaderMap) -> Response {
    let told = headers
        .get(header::AUTHORIZATION)
        .unwrap()
        .to_str()
        .unwrap();
    let words = format!("no, whoever you are, {told}");
    let headers = [(header::RETRY_AFTER, "7")];
    (StatusCode::from_u16(status).unwrap(), headers, words).into_response()
}

/// Takes the sound and not the picture.
async fn deaf() -> Response {
    let answer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
                  m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n\
                  m=video 0 UDP/TLS/RTP/SAVPF 102\r\na=mid:1\r\n";
    let headers = [
        (header::CONTENT_TYPE, "application/sdp"),
        (header::LOCATION, "/sessions/deaf"),
    ];
    (StatusCode::CREATED, headers, answer).into_response()
}

/// A synthetic studio and its media path, on a thread of their own.
struct Studio {
    show: Show,
    stop: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
}

impl Studio {
    fn start() -> Self {
        let (path, media, _) = MediaPath::new(PathConfig::default(), watch::channel(None).1);
        let show = Show {
            media,
            opus: path.opus(),
            keyframe_wanted: Arc::default(),
            permit: pipelines::Permit::unlimited(),
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = thread::spawn(move || play(path, &stopped));
        Self {
            show,
            stop,
            thread: Some(thread),
        }
    }

    fn end(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Studio {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn play(mut path: MediaPath, stopped: &CancellationToken) {
    const PAUSE: Duration = Duration::from_millis(500);
    let options = StudioOptions {
        width: 320,
        height: 180,
        video_bits_per_second: 400_000,
        keyframe_interval_frames: Some(30),
        ..StudioOptions::default()
    };
    let (packets, inbox) = std::sync::mpsc::sync_channel(4_096);
    let studio = TestStudio::start(&options, move |kind, packet| {
        let _ = packets.try_send((kind, packet));
    })
    .unwrap();
    let source = SourceDescription {
        video: Some(VideoCodec::H264),
        audio: true,
    };
    let mut next_report = Instant::now();
    path.handle_source_started(source, next_report);
    while !stopped.is_cancelled() {
        let now = Instant::now();
        let due = path.poll_timeout().unwrap_or(now + PAUSE).min(next_report);
        let packet = inbox.recv_timeout(due.saturating_duration_since(now));
        let now = Instant::now();
        if let Ok((kind, packet)) = packet {
            path.handle_packet(kind, packet, now);
        }
        if path.poll_timeout().is_some_and(|due| due <= now) {
            path.handle_timeout(now);
        }
        if now >= next_report {
            next_report = now + PAUSE;
            for kind in [TrackKind::Video, TrackKind::Audio] {
                path.handle_sender_report(kind, studio.sender_report(kind), now);
            }
        }
    }
    studio.stop();
}

pub(super) fn order(url: String, show: &Show) -> ContributionOrder {
    ContributionOrder {
        broadcast: BroadcastId::new("show").unwrap(),
        contribution: Contribution::Whip(WhipOrder {
            url: StreamKey::new(url),
            bearer: Some(StreamKey::new(TOKEN)),
        }),
        show: show.clone(),
        hints: Default::default(),
        counters: Arc::default(),
        black_box: Arc::default(),
        flowing: Arc::default(),
        stop: CancellationToken::new(),
    }
}

async fn until(condition: impl Fn() -> bool) {
    let waited = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, waited).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_show_arrives_whole_until_it_is_taken_away() {
    let (server, base) = Server::start().await;
    let mut studio = Studio::start();
    let order = order(format!("{base}/w"), &studio.show);
    let (stop, counters) = (order.stop.clone(), Arc::clone(&order.counters));
    let (flowing, black_box) = (Arc::clone(&order.flowing), Arc::clone(&order.black_box));
    let mut carried = JoinSet::new();
    carried.spawn(async move { WhipOut.carry(order).await });

    timeout(DEADLINE, flowing.notified()).await.unwrap();
    until(|| {
        server.received.pictures.load(Relaxed) >= 90 && server.received.sounds.load(Relaxed) >= 150
    })
    .await;
    stop.cancel();
    let ended = timeout(DEADLINE, carried.join_next()).await;

    assert_eq!(ended.unwrap().unwrap().unwrap(), Ok(()));
    assert_eq!(server.ended.load(Relaxed), 1);
    // The last ones may have been on their way, and on a busy machine a socket drops some that are not repeated any more.
    let (sent, received) = (
        counters.frames_sent(),
        server.received.pictures.load(Relaxed),
    );
    assert!(
        received <= sent && received * 10 >= sent * 8,
        "{received} of {sent}"
    );
    assert_eq!(counters.frames_dropped(), 0);
    let told = format!("{:?}", black_box.view());
    assert!(told.contains("media flow by WHIP"), "{told}");
    assert!(!told.contains(TOKEN), "{told}");
    studio.end();
    server.peers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn picture_and_sound_are_reported_on_one_clock() {
    let (server, base) = Server::start().await;
    let mut studio = Studio::start();
    let order = order(format!("{base}/w"), &studio.show);
    let mut carried = JoinSet::new();
    carried.spawn(async move { WhipOut.carry(order).await });

    let reports = &server.received.reports;
    until(|| reports.lock().unwrap().len() >= 8).await;

    let reports = reports.lock().unwrap().clone();
    let of = |wanted: TrackKind| {
        let wanted = reports.iter().filter(move |(kind, _)| *kind == wanted);
        wanted.map(|(_, report)| *report).collect::<Vec<_>>()
    };
    let (pictures, sounds) = (of(TrackKind::Video), of(TrackKind::Audio));
    // One may be lost while the connection comes up.
    let together: Vec<(SenderReport, SenderReport)> = pictures
        .iter()
        .filter_map(|picture| {
            let is_same = |sound: &&SenderReport| sound.ntp_time == picture.ntp_time;
            Some((*picture, *sounds.iter().find(is_same)?))
        })
        .collect();
    assert!(together.len() >= 3, "{reports:?}");
    let first = together[0];
    for (picture, sound) in &together {
        let since = |now: &SenderReport, first: &SenderReport, hz: f64| {
            f64::from(now.rtp_timestamp.wrapping_sub(first.rtp_timestamp)) / hz
        };
        let picture = since(picture, &first.0, 90_000.0);
        let sound = since(sound, &first.1, 48_000.0);
        assert!((picture - sound).abs() < 0.000_1, "{picture} s, {sound} s");
    }
    carried.shutdown().await;
    studio.end();
    server.peers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receivers_wish_for_a_keyframe_reaches_the_show() {
    let (server, base) = Server::start().await;
    let mut studio = Studio::start();
    let order = order(format!("{base}/w"), &studio.show);
    let wanted = Arc::clone(&studio.show.keyframe_wanted);
    let flowing = Arc::clone(&order.flowing);
    let mut carried = JoinSet::new();
    carried.spawn(async move { WhipOut.carry(order).await });

    // The first is its own, to begin with.
    timeout(DEADLINE, wanted.notified()).await.unwrap();
    timeout(DEADLINE, flowing.notified()).await.unwrap();
    for _ in 0..2 {
        timeout(DEADLINE, wanted.notified()).await.unwrap();
    }

    carried.shutdown().await;
    studio.end();
    server.peers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_show_ends_the_session() {
    let (server, base) = Server::start().await;
    let mut studio = Studio::start();
    let order = order(format!("{base}/w"), &studio.show);
    let flowing = Arc::clone(&order.flowing);
    let mut carried = JoinSet::new();
    carried.spawn(async move { WhipOut.carry(order).await });
    timeout(DEADLINE, flowing.notified()).await.unwrap();

    studio.end();

    let ended = timeout(DEADLINE, carried.join_next()).await;
    assert_eq!(ended.unwrap().unwrap().unwrap(), Ok(()));
    assert_eq!(server.ended.load(Relaxed), 1);
    server.peers.shutdown().await;
}

#[tokio::test]
async fn nothing_is_asked_before_there_is_anything_to_show() {
    let (server, base) = Server::start().await;
    let fanout = Fanout::new(Duration::from_secs(4));
    let show = Show {
        media: fanout.subscriber(),
        opus: Default::default(),
        keyframe_wanted: Arc::default(),
        permit: pipelines::Permit::unlimited(),
    };
    let order = order(format!("{base}/w"), &show);
    let stop = order.stop.clone();
    let carried = WhipOut.carry(order);
    tokio::pin!(carried);

    let early = timeout(Duration::from_millis(300), &mut carried).await;
    stop.cancel();

    assert!(early.is_err());
    assert_eq!(timeout(DEADLINE, carried).await.unwrap(), Ok(()));
    assert_eq!(server.asked.load(Relaxed), 0);
}
