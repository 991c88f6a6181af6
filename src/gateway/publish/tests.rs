//! Tests of publishing against the front door behind a small WHIP server.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, post},
};
use media::{MediaSink, RtpPacket, SenderReport, SourceDescription, TrackKind};
use peers::{PeerEvent, Peers, PeersConfig};
use pipelines::gstreamer::StudioOptions;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Progress, PublishOptions, WhipClient, WhipError, run};
use crate::config::Secret;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

/// What the broadcast's media path was given.
#[derive(Debug, Default)]
struct Received {
    frames: AtomicU64,
    audio_packets: AtomicU64,
    reports: Mutex<Vec<(TrackKind, SenderReport)>>,
}

struct CountingSink {
    received: Arc<Received>,
    next_keyframe: Option<Instant>,
    wanted: bool,
}

impl MediaSink for CountingSink {
    fn handle_source_started(&mut self, _source: SourceDescription, now: Instant) {
        self.next_keyframe = Some(now);
    }

    fn handle_packet(&mut self, kind: TrackKind, packet: RtpPacket, _now: Instant) {
        match kind {
            TrackKind::Video if packet.marker => {
                self.received.frames.fetch_add(1, Ordering::Relaxed);
            }
            TrackKind::Video => {}
            TrackKind::Audio => {
                self.received.audio_packets.fetch_add(1, Ordering::Relaxed);
            }
        }
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
            self.wanted = true;
            self.next_keyframe = Some(now + Duration::from_millis(1_500));
        }
    }

    fn poll_keyframe_request(&mut self) -> bool {
        std::mem::take(&mut self.wanted)
    }
}

/// A WHIP server over the front door, with one broadcast for every id.
#[derive(Clone)]
struct Server {
    peers: Peers,
    received: Arc<Received>,
    ended: Arc<AtomicU64>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl Server {
    async fn start() -> (Self, String) {
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
            ended: Arc::default(),
            tasks: Arc::default(),
        };
        let router = Router::new()
            .route("/whip/{broadcast}", post(offered))
            .route("/sessions/{session}", delete(ended))
            .route("/elsewhere", post(elsewhere))
            .route("/circle", post(circle))
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
    if headers
        .get(header::AUTHORIZATION)
        .map(axum::http::HeaderValue::as_bytes)
        != Some(b"Bearer letmein")
    {
        return (StatusCode::UNAUTHORIZED, "no token").into_response();
    }
    let sink = server
        .peers
        .attach(
            "counting",
            Box::new(CountingSink {
                received: Arc::clone(&server.received),
                next_keyframe: None,
                wanted: false,
            }),
        )
        .await;
    let mut published = server
        .peers
        .publish(sink, &offer, &media::VideoCodec::ALL)
        .await
        .unwrap();
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
            format!("/sessions/{}", published.session.as_str()),
        ),
        (header::ETAG, format!("\"{}\"", published.etag)),
    ];
    (StatusCode::CREATED, headers, published.answer).into_response()
}

async fn ended(State(server): State<Server>, Path(_session): Path<String>) -> StatusCode {
    server.ended.fetch_add(1, Ordering::Relaxed);
    StatusCode::OK
}

async fn elsewhere() -> Response {
    let location = [(header::LOCATION, "/whip/one")];
    (StatusCode::TEMPORARY_REDIRECT, location).into_response()
}

async fn circle() -> Response {
    let location = [(header::LOCATION, "/circle")];
    (StatusCode::TEMPORARY_REDIRECT, location).into_response()
}

fn options(url: String) -> PublishOptions {
    PublishOptions {
        token: Some(Secret::new("letmein")),
        studio: StudioOptions {
            width: 320,
            height: 180,
            video_bits_per_second: 400_000,
            ..StudioOptions::default()
        },
        ..PublishOptions::new(url)
    }
}

