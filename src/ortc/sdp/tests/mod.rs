//! Offers as browsers made them, and our side of a transport.

use std::net::{IpAddr, Ipv4Addr};

use super::{AnsweringTransport, Offer, parse_offer};
use crate::{DtlsFingerprint, DtlsParameters, DtlsRole, IceCandidate, IceParameters, IceProtocol};

mod recorded;
mod rules;

const CHROMIUM: &str = include_str!("../../fixtures/msc-localSdp.sdp");
const CHROMIUM_RECEIVES: &str = include_str!("../../fixtures/msc-recvLocalAnswer.sdp");
const CHROMIUM_IS_ANSWERED: &str = include_str!("../../fixtures/msc-remoteSdp.sdp");
const MEDIASOUP_SENDS: &str = include_str!("../../fixtures/msc-recvRemoteOffer.sdp");
const FIREFOX_CALL: &str = include_str!("../../fixtures/firefox-call.sdp");
const FIREFOX_SIMULCAST: &str = include_str!("../../fixtures/firefox-152-simulcast.sdp");
const SAFARI: &str = include_str!("../../fixtures/safari.sdp");
const SYNTHETIC: &str = include_str!("../../fixtures/synth-offer2.sdp");
const RECORDED: [&str; 6] = [
    CHROMIUM,
    CHROMIUM_RECEIVES,
    FIREFOX_CALL,
    FIREFOX_SIMULCAST,
    SAFARI,
    SYNTHETIC,
];

fn offer(sdp: &str) -> Offer {
    parse_offer(sdp).expect("a recorded offer is read")
}

struct Ours {
    ice: IceParameters,
    candidates: Vec<IceCandidate>,
    dtls: DtlsParameters,
}

impl Ours {
    fn new() -> Self {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let candidate = |protocol, foundation: &str, tcp_type: Option<&str>| IceCandidate {
            foundation: foundation.to_owned(),
            priority: 1_076_558_079,
            ip: address,
            address,
            protocol,
            port: 40_001,
            kind: "host".to_owned(),
            tcp_type: tcp_type.map(str::to_owned),
        };
        Self {
            ice: IceParameters {
                username_fragment: "srvufragsend".to_owned(),
                password: "srvpasswordsrvpasswordsrvpassword".to_owned(),
                ice_lite: true,
            },
            candidates: vec![
                candidate(IceProtocol::Udp, "udpcandidate", None),
                candidate(IceProtocol::Tcp, "tcpcandidate", Some("passive")),
            ],
            dtls: DtlsParameters {
                role: DtlsRole::Auto,
                fingerprints: vec![DtlsFingerprint {
                    algorithm: "sha-256".to_owned(),
                    value: ["AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99"; 2].join(":"),
                }],
            },
        }
    }

    fn transport(&self) -> AnsweringTransport<'_> {
        AnsweringTransport {
            ice: &self.ice,
            candidates: &self.candidates,
            dtls: &self.dtls,
            session: 7,
            version: 1,
        }
    }
}
