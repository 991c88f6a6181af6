//! Ports for plain RTP: even for RTP and the odd one above for RTCP, or one for both.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
};

use rand::RngExt;
use socket2::{Domain, Protocol, Socket, Type};

use super::PlainError;

/// Where ports may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainPorts {
    /// What the sockets are bound to.
    pub listen: IpAddr,
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
}

/// The ports of one RTP stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortPair {
    /// Where RTP goes.
    pub rtp: u16,
    /// Where RTCP goes; the same when they share a port.
    pub rtcp: u16,
}

/// Bound sockets of one RTP stream; no second one when they share a port.
#[derive(Debug)]
pub(crate) struct BoundPair {
    pub(crate) media: UdpSocket,
    pub(crate) reports: Option<UdpSocket>,
    pub(crate) ports: PortPair,
}

impl PlainPorts {
    /// Takes ports that nobody has. The search begins anywhere, so that a port which was just given up is not at once
    /// somebody else's, whose packets would still come.
    pub(crate) fn bind(self, mux: bool) -> Result<BoundPair, PlainError> {
        let exhausted = PlainError::PortsExhausted {
            first: self.first,
            last: self.last,
        };
        let first = self.first.next_multiple_of(2);
        let most = if mux { self.last } else { self.last - 1 };
        if first > most {
            return Err(exhausted);
        }
        let count = (most - first) / 2 + 1;
        let begin = rand::rng().random_range(0..count);
        for step in 0..count {
            // Even ports only, whatever is asked for, so that pairs are not broken up.
            let port = first + (begin + step) % count * 2;
            match self.bind_at(port, mux) {
                Ok(pair) => return Ok(pair),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(PlainError::Internal(error.to_string())),
            }
        }
        Err(exhausted)
    }

    fn bind_at(self, port: u16, mux: bool) -> io::Result<BoundPair> {
        let media = bind(SocketAddr::new(self.listen, port))?;
        let rtcp_port = if mux { port } else { port + 1 };
        let reports = if mux {
            None
        } else {
            Some(bind(SocketAddr::new(self.listen, rtcp_port))?)
        };
        let ports = PortPair {
            rtp: port,
            rtcp: rtcp_port,
        };
        Ok(BoundPair {
            media,
            reports,
            ports,
        })
    }
}

/// Binds without sharing the port, not yet in a runtime.
fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A range that is free at the moment, far from where the kernel takes ports.
    fn range(size: u16) -> PlainPorts {
        let listen = IpAddr::from([127, 0, 0, 1]);
        (0..100)
            .map(|_| rand::rng().random_range(10_000..16_000_u16) * 2)
            .map(|first| PlainPorts {
                listen,
                first,
                last: first + size - 1,
            })
            .find(|ports| {
                (ports.first..=ports.last).all(|port| bind(SocketAddr::new(listen, port)).is_ok())
            })
            .unwrap()
    }

    #[test]
    fn rtp_is_even_and_rtcp_is_the_odd_one_above() {
        let pair = range(4).bind(false).unwrap();

        assert_eq!(pair.ports.rtp % 2, 0);
        assert_eq!(pair.ports.rtcp, pair.ports.rtp + 1);
        assert_eq!(pair.media.local_addr().unwrap().port(), pair.ports.rtp);
        assert_eq!(
            pair.reports.unwrap().local_addr().unwrap().port(),
            pair.ports.rtcp
        );
    }

    #[test]
    fn a_shared_port_is_one_socket() {
        let pair = range(2).bind(true).unwrap();

        assert_eq!(pair.ports.rtp, pair.ports.rtcp);
        assert!(pair.reports.is_none());
    }

    #[test]
    fn taken_ports_are_skipped_until_none_is_left() {
        let ports = range(6);
        let stranger = bind(SocketAddr::new(ports.listen, ports.first + 3)).unwrap();

        let one = ports.bind(false).unwrap();
        let other = ports.bind(false).unwrap();
        let none = ports.bind(false).unwrap_err();
        drop(stranger);
        let third = ports.bind(false).unwrap();

        let mut taken = [one.ports.rtp, other.ports.rtp];
        taken.sort_unstable();
        assert_eq!(taken, [ports.first, ports.first + 4]);
        assert!(matches!(none, PlainError::PortsExhausted { first, .. } if first == ports.first));
        assert_eq!(third.ports.rtp, ports.first + 2);
    }

    #[test]
    fn a_range_without_a_pair_is_exhausted_from_the_start() {
        let mut ports = range(2);
        ports.last = ports.first;

        assert!(ports.bind(false).is_err());
        assert!(ports.bind(true).is_ok());
    }
}
