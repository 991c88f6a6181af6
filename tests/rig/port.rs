//! Ports for servers that have to be told theirs.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use anyhow::{Context, Result};

/// Below what Linux hands out by itself, so that no connection made meanwhile takes it.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

const ATTEMPTS: u32 = 100;

/// A port that is free for TCP and UDP on every loopback address, at random, so that tests side by side do not meet.
pub fn free_port() -> Result<u16> {
    (0..ATTEMPTS)
        .map(|_| rand::random_range(RANGE))
        .find(|&port| {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
                && UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
        })
        .context("no free port")
}
