//! What is refused, each rule at its bound, and that no text breaks the reader.

use proptest::prelude::*;
use serde_json::Value;

use super::{CHROMIUM, Ours, RECORDED, SYNTHETIC, offer};
use crate::sdp::{Agreed, MAX_SDP_BYTES, MAX_SECTIONS, answer, negotiate, parse_offer};
use crate::{Fmtp, OrtcError, router_capabilities};

#[test]
fn offers_that_break_a_rule_are_refused_in_words() {
    let changed = |from: &str, to: &str| {
        assert!(CHROMIUM.contains(from), "{from} is not in the offer");
        match parse_offer(&CHROMIUM.replace(from, to)) {
            Ok(_) => panic!("{from:?} may not become {to:?}"),
            Err(error) => error,
        }
    };
    for (from, to, words) in [
        ("v=0", "v=1", "an offer that does not begin with v=0"),
        ("a=mid:1\r\n", "a=mid:0\r\n", "two sections of one name"),
        ("a=mid:1\r\n", "a=mid:a b\r\n", "invalid params.mid"),
        (
            "a=ice-pwd:SBFV",
            "a=ice-pwd:é",
            "the offer has no valid ICE credentials",
        ),
        ("a=setup:actpass", "a=setup:holdconn", "invalid a=setup"),
        (
            "a=fingerprint:sha-256 9D:",
            "a=fingerprint:sha-256 ",
            "invalid fingerprint.value",
        ),
        ("s=-", "s", "a line of the offer without a ="),
        ("s=-", "s=\u{b}", "a control character in the offer"),
        ("a=ssrc:1437784130", "a=ssrc:0", "invalid a=ssrc"),
        ("a=extmap:1 ", "a=extmap:300 ", "invalid a=extmap"),
        ("a=extmap:1 ", "a=extmap:2 ", "duplicated a=extmap"),
        ("send r0;r1", "send r.0;r1", "invalid encoding.rid"),
        (
            "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126",
            "m=audio 9",
            "invalid m=",
        ),
    ] {
        let error = changed(from, to);
        assert_eq!(
            error,
            OrtcError::Malformed(words.to_owned()),
            "{from:?} {to:?}"
        );
    }
    for (from, to) in [
        ("a=rtcp-mux\r\n", ""),
        ("a=setup:actpass", "a=setup:passive"),
        ("a=group:BUNDLE 0 1 2 3\r\n", ""),
        ("t=0 0", "t=0 0\r\na=ice-lite"),
    ] {
        let error = changed(from, to);
        assert!(
            matches!(error, OrtcError::Unsupported(_)),
            "{to:?}: {error}"
        );
    }
    let no_sections = CHROMIUM.split("m=").next().expect("a session");
    assert!(parse_offer(no_sections).is_err());
}

#[test]
fn offers_end_at_their_bounds() {
    let session = CHROMIUM.split("m=audio").next().expect("a session");
    let sections = |count: usize| {
        let mids: Vec<String> = (0..count).map(|mid| mid.to_string()).collect();
        let mut sdp =
            vec![session.replace("BUNDLE 0 1 2 3", &format!("BUNDLE {}", mids.join(" ")))];
        for mid in mids {
            sdp.push(format!(
                "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:{mid}\r\na=rtcp-mux\r\n\
                 a=rtpmap:111 opus/48000/2\r\na=ice-ufrag:GsIp\r\na=ice-pwd:SBFVcEijURWtaoUXPZZMmOVa\r\n\
                 a=fingerprint:sha-256 {}\r\n",
                vec!["00"; 32].join(":")
            ));
        }
        parse_offer(&sdp.concat()).map(|offer| offer.sections.len())
    };
    assert_eq!(sections(MAX_SECTIONS), Ok(MAX_SECTIONS));
    assert!(sections(MAX_SECTIONS + 1).is_err());

    let padded = |bytes: usize| {
        let padding = "x".repeat(bytes - CHROMIUM.len() - "a=\r\n".len());
        format!("{CHROMIUM}a={padding}\r\n")
    };
    assert!(parse_offer(&padded(MAX_SDP_BYTES)).is_ok());
    assert!(parse_offer(&padded(MAX_SDP_BYTES + 1)).is_err());

    let ssrcs = |count: u32| {
        let lines: Vec<String> = (1..=count)
            .map(|ssrc| format!("a=ssrc:{ssrc} cname:x\r\n"))
            .collect();
        let group: Vec<String> = (1..=count).map(|ssrc| ssrc.to_string()).collect();
        parse_offer(&format!(
            "{SYNTHETIC}{}a=ssrc-group:FEC {}\r\n",
            lines.concat(),
            group.join(" ")
        ))
    };
    // One is in the recorded section already.
    assert!(ssrcs(31).is_ok());
    assert!(ssrcs(32).is_err());
}

