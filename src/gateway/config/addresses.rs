//! The addresses of this machine, for candidates and for the guard.

use std::{io, net::IpAddr};

use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags};

/// The most addresses that are told; a machine with more has to say which it means.
const ADDRESSES_LIMIT: usize = 64;

/// Lists the addresses of the interfaces that are up, the loopback ones last.
///
/// IPv6 link-local addresses are left out: they mean nothing without a zone.
pub fn machine_addresses() -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = getifaddrs()?
        .filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP))
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address
                .as_sockaddr_in()
                .map(|socket| IpAddr::V4(socket.ip()));
            v4.or_else(|| {
                address
                    .as_sockaddr_in6()
                    .map(|socket| IpAddr::V6(socket.ip()))
            })
        })
        .filter(|address| match address {
            IpAddr::V4(_) => true,
            IpAddr::V6(address) => !address.is_unicast_link_local(),
        })
        .take(ADDRESSES_LIMIT)
        .collect();
    addresses.sort_by_key(IpAddr::is_loopback);
    addresses.dedup();
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_its_loopback_address_last() {
        let addresses = machine_addresses().unwrap();

        assert!(addresses.last().is_some_and(IpAddr::is_loopback));
    }
}
