//! Offers as browsers made them, and answers held to mediasoup-client's.

use serde_json::Value;

use super::{
    CHROMIUM, CHROMIUM_IS_ANSWERED, CHROMIUM_RECEIVES, FIREFOX_CALL, FIREFOX_SIMULCAST,
    MEDIASOUP_SENDS, Ours, SAFARI, offer,
};
use crate::sdp::{Agreed, SectionDirection, answer, negotiate};
use crate::{
    ConsumerSsrcs, DtlsRole, EncodingParameters, MediaKind, OrtcError, ProducerMapping,
    RtpCapabilities, RtpParameters, RtxParameters, consumable, consumer, router_capabilities,
};

/// What mediasoup-client makes of a section, for the router `ours` or `theirs`.
fn golden(router: &str, name: &str) -> (RtpCapabilities, RtpParameters) {
    let golden: Value =
        serde_json::from_str(include_str!("../../fixtures/golden.json")).expect("JSON");
    let case = golden["cases"]
        .as_array()
        .and_then(|cases| {
            cases
                .iter()
                .find(|case| case["router"] == router && case["name"] == name)
        })
        .expect("there is such a case");
    (
        serde_json::from_value(golden["routers"][router].clone()).expect("capabilities"),
        serde_json::from_value(case["sent"].clone()).expect("parameters"),
    )
}

/// Takes out what an application adds beside the offer.
fn as_offered(mut sent: RtpParameters) -> RtpParameters {
    for encoding in &mut sent.encodings {
        *encoding = EncodingParameters {
            ssrc: encoding.ssrc,
            rid: encoding.rid.take(),
            rtx: encoding.rtx,
            ..EncodingParameters::default()
        };
    }
    sent
}

/// The lines of each section, its media line first; the session's are the first block.
fn blocks(sdp: &str) -> Vec<Vec<&str>> {
    let mut blocks = vec![Vec::new()];
    for line in sdp.lines() {
        if line.starts_with("m=") {
            blocks.push(Vec::new());
        }
        blocks.last_mut().expect("there is a block").push(line);
    }
    blocks
}

#[test]
fn chromiums_sections_become_what_mediasoup_client_makes_of_them() {
    let offer = offer(CHROMIUM);

    assert_eq!(offer.ice.username_fragment, "GsIp");
    assert_eq!(offer.dtls.role, DtlsRole::Auto);
    assert_eq!(offer.dtls.fingerprints.len(), 1);
    for (mid, router, name) in [
        ("0", "ours", "sound"),
        ("1", "ours", "one encoding of video/H264"),
        ("1", "theirs", "one encoding of video/VP8"),
        ("3", "theirs", "simulcast"),
    ] {
        let (router, mut expected) = golden(router, name);
        expected.mid = Some(mid.to_owned());
        // mediasoup-client knows of this browser that it repeats sound though it does not say so.
        if expected.kind() == Some(MediaKind::Audio) {
            expected.codecs[0]
                .rtcp_feedback
                .retain(|feedback| feedback.kind != "nack");
        }

        let section = offer.section(mid).expect("the section");
        let sent = negotiate(section, &router).expect("a codec in common");

        assert_eq!(as_offered(sent), as_offered(expected), "{mid} {name}");
    }
}

#[test]
fn what_is_agreed_with_chromium_can_be_produced() {
    let router = router_capabilities();
    for section in &offer(CHROMIUM).sections {
        let sent = negotiate(section, &router).expect("a codec in common");

        let mapping = ProducerMapping::new(&sent, &router).expect("the router takes it");

        assert_eq!(mapping.payload_types().count(), sent.codecs.len());
    }
}

