//! One publishing connection: an offer out, an answer in, packets out.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, Ordering},
    },
    time::Duration,
};

use media::{RtpPacket, SenderReport, TrackKind, VideoCodec};
use rtc::{
    ice::mdns::MulticastDnsMode,
    peer_connection::configuration::setting_engine::SettingEngineBuilder,
    rtcp, rtp,
    rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit},
};
use tokio::sync::{Notify, mpsc};
use webrtc::{
    media_stream::track_local::{TrackLocal, static_rtp::TrackLocalStaticRTP},
    peer_connection::{
        PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
        RTCPeerConnectionState, RTCSessionDescription,
    },
    runtime::{Runtime, default_runtime},
};

use super::{
    ear::Ear,
    engine::{self, AUDIO_PAYLOAD_TYPE, BASELINE_PAYLOAD_TYPE, VIDEO_PAYLOAD_TYPE},
    taken::payload_types,
};

/// Events that may wait for their reader: a handful of state changes and keyframe requests, which are asked again.
const EVENTS: usize = 32;

/// How long host candidates may take; they need no server.
const GATHERING_LIMIT: Duration = Duration::from_secs(5);

/// Between two connectivity checks while connecting, as in Chrome; the crate's 200 ms would make going live wait for two.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Unanswered checks after which a path is given up: three seconds' worth.
const CHECKS: u16 = 60;

/// How often the server is asked for a sign of life.
const KEEPALIVE: Duration = Duration::from_secs(2);

/// What a publishing connection is made of.
#[derive(Debug, Clone, Copy)]
pub struct ClientOptions {
    /// The address to send from, and the only candidate.
    pub local: IpAddr,
    /// Whether a picture is offered.
    pub video: bool,
    /// The only codec that is offered for it.
    pub codec: VideoCodec,
    /// Whether sound is offered.
    pub audio: bool,
    /// How long the server may be silent before the connection counts as closed.
    pub patience: Duration,
}

/// What happens to a publishing connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// ICE and DTLS are up: packets flow from now on.
    Connected,
    /// The server wants a keyframe. Packets lost at the start make it ask at once.
    KeyframeRequested,
    /// The server wants at most so many bit/s, by REMB. Told when it changes.
    BitrateLimited(u64),
    /// The connection is gone for good. The last event.
    Closed,
}

/// Why a connection cannot publish.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nothing was asked to be offered.
    #[error("neither picture nor sound is to be published")]
    NothingToSend,
    /// No candidate in time.
    #[error("no local candidate was found in time")]
    NoCandidates,
    /// The server's answer is not usable.
    #[error("the answer is not usable: {0}")]
    Answer(String),
    /// The server takes no such track, or not as it is coded.
    #[error("the server does not take the {0:?} track as it is coded")]
    NotTaken(TrackKind),
    /// The track was not offered.
    #[error("the {0:?} track was not offered")]
    NoSuchTrack(TrackKind),
    /// The connection is broken or closed.
    #[error("the connection failed: {0}")]
    Connection(String),
}

/// A connection that publishes one picture and one sound track by WHIP.
///
/// Dropping it ends the connection without telling the server; [`close`](Self::close) tells.
pub struct PublishingPeer {
    connection: Arc<dyn PeerConnection>,
    video: Option<Outgoing>,
    audio: Option<Outgoing>,
}

/// One track on its way out.
struct Outgoing {
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
    /// The one of those offered that the server has chosen.
    payload_type: AtomicU8,
    packets: AtomicU32,
    octets: AtomicU32,
}

