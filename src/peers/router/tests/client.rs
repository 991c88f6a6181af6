//! A participant's client over real sockets: it speaks STUN, DTLS and SRTP as browsers do, and sends what a test says.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use ortc::{DtlsParameters, DtlsRole, IceParameters};
use rtc::{crypto::RTCCryptoProvider, rtcp};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::mpsc,
    time::timeout_at,
};

use crate::{
    Peers, SessionId,
    door::stun::{Credentials, nominating_request},
    packet::{self, Arrived},
    router::{
        OpenTransport, RouterId, TransportEvent, TransportProgress,
        dtls::{Handshake, Step},
        identity::Identity,
    },
    srtp::{Opener, Sealer},
};

pub(super) const DEADLINE: Duration = Duration::from_mins(1);
const DATAGRAM_BYTES: usize = 2048;
const SSRCS: usize = 64;
/// How often a binding request is sent, and how long its answer is waited for.
const ATTEMPTS: usize = 40;
const REPEAT: Duration = Duration::from_millis(500);

/// What a client gets.
#[derive(Debug)]
pub(super) enum Got {
    Rtp(Arrived),
    Rtcp(Vec<Box<dyn rtcp::Packet>>),
}

/// How a client is connected.
enum Wire {
    Udp(UdpSocket, SocketAddr),
    /// ICE-TCP (RFC 6544), each datagram behind its length (RFC 4571).
    Tcp(TcpStream),
}

impl Wire {
    async fn udp(to: SocketAddr) -> Self {
        let socket = UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await;
        Self::Udp(socket.unwrap(), to)
    }

    async fn send(&mut self, datagram: &[u8]) {
        match self {
            Self::Udp(socket, to) => {
                socket.send_to(datagram, *to).await.unwrap();
            }
            Self::Tcp(stream) => {
                let length = u16::try_from(datagram.len()).unwrap();
                let frame = [&length.to_be_bytes()[..], datagram].concat();
                stream.write_all(&frame).await.unwrap();
            }
        }
    }

    /// The next datagram until `deadline`. Of TCP a frame that has begun is waited for.
    async fn receive(&mut self, deadline: tokio::time::Instant) -> Option<Vec<u8>> {
        match self {
            Self::Udp(socket, _) => {
                let mut datagram = vec![0; DATAGRAM_BYTES];
                let received = timeout_at(deadline, socket.recv_from(&mut datagram)).await;
                let (length, _) = received.ok()?.unwrap();
                datagram.truncate(length);
                Some(datagram)
            }
            Self::Tcp(stream) => {
                timeout_at(deadline, stream.readable()).await.ok()?.unwrap();
                let mut datagram = vec![0; usize::from(stream.read_u16().await.unwrap())];
                stream.read_exact(&mut datagram).await.unwrap();
                Some(datagram)
            }
        }
    }
}

/// One connection of one client.
pub(super) struct Client {
    wire: Wire,
    to: SocketAddr,
    pub(super) session: SessionId,
    pub(super) events: mpsc::Receiver<TransportEvent>,
    crypto: Arc<dyn RTCCryptoProvider>,
    credentials: Credentials,
    identity: Identity,
    handshake: Handshake,
    pub(super) sealer: Option<Sealer>,
    opener: Option<Opener>,
    /// Each so many-th RTP packet to the client is lost, if any.
    pub(super) loses: Option<u32>,
    came: u32,
}

fn credentials(ice: &IceParameters) -> Credentials {
    Credentials {
        fragment: ice.username_fragment.clone(),
        password: ice.password.clone(),
    }
}

impl Client {
    /// Opens a transport, and a client that has not said anything yet.
    pub(super) async fn open(peers: &Peers, router: RouterId) -> (Self, OpenTransport) {
        let mut open = peers.open_transport(router).await.unwrap();
        let crypto = rtc::crypto::default_provider().unwrap();
        let (_, nothing) = mpsc::channel(1);
        let candidate = &open.candidates[0];
        let to = SocketAddr::new(candidate.address, candidate.port);
        let client = Self {
            wire: Wire::udp(to).await,
            to,
            session: open.session.clone(),
            events: std::mem::replace(&mut open.events, nothing),
            credentials: Credentials {
                fragment: "browser".to_owned(),
                password: "a password that it never tells".to_owned(),
            },
            identity: Identity::new(crypto.crypto()).unwrap(),
            crypto,
            handshake: Handshake::default(),
            sealer: None,
            opener: None,
            loses: None,
            came: 0,
        };
        (client, open)
    }

    /// Opens a transport and connects it as mediasoup-client does.
    pub(super) async fn connected(peers: &Peers, router: RouterId) -> Self {
        let (client, open) = Self::open(peers, router).await;
        client.connect(peers, &open).await
    }