#[test]
fn chromium_is_answered_as_mediasoup_client_answers_it() {
    let offer = offer(CHROMIUM);
    // The router that was recorded did not know this one.
    let mut router = golden("theirs", "sound").0;
    router
        .header_extensions
        .retain(|known| !known.uri.contains("dependency-descriptor"));
    let mut h264 = router.clone();
    h264.codecs
        .retain(|codec| codec.mime_type.ends_with("H264") || codec.is_rtx());
    let sent: Vec<(&str, RtpParameters)> =
        [("0", &router), ("1", &router), ("2", &h264), ("3", &router)]
            .into_iter()
            .map(|(mid, router)| {
                let section = offer.section(mid).expect("the section");
                (mid, negotiate(section, router).expect("a codec in common"))
            })
            .collect();
    let agreed: Vec<_> = sent
        .iter()
        .map(|(mid, sent)| (*mid, Agreed::ClientSends(sent)))
        .collect();

    let ours = Ours::new();
    let text = answer(&offer, &ours.transport(), &agreed).expect("an answer");

    let (answered, expected) = (blocks(&text), blocks(CHROMIUM_IS_ANSWERED));
    assert_eq!(answered.len(), expected.len());
    for line in [
        "a=ice-lite",
        "a=group:BUNDLE 0 1 2 3",
        "a=extmap-allow-mixed",
    ] {
        assert!(
            answered[0].contains(&line) && expected[0].contains(&line),
            "{line}"
        );
    }
    for (answered, expected) in answered.iter().zip(&expected).skip(1) {
        // What applications and routers set in `fmtp` is not negotiated; the rest is compared.
        let is_compared = |line: &&&str| {
            ![
                "a=fmtp:111",
                "a=fmtp:96",
                "a=fmtp:108",
                "a=candidate",
                "a=rtcp:",
                "a=ice-options",
                "c=",
                "m=",
            ]
            .iter()
            .any(|prefix| line.starts_with(prefix))
        };
        let answered_lines: Vec<_> = answered
            .iter()
            .filter(is_compared)
            .filter(|line| **line != "a=end-of-candidates")
            .collect();
        let expected_lines: Vec<_> = expected.iter().filter(is_compared).collect();
        let mut sorted = [answered_lines, expected_lines];
        for lines in &mut sorted {
            lines.sort();
        }
        assert_eq!(sorted[0], sorted[1]);
        assert_eq!(
            answered[0].replace(" 9 ", " 40001 "),
            expected[0],
            "the same codecs in the same order"
        );
    }
    assert!(
        text.contains("a=candidate:udpcandidate 1 udp 1076558079 127.0.0.1 40001 typ host\r\n")
    );
    assert!(text.contains(
        "a=candidate:tcpcandidate 1 tcp 1076558079 127.0.0.1 40001 typ host tcptype passive\r\n"
    ));
    assert!(text.lines().count() > 50 && text.ends_with("\r\n"));
}

#[test]
fn firefox_gets_h264_in_a_section_that_shares_the_first_ones_port() {
    let offer = offer(FIREFOX_CALL);
    let router = router_capabilities();

    let [sound, pictures] = offer.sections.as_slice() else {
        panic!("two sections");
    };
    assert_eq!(
        (sound.kind, sound.direction),
        (MediaKind::Audio, SectionDirection::Send)
    );
    assert_eq!(pictures.direction, SectionDirection::SendReceive);
    let sent = negotiate(pictures, &router).expect("H.264");
    assert_eq!(sent.codecs[0].payload_type, 126);
    assert_eq!(sent.codecs[1].repeats(), Some(126));
    assert_eq!(
        sent.encodings,
        [EncodingParameters {
            ssrc: Some(1_713_748_556),
            rtx: Some(RtxParameters {
                ssrc: 1_485_109_840
            }),
            ..EncodingParameters::default()
        }]
    );
    assert_eq!(
        sent.rtcp.cname.as_deref(),
        Some("{0081d7d9-16d1-465e-9c6f-a3f8e4832efb}")
    );
    // Firefox reads the playout delay but never writes it.
    assert!(
        sent.header_extensions
            .iter()
            .all(|extension| extension.id != 6)
    );
    let opus = negotiate(sound, &router).expect("Opus");
    assert_eq!(opus.codecs[0].parameters["stereo"], 1);
    assert_eq!(
        opus.header_extensions
            .iter()
            .map(|known| known.id)
            .collect::<Vec<_>>(),
        [3, 1]
    );
}

#[test]
fn firefoxs_simulcast_is_told_by_rids_and_answered_the_other_way_round() {
    let offer = offer(FIREFOX_SIMULCAST);
    let section = offer.section("0").expect("pictures");

    let sent = negotiate(section, &router_capabilities()).expect("VP8");

    let rids: Vec<_> = sent
        .encodings
        .iter()
        .filter_map(|layer| layer.rid.as_deref())
        .collect();
    assert_eq!(rids, ["h", "m", "l"]);
    assert!(sent.encodings.iter().all(|layer| layer.ssrc.is_none()));
    assert_eq!(sent.codecs[0].mime_type, "video/VP8");
    let ours = Ours::new();
    let text = answer(
        &offer,
        &ours.transport(),
        &[("0", Agreed::ClientSends(&sent))],
    )
    .expect("an answer");
    for line in [
        "a=extmap:9/recvonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        "a=extmap:10/recvonly urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
        "a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=rid:m recv",
        "a=simulcast:recv h;m;l",
        "a=group:BUNDLE 0",
        "m=audio 0 UDP/TLS/RTP/SAVPF 109 9 0 8 101",
    ] {
        assert!(
            text.lines().any(|known| known == line),
            "{line} is not in\n{text}"
        );
    }
    assert!(!text.contains("playout-delay"));
}

