//! Holds this crate to what mediasoup computes. `fixtures/golden.cjs` tells how the cases were made.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    ConsumerSsrcs, MediaKind, OrtcError, ProducerMapping, RtpCapabilities, RtpParameters,
    can_consume, consumable, consumer, router_capabilities,
};

/// What the generator puts in the place of random SSRCs.
const SSRCS: ConsumerSsrcs = ConsumerSsrcs {
    ssrc: 1111,
    rtx: 1112,
};

#[derive(Deserialize)]
struct Golden {
    routers: Routers,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Routers {
    ours: RtpCapabilities,
    theirs: RtpCapabilities,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    name: String,
    kind: MediaKind,
    router: String,
    sent: RtpParameters,
    receiver: RtpCapabilities,
    mapping: Outcome<Vec<Pair>>,
    consumable: Option<RtpParameters>,
    can_consume: Option<bool>,
    consumer: Option<Outcome<RtpParameters>>,
}

#[derive(Deserialize)]
struct Outcome<T> {
    ok: Option<T>,
    error: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pair {
    payload_type: u8,
    mapped_payload_type: u8,
}

impl Golden {
    fn read() -> Self {
        let mut golden: Self = serde_json::from_str(include_str!("fixtures/golden.json"))
            .expect("the golden file is whole");
        for case in &mut golden.cases {
            let consumer = case
                .consumer
                .as_mut()
                .and_then(|outcome| outcome.ok.as_mut());
            for parameters in case.consumable.iter_mut().chain(consumer) {
                once(parameters);
            }
        }
        golden
    }

    fn router(&self, case: &Case) -> &RtpCapabilities {
        match case.router.as_str() {
            "ours" => &self.routers.ours,
            "theirs" => &self.routers.theirs,
            other => panic!("there is no router {other}"),
        }
    }
}

/// A producer with the same codec twice: mediasoup lists it twice under one payload type, which no SDP can say.
fn once(parameters: &mut RtpParameters) {
    let mut seen = HashSet::new();
    parameters
        .codecs
        .retain(|codec| seen.insert(codec.payload_type));
}

impl<T> Outcome<T> {
    /// Compares an error with mediasoup's.
    fn holds_of(&self, error: &OrtcError, name: &str) {
        assert_eq!(Some(error.to_string()), self.error, "{name}");
        let kind = match error {
            OrtcError::Malformed(_) => "TypeError",
            OrtcError::Unsupported(_) => "UnsupportedError",
        };
        assert_eq!(self.kind.as_deref(), Some(kind), "{name}");
    }
}

#[test]
fn our_routers_take_what_mediasoup_would_with_our_codecs() {
    assert_eq!(router_capabilities(), Golden::read().routers.ours);
}

#[test]
fn payload_types_and_feedback_are_those_of_a_recorded_router() {
    let recorded: RtpCapabilities =
        serde_json::from_str(include_str!("fixtures/routercaps.json")).expect("capabilities");
    let media: Vec<_> = recorded
        .codecs
        .iter()
        .filter(|codec| !codec.is_rtx())
        .cloned()
        .map(|mut codec| {
            codec.preferred_payload_type = None;
            codec.rtcp_feedback.clear();
            codec
        })
        .collect();

    let computed = RtpCapabilities::of_router(&media).expect("eight codecs fit");

    assert_eq!(computed.codecs, recorded.codecs);
    let in_order: Vec<_> = recorded
        .header_extensions
        .iter()
        .filter(|extension| computed.header_extensions.contains(extension))
        .cloned()
        .collect();
    assert_eq!(computed.header_extensions, in_order);
}

#[test]
fn capabilities_are_written_as_mediasoup_writes_them() {
    let recorded: Value =
        serde_json::from_str(include_str!("fixtures/routercaps.json")).expect("JSON");
    let read: RtpCapabilities = serde_json::from_value(recorded.clone()).expect("capabilities");

    assert_eq!(serde_json::to_value(read).expect("JSON"), recorded);
}

#[test]
fn producers_are_mapped_as_mediasoup_maps_them() {
    let golden = Golden::read();

    for case in &golden.cases {
        match ProducerMapping::new(&case.sent, golden.router(case)) {
            Ok(mapping) => {
                let expected = case.mapping.ok.as_ref();
                let expected = expected.unwrap_or_else(|| panic!("{} is refused", case.name));
                for pair in expected {
                    assert_eq!(
                        mapping.router_payload_type(pair.payload_type),
                        Some(pair.mapped_payload_type),
                        "{}",
                        case.name
                    );
                }
                assert_eq!(mapping.payload_types().count(), expected.len());
            }
            Err(error) => case.mapping.holds_of(&error, &case.name),
        }
    }
}

#[test]
fn what_routers_give_on_is_what_mediasoup_gives_on() {
    let golden = Golden::read();
    let mut count = 0;

    for case in &golden.cases {
        if let Some(expected) = &case.consumable {
            let router = golden.router(case);
            let mapping = ProducerMapping::new(&case.sent, router).expect("a mapping");

            let computed = consumable(case.kind, &case.sent, router, &mapping);

            assert_eq!(&computed, expected, "{}", case.name);
            count += 1;
        }
    }
    assert!(count > 30, "only {count} cases are consumable");
}

#[test]
fn who_can_consume_gets_what_mediasoup_sends() {
    let golden = Golden::read();
    let mut count = 0;

    for case in &golden.cases {
        let (Some(consumable), Some(expected)) = (&case.consumable, &case.consumer) else {
            continue;
        };
        assert_eq!(
            Some(can_consume(consumable, &case.receiver)),
            case.can_consume,
            "{}",
            case.name
        );

        match consumer(consumable, &case.receiver, SSRCS, "7") {
            Ok(mut computed) => {
                assert_eq!(computed.mid.take().as_deref(), Some("7"));
                assert_eq!(Some(&computed), expected.ok.as_ref(), "{}", case.name);
                count += 1;
            }
            Err(error) => expected.holds_of(&error, &case.name),
        }
    }
    assert!(count > 20, "only {count} cases are consumed");
}
