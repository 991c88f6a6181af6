//! How many connections there may be, in all and from one address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

/// How often one connection may ask to be let in. Clients ask once for each namespace; there are five.
const ATTEMPTS_LIMIT: u32 = 8;

/// Why there is no room for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There are too many.
    Full,
    /// There are too many from there.
    Address,
}

/// The connections that there are. An address is a customer's: all of an IPv6 /64 counts as one.
#[derive(Debug)]
pub(super) struct Connections {
    limit: usize,
    limit_per_address: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One of them, as long as it lives.
#[derive(Debug)]
pub(super) struct Connection {
    all: Arc<Connections>,
    address: IpAddr,
    attempts: AtomicU32,
}

impl Connections {
    pub(super) fn new(limit: usize, limit_per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            limit_per_address,
            open: Mutex::default(),
        })
    }

    pub(super) fn open(self: &Arc<Self>, address: IpAddr) -> Result<Connection, Refusal> {
        let address = customer(address);
        let mut open = self.lock();
        if open.all >= self.limit {
            return Err(Refusal::Full);
        }
        let count = open.by_address.entry(address).or_default();
        if *count >= self.limit_per_address {
            return Err(Refusal::Address);
        }
        *count += 1;
        open.all += 1;
        Ok(Connection {
            all: Arc::clone(self),
            address,
            attempts: AtomicU32::new(0),
        })
    }

    pub(super) fn count(&self) -> usize {
        self.lock().all
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Whether it may ask once more to be let in.
    pub(super) fn may_ask(&self) -> bool {
        self.attempts.fetch_add(1, Ordering::Relaxed) < ATTEMPTS_LIMIT
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut open = self.all.lock();
        open.all -= 1;
        if let Some(count) = open.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}

fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & (u128::MAX << 64)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let connections = Connections::new(10, 2);
        let first = connections.open(address("192.0.2.1")).unwrap();
        let _second = connections.open(address("::ffff:192.0.2.1")).unwrap();

        assert_eq!(
            connections.open(address("192.0.2.1")).unwrap_err(),
            Refusal::Address
        );
        assert!(connections.open(address("192.0.2.2")).is_ok());
        drop(first);
        assert!(connections.open(address("192.0.2.1")).is_ok());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let connections = Connections::new(10, 1);
        let _first = connections.open(address("2001:db8:1:2::1")).unwrap();

        assert!(connections.open(address("2001:db8:1:2:ffff::9")).is_err());
        assert!(connections.open(address("2001:db8:1:3::1")).is_ok());
    }

    #[test]
    fn there_is_an_end_to_all() {
        let connections = Connections::new(1, 5);
        let first = connections.open(address("192.0.2.1")).unwrap();

        assert_eq!(
            connections.open(address("192.0.2.2")).unwrap_err(),
            Refusal::Full
        );
        drop(first);
        assert_eq!(connections.count(), 0);
        assert!(connections.lock().by_address.is_empty());
    }

    #[test]
    fn a_connection_may_not_ask_for_ever() {
        let connection = Connections::new(1, 1).open(address("192.0.2.1")).unwrap();

        let asked = (0..100).filter(|_| connection.may_ask()).count();

        assert_eq!(asked, 8);
    }
}