#[test]
fn safaris_constrained_high_is_passed_over_and_its_data_channel_refused() {
    let offer = offer(SAFARI);
    let router = router_capabilities();

    assert_eq!(offer.sections.len(), 2);
    let sent = negotiate(&offer.sections[1], &router).expect("H.264");
    assert_eq!(sent.codecs[0].payload_type, 98);
    assert_eq!(sent.codecs[0].parameters["profile-level-id"], "42e01f");
    let ours = Ours::new();
    let text = answer(
        &offer,
        &ours.transport(),
        &[("1", Agreed::ClientSends(&sent))],
    )
    .expect("an answer");
    assert!(text.contains("m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n"));
    assert!(text.contains("a=group:BUNDLE 1\r\n"));
}

#[test]
fn a_section_that_receives_is_answered_by_its_own_payload_types() {
    let router = router_capabilities();
    let (_, sent) = golden("ours", "one encoding of video/H264");
    let mapping = ProducerMapping::new(&sent, &router).expect("a mapping");
    let track = consumable(MediaKind::Video, &sent, &router, &mapping);
    let offer = offer(FIREFOX_CALL);
    let section = offer.section("1").expect("pictures");
    let ssrcs = ConsumerSsrcs { ssrc: 11, rtx: 12 };

    let received = consumer(&track, &section.capabilities(), ssrcs, "9").expect("it fits");

    assert_eq!(
        received
            .codecs
            .iter()
            .map(|codec| codec.payload_type)
            .collect::<Vec<_>>(),
        [126, 127]
    );
    assert_eq!(received.codecs[1].repeats(), Some(126));
    let ids: Vec<u8> = received
        .header_extensions
        .iter()
        .map(|known| known.id)
        .collect();
    assert_eq!(ids, [4, 7, 5, 6]);
    assert_eq!(received.codecs[0].rtcp_feedback.len(), 4);
    let ours = Ours::new();
    let text = answer(
        &offer,
        &ours.transport(),
        &[("1", Agreed::ClientReceives(&received))],
    )
    .expect("an answer");
    for line in [
        "m=video 9 UDP/TLS/RTP/SAVPF 126 127",
        "a=mid:1",
        "a=sendonly",
        "a=ssrc-group:FID 11 12",
        "a=ssrc:12 cname:G6JHhLRO2+wYljKa",
        "a=fmtp:127 apt=126",
        "a=rtcp-fb:126 transport-cc",
        "a=extmap:7 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        "a=extmap:6/sendonly http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
    ] {
        assert!(
            text.lines().any(|known| known == line),
            "{line} is not in\n{text}"
        );
    }
}

#[test]
fn what_mediasoup_offers_and_chromium_answers_is_read() {
    let offered = MEDIASOUP_SENDS.replace("a=ice-lite\r\n", "");
    let offered = offer(&offered);
    let sent = &offered.sections[0];
    assert_eq!(
        (
            sent.direction,
            sent.rtp.encodings[0].ssrc,
            sent.rtp.encodings[0].rtx
        ),
        (
            SectionDirection::Send,
            Some(11_112_222),
            Some(RtxParameters { ssrc: 11_112_223 })
        )
    );
    assert_eq!(sent.rtp.rtcp.cname.as_deref(), Some("abc"));

    let answered = offer(CHROMIUM_RECEIVES);
    assert_eq!(answered.dtls.role, DtlsRole::Client);
    assert_eq!(answered.sections[0].direction, SectionDirection::Receive);
    assert!(answered.sections[0].rtp.encodings.is_empty());
    let refused = negotiate(&answered.sections[0], &router_capabilities());
    assert!(matches!(refused, Err(OrtcError::Unsupported(_))));
}

#[test]
fn streams_that_repeat_or_correct_others_are_no_layers() {
    let with = |lines: &str| {
        let sdp = CHROMIUM.replacen("a=ssrc-group:FID 1271755168 3796674220\r\n", lines, 1);
        negotiate(
            offer(&sdp).section("1").expect("pictures"),
            &router_capabilities(),
        )
        .map(|sent| {
            sent.encodings
                .iter()
                .map(|layer| layer.ssrc)
                .collect::<Vec<_>>()
        })
    };

    assert_eq!(
        with("a=ssrc-group:FEC-FR 1271755168 3796674220\r\n"),
        Ok(vec![Some(1_271_755_168)])
    );
    assert_eq!(
        with(
            "a=ssrc:5 cname:x\r\na=ssrc-group:SIM 5 1271755168\r\na=ssrc-group:FID 1271755168 3796674220\r\n"
        ),
        Ok(vec![Some(5), Some(1_271_755_168)])
    );
    assert_eq!(with(""), Ok(vec![Some(1_271_755_168), Some(3_796_674_220)]));
}
