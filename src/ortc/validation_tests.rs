//! What is refused, each rule at its bound, and that no input whatever breaks the functions behind the rules.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    ConsumerSsrcs, DtlsParameters, MAX_CODECS, MAX_ENCODINGS, MAX_EXTENSION_CAPABILITIES,
    MAX_FEEDBACK, MAX_FINGERPRINTS, MAX_HEADER_EXTENSIONS, MAX_MID_BYTES, MAX_PARAMETERS,
    MAX_RID_BYTES, MediaKind, OrtcError, ProducerMapping, RtpCapabilities, RtpParameters,
    can_consume, consumable, consumer, router_capabilities,
};

fn vp8() -> Value {
    json!({
        "mid": "0",
        "codecs": [
            { "mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000, "parameters": {},
              "rtcpFeedback": [{ "type": "nack", "parameter": "pli" }] },
            { "mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": { "apt": 96 } },
        ],
        "headerExtensions": [{ "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 4 }],
        "encodings": [{ "ssrc": 1, "rtx": { "ssrc": 2 } }],
        "rtcp": { "cname": "abc", "reducedSize": true },
        "msid": "stream track",
    })
}

fn parameters(value: &Value) -> RtpParameters {
    serde_json::from_value(value.clone()).expect("parameters")
}

/// A VP8 producer with `value` at `pointer`.
fn vp8_with(pointer: &str, value: Value) -> RtpParameters {
    let mut rtp = vp8();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = rtp.pointer_mut(parent).expect("a place");
    match key.parse::<usize>() {
        Ok(index) => parent[index] = value,
        Err(_) => parent[key] = value,
    }
    parameters(&rtp)
}

fn verdict_with(pointer: &str, value: Value) -> Result<(), OrtcError> {
    vp8_with(pointer, value).validate()
}

fn words(verdict: Result<(), OrtcError>) -> String {
    verdict.expect_err("it breaks a rule").to_string()
}

/// Makes a list of so many.
type MakeList<'a> = &'a dyn Fn(usize) -> Value;

fn vp8_codecs(count: usize) -> Value {
    // RTCP's payload types are left out.
    let mut payload_types = (0..64).chain(96..128);
    json!(
        (0..count)
            .map(|_| json!({ "mimeType": "video/VP8", "clockRate": 90000,
            "payloadType": payload_types.next().expect("there are 96") }))
            .collect::<Vec<_>>()
    )
}

#[test]
fn a_producer_of_a_browser_is_taken() {
    assert_eq!(parameters(&vp8()).validate_as(MediaKind::Video), Ok(()));
    assert_eq!(
        words(parameters(&vp8()).validate_as(MediaKind::Audio)),
        "kind is not that of the codecs"
    );
}

#[test]
fn lists_end_at_their_bounds() {
    let extensions = |count: usize| {
        json!(
            (1..=count)
                .map(|id| json!({ "uri": format!("urn:x:{id}"), "id": id }))
                .collect::<Vec<_>>()
        )
    };
    let encodings = |count: usize| {
        json!(
            (1..=count)
                .map(|ssrc| json!({ "ssrc": ssrc }))
                .collect::<Vec<_>>()
        )
    };
    let feedback = |count: usize| json!(vec![json!({ "type": "nack" }); count]);
    let fmtp = |count: usize| {
        Value::Object(
            (0..count)
                .map(|key| (format!("k{key}"), json!(1)))
                .collect(),
        )
    };
    let lists: [(&str, usize, MakeList<'_>); 5] = [
        ("/codecs", MAX_CODECS, &vp8_codecs),
        ("/headerExtensions", MAX_HEADER_EXTENSIONS, &extensions),
        ("/encodings", MAX_ENCODINGS, &encodings),
        ("/codecs/0/rtcpFeedback", MAX_FEEDBACK, &feedback),
        ("/codecs/0/parameters", MAX_PARAMETERS, &fmtp),
    ];

    for (pointer, limit, make) in lists {
        assert_eq!(verdict_with(pointer, make(limit)), Ok(()), "{pointer}");
        let words = words(verdict_with(pointer, make(limit + 1)));
        assert!(words.starts_with(&format!("more than {limit} ")), "{words}");
    }
}

#[test]
fn names_are_short_and_fit_into_sdp() {
    for (pointer, limit) in [("/mid", MAX_MID_BYTES), ("/encodings/0/rid", MAX_RID_BYTES)] {
        assert_eq!(verdict_with(pointer, json!("a".repeat(limit))), Ok(()));
        for bad in [
            "a".repeat(limit + 1),
            "a b".into(),
            "a\r\na=x".into(),
            "é".into(),
        ] {
            assert!(
                verdict_with(pointer, json!(bad)).is_err(),
                "{pointer} {bad:?}"
            );
        }
    }
    for pointer in [
        "/msid",
        "/rtcp/cname",
        "/codecs/0/mimeType",
        "/codecs/0/rtcpFeedback/0/type",
        "/codecs/0/rtcpFeedback/0/parameter",
        "/codecs/0/parameters/x",
        "/headerExtensions/0/uri",
        "/encodings/0/scalabilityMode",
    ] {
        for bad in [
            "video/a\nb".to_owned(),
            format!("video/{}", "x".repeat(300)),
        ] {
            assert!(
                verdict_with(pointer, json!(bad)).is_err(),
                "{pointer} {bad:?}"
            );
        }
    }
}

#[test]
fn numbers_keep_to_their_ranges() {
    for (pointer, value) in [
        ("/codecs/0/payloadType", json!(128)),
        // Looks like a sender report when it shares RTCP's port.
        ("/codecs/0/payloadType", json!(72)),
        ("/codecs/0/payloadType", json!(97)),
        ("/codecs/0/clockRate", json!(0)),
        ("/headerExtensions/0/id", json!(0)),
        ("/encodings/0/rtx/ssrc", json!(0)),
        ("/encodings/0/rtx/ssrc", json!(1)),
        ("/encodings/0/codecPayloadType", json!(98)),
        ("/codecs/1/parameters/apt", json!("96")),
        ("/codecs/0/parameters/x", json!(null)),
        ("/codecs/0/parameters/x", json!([1])),
        ("/codecs/1/mimeType", json!("audio/rtx")),
        ("/codecs", json!([])),
    ] {
        let verdict = verdict_with(pointer, value.clone());
        assert!(
            matches!(verdict, Err(OrtcError::Malformed(_))),
            "{pointer} {value}"
        );
    }
    assert_eq!(
        verdict_with("/headerExtensions/0/encrypt", json!(true)),
        Err(OrtcError::Unsupported(
            "encrypted header extensions".to_owned()
        ))
    );
    for (pointer, value) in [
        ("/codecs/0/payloadType", json!(127)),
        ("/codecs/0/payloadType", json!(63)),
        ("/headerExtensions/0/id", json!(255)),
        ("/encodings/0/codecPayloadType", json!(96)),
    ] {
        assert_eq!(
            verdict_with(pointer, value.clone()),
            Ok(()),
            "{pointer} {value}"
        );
    }
}

#[test]
fn several_encodings_can_be_told_apart() {
    let verdict = |encodings: Value| verdict_with("/encodings", encodings);

    assert_eq!(verdict(json!([{ "rid": "a" }, { "rid": "b" }])), Ok(()));
    assert_eq!(verdict(json!([{}])), Ok(()));
    assert_eq!(
        words(verdict(json!([{ "rid": "a" }, { "rid": "a" }]))),
        "duplicated encoding.rid"
    );
    assert_eq!(
        words(verdict(json!([{ "ssrc": 1 }, { "ssrc": 1 }]))),
        "duplicated encoding.ssrc"
    );
    assert_eq!(
        words(verdict(json!([{ "ssrc": 1 }, {}]))),
        "one of several encodings has no ssrc and no rid"
    );
}

#[test]
fn errors_repeat_little_of_what_came() {
    let key = "k".repeat(60);
    let words = words(verdict_with(
        &format!("/codecs/0/parameters/{key}"),
        json!({ "a": "b" }),
    ));

    assert_eq!(words, format!("invalid codec parameter [key:{key}]"));
    assert!(words.len() <= crate::MAX_WORDS_BYTES);
}

#[test]
fn capabilities_end_at_their_bounds_and_take_nothing_beyond() {
    let of = |codecs: usize, extensions: usize| {
        let mut capabilities = router_capabilities();
        let codec = capabilities.codecs[1].clone();
        capabilities.codecs.resize(codecs, codec);
        let extension = capabilities.header_extensions[0].clone();
        capabilities.header_extensions.resize(extensions, extension);
        capabilities
    };
    let rtp = parameters(&vp8());
    let router = router_capabilities();
    let mapping = ProducerMapping::new(&rtp, &router).expect("VP8 is taken");
    let track = consumable(MediaKind::Video, &rtp, &router, &mapping);

    assert!(can_consume(
        &track,
        &of(MAX_CODECS, MAX_EXTENSION_CAPABILITIES)
    ));
    for (codecs, extensions) in [
        (MAX_CODECS + 1, MAX_EXTENSION_CAPABILITIES),
        (MAX_CODECS, MAX_EXTENSION_CAPABILITIES + 1),
    ] {
        let capabilities = of(codecs, extensions);
        assert!(!can_consume(&track, &capabilities));
        let refused = consumer(&track, &capabilities, SSRCS, "0");
        assert!(matches!(refused, Err(OrtcError::Malformed(_))));
    }
}

#[test]
fn dtls_needs_a_strong_hash_and_a_client() {
    let hash = |bytes: usize| vec!["aB"; bytes].join(":");
    let verdict = |role: &str, fingerprints: Value| {
        serde_json::from_value::<DtlsParameters>(
            json!({ "role": role, "fingerprints": fingerprints }),
        )
        .expect("DTLS parameters")
        .validate()
    };
    let sha_256 = json!({ "algorithm": "SHA-256", "value": hash(32) });
    let sha_1 = json!({ "algorithm": "sha-1", "value": hash(20) });

    assert_eq!(verdict("client", json!([sha_1, sha_256])), Ok(()));
    assert_eq!(
        verdict("auto", json!(vec![&sha_256; MAX_FINGERPRINTS])),
        Ok(())
    );
    assert!(verdict("auto", json!(vec![&sha_256; MAX_FINGERPRINTS + 1])).is_err());
    assert!(matches!(
        verdict("server", json!([sha_256])),
        Err(OrtcError::Unsupported(_))
    ));
    assert!(matches!(
        verdict("client", json!([sha_1])),
        Err(OrtcError::Unsupported(_))
    ));
    for (algorithm, value) in [
        ("sha-256", hash(31)),
        ("sha-256", hash(33)),
        ("sha-256", hash(32).replace(':', "-")),
        ("sha-256", hash(32).replace('a', "g")),
        ("sha-256", "é".repeat(47)),
        ("md5", hash(16)),
    ] {
        let verdict = verdict(
            "client",
            json!([{ "algorithm": algorithm, "value": value }]),
        );
        assert!(
            matches!(verdict, Err(OrtcError::Malformed(_))),
            "{algorithm} {value}"
        );
    }
    assert!(verdict("client", json!([])).is_err());
}

const SSRCS: ConsumerSsrcs = ConsumerSsrcs { ssrc: 7, rtx: 8 };

/// Values that a hostile client may put anywhere.
fn hostile() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u8..=255).prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "video/H264",
            "video/rtx",
            "audio/opus",
            "video/VP9",
            "apt",
            "42e01f",
            "L3T3",
            "sendonly",
        ])
        .prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([{ "mimeType": "video/H264", "payloadType": 96, "clockRate": 90000 }])),
    ]
}

