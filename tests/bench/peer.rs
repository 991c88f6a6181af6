//! One WHIP session of the load, on the sans-IO core: an offer, an answer, and packets by the clock.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use bytes::BytesMut;
use media::{TrackKind, VideoCodec};
use rtc::{
    ice::mdns::MulticastDnsMode,
    interceptor::{NackResponderBuilder, Registry, Slot},
    media_stream::MediaStreamTrack,
    peer_connection::{
        RTCPeerConnection, RTCPeerConnectionBuilder,
        configuration::{
            interceptor_registry::configure_twcc_sender_only,
            media_engine::{
                MIME_TYPE_AV1, MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_RTX, MIME_TYPE_VP8,
                MIME_TYPE_VP9, MediaEngine,
            },
            setting_engine::SettingEngineBuilder,
        },
        event::RTCPeerConnectionEvent,
        sdp::RTCSessionDescription,
        state::RTCPeerConnectionState,
        transport::{CandidateConfig, CandidateHostConfig, RTCIceCandidate},
    },
    rtcp::sender_report::SenderReport,
    rtp,
    rtp_transceiver::{
        RTCRtpSenderId, RTCRtpTransceiverDirection, RTCRtpTransceiverInit,
        rtp_sender::{
            RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters,
            RTCRtpEncodingParameters, RTCRtpRtxParameters, RtpCodecKind,
        },
    },
    sansio::Protocol,
    shared::{TaggedBytesMut, TransportContext, TransportProtocol},
};

use crate::recording::{AUDIO_CLOCK_HZ, Item, LOOP, Recording, VIDEO_CLOCK_HZ};

/// Chrome's payload types.
pub(crate) const VIDEO_PAYLOAD_TYPE: u8 = 102;
pub(crate) const RTX_PAYLOAD_TYPE: u8 = 103;
pub(crate) const AUDIO_PAYLOAD_TYPE: u8 = 111;

/// From the NTP epoch (1900) to the Unix epoch (1970), in seconds.
const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;

/// How often the clocks are told.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Between two connectivity checks while connecting, as in Chrome; the crate's default is 200 ms.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Unanswered checks after which a path is given up: three seconds' worth.
pub(crate) const CHECKS: u16 = 60;

/// Larger than any datagram of the gateway.
const DATAGRAM_BYTES: usize = 2048;

/// One session.
pub(crate) struct Peer {
    connection: RTCPeerConnection,
    socket: UdpSocket,
    video: Track,
    audio: Track,
    recording: Arc<Recording>,
    /// When the loop began for the first time, once connected.
    started: Option<Instant>,
    next_item: usize,
    rounds: u32,
    next_report: Instant,
    /// When the last packet of each picture left, by number.
    pub(crate) sent: Vec<Instant>,
    /// How late the worst packet left.
    pub(crate) latest: Duration,
    pub(crate) connected: bool,
    pub(crate) failed: bool,
    loss: Option<Loss>,
}

/// Packets that never leave, as on a bad network.
struct Loss {
    until: Instant,
    /// Of a hundred media packets, so many are lost.
    percent: u64,
    random: u64,
}

impl Loss {
    /// Decides about the next packet, by a linear congruence (Knuth's MMIX).
    fn takes_next(&mut self) -> bool {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % 100 < self.percent
    }
}

struct Track {
    sender: RTCRtpSenderId,
    ssrc: u32,
    payload_type: u8,
    sequence: u16,
    clock_hz: u32,
    packets: u32,
    octets: u32,
}