impl PublishingPeer {
    /// Opens a connection and makes its offer, with all candidates in it.
    ///
    /// The events' queue is bounded; a reader that is late misses repeated keyframe requests only.
    pub async fn offer(
        options: ClientOptions,
    ) -> Result<(Self, String, mpsc::Receiver<ClientEvent>), ClientError> {
        if !options.video && !options.audio {
            return Err(ClientError::NothingToSend);
        }
        let (events, receiver) = mpsc::channel(EVENTS);
        let (engine, registry) =
            engine::engine(options.codec, Ear::new(events.clone())).map_err(connection_error)?;
        let gathered = Arc::new(Notify::new());
        let runtime: Arc<dyn Runtime> = default_runtime()
            .ok_or_else(|| ClientError::Connection("there is no runtime".to_owned()))?;
        // The crate's future is 20 KB of a session that is built once; it stays off the callers' stacks.
        let building = PeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_setting_engine(
                SettingEngineBuilder::new()
                    .with_multicast_dns_mode(MulticastDnsMode::Disabled)
                    .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(CHECKS))
                    .with_ice_timeouts(
                        Some(options.patience / 2),
                        Some(options.patience / 2),
                        Some(KEEPALIVE.min(options.patience / 4)),
                    )
                    .with_include_loopback_candidate(options.local.is_loopback())
                    .build(),
            )
            .with_handler(Arc::new(Handler {
                events,
                gathered: Arc::clone(&gathered),
            }))
            .with_runtime(runtime)
            .with_udp_addrs(vec![SocketAddr::new(options.local, 0)])
            .build();
        let connection = Box::pin(building).await.map_err(connection_error)?;
        let peer = Self {
            connection: Arc::new(connection),
            video: options.video.then(|| Outgoing::video(options.codec)),
            audio: options.audio.then(Outgoing::audio),
        };
        for (kind, outgoing) in [
            (TrackKind::Audio, &peer.audio),
            (TrackKind::Video, &peer.video),
        ] {
            let Some(outgoing) = outgoing else { continue };
            let send_only = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Sendonly,
                ..Default::default()
            };
            let transceiver = peer
                .connection
                .add_transceiver_from_track(
                    Arc::clone(&outgoing.track) as Arc<dyn TrackLocal>,
                    Some(send_only),
                )
                .await
                .map_err(connection_error)?;
            if kind == TrackKind::Video {
                // Of its own it offers nothing but what the track is called.
                transceiver
                    .set_codec_preferences(engine::pictures(options.codec))
                    .await
                    .map_err(connection_error)?;
            }
        }
        let offer = peer
            .connection
            .create_offer(None)
            .await
            .map_err(connection_error)?;
        peer.connection
            .set_local_description(offer)
            .await
            .map_err(connection_error)?;
        tokio::time::timeout(GATHERING_LIMIT, gathered.notified())
            .await
            .map_err(|_| ClientError::NoCandidates)?;
        let offer = peer
            .connection
            .local_description()
            .await
            .ok_or(ClientError::NoCandidates)?;
        Ok((peer, offer.sdp, receiver))
    }

    /// Takes the server's answer; the connection then comes up by itself.
    ///
    /// Fails with [`ClientError::NotTaken`] when the server takes only part of what was offered.
    pub async fn accept_answer(&self, answer: &str) -> Result<(), ClientError> {
        let description = RTCSessionDescription::answer(answer.to_owned())
            .map_err(|error| ClientError::Answer(error.to_string()))?;
        let offered = [
            (TrackKind::Audio, &self.audio, &[AUDIO_PAYLOAD_TYPE][..]),
            (
                TrackKind::Video,
                &self.video,
                &[VIDEO_PAYLOAD_TYPE, BASELINE_PAYLOAD_TYPE][..],
            ),
        ];
        for (kind, outgoing, ours) in offered {
            let Some(outgoing) = outgoing else { continue };
            let taken = payload_types(answer, kind).find(|taken| ours.contains(taken));
            let taken = taken.ok_or(ClientError::NotTaken(kind))?;
            outgoing.payload_type.store(taken, Ordering::Relaxed);
        }
        self.connection
            .set_remote_description(description)
            .await
            .map_err(|error| ClientError::Answer(error.to_string()))
    }

    /// Sends a packet with the track's own SSRC and payload type. Waits while the connection has too much to send.
    pub async fn send(&self, kind: TrackKind, packet: RtpPacket) -> Result<(), ClientError> {
        let outgoing = self.outgoing(kind)?;
        outgoing.packets.fetch_add(1, Ordering::Relaxed);
        let octets = u32::try_from(packet.payload.len()).unwrap_or_default();
        outgoing.octets.fetch_add(octets, Ordering::Relaxed);
        let packet = rtp::Packet {
            header: rtp::header::Header {
                version: 2,
                marker: packet.marker,
                payload_type: outgoing.payload_type.load(Ordering::Relaxed),
                sequence_number: packet.sequence,
                timestamp: packet.timestamp,
                ssrc: outgoing.ssrc,
                ..Default::default()
            },
            payload: packet.payload,
        };
        outgoing
            .track
            .write_rtp(packet)
            .await
            .map_err(connection_error)
    }

    /// Tells the server how the track's clock relates to the wall clock; about once a second, and first of all when connected.
    pub async fn send_report(
        &self,
        kind: TrackKind,
        report: SenderReport,
    ) -> Result<(), ClientError> {
        let outgoing = self.outgoing(kind)?;
        let report = rtcp::sender_report::SenderReport {
            ssrc: outgoing.ssrc,
            ntp_time: ntp_fixed_point(report.ntp_time),
            rtp_time: report.rtp_timestamp,
            packet_count: outgoing.packets.load(Ordering::Relaxed),
            octet_count: outgoing.octets.load(Ordering::Relaxed),
            ..Default::default()
        };
        outgoing
            .track
            .write_rtcp(vec![Box::new(report)])
            .await
            .map_err(connection_error)
    }

    /// Ends the connection and tells the server so by DTLS.
    pub async fn close(self) -> Result<(), ClientError> {
        self.connection.close().await.map_err(connection_error)
    }

    fn outgoing(&self, kind: TrackKind) -> Result<&Outgoing, ClientError> {
        match kind {
            TrackKind::Video => self.video.as_ref(),
            TrackKind::Audio => self.audio.as_ref(),
        }
        .ok_or(ClientError::NoSuchTrack(kind))
    }
}

