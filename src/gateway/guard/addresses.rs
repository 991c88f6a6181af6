//! Which addresses are not of the public internet, by the registries of IANA.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// What an address is when it is not of the public internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Special {
    /// This machine.
    Loopback,
    /// A private network (RFC 1918, RFC 4193).
    Private,
    /// Carrier-grade NAT (RFC 6598).
    CarrierGradeNat,
    /// The local link (RFC 3927, RFC 4291).
    LinkLocal,
    /// Where clouds tell machines their secrets.
    Metadata,
    /// A group (RFC 5771, RFC 4291).
    Multicast,
    /// No address at all.
    Unspecified,
    /// For examples only (RFC 5737, RFC 3849, RFC 9637).
    Documentation,
    /// A tunnel that hides another address: 6to4, Teredo, local NAT64.
    Tunnel,
    /// Anything else that nobody may have.
    Reserved,
}

impl Special {
    /// Whether `DESTINATION_ALLOW_PRIVATE` opens it.
    pub const fn is_private(self) -> bool {
        match self {
            Self::Loopback | Self::Private | Self::CarrierGradeNat | Self::LinkLocal => true,
            Self::Metadata
            | Self::Multicast
            | Self::Unspecified
            | Self::Documentation
            | Self::Tunnel
            | Self::Reserved => false,
        }
    }

    /// What it is, for a message. The address itself is not told: the name may be of somebody's inner network.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::CarrierGradeNat => "a carrier-grade NAT address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud metadata address",
            Self::Multicast => "a multicast address",
            Self::Unspecified => "the unspecified address",
            Self::Documentation => "a documentation address",
            Self::Tunnel => "a tunnel address",
            Self::Reserved => "a reserved address",
        }
    }
}

/// Tells what an address is; `None`: it is of the public internet.
///
/// IPv4-mapped and NAT64 addresses are judged by the IPv4 address inside: on a network without IPv4,
/// NAT64 is how every platform that has only IPv4 is reached.
pub(super) fn special(address: IpAddr) -> Option<Special> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(inner) => special_v4(inner),
            None => special_v6(address),
        },
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(segments: [u16; 3], prefix: u8) -> Ipv6Net {
    let [a, b, c] = segments;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// The first that contains the address counts.
const V4: [(Ipv4Net, Special); 25] = [
    (v4(169, 254, 169, 254, 32), Special::Metadata), // nearly every cloud
    (v4(169, 254, 170, 2, 32), Special::Metadata),   // ECS tasks
    (v4(169, 254, 170, 23, 32), Special::Metadata),  // EKS pods
    (v4(100, 100, 100, 200, 32), Special::Metadata), // Alibaba
    (v4(192, 0, 0, 192, 32), Special::Metadata),     // Oracle
    (v4(168, 63, 129, 16, 32), Special::Metadata),   // Azure, in public space
    (v4(0, 0, 0, 0, 32), Special::Unspecified),
    (v4(0, 0, 0, 0, 8), Special::Reserved),
    (v4(10, 0, 0, 0, 8), Special::Private),
    (v4(100, 64, 0, 0, 10), Special::CarrierGradeNat),
    (v4(127, 0, 0, 0, 8), Special::Loopback),
    (v4(169, 254, 0, 0, 16), Special::LinkLocal),
    (v4(172, 16, 0, 0, 12), Special::Private),
    (v4(192, 0, 0, 0, 24), Special::Reserved),
    (v4(192, 0, 2, 0, 24), Special::Documentation),
    (v4(192, 31, 196, 0, 24), Special::Reserved), // AS112
    (v4(192, 52, 193, 0, 24), Special::Reserved), // AMT
    (v4(192, 88, 99, 0, 24), Special::Tunnel),    // 6to4 relays
    (v4(192, 168, 0, 0, 16), Special::Private),
    (v4(192, 175, 48, 0, 24), Special::Reserved), // AS112
    (v4(198, 18, 0, 0, 15), Special::Private),    // benchmarks, used inside networks
    (v4(198, 51, 100, 0, 24), Special::Documentation),
    (v4(203, 0, 113, 0, 24), Special::Documentation),
    (v4(224, 0, 0, 0, 4), Special::Multicast),
    (v4(240, 0, 0, 0, 4), Special::Reserved),
];

/// The first that contains the address counts; what is left outside of `2000::/3` is reserved.
const V6: [(Ipv6Net, Special); 17] = [
    (v6([0xfd00, 0xec2, 0], 32), Special::Metadata), // Amazon
    (v6([0xfd20, 0xce, 0], 32), Special::Metadata),  // Google
    (v6([0xff00, 0, 0], 8), Special::Multicast),
    (v6([0xfe80, 0, 0], 10), Special::LinkLocal),
    (v6([0xfec0, 0, 0], 10), Special::Private), // the old site-local
    (v6([0xfc00, 0, 0], 7), Special::Private),
    (v6([0x64, 0xff9b, 1], 48), Special::Tunnel), // local NAT64
    (v6([0x100, 0, 0], 64), Special::Reserved),   // discarded
    (v6([0x2001, 0, 0], 32), Special::Tunnel),    // Teredo
    (v6([0x2001, 2, 0], 48), Special::Private),   // benchmarks
    (v6([0x2001, 0xdb8, 0], 32), Special::Documentation),
    (v6([0x2001, 0, 0], 23), Special::Reserved),
    (v6([0x2002, 0, 0], 16), Special::Tunnel), // 6to4
    (v6([0x2620, 0x4f, 0x8000], 48), Special::Reserved), // AS112
    (v6([0x3fff, 0, 0], 20), Special::Documentation),
    (v6([0x3ffe, 0, 0], 16), Special::Reserved), // the old 6bone
    (v6([0x5f00, 0, 0], 16), Special::Reserved), // segment routing
];

const MAPPED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);