#[test]
fn sections_are_answered_only_as_they_were_offered() {
    let offer = offer(CHROMIUM);
    let router = router_capabilities();
    let sent = negotiate(&offer.sections[1], &router).expect("H.264");
    let ours = Ours::new();
    let refused = |agreed: &[(&str, Agreed<'_>)]| {
        answer(&offer, &ours.transport(), agreed)
            .expect_err("it was not offered")
            .to_string()
    };

    assert_eq!(
        refused(&[("1", Agreed::ClientReceives(&sent))]),
        "a section is answered in another direction"
    );
    assert_eq!(
        refused(&[("9", Agreed::ClientSends(&sent))]),
        "the offer has no section 9"
    );
    assert_eq!(
        refused(&[("0", Agreed::ClientSends(&sent))]),
        "kind is not that of the codecs"
    );
    let mut other = sent.clone();
    other.codecs[0].payload_type = 101;
    assert_eq!(
        refused(&[("1", Agreed::ClientSends(&other))]),
        "a section is answered with other payload types"
    );
    let mut hostile = sent;
    hostile.codecs[0].parameters = Fmtp::from([("x\r\na=y".to_owned(), Value::from(1))]);
    assert!(refused(&[("1", Agreed::ClientSends(&hostile))]).starts_with("invalid "));
}

/// Puts lines of recorded offers together at random.
fn shuffled() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        8 => (0..RECORDED.len(), any::<prop::sample::Index>()).prop_map(|(which, index)| {
            let lines: Vec<&str> = RECORDED[which].lines().collect();
            (*index.get(&lines)).to_owned()
        }),
        1 => "[a-z]=\\PC{0,40}",
        1 => "a=(rtpmap|fmtp|rtcp-fb|extmap|ssrc|ssrc-group|rid|simulcast|msid|mid|group|setup):\\PC{0,40}",
    ];
    prop::collection::vec(line, 0..60).prop_map(|lines| lines.join("\r\n"))
}

/// Cuts and changes a recorded offer.
fn spoilt() -> impl Strategy<Value = String> {
    (
        0..RECORDED.len(),
        prop::collection::vec((any::<prop::sample::Index>(), "\\PC{0,30}"), 0..4),
        prop::option::of(any::<prop::sample::Index>()),
    )
        .prop_map(|(which, changes, end)| {
            let mut lines: Vec<String> = RECORDED[which].lines().map(str::to_owned).collect();
            for (index, text) in changes {
                let index = index.index(lines.len());
                let kept = lines[index]
                    .split_inclusive([':', '='])
                    .next()
                    .unwrap_or_default();
                lines[index] = format!("{kept}{text}");
            }
            if let Some(end) = end {
                lines.truncate(end.index(lines.len()) + 1);
            }
            lines.join("\r\n")
        })
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in "\\PC{0,200}") {
        prop_assert!(parse_offer(&text).is_err());
    }

    #[test]
    fn what_is_read_is_bounded_and_can_be_answered(
        sdp in prop_oneof![spoilt(), shuffled().prop_map(|lines| format!("v=0\r\n{lines}"))],
    ) {
        let Ok(offer) = parse_offer(&sdp) else {
            return Ok(());
        };
        let router = router_capabilities();
        let sent: Vec<_> = offer
            .sections
            .iter()
            .filter_map(|section| Some((section.mid.as_str(), negotiate(section, &router).ok()?)))
            .collect();
        let agreed: Vec<_> = sent
            .iter()
            .map(|(mid, sent)| (*mid, Agreed::ClientSends(sent)))
            .collect();

        let ours = Ours::new();
        let text = answer(&offer, &ours.transport(), &agreed);

        let text = text.expect("what was negotiated can be answered");
        prop_assert_eq!(text.matches("\r\nm=").count(), sdp.matches("\nm=").count());
        prop_assert_eq!(text.matches("a=recvonly\r\n").count(), agreed.len());
        for line in text.split_terminator("\r\n") {
            prop_assert!(line.as_bytes().get(1) == Some(&b'=') && !line.contains(['\r', '\n']));
        }
    }
}