/// Every place in `value`, as pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(index, value)| places(value, &format!("{at}/{index}"), found)),
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| places(value, &format!("{at}/{key}"), found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn spoil(value: &mut Value, changes: Vec<(prop::sample::Index, Value)>) {
    for (index, replacement) in changes {
        let mut found = Vec::new();
        places(value, "", &mut found);
        let place = index.get(&found);
        *value.pointer_mut(place).expect("the place was found") = replacement;
    }
}

proptest! {
    #[test]
    fn whatever_is_sent_is_refused_or_reaches_receivers_in_order(
        changes in prop::collection::vec((any::<prop::sample::Index>(), hostile()), 0..4),
        of_receiver in prop::collection::vec((any::<prop::sample::Index>(), hostile()), 0..4),
    ) {
        let router = router_capabilities();
        let mut sent = vp8();
        spoil(&mut sent, changes);
        let mut receiver = serde_json::to_value(&router).expect("JSON");
        spoil(&mut receiver, of_receiver);
        let (Ok(sent), Ok(receiver)) = (
            serde_json::from_value::<RtpParameters>(sent),
            serde_json::from_value::<RtpCapabilities>(receiver),
        ) else {
            return Ok(());
        };

        if let Ok(mapping) = ProducerMapping::new(&sent, &router) {
            let kind = sent.kind().expect("a valid producer has a kind");
            let track = consumable(kind, &sent, &router, &mapping);
            prop_assert!(!track.codecs.is_empty());
            if let Ok(received) = consumer(&track, &receiver, SSRCS, "0") {
                prop_assert_eq!(received.validate(), Ok(()));
                prop_assert_eq!(received.encodings.len(), 1);
                prop_assert!(!received.codecs[0].is_rtx());
                for codec in &received.codecs {
                    let is_known = router
                        .codecs
                        .iter()
                        .chain(&receiver.codecs)
                        .any(|known| known.preferred_payload_type == Some(codec.payload_type));
                    prop_assert!(is_known);
                }
            } else {
                prop_assert!(!can_consume(&track, &receiver));
            }
        }
    }

    #[test]
    fn whatever_dtls_parameters_come_nothing_breaks(
        changes in prop::collection::vec((any::<prop::sample::Index>(), hostile()), 0..4),
    ) {
        let mut value = json!({ "role": "client",
            "fingerprints": [{ "algorithm": "sha-256", "value": vec!["00"; 32].join(":") }] });
        spoil(&mut value, changes);

        if let Ok(dtls) = serde_json::from_value::<DtlsParameters>(value) {
            let is_taken = dtls.validate().is_ok();
            prop_assert!(!is_taken || dtls.fingerprints.iter().any(|hash| hash.value.len() >= 95));
        }
    }
}