const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0], 96);

const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0], 3);

fn special_v4(address: Ipv4Addr) -> Option<Special> {
    V4.iter()
        .find(|(net, _)| net.contains(&address))
        .map(|(_, special)| *special)
}

fn special_v6(address: Ipv6Addr) -> Option<Special> {
    if address.is_loopback() {
        return Some(Special::Loopback);
    }
    if address.is_unspecified() {
        return Some(Special::Unspecified);
    }
    let listed = V6
        .iter()
        .find(|(net, _)| net.contains(&address))
        .map(|(_, special)| *special);
    listed.or_else(|| (!GLOBAL_V6.contains(&address)).then_some(Special::Reserved))
}

/// The IPv4 address in `::ffff:0:0/96` and `64:ff9b::/96`.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    [MAPPED, NAT64]
        .iter()
        .any(|net| net.contains(&address))
        .then(|| {
            let [.., first, second, third, fourth] = address.octets();
            Ipv4Addr::new(first, second, third, fourth)
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_kind_of_address_is_known() {
        for (address, expected) in [
            ("8.8.8.8", None),
            ("2606:4700::1", None),
            ("2a00:1450:4001::1", None),
            ("127.0.0.1", Some(Special::Loopback)),
            ("127.255.255.255", Some(Special::Loopback)),
            ("::1", Some(Special::Loopback)),
            ("10.1.2.3", Some(Special::Private)),
            ("172.15.255.255", None),
            ("172.16.0.0", Some(Special::Private)),
            ("172.31.255.255", Some(Special::Private)),
            ("172.32.0.0", None),
            ("192.168.1.1", Some(Special::Private)),
            ("fd12::1", Some(Special::Private)),
            ("fec0::1", Some(Special::Private)),
            ("100.63.255.255", None),
            ("100.64.0.1", Some(Special::CarrierGradeNat)),
            ("100.127.255.255", Some(Special::CarrierGradeNat)),
            ("100.128.0.0", None),
            ("169.254.1.1", Some(Special::LinkLocal)),
            ("fe80::1", Some(Special::LinkLocal)),
            ("169.254.169.254", Some(Special::Metadata)),
            ("168.63.129.16", Some(Special::Metadata)),
            ("100.100.100.200", Some(Special::Metadata)),
            ("fd00:ec2::254", Some(Special::Metadata)),
            ("224.0.0.1", Some(Special::Multicast)),
            ("239.255.255.255", Some(Special::Multicast)),
            ("ff02::1", Some(Special::Multicast)),
            ("0.0.0.0", Some(Special::Unspecified)),
            ("0.1.2.3", Some(Special::Reserved)),
            ("::", Some(Special::Unspecified)),
            ("192.0.2.1", Some(Special::Documentation)),
            ("2001:db8::1", Some(Special::Documentation)),
            ("3fff::1", Some(Special::Documentation)),
            ("255.255.255.255", Some(Special::Reserved)),
            ("240.0.0.1", Some(Special::Reserved)),
            ("4000::1", Some(Special::Reserved)),
            ("::2", Some(Special::Reserved)),
            ("::127.0.0.1", Some(Special::Reserved)),
            ("::ffff:127.0.0.1", Some(Special::Loopback)),
            ("::ffff:169.254.169.254", Some(Special::Metadata)),
            ("::ffff:8.8.8.8", None),
            ("64:ff9b::10.0.0.1", Some(Special::Private)),
            ("64:ff9b::8.8.8.8", None),
            ("64:ff9b:1::1", Some(Special::Tunnel)),
            ("2002:7f00:1::1", Some(Special::Tunnel)),
            ("2001::1", Some(Special::Tunnel)),
            ("2001:10::1", Some(Special::Reserved)),
            ("2001:200::1", None),
        ] {
            assert_eq!(special(address.parse().unwrap()), expected, "{address}");
        }
    }

    proptest! {
        #[test]
        fn what_the_standard_library_calls_special_is_special(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            if address.is_private() || address.is_loopback() || address.is_link_local()
                || address.is_multicast() || address.is_unspecified() || address.is_broadcast()
                || address.is_documentation()
            {
                prop_assert!(special(address.into()).is_some());
            }
            prop_assert_eq!(special(address.into()), special(address.to_ipv6_mapped().into()));
        }

        #[test]
        fn only_global_unicast_is_public_in_ipv6(bits: u128) {
            let address = Ipv6Addr::from_bits(bits);
            if special(address.into()).is_none() {
                prop_assert!(GLOBAL_V6.contains(&address) || embedded(address).is_some());
            }
            let inside = Ipv6Addr::from_bits(bits & !(0b111 << 125) | (0b001 << 125));
            let tunnel = inside.segments()[0] == 0x2002;
            prop_assert!(!tunnel || special(inside.into()) == Some(Special::Tunnel));
        }
    }
}
