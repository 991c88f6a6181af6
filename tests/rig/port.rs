//! Ports for servers that have to be told theirs.

use std::{
    net::{Ipv4Addr, TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener},
    },
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result};

/// Below what Linux hands out by itself, so that no connection made meanwhile takes it.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

const ATTEMPTS: u32 = 100;

/// The ports of this process, each as a name in the system that no other process can take while this one lives.
static TAKEN: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// A port that is free for TCP and UDP on every loopback address, and that no other test is given before this process ends.
pub fn free_port() -> Result<u16> {
    free_ports(1)
}

/// The same for an even port and the one after it, as RTP and RTCP want them: the even one.
pub fn free_port_pair() -> Result<u16> {
    free_ports(2)
}

fn free_ports(count: u16) -> Result<u16> {
    (0..ATTEMPTS)
        .map(|_| rand::random_range(RANGE) / count * count)
        .find(|&first| (first..first + count).all(|port| is_free(port) && take(port)))
        .context("no free port")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
        && UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

/// A port that was free a moment ago is not yet anybody's: between that and a server's bind another test may find it free.
fn take(port: u16) -> bool {
    let name = SocketAddr::from_abstract_name(format!("castgate-test-port-{port}"));
    let taken = name.and_then(|name| UnixListener::bind_addr(&name));
    let mut all = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    taken.map(|taken| all.push(taken)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let port = free_port().unwrap();

        assert!(is_free(port));
        assert!(!take(port));
    }

    #[test]
    fn a_pair_is_even_and_the_next() {
        let first = free_port_pair().unwrap();

        assert_eq!(first % 2, 0);
        assert!(!take(first) && !take(first + 1));
    }
}
