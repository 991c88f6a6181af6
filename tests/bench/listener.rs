//! The receiving half of a room's load: connections that take what others send, and one thread that turns them all.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    net::{Ipv4Addr, UdpSocket},
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use bytes::{Bytes, BytesMut};
use media::VideoCodec;
use rtc::{
    ice::mdns::MulticastDnsMode,
    interceptor::Registry,
    peer_connection::{
        RTCPeerConnection, RTCPeerConnectionBuilder,
        configuration::{
            interceptor_registry::register_default_interceptors, media_engine::MediaEngine,
            setting_engine::SettingEngineBuilder,
        },
        event::RTCPeerConnectionEvent,
        message::RTCMessage,
        sdp::RTCSessionDescription,
        state::RTCPeerConnectionState,
        transport::{CandidateConfig, CandidateHostConfig, RTCIceCandidate},
    },
    rtp_transceiver::{
        RTCRtpTransceiverDirection, RTCRtpTransceiverInit,
        rtp_sender::{RTCRtpCodecParameters, RtpCodecKind},
    },
    sansio::Protocol,
    shared::{TaggedBytesMut, TransportContext, TransportProtocol},
};
use tokio::sync::oneshot;

use crate::{
    commanded::Commanded,
    peer::{
        AUDIO_PAYLOAD_TYPE, CHECK_INTERVAL, CHECKS, RTX_PAYLOAD_TYPE, VIDEO_PAYLOAD_TYPE,
        datagram_buffer, opus, picture, rtx,
    },
};

/// How often the sockets are looked at.
const TURN: Duration = Duration::from_millis(1);

/// What one connection got of one picture.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    /// Packets, each once.
    pub(crate) packets: u64,
    /// Packets that are missing between the first and the last.
    pub(crate) missing: u64,
    /// When the last packet of each picture came, and its payload.
    pub(crate) pictures: Vec<(Instant, Bytes)>,
    first: u16,
    highest: u64,
}

/// What one connection got.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// Streams of pictures, by SSRC.
    pub(crate) pictures: BTreeMap<u32, Stream>,
    /// Packets of sound.
    pub(crate) sounds: u64,
    /// The connection broke.
    pub(crate) failed: bool,
}

#[derive(Debug)]
enum Command {
    /// So many tracks of each kind.
    Offer(usize, oneshot::Sender<anyhow::Result<String>>),
    Answer(String, oneshot::Sender<anyhow::Result<()>>),
    Finish(oneshot::Sender<Vec<Heard>>),
}

/// The running listeners. Dropping them ends their thread.
#[derive(Debug)]
pub(crate) struct Listeners(Commanded<Command>);

impl Listeners {
    pub(crate) fn start() -> io::Result<Self> {
        Commanded::start("listeners", |commands| run(&commands)).map(Self)
    }

    /// Opens the next connection, for so many pictures and sounds, and returns its offer.
    pub(crate) async fn offer(&self, tracks: usize) -> anyhow::Result<String> {
        self.0.ask(|reply| Command::Offer(tracks, reply)).await?
    }

    /// Gives the newest connection its answer.
    pub(crate) async fn answer(&self, sdp: String) -> anyhow::Result<()> {
        self.0.ask(|reply| Command::Answer(sdp, reply)).await?
    }

    /// Ends all connections and tells what each got.
    pub(crate) async fn finish(&self) -> anyhow::Result<Vec<Heard>> {
        self.0.ask(Command::Finish).await
    }
}

fn run(commands: &mpsc::Receiver<Command>) {
    let mut listeners: Vec<Listener> = Vec::new();
    let mut buffer = datagram_buffer();
    loop {
        let turn = Instant::now();
        loop {
            // Whoever asked may have given up; then nobody misses the reply.
            match commands.try_recv() {
                Ok(Command::Offer(tracks, reply)) => {
                    let opened = Listener::offer(tracks, turn);
                    let _ = reply.send(opened.map(|(listener, offer)| {
                        listeners.push(listener);
                        offer
                    }));
                }
                Ok(Command::Answer(sdp, reply)) => {
                    let accepted = match listeners.last_mut() {
                        Some(listener) => listener.accept_answer(sdp, turn),
                        None => Err(anyhow!("no connection waits for an answer")),
                    };
                    let _ = reply.send(accepted);
                }
                Ok(Command::Finish(reply)) => {
                    let _ =
                        reply.send(listeners.drain(..).map(|listener| listener.heard).collect());
                }
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => return,
            }
        }
        for listener in &mut listeners {
            if !listener.heard.failed && listener.turn(Instant::now(), &mut buffer).is_err() {
                listener.heard.failed = true;
            }
        }
        std::thread::sleep(TURN.saturating_sub(turn.elapsed()));
    }
}

/// One connection.
struct Listener {
    connection: RTCPeerConnection,
    socket: UdpSocket,
    heard: Heard,
}

