//! Datagrams that the kernel gave to another worker than their peer's, handed over in bulk.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};

/// What one parcel holds at most, in bytes; with [`COMMAND_QUEUE`](super::COMMAND_QUEUE) it bounds what waits for a worker.
const PARCEL_BYTES: usize = 32 * 1024;

/// Datagrams on their way to another worker.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    bytes: BytesMut,
    /// Where each came from, and its length.
    datagrams: Vec<(SocketAddr, usize)>,
}

impl Parcel {
    /// Packs a datagram. Returns what was packed before when there is no room for it.
    pub(crate) fn push(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<SealedParcel> {
        let full = self.bytes.len() + datagram.len() > PARCEL_BYTES;
        let sealed = if full { self.seal() } else { None };
        self.bytes.extend_from_slice(datagram);
        self.datagrams.push((from, datagram.len()));
        sealed
    }

    /// Takes what is packed, if anything is.
    pub(crate) fn seal(&mut self) -> Option<SealedParcel> {
        if self.datagrams.is_empty() {
            return None;
        }
        Some(SealedParcel {
            bytes: self.bytes.split().freeze(),
            datagrams: std::mem::take(&mut self.datagrams),
        })
    }
}

/// A parcel that travels.
#[derive(Debug)]
pub(crate) struct SealedParcel {
    bytes: Bytes,
    datagrams: Vec<(SocketAddr, usize)>,
}

impl SealedParcel {
    /// The datagrams in the order in which they came.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let mut rest = &self.bytes[..];
        self.datagrams.iter().map(move |(from, length)| {
            let (datagram, behind) = rest.split_at(*length);
            rest = behind;
            (*from, datagram)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn what_is_packed_is_unpacked_in_order() {
        let mut parcel = Parcel::default();
        assert!(parcel.seal().is_none());
        for port in 1..=10 {
            let datagram = vec![u8::try_from(port).unwrap(); usize::from(port)];
            assert!(parcel.push(address(port), &datagram).is_none());
        }

        let sealed = parcel.seal().unwrap();

        let unpacked: Vec<(u16, usize)> = sealed
            .datagrams()
            .map(|(from, datagram)| (from.port(), datagram.len()))
            .collect();
        assert_eq!(
            unpacked,
            (1..=10)
                .map(|port| (port, usize::from(port)))
                .collect::<Vec<_>>()
        );
        assert!(parcel.seal().is_none());
    }

    #[test]
    fn a_full_parcel_goes_before_more_is_packed() {
        let mut parcel = Parcel::default();
        let sealed: Vec<SealedParcel> = (0..100)
            .filter_map(|_| parcel.push(address(1), &[7; 1200]))
            .collect();

        assert_eq!(sealed.len(), 3);
        assert!(
            sealed
                .iter()
                .all(|parcel| parcel.bytes.len() <= PARCEL_BYTES)
        );
        let all: usize = sealed.iter().map(|parcel| parcel.datagrams().count()).sum();
        assert_eq!(all + parcel.seal().unwrap().datagrams().count(), 100);
    }
}
