//! One worker's UDP socket: shared port, large buffers, batched receiving.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    task::{Context, Poll},
};

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{io::Interest, net::UdpSocket};

/// An unpaced 1080p keyframe of each of 20 studios at once overflows the default of 212,992 bytes.
const RECEIVE_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// One receive slot: as much as the kernel coalesces (UDP GRO), 64 KiB.
const SLOT_BYTES: usize = 65_536;
/// The most bytes that the kernel is given at once to cut up: what a UDP header can tell, with room for all headers.
pub(crate) const RUN_BYTES: usize = 60_000;
/// Slots of one receive call.
const SLOTS: usize = if BATCH_SIZE < 16 { BATCH_SIZE } else { 16 };

/// A bound socket that other workers share the port with.
pub(crate) struct WorkerSocket {
    socket: UdpSocket,
    state: UdpSocketState,
}

/// Reused memory for receiving.
pub(crate) struct ReceiveBuffers {
    bytes: Vec<u8>,
    metas: [RecvMeta; SLOTS],
    filled: usize,
}

impl ReceiveBuffers {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; SLOTS * SLOT_BYTES],
            metas: [RecvMeta::default(); SLOTS],
            filled: 0,
        }
    }

    /// The datagrams of the last batch.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let slots = self
            .metas
            .iter()
            .zip(self.bytes.chunks(SLOT_BYTES))
            .take(self.filled);
        slots
            .filter(|(meta, _)| meta.stride > 0)
            .flat_map(|(meta, slot)| {
                slot[..meta.len]
                    .chunks(meta.stride)
                    .map(|datagram| (meta.addr, datagram))
            })
    }
}

/// Binds a socket with `SO_REUSEPORT`, not yet in a runtime.
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

impl WorkerSocket {
    /// Takes a bound socket into the current runtime.
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        state.set_recv_buffer_size(UdpSockRef::from(&socket), RECEIVE_BUFFER_BYTES)?;
        state.set_send_buffer_size(UdpSockRef::from(&socket), RECEIVE_BUFFER_BYTES)?;
        let granted = state.recv_buffer_size(UdpSockRef::from(&socket))?;
        if granted < RECEIVE_BUFFER_BYTES {
            tracing::warn!(
                granted,
                wanted = RECEIVE_BUFFER_BYTES,
                "UDP receive buffer is small: raise net.core.rmem_max"
            );
        }
        Ok(Self {
            socket: UdpSocket::from_std(socket)?,
            state,
        })
    }

    /// Waits until something can be received. Cancel-safe.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Whether something can be received; wakes the task once it can.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_recv_ready(context)
    }

    /// Receives one batch into `buffers`. `false`: there was none.
    pub(crate) fn receive(&self, buffers: &mut ReceiveBuffers) -> bool {
        let ReceiveBuffers {
            bytes,
            metas,
            filled,
        } = buffers;
        let mut chunks = bytes.chunks_mut(SLOT_BYTES);
        let mut slots: [IoSliceMut<'_>; SLOTS] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let received = self.socket.try_io(Interest::READABLE, || {
            self.state
                .recv(UdpSockRef::from(&self.socket), &mut slots, metas)
        });
        *filled = received.unwrap_or(0);
        *filled > 0
    }

    /// Sends a datagram. A full buffer loses it, as the network might.
    pub(crate) fn send(&self, to: SocketAddr, contents: &[u8]) {
        self.transmit(to, contents, None);
    }

    /// How many datagrams the kernel takes at once.
    pub(crate) fn most_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Sends datagrams that are behind each other, each but the last of this length (UDP GSO); at most
    /// [`most_segments`](Self::most_segments), and at most [`RUN_BYTES`] in all.
    pub(crate) fn send_run(&self, to: SocketAddr, contents: &[u8], segment_bytes: usize) {
        let several = contents.len() > segment_bytes;
        self.transmit(to, contents, several.then_some(segment_bytes));
    }

    fn transmit(&self, to: SocketAddr, contents: &[u8], segment_size: Option<usize>) {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents,
            segment_size,
            src_ip: None,
        };
        // Not by the runtime's notion of what is writable, which a worker that has not waited yet does not have.
        let sent = self
            .state
            .try_send(UdpSockRef::from(&self.socket), &transmit);
        if let Err(error) = sent {
            tracing::trace!(%error, "datagram not sent");
        }
    }
}
