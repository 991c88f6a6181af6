//! A connection that watches, for tests: what arrives is told as it was on the wire, before any repair.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use media::VideoCodec;
use rtc::{
    ice::mdns::MulticastDnsMode,
    interceptor::{Interceptor, Packet, Slot, StreamInfo, TaggedPacket},
    peer_connection::configuration::setting_engine::SettingEngineBuilder,
    rtcp::{self, sender_report::SenderReport},
    rtp,
    rtp_transceiver::{
        RTCRtpTransceiverDirection, RTCRtpTransceiverInit, rtp_sender::RtpCodecKind,
    },
    sansio::Protocol,
    shared::error::Error,
};
use tokio::sync::{Notify, mpsc};
use webrtc::{
    media_stream::track_remote::TrackRemote,
    peer_connection::{
        PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
        RTCSessionDescription,
    },
    runtime::default_runtime,
};

use super::{ear::Ear, engine};

/// More than a test produces.
const QUEUE: usize = 10_000;

/// What arrives.
#[derive(Debug)]
pub(crate) enum Received {
    Packet(rtp::Packet),
    Report(SenderReport),
}

/// A viewer of one codec, and of sound.
pub(crate) struct WatchingPeer {
    connection: Arc<dyn PeerConnection>,
    tracks: mpsc::Receiver<Arc<dyn TrackRemote>>,
    pub(crate) arrivals: mpsc::Receiver<Received>,
}

impl WatchingPeer {
    pub(crate) async fn offer(codec: VideoCodec) -> (Self, String) {
        let (events, _) = mpsc::channel(QUEUE);
        let (engine, registry) = engine::engine(codec, Ear::new(events)).unwrap();
        let (arriving, arrivals) = mpsc::channel(QUEUE);
        let (opened, tracks) = mpsc::channel(2);
        let gathered = Arc::new(Notify::new());
        let building = PeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_interceptor_registry(registry.with(Slot::from(1), Tap::new(arriving)))
            .with_setting_engine(
                SettingEngineBuilder::new()
                    .with_multicast_dns_mode(MulticastDnsMode::Disabled)
                    .with_include_loopback_candidate(true)
                    .build(),
            )
            .with_handler(Arc::new(Handler {
                gathered: Arc::clone(&gathered),
                opened,
            }))
            .with_runtime(default_runtime().unwrap())
            .with_udp_addrs(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))])
            .build();
        let connection: Arc<dyn PeerConnection> = Arc::new(Box::pin(building).await.unwrap());
        for kind in [RtpCodecKind::Audio, RtpCodecKind::Video] {
            let receive_only = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Recvonly,
                ..Default::default()
            };
            connection
                .add_transceiver_from_kind(kind, Some(receive_only))
                .await
                .unwrap();
        }
        let offer = connection.create_offer(None).await.unwrap();
        connection.set_local_description(offer).await.unwrap();
        gathered.notified().await;
        let offer = connection.local_description().await.unwrap().sdp;
        let peer = Self {
            connection,
            tracks,
            arrivals,
        };
        (peer, offer)
    }

    pub(crate) async fn accept_answer(&self, answer: &str) {
        let answer = RTCSessionDescription::answer(answer.to_owned()).unwrap();
        self.connection
            .set_remote_description(answer)
            .await
            .unwrap();
    }

    /// Asks for something once the first track is open.
    pub(crate) async fn ask(&mut self, request: impl rtcp::Packet + 'static) {
        let track = self.tracks.recv().await.unwrap();
        track.write_rtcp(vec![Box::new(request)]).await.unwrap();
    }

    pub(crate) async fn close(self) {
        self.connection.close().await.unwrap();
    }
}

struct Handler {
    gathered: Arc<Notify>,
    opened: mpsc::Sender<Arc<dyn TrackRemote>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.notify_one();
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let _ = self.opened.try_send(track);
    }
}

struct Tap {
    arriving: mpsc::Sender<Received>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Tap {
    fn new(arriving: mpsc::Sender<Received>) -> Self {
        Self {
            arriving,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &packet.message.packet {
            let _ = self.arriving.try_send(Received::Packet(packet.clone()));
        }
        if let Packet::Rtcp(packets) = &packet.message.packet {
            for report in packets
                .iter()
                .filter_map(|packet| packet.as_any().downcast_ref::<SenderReport>())
            {
                let _ = self.arriving.try_send(Received::Report(report.clone()));
            }
        }
        self.reads.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.writes.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