impl Peer {
    /// Opens a session and makes its offer.
    pub(crate) fn offer(
        recording: Arc<Recording>,
        number: u32,
        now: Instant,
    ) -> anyhow::Result<(Self, String)> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        let mut engine = MediaEngine::default();
        for (codec, payload_type, kind) in [
            (
                picture(recording.codec),
                VIDEO_PAYLOAD_TYPE,
                RtpCodecKind::Video,
            ),
            (rtx(), RTX_PAYLOAD_TYPE, RtpCodecKind::Video),
            (opus(), AUDIO_PAYLOAD_TYPE, RtpCodecKind::Audio),
        ] {
            let parameters = RTCRtpCodecParameters {
                rtp_codec: codec,
                payload_type,
            };
            engine.register_codec(parameters, kind)?;
        }
        let registry = Registry::new().with(
            Slot::NackResponder,
            NackResponderBuilder::new().with_size(512).build(),
        );
        let registry = configure_twcc_sender_only(registry, &mut engine)?;
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
        let ssrc = number * 8 + 1;
        let audio = coding(ssrc, None);
        let video = coding(ssrc + 1, Some(ssrc + 2));
        let audio = add(&mut connection, RtpCodecKind::Audio, opus(), audio)?;
        let codec = picture(recording.codec);
        let video = add(&mut connection, RtpCodecKind::Video, codec, video)?;
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
        let peer = Self {
            connection,
            socket,
            video: Track::new(video, ssrc + 1, VIDEO_PAYLOAD_TYPE, VIDEO_CLOCK_HZ),
            audio: Track::new(audio, ssrc, AUDIO_PAYLOAD_TYPE, AUDIO_CLOCK_HZ),
            recording,
            started: None,
            next_item: 0,
            rounds: 0,
            next_report: now,
            sent: Vec::new(),
            latest: Duration::ZERO,
            connected: false,
            failed: false,
            loss: None,
        };
        Ok((peer, offer))
    }

    /// Takes the gateway's answer; packets flow once connected.
    pub(crate) fn accept_answer(&mut self, answer: String, now: Instant) -> anyhow::Result<()> {
        let answer = RTCSessionDescription::answer(answer)?;
        self.connection.set_remote_description(now, answer)?;
        Ok(())
    }

    /// Does everything that is due.
    pub(crate) fn turn(&mut self, now: Instant, buffer: &mut [u8]) -> anyhow::Result<()> {
        self.receive(now, buffer)?;
        if self.connected {
            self.send_due(now)?;
        }
        if self.connection.poll_timeout().is_some_and(|due| due <= now) {
            self.connection.handle_timeout(now)?;
        }
        self.flush()?;
        while let Some(event) = self.connection.poll_event() {
            if let RTCPeerConnectionEvent::OnConnectionStateChangeEvent(state) = event {
                self.connected = state == RTCPeerConnectionState::Connected;
                self.failed |= state == RTCPeerConnectionState::Failed;
            }
        }
        while self.connection.poll_read().is_some() {}
        Ok(())
    }

    /// Loses so many of a hundred media packets until then.
    pub(crate) fn lose(&mut self, percent: u64, until: Instant) {
        self.loss = Some(Loss {
            until,
            percent,
            random: percent,
        });
    }

    /// Tells the gateway that the session is over.
    pub(crate) fn close(&mut self) -> anyhow::Result<()> {
        self.connection.close()?;
        self.flush()
    }

    fn receive(&mut self, now: Instant, buffer: &mut [u8]) -> anyhow::Result<()> {
        loop {
            let (length, from) = match self.socket.recv_from(buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The gateway has closed its socket; the connection will find out.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(()),
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
        }
    }

    fn send_due(&mut self, now: Instant) -> anyhow::Result<()> {
        let started = *self.started.get_or_insert(now);
        if self.next_report <= now {
            self.next_report = now + REPORT_INTERVAL;
            self.report(now, now - started)?;
        }
        let recording = Arc::clone(&self.recording);
        loop {
            let item = &recording.packets[self.next_item];
            let due = started + LOOP * self.rounds + item.at;
            if due > now {
                return Ok(());
            }
            self.latest = self.latest.max(now - due);
            self.write(item, now)?;
            self.next_item += 1;
            if self.next_item == recording.packets.len() {
                self.next_item = 0;
                self.rounds += 1;
            }
        }
    }

    fn write(&mut self, item: &Item, now: Instant) -> anyhow::Result<()> {
        let track = match item.kind {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        };
        let loop_ticks = u32::try_from(LOOP.as_secs())? * track.clock_hz;
        let header = rtp::header::Header {
            version: 2,
            marker: item.marker,
            payload_type: track.payload_type,
            sequence_number: track.sequence,
            timestamp: item
                .timestamp
                .wrapping_add(self.rounds.wrapping_mul(loop_ticks)),
            ssrc: track.ssrc,
            ..Default::default()
        };
        track.sequence = track.sequence.wrapping_add(1);
        track.packets = track.packets.wrapping_add(1);
        track.octets = track
            .octets
            .wrapping_add(u32::try_from(item.payload.len())?);
        let packet = rtp::Packet {
            header,
            payload: item.payload.clone(),
        };
        self.connection
            .rtp_sender(track.sender)
            .context("the sender is gone")?
            .write_rtp(now, packet)?;
        // Each packet goes out at once, so that the time noted is the time of sending.
        self.flush()?;
        if item.kind == TrackKind::Video && item.marker {
            self.sent.push(Instant::now());
        }
        Ok(())
    }

    fn report(&mut self, now: Instant, media: Duration) -> anyhow::Result<()> {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let seconds = (wall.as_secs() + NTP_TO_UNIX_SECONDS) & u64::from(u32::MAX);
        let fraction = (u64::from(wall.subsec_nanos()) << 32) / 1_000_000_000;
        for track in [&self.video, &self.audio] {
            let ticks = media.as_nanos() * u128::from(track.clock_hz) / 1_000_000_000;
            let report = SenderReport {
                ssrc: track.ssrc,
                ntp_time: (seconds << 32) | fraction,
                rtp_time: u32::try_from(ticks & u128::from(u32::MAX))?,
                packet_count: track.packets,
                octet_count: track.octets,
                ..Default::default()
            };
            self.connection
                .rtp_sender(track.sender)
                .context("the sender is gone")?
                .write_rtcp(now, vec![Box::new(report)])?;
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.loss.take_if(|loss| loss.until <= Instant::now());
        while let Some(outgoing) = self.connection.poll_write() {
            // RTP and RTCP, by the first byte (RFC 7983).
            let is_media = (128..192).contains(outgoing.message.first().unwrap_or(&0));
            if is_media && self.loss.as_mut().is_some_and(Loss::takes_next) {
                continue;
            }
            match self
                .socket
                .send_to(&outgoing.message, outgoing.transport.peer_addr)
            {
                Ok(_) => {}
                // The kernel's queue is full or the gateway is gone: as on a network, the packet is lost.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::ConnectionRefused
                    ) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Track {
    fn new(sender: RTCRtpSenderId, ssrc: u32, payload_type: u8, clock_hz: u32) -> Self {
        Self {
            sender,
            ssrc,
            payload_type,
            sequence: 0,
            clock_hz,
            packets: 0,
            octets: 0,
        }
    }
}

/// A buffer that [`Peer::turn`] can receive into.
pub(crate) fn datagram_buffer() -> Vec<u8> {
    vec![0; DATAGRAM_BYTES]
}

fn add(
    connection: &mut RTCPeerConnection,
    kind: RtpCodecKind,
    codec: RTCRtpCodec,
    coding: RTCRtpCodingParameters,
) -> anyhow::Result<RTCRtpSenderId> {
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: coding,
        codec,
        ..Default::default()
    };
    let track = MediaStreamTrack::new(
        "bench".to_owned(),
        format!("bench-{kind}"),
        format!("bench-{kind}"),
        kind,
        vec![encoding],
    );
    let send_only = RTCRtpTransceiverInit {
        direction: RTCRtpTransceiverDirection::Sendonly,
        ..Default::default()
    };
    let id = connection.add_transceiver_from_track(track, Some(send_only))?;
    connection
        .rtp_transceiver(id)
        .and_then(|transceiver| transceiver.sender())
        .context("the track has no sender")
}

fn coding(ssrc: u32, retransmission: Option<u32>) -> RTCRtpCodingParameters {
    RTCRtpCodingParameters {
        ssrc: Some(ssrc),
        rtx: retransmission.map(|ssrc| RTCRtpRtxParameters { ssrc }),
        ..Default::default()
    }
}

pub(crate) fn picture(codec: VideoCodec) -> RTCRtpCodec {
    let (mime_type, parameters) = match codec {
        VideoCodec::H264 => (
            MIME_TYPE_H264,
            "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        ),
        VideoCodec::Vp8 => (MIME_TYPE_VP8, ""),
        VideoCodec::Vp9 => (MIME_TYPE_VP9, "profile-id=0"),
        VideoCodec::Av1 => (MIME_TYPE_AV1, ""),
    };
    let feedback = |kind: &str, parameter: &str| RTCPFeedback {
        typ: kind.to_owned(),
        parameter: parameter.to_owned(),
    };
    RTCRtpCodec {
        mime_type: mime_type.to_owned(),
        clock_rate: VIDEO_CLOCK_HZ,
        channels: 0,
        sdp_fmtp_line: parameters.to_owned(),
        rtcp_feedback: vec![feedback("nack", ""), feedback("nack", "pli")],
    }
}

pub(crate) fn rtx() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_RTX.to_owned(),
        clock_rate: VIDEO_CLOCK_HZ,
        channels: 0,
        sdp_fmtp_line: format!("apt={VIDEO_PAYLOAD_TYPE}"),
        rtcp_feedback: Vec::new(),
    }
}

pub(crate) fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.to_owned(),
        clock_rate: AUDIO_CLOCK_HZ,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1".to_owned(),
        rtcp_feedback: Vec::new(),
    }
}