impl Listener {
    fn offer(tracks: usize, now: Instant) -> anyhow::Result<(Self, String)> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        let mut engine = MediaEngine::default();
        for (rtp_codec, payload_type, kind) in [
            (
                picture(VideoCodec::H264),
                VIDEO_PAYLOAD_TYPE,
                RtpCodecKind::Video,
            ),
            (rtx(), RTX_PAYLOAD_TYPE, RtpCodecKind::Video),
            (opus(), AUDIO_PAYLOAD_TYPE, RtpCodecKind::Audio),
        ] {
            let parameters = RTCRtpCodecParameters {
                rtp_codec,
                payload_type,
            };
            engine.register_codec(parameters, kind)?;
        }
        let registry = register_default_interceptors(Registry::new(), &mut engine)?;
        let settings = SettingEngineBuilder::new()
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .with_include_loopback_candidate(true)
            .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(CHECKS))
            .build();
        let mut connection = RTCPeerConnectionBuilder::new()
            .with_setting_engine(settings)
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .build(now)?;
        for kind in [RtpCodecKind::Video, RtpCodecKind::Audio].repeat(tracks) {
            let receive_only = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Recvonly,
                ..Default::default()
            };
            connection.add_transceiver_from_kind(kind, Some(receive_only))?;
        }
        let candidate = CandidateHostConfig {
            base_config: CandidateConfig {
                network: "udp".to_owned(),
                address: Ipv4Addr::LOCALHOST.to_string(),
                port: socket.local_addr()?.port(),
                component: 1,
                ..Default::default()
            },
            ..Default::default()
        }
        .new_candidate_host()?;
        let offer = connection.create_offer(None)?;
        connection.set_local_description(now, offer)?;
        connection.add_local_candidate(RTCIceCandidate::from(&candidate).to_json()?)?;
        let offer = connection
            .local_description()
            .context("there is no offer")?
            .sdp
            .clone();
        let heard = Heard {
            pictures: BTreeMap::new(),
            sounds: 0,
            failed: false,
        };
        let listener = Self {
            connection,
            socket,
            heard,
        };
        Ok((listener, offer))
    }

    fn accept_answer(&mut self, answer: String, now: Instant) -> anyhow::Result<()> {
        let answer = RTCSessionDescription::answer(answer)?;
        self.connection.set_remote_description(now, answer)?;
        Ok(())
    }

    /// Does everything that is due.
    fn turn(&mut self, now: Instant, buffer: &mut [u8]) -> anyhow::Result<()> {
        loop {
            let (length, from) = match self.socket.recv_from(buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The gateway has closed its socket; the connection will find out.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => break,
                Err(error) => return Err(error.into()),
            };
            self.connection.handle_read(TaggedBytesMut {
                now,
                transport: TransportContext {
                    local_addr: self.socket.local_addr()?,
                    peer_addr: from,
                    transport_protocol: TransportProtocol::UDP,
                    ecn: None,
                },
                message: BytesMut::from(&buffer[..length]),
            })?;
            self.read(Instant::now());
        }
        if self.connection.poll_timeout().is_some_and(|due| due <= now) {
            self.connection.handle_timeout(now)?;
        }
        while let Some(outgoing) = self.connection.poll_write() {
            // What the kernel's queue does not take is lost, as on a network.
            let _ = self
                .socket
                .send_to(&outgoing.message, outgoing.transport.peer_addr);
        }
        while let Some(event) = self.connection.poll_event() {
            if let RTCPeerConnectionEvent::OnConnectionStateChangeEvent(state) = event {
                self.heard.failed |= state == RTCPeerConnectionState::Failed;
            }
        }
        Ok(())
    }

    fn read(&mut self, now: Instant) {
        while let Some(read) = self.connection.poll_read() {
            let RTCMessage::RtpPacket(_, packet) = read.message else {
                continue;
            };
            let header = &packet.header;
            if header.payload_type == AUDIO_PAYLOAD_TYPE {
                self.heard.sounds += 1;
            } else if header.payload_type == VIDEO_PAYLOAD_TYPE {
                let stream = self
                    .heard
                    .pictures
                    .entry(header.ssrc)
                    .or_insert_with(|| Stream::new(header.sequence_number));
                stream.count(header.sequence_number);
                if header.marker {
                    stream.pictures.push((now, packet.payload));
                }
            }
        }
    }
}

impl Stream {
    const fn new(first: u16) -> Self {
        Self {
            packets: 0,
            missing: 0,
            pictures: Vec::new(),
            first,
            highest: 0,
        }
    }

    fn count(&mut self, sequence: u16) {
        let low = u16::try_from(self.highest & 0xffff).unwrap_or_default();
        let ahead = sequence.wrapping_sub(self.first).wrapping_sub(low);
        if ahead < 0x8000 {
            self.highest += u64::from(ahead);
        }
        self.packets += 1;
        self.missing = (self.highest + 1).saturating_sub(self.packets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_counted_over_the_wrap() {
        let mut stream = Stream::new(65_534);
        for sequence in [65_534, 65_535, 2, 1] {
            stream.count(sequence);
        }

        assert_eq!((stream.packets, stream.missing), (4, 1));
    }
}
