//! What the kernel knows about a TCP stream: how much of it the peer has acknowledged, and how the way there is.

use std::{os::fd::AsFd, time::Duration};

use nix::{libc, sys::socket::GetSockOpt};

use super::liveness::Flow;

/// The front of the kernel's `struct tcp_info` (`linux/tcp.h`), as far as Linux 4.19 has it.
///
/// All of it is integers, so that any bytes which the kernel writes are a value. `libc`'s own struct ends before the part that is read here.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct TcpInfo {
    states: [u8; 8],
    figures: [u32; 24],
    pacing_rate: [u64; 2],
    bytes_acknowledged: u64,
    bytes_received: u64,
    segments: [u32; 2],
    not_sent_bytes: u32,
    shortest_round_trip: u32,
    data_segments: [u32; 2],
    delivery_rate: u64,
    limited_times: [u64; 3],
    delivered: [u32; 2],
    bytes_sent: u64,
    bytes_retransmitted: u64,
}

#[derive(Clone, Copy)]
struct ReadTcpInfo;

nix::getsockopt_impl!(
    ReadTcpInfo,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    TcpInfo,
    nix::sys::socket::sockopt::GetStruct<TcpInfo>
);

/// Places in `figures`.
const ROUND_TRIP_US: usize = 15;
const CONGESTION_WINDOW: usize = 18;
const RETRANSMITS: usize = 23;

/// How a connection stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// In bytes of TCP, TLS and all.
    pub(super) flow: Flow,
    /// Smoothed.
    pub(super) round_trip: Duration,
    /// Segments sent again.
    pub(super) retransmits: u32,
    /// In segments.
    pub(super) congestion_window: u32,
}

/// Reads a TCP socket. `None` when the kernel does not tell.
pub(super) fn reading(socket: &impl AsFd) -> Option<Reading> {
    let info = ReadTcpInfo.get(socket).ok()?;
    let sent = info.bytes_sent.saturating_sub(info.bytes_retransmitted);
    Some(Reading {
        flow: Flow {
            handed: sent + u64::from(info.not_sent_bytes),
            // The kernel counts the SYN as one byte.
            acknowledged: info.bytes_acknowledged.saturating_sub(1),
        },
        round_trip: Duration::from_micros(u64::from(info.figures[ROUND_TRIP_US])),
        retransmits: info.figures[RETRANSMITS],
        congestion_window: info.figures[CONGESTION_WINDOW],
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[test]
    fn what_a_peer_does_not_read_stays_unacknowledged() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        socket.write_all(&[0; 1_000]).unwrap();
        peer.read_exact(&mut [0; 1_000]).unwrap();
        let before = reading(&socket).unwrap();

        socket.set_nonblocking(true).unwrap();
        let mut written = 1_000;
        while let Ok(bytes) = socket.write(&[0; 10_000]) {
            written += bytes as u64;
        }
        let after = reading(&socket).unwrap();

        assert_eq!(
            (before.flow.handed, before.flow.acknowledged),
            (1_000, 1_000)
        );
        assert_eq!(after.flow.handed, written);
        assert!(after.flow.acknowledged < written);
        assert!(after.round_trip > Duration::ZERO && after.congestion_window > 0);
    }
}