    /// The same by TCP.
    pub(super) async fn connected_by_tcp(peers: &Peers, router: RouterId) -> Self {
        let (mut client, open) = Self::open(peers, router).await;
        client.move_to_tcp().await;
        client.connect(peers, &open).await
    }

    async fn connect(self, peers: &Peers, open: &OpenTransport) -> Self {
        let mut client = self;
        client.prove(&open.ice).await;
        client.greet(&open.dtls);
        let dtls = client.parameters(DtlsRole::Client);
        peers
            .connect_transport(&client.session, dtls)
            .await
            .unwrap();
        client.shake_hands().await;
        client.wait_for(TransportProgress::Connected).await;
        client
    }

    /// What it tells of its certificate.
    pub(super) fn parameters(&self, role: DtlsRole) -> DtlsParameters {
        DtlsParameters {
            role,
            ..self.identity.parameters()
        }
    }

    /// Proves its path, and waits for the answer.
    pub(super) async fn prove(&mut self, ice: &IceParameters) {
        let local = credentials(ice);
        let request = nominating_request(&self.credentials, &local, self.crypto.crypto()).unwrap();
        for _ in 0..ATTEMPTS {
            self.wire.send(&request).await;
            let deadline = tokio::time::Instant::now() + REPEAT;
            while let Some(datagram) = self.wire.receive(deadline).await {
                // A binding success (RFC 8489 § 5).
                if datagram.starts_with(&[1, 1]) {
                    return;
                }
            }
        }
        panic!("no answer to a binding request");
    }

    /// Takes the other's certificate and begins the handshake.
    pub(super) fn greet(&mut self, dtls: &DtlsParameters) {
        let theirs = DtlsParameters {
            role: DtlsRole::Server,
            ..dtls.clone()
        };
        self.handshake
            .connect(&theirs, &self.identity, &self.crypto, Instant::now())
            .unwrap();
    }

    /// Takes the other's certificate and waits for it to begin the handshake.
    pub(super) fn await_greeting(&mut self, dtls: &DtlsParameters) {
        let theirs = DtlsParameters {
            role: DtlsRole::Client,
            ..dtls.clone()
        };
        self.handshake
            .connect(&theirs, &self.identity, &self.crypto, Instant::now())
            .unwrap();
    }

    /// Sends what the handshake has to say now.
    pub(super) async fn send_flight(&mut self) {
        while let Some(out) = self.handshake.poll_transmit() {
            self.wire.send(&out).await;
        }
    }

    /// Listens to the handshake for so long.
    pub(super) async fn hear_for(&mut self, patience: Duration) {
        let deadline = tokio::time::Instant::now() + patience;
        while let Some(datagram) = self.wire.receive(deadline).await {
            self.hear(&datagram);
        }
        self.handshake.handle_timeout(Instant::now());
    }

    /// Goes to another address.
    pub(super) async fn move_elsewhere(&mut self) {
        self.wire = Wire::udp(self.to).await;
    }

    /// Goes over to TCP.
    pub(super) async fn move_to_tcp(&mut self) {
        self.wire = Wire::Tcp(TcpStream::connect(self.to).await.unwrap());
    }