impl fmt::Debug for PublishingPeer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PublishingPeer")
            .field("video", &self.video.is_some())
            .field("audio", &self.audio.is_some())
            .finish_non_exhaustive()
    }
}

impl Outgoing {
    fn video(codec: VideoCodec) -> Self {
        let ssrc = rand::random();
        Self::new(
            engine::video_track(codec, ssrc, rand::random()),
            ssrc,
            VIDEO_PAYLOAD_TYPE,
        )
    }

    fn audio() -> Self {
        let ssrc = rand::random();
        Self::new(engine::audio_track(ssrc), ssrc, AUDIO_PAYLOAD_TYPE)
    }

    fn new(track: rtc::media_stream::MediaStreamTrack, ssrc: u32, payload_type: u8) -> Self {
        Self {
            track: Arc::new(TrackLocalStaticRTP::new(track)),
            ssrc,
            payload_type: AtomicU8::new(payload_type),
            packets: AtomicU32::new(0),
            octets: AtomicU32::new(0),
        }
    }
}

/// Passes the crate's callbacks on as events.
struct Handler {
    events: mpsc::Sender<ClientEvent>,
    gathered: Arc<Notify>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.notify_one();
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the crate's enum may grow; other states pass by themselves"
        )]
        let event = match state {
            RTCPeerConnectionState::Connected => ClientEvent::Connected,
            RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed => ClientEvent::Closed,
            _ => return,
        };
        // The driver calls this: it must not wait for a reader that may be gone.
        let _ = self.events.try_send(event);
    }
}

/// Seconds in the upper half, their fraction in the lower (RFC 3550 § 4).
fn ntp_fixed_point(time: Duration) -> u64 {
    let fraction = (u64::from(time.subsec_nanos()) << 32) / 1_000_000_000;
    (time.as_secs() & u64::from(u32::MAX)) << 32 | fraction
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn connection_error(error: webrtc::error::Error) -> ClientError {
    ClientError::Connection(error.to_string())
}