fn ignore(_progress: &Progress) {}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_sent_arrives() {
    let (server, base) = Server::start().await;
    let options = PublishOptions {
        duration: Some(Duration::from_secs(4)),
        ..options(format!("{base}/elsewhere"))
    };

    let report = tokio::time::timeout(DEADLINE, run(options, CancellationToken::new(), ignore))
        .await
        .unwrap()
        .unwrap();

    let session = &report.sessions[0];
    assert_eq!(session.failure, None);
    assert!(session.frames > 60, "{session:?}");
    assert_eq!(
        server.received.frames.load(Ordering::Relaxed),
        session.frames
    );
    assert_eq!(
        server.received.audio_packets.load(Ordering::Relaxed),
        session.audio_packets
    );
    assert!(session.keyframe_requests >= 2, "{session:?}");
    assert_eq!(server.ended.load(Ordering::Relaxed), 1);
    server.peers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn picture_and_sound_are_reported_on_one_clock() {
    let (server, base) = Server::start().await;
    let options = PublishOptions {
        duration: Some(Duration::from_secs(2)),
        ..options(format!("{base}/whip/one"))
    };

    let report = run(options, CancellationToken::new(), ignore)
        .await
        .unwrap();

    assert!(report.succeeded(), "{report:?}");
    let reports = server.received.reports.lock().unwrap().clone();
    for (kind, clock) in [(TrackKind::Video, 90_000.0), (TrackKind::Audio, 48_000.0)] {
        let of_track: Vec<_> = reports.iter().filter(|(of, _)| *of == kind).collect();
        assert!(of_track.len() >= 3, "{reports:?}");
        let (first, last) = (of_track[0].1, of_track[of_track.len() - 1].1);
        let wall = last.ntp_time.saturating_sub(first.ntp_time).as_secs_f64();
        let media = f64::from(last.rtp_timestamp.wrapping_sub(first.rtp_timestamp)) / clock;
        assert!(
            (wall - media).abs() < 0.002,
            "{wall} s of wall clock, {media} s of media"
        );
    }
    server.peers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_the_sessions_at_the_server() {
    let (server, base) = Server::start().await;
    let stop = CancellationToken::new();
    let (options, stopped) = (
        PublishOptions {
            sessions: 2,
            ..options(format!("{base}/whip/{{n}}"))
        },
        stop.clone(),
    );

    let report = run(options, stop, move |progress| {
        if progress.connected == 2 && progress.frames > 0 {
            stopped.cancel();
        }
    });
    let report = tokio::time::timeout(DEADLINE, report)
        .await
        .unwrap()
        .unwrap();

    assert!(report.succeeded(), "{report:?}");
    assert_eq!(report.sessions.len(), 2);
    assert_eq!(server.ended.load(Ordering::Relaxed), 2);
    server.peers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_reported_with_its_status() {
    let (server, base) = Server::start().await;
    let options = PublishOptions {
        token: None,
        ..options(format!("{base}/whip/one"))
    };

    let report = run(options, CancellationToken::new(), ignore)
        .await
        .unwrap();

    assert_eq!(
        report.sessions[0].failure.as_deref(),
        Some("the server answered 401: no token")
    );
    server.peers.shutdown().await;
}

#[tokio::test]
async fn redirects_in_circles_end() {
    let (server, base) = Server::start().await;
    let url = Url::parse(&format!("{base}/circle")).unwrap();

    let refused = WhipClient::new(None).unwrap().publish(&url, "v=0").await;

    assert!(matches!(refused, Err(WhipError::Protocol(_))));
    server.peers.shutdown().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_as_such() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = Url::parse(&format!(
        "http://{}/whip/one",
        listener.local_addr().unwrap()
    ))
    .unwrap();
    drop(listener);

    let refused = WhipClient::new(None).unwrap().publish(&url, "v=0").await;

    assert!(
        matches!(refused, Err(WhipError::Unreachable(_))),
        "{refused:?}"
    );
}
