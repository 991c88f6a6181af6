//! The way to a child: a pair of ports of this machine, and the sockets that send to them.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
};

/// How many pairs of ports are tried.
const PAIRS_TRIED: usize = 32;

/// Sends RTP to a port and RTCP to the next one.
#[derive(Debug)]
pub(super) struct Link {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    port: u16,
}

impl Link {
    /// Finds a pair of ports that are free at this moment, the even one first. Nothing keeps them free; a child that finds
    /// one taken ends, and the next one gets others.
    pub(super) fn open() -> io::Result<Self> {
        let mut outcome = Err(io::ErrorKind::AddrInUse.into());
        for _ in 0..PAIRS_TRIED {
            outcome = free_pair().and_then(|port| {
                Ok(Self {
                    rtp: connected(port)?,
                    rtcp: connected(port + 1)?,
                    port,
                })
            });
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// The port for RTP.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Sends a packet. One that does not get away is lost, as packets are.
    pub(super) fn send(&self, packet: &[u8]) {
        let _ = self.rtp.send(packet);
    }

    /// Sends a report.
    pub(super) fn report(&self, report: &[u8]) {
        let _ = self.rtcp.send(report);
    }

    /// Whether somebody refused what was sent: nobody listens yet, or any more.
    ///
    /// The second port is opened after the first, so who listens to reports listens to packets.
    pub(super) fn take_refusal(&self) -> bool {
        self.rtcp.take_error().ok().flatten().is_some()
    }
}

fn free_pair() -> io::Result<u16> {
    let any = bind(0)?;
    let port = any.local_addr()?.port();
    let (even, _other) = if port.is_multiple_of(2) {
        let next = port.checked_add(1).ok_or(io::ErrorKind::AddrInUse)?;
        (port, bind(next)?)
    } else {
        (port - 1, bind(port - 1)?)
    };
    Ok(even)
}

fn bind(port: u16) -> io::Result<UdpSocket> {
    UdpSocket::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

fn connected(port: u16) -> io::Result<UdpSocket> {
    let socket = bind(0)?;
    socket.set_nonblocking(true)?;
    socket.connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn refused(link: &Link) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            link.report(b"anybody?");
            if link.take_refusal() {
                return true;
            }
        }
        false
    }

    #[test]
    fn a_pair_begins_with_an_even_port_and_nobody_there_is_noticed() {
        let link = Link::open().unwrap();

        assert!(link.port().is_multiple_of(2));
        assert!(refused(&link));
    }

    #[test]
    fn who_listens_gets_packets_and_reports() {
        let link = Link::open().unwrap();
        let listeners = [link.port(), link.port() + 1].map(|port| bind(port).unwrap());
        let mut buffer = [0; 16];

        link.send(b"packet");
        link.report(b"report");

        assert_eq!(listeners[0].recv(&mut buffer).unwrap(), 6);
        assert_eq!(listeners[1].recv(&mut buffer).unwrap(), 6);
        assert!(!link.take_refusal());
    }
}
