//! The answer as the studio gets it: the inner agent's, with an ICE-lite agent's candidates and our codec parameters.

use std::net::SocketAddr;

use ortc::IceProtocol;

use super::{codecs::ChosenCodec, offer::Offer};
use crate::door::{candidate_priority, stun::Credentials};

/// Our candidates, one pair of UDP and TCP for each announced address.
pub(crate) fn candidates(addresses: &[SocketAddr]) -> Vec<String> {
    let udp = addresses.iter().enumerate().map(|(index, address)| {
        format!(
            "candidate:{} 1 udp {} {} {} typ host",
            index + 1,
            candidate_priority(IceProtocol::Udp, index),
            address.ip(),
            address.port()
        )
    });
    let tcp = addresses.iter().enumerate().map(|(index, address)| {
        let foundation = addresses.len() + index + 1;
        let priority = candidate_priority(IceProtocol::Tcp, index);
        format!(
            "candidate:{foundation} 1 tcp {priority} {} {} typ host tcptype passive",
            address.ip(),
            address.port()
        )
    });
    udp.chain(tcp).collect()
}

/// Rewrites the inner agent's answer.
pub(crate) fn rewrite(inner: &str, offer: &Offer, addresses: &[SocketAddr]) -> String {
    let candidates = candidates(addresses);
    let mut lines: Vec<String> = Vec::new();
    let mut in_section = false;
    for line in inner.lines() {
        if line.starts_with("m=") {
            if in_section {
                push_candidates(&candidates, &mut lines);
            } else {
                lines.push("a=ice-lite".to_owned());
            }
            in_section = true;
        }
        if ["a=candidate:", "a=end-of-candidates", "a=ice-options:"]
            .iter()
            .any(|prefix| line.starts_with(prefix))
        {
            continue;
        }
        lines.push(with_our_parameters(line, offer));
    }
    if in_section {
        push_candidates(&candidates, &mut lines);
    }
    lines.push(String::new());
    lines.join("\r\n")
}

/// The SDP fragment (RFC 8840) that answers an ICE restart.
pub(crate) fn restart_fragment(local: &Credentials, addresses: &[SocketAddr]) -> String {
    let mut lines = vec![
        "a=ice-lite".to_owned(),
        format!("a=ice-ufrag:{}", local.fragment),
        format!("a=ice-pwd:{}", local.password),
        "m=audio 9 UDP/TLS/RTP/SAVPF 0".to_owned(),
        "a=mid:0".to_owned(),
    ];
    push_candidates(&candidates(addresses), &mut lines);
    lines.push(String::new());
    lines.join("\r\n")
}

fn push_candidates(candidates: &[String], lines: &mut Vec<String>) {
    lines.extend(candidates.iter().map(|candidate| format!("a={candidate}")));
    lines.push("a=end-of-candidates".to_owned());
}

fn with_our_parameters(line: &str, offer: &Offer) -> String {
    let ours = |codec: &ChosenCodec| {
        line.strip_prefix(&format!("a=fmtp:{} ", codec.payload_type))
            .map(|_| format!("a=fmtp:{} {}", codec.payload_type, codec.parameters))
    };
    offer
        .video
        .iter()
        .map(|video| &video.line)
        .chain(&offer.audio)
        .find_map(ours)
        .unwrap_or_else(|| line.to_owned())
}