    /// Carries the handshake on until there are keys.
    pub(super) async fn shake_hands(&mut self) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while self.sealer.is_none() {
            while let Some(out) = self.handshake.poll_transmit() {
                self.wire.send(&out).await;
            }
            let wake = self.handshake.poll_timeout().map_or(deadline, |due| {
                tokio::time::Instant::from_std(due).min(deadline)
            });
            assert!(
                tokio::time::Instant::now() < deadline,
                "the handshake did not end"
            );
            if let Some(datagram) = self.wire.receive(wake).await {
                if (20..64).contains(&datagram[0]) {
                    self.hear(&datagram);
                }
            } else {
                self.handshake.handle_timeout(Instant::now());
            }
        }
        // The last flight of the handshake, if it is the client's.
        while let Some(out) = self.handshake.poll_transmit() {
            self.wire.send(&out).await;
        }
    }

    fn hear(&mut self, datagram: &[u8]) {
        if let Step::Finished(keys) = self.handshake.handle_datagram(datagram, Instant::now()) {
            self.sealer = Some(Sealer::new(&keys.sending, &self.crypto).unwrap());
            let crypto = Arc::clone(&self.crypto);
            self.opener = Some(Opener::new(keys.receiving, SSRCS, crypto).unwrap());
        }
    }

    /// Waits until it is told that the transport is this far.
    pub(super) async fn wait_for(&mut self, progress: TransportProgress) {
        self.wait_for_event(|event| *event == TransportEvent::Progress(progress))
            .await;
    }

    /// Waits until it is told this.
    pub(super) async fn wait_for_event(
        &mut self,
        wanted: impl Fn(&TransportEvent) -> bool,
    ) -> TransportEvent {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let event = timeout_at(deadline, self.events.recv()).await.unwrap();
            let event = event.expect("the transport ended");
            if wanted(&event) {
                return event;
            }
        }
    }

    /// Says good-bye by DTLS.
    pub(super) async fn say_goodbye(&mut self) {
        self.handshake.close(Instant::now());
        while let Some(out) = self.handshake.poll_transmit() {
            self.wire.send(&out).await;
        }
    }

    /// Sends bytes as they are.
    pub(super) async fn send_raw(&mut self, datagram: &[u8]) {
        self.wire.send(datagram).await;
    }

    /// Seals and sends a packet.
    pub(super) async fn send_rtp(&mut self, rtp: &Rtp) {
        let sealed = self
            .sealer
            .as_mut()
            .unwrap()
            .seal_rtp(&rtp.write())
            .unwrap();
        self.send_raw(&sealed).await;
    }

    /// Seals and sends a compound.
    pub(super) async fn send_rtcp(&mut self, packets: Vec<Box<dyn rtcp::Packet>>) {
        let compound = rtcp::packet::marshal(&packets).unwrap();
        let sealed = self.sealer.as_mut().unwrap().seal_rtcp(&compound).unwrap();
        self.send_raw(&sealed).await;
    }

    /// The next that comes, authentic and in the clear; `None`: nothing for so long.
    pub(super) async fn get(&mut self, patience: Duration) -> Option<Got> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let datagram = self.wire.receive(deadline).await?;
            let bytes = &datagram[..];
            if !(128..192).contains(&bytes[0]) {
                continue;
            }
            let opener = self.opener.as_mut().unwrap();
            if packet::is_rtcp(bytes) {
                let mut compound = opener.open_rtcp(bytes).expect("not authentic");
                return Some(Got::Rtcp(rtcp::packet::unmarshal(&mut compound).unwrap()));
            }
            self.came += 1;
            if self
                .loses
                .is_some_and(|each| self.came.is_multiple_of(each))
            {
                continue;
            }
            let (_, ssrc) = packet::peek(bytes).unwrap();
            let plain = opener.open_rtp(bytes, ssrc).expect("not authentic");
            return Some(Got::Rtp(packet::parse(&plain).unwrap()));
        }
    }

    /// The next RTP packet.
    pub(super) async fn get_rtp(&mut self) -> Arrived {
        let deadline = Instant::now() + DEADLINE;
        while let Some(got) = self
            .get(deadline.saturating_duration_since(Instant::now()))
            .await
        {
            if let Got::Rtp(arrived) = got {
                return arrived;
            }
        }
        panic!("no packet came");
    }

    /// The next RTCP packet of a kind.
    pub(super) async fn get_rtcp<T: Clone + 'static>(&mut self) -> T {
        let deadline = Instant::now() + DEADLINE;
        while let Some(got) = self
            .get(deadline.saturating_duration_since(Instant::now()))
            .await
        {
            if let Got::Rtcp(packets) = got {
                let found = packets
                    .iter()
                    .find_map(|packet| packet.as_any().downcast_ref::<T>());
                if let Some(found) = found {
                    return found.clone();
                }
            }
        }
        panic!("no such RTCP came");
    }
}

/// A packet that a test sends.
#[derive(Debug, Clone, Default)]
pub(super) struct Rtp {
    pub(super) payload_type: u8,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) ssrc: u32,
    pub(super) payload: Bytes,
    /// Ids and values, at most 16 bytes each.
    pub(super) extensions: Vec<(u8, Vec<u8>)>,
}

impl Rtp {
    pub(super) fn write(&self) -> BytesMut {
        let mut elements = BytesMut::new();
        for (id, value) in &self.extensions {
            elements.put_u8((id << 4) | u8::try_from(value.len() - 1).unwrap());
            elements.put_slice(value);
        }
        elements.resize(elements.len().next_multiple_of(4), 0);
        let mut datagram = BytesMut::new();
        datagram.put_u8(0x90);
        datagram.put_u8(self.payload_type | 0x80);
        datagram.put_u16(self.sequence);
        datagram.put_u32(self.timestamp);
        datagram.put_u32(self.ssrc);
        datagram.put_u16(0xbede);
        datagram.put_u16(u16::try_from(elements.len() / 4).unwrap());
        datagram.put_slice(&elements);
        datagram.put_slice(&self.payload);
        datagram
    }
}

/// The value of one of a packet's extensions.
pub(super) fn extension(arrived: &Arrived, id: u8) -> Option<Bytes> {
    let (profile, elements) = arrived.extensions.clone()?;
    assert_eq!(profile, 0xbede);
    let mut rest = elements;
    while rest.len() > 1 {
        let first = rest[0];
        let length = usize::from(first & 0x0f) + 1;
        if first == 0 {
            let _ = rest.split_to(1);
            continue;
        }
        let _ = rest.split_to(1);
        let value = rest.split_to(length);
        if first >> 4 == id {
            return Some(value);
        }
    }
    None
}
