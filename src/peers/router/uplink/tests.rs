use bytes::{BufMut, BytesMut};
use ortc::{
    CodecParameters, EncodingParameters, HeaderExtensionParameters, MediaKind, RtcpFeedback,
    RtpParameters, RtxParameters,
    extension::{MID, REPAIRED_RID, RID},
};
use proptest::prelude::*;
use rtc::rtcp::{
    payload_feedbacks::{
        full_intra_request::FullIntraRequest, picture_loss_indication::PictureLossIndication,
    },
    receiver_report::ReceiverReport,
    transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack},
};

use super::*;

const OWN: u32 = 9;
const KEYFRAME: &[u8] = &[0x65, 0x88];
const PICTURE: &[u8] = &[0x41, 0x9a];

/// An uplink, what came out of it and what it told.
struct Rig {
    uplink: Uplink,
    now: Instant,
    came: Vec<FromClient>,
    events: Vec<TransportEvent>,
    told: Vec<Box<dyn rtcp::Packet>>,
}

impl Rig {
    fn new(orders: Vec<ProducerOrder>) -> Self {
        let now = Instant::now();
        let mut uplink = Uplink::new(OWN, now);
        for (key, order) in (1..).zip(orders) {
            uplink.add(key, order).unwrap();
        }
        Self {
            uplink,
            now,
            came: Vec::new(),
            events: Vec::new(),
            told: Vec::new(),
        }
    }

    fn hear(&mut self, datagram: Vec<u8>) {
        let events = &mut self.events;
        self.uplink
            .handle_rtp(&datagram.into(), self.now, &mut self.came, &mut |event| {
                events.push(event);
            });
    }

    /// Time passes, as the worker lets it.
    fn pass(&mut self, milliseconds: u64) {
        let end = self.now + Duration::from_millis(milliseconds);
        loop {
            let due = self.uplink.poll_timeout(self.now);
            let next = due.filter(|due| *due <= end);
            self.now = next.unwrap_or(end).max(self.now);
            let (told, events) = (&mut self.told, &mut self.events);
            self.uplink.act_when_due(
                self.now,
                &mut |compound| {
                    let mut compound = Bytes::copy_from_slice(compound);
                    told.extend(rtcp::packet::unmarshal(&mut compound).unwrap());
                },
                &mut |event| events.push(event),
            );
            if next.is_none() {
                return;
            }
            self.now += Duration::from_millis(1);
        }
    }

    fn told<T: Clone + 'static>(&self) -> Vec<T> {
        let packets = self.told.iter().map(|packet| packet.as_any());
        packets
            .filter_map(|packet| packet.downcast_ref::<T>().cloned())
            .collect()
    }

    /// Whose packets came: key, layer and number.
    fn packets(&self) -> Vec<(ProducerKey, u8, u16)> {
        self.came
            .iter()
            .filter_map(|from| match from {
                FromClient::Packet {
                    producer,
                    layer,
                    packet,
                    ..
                } => Some((*producer, *layer, packet.sequence)),
                FromClient::Report { .. } => None,
            })
            .collect()
    }
}

fn order(encodings: Vec<EncodingParameters>, mid: Option<&str>, full_intra: bool) -> ProducerOrder {
    let feedback = |kind: &str, parameter: &str| RtcpFeedback {
        kind: kind.to_owned(),
        parameter: parameter.to_owned(),
    };
    let keyframes = if full_intra {
        feedback("ccm", "fir")
    } else {
        feedback("nack", "pli")
    };
    let codec = |mime_type: &str, payload_type| CodecParameters {
        mime_type: mime_type.to_owned(),
        payload_type,
        clock_rate: 90_000,
        channels: None,
        parameters: ortc::Fmtp::default(),
        rtcp_feedback: vec![feedback("nack", ""), keyframes.clone()],
    };
    let mut repair = codec("video/rtx", 97);
    repair.parameters.insert("apt".to_owned(), 96.into());
    let extension = |uri: &str, id| HeaderExtensionParameters {
        uri: uri.to_owned(),
        id,
        encrypt: false,
        parameters: ortc::Fmtp::default(),
    };
    ProducerOrder {
        id: mid.unwrap_or("only").to_owned(),
        kind: MediaKind::Video,
        rtp: RtpParameters {
            mid: mid.map(str::to_owned),
            codecs: vec![codec("video/H264", 96), repair],
            header_extensions: vec![
                extension(MID, 1),
                extension(RID, 2),
                extension(REPAIRED_RID, 3),
            ],
            encodings,
            ..RtpParameters::default()
        },
        paused: false,
    }
}

fn with_ssrcs(ssrc: u32) -> Vec<EncodingParameters> {
    vec![EncodingParameters {
        ssrc: Some(ssrc),
        rtx: Some(RtxParameters { ssrc: ssrc + 1 }),
        ..EncodingParameters::default()
    }]
}

fn with_names(names: &[&str]) -> Vec<EncodingParameters> {
    names
        .iter()
        .map(|rid| EncodingParameters {
            rid: Some((*rid).to_owned()),
            ..EncodingParameters::default()
        })
        .collect()
}

fn rtp(
    payload_type: u8,
    ssrc: u32,
    sequence: u16,
    payload: &[u8],
    labels: &[(u8, &str)],
) -> Vec<u8> {
    let mut elements = BytesMut::new();
    for (id, value) in labels {
        elements.put_u8((id << 4) | u8::try_from(value.len() - 1).unwrap());
        elements.put_slice(value.as_bytes());
    }
    elements.resize(elements.len().next_multiple_of(4), 0);
    let mut datagram = vec![0x90, payload_type];
    datagram.put_u16(sequence);
    datagram.put_u32(u32::from(sequence) * 3000);
    datagram.put_u32(ssrc);
    datagram.put_u16(0xbede);
    datagram.put_u16(u16::try_from(elements.len() / 4).unwrap());
    datagram.put_slice(&elements);
    datagram.put_slice(payload);
    datagram
}

fn repeated(ssrc: u32, of: u16, labels: &[(u8, &str)]) -> Vec<u8> {
    let payload = [&of.to_be_bytes()[..], PICTURE].concat();
    rtp(97, ssrc, 500, &payload, labels)
}

#[test]
fn streams_are_told_apart_by_section_and_layer_and_remembered() {
    let names = ["q", "h"];
    let mut rig = Rig::new(vec![
        order(with_names(&names), Some("0"), false),
        order(with_names(&names), Some("1"), false),
    ]);

    for (ssrc, mid, rid) in [
        (10, "1", "h"),
        (11, "0", "h"),
        (12, "0", "q"),
        (13, "1", "q"),
    ] {
        rig.hear(rtp(96, ssrc, 1, KEYFRAME, &[(1, mid), (2, rid)]));
    }
    for ssrc in 10..14 {
        rig.hear(rtp(96, ssrc, 2, PICTURE, &[]));
    }

    let expected = [(2, 1), (1, 1), (1, 0), (2, 0)];
    let all: Vec<_> = [1, 2]
        .into_iter()
        .flat_map(|sequence| expected.map(|(producer, layer)| (producer, layer, sequence)))
        .collect();
    assert_eq!(rig.packets(), all);
}

#[test]
fn the_only_one_that_can_be_meant_is() {
    let mut rig = Rig::new(vec![order(vec![], None, false)]);
    rig.hear(rtp(96, 10, 1, KEYFRAME, &[]));
    rig.hear(rtp(100, 11, 1, KEYFRAME, &[]));
    assert_eq!(rig.packets(), [(1, 0, 1)]);

    let unnamed = || order(vec![], None, false);
    let mut second = unnamed();
    second.id = "other".to_owned();
    let mut rig = Rig::new(vec![unnamed(), second]);
    rig.hear(rtp(96, 10, 1, KEYFRAME, &[]));
    assert_eq!(rig.packets(), [], "two can be meant");
}

#[test]
fn what_is_of_no_producer_is_left_out() {
    let mut rig = Rig::new(vec![order(with_ssrcs(10), Some("0"), false)]);
    for datagram in [
        rtp(96, 77, 1, KEYFRAME, &[]),
        rtp(96, 77, 1, KEYFRAME, &[(1, "9")]),
        rtp(99, 10, 1, KEYFRAME, &[]),
        // Too short to say what it repeats.
        rtp(97, 11, 1, &[0], &[]),
        vec![],
    ] {
        rig.hear(datagram);
    }

    assert_eq!(rig.packets(), []);
}

#[test]
fn a_client_that_changes_its_ssrc_is_followed_by_its_section() {
    let mut rig = Rig::new(vec![order(with_ssrcs(10), Some("0"), false)]);
    rig.hear(rtp(96, 10, 100, KEYFRAME, &[]));
    rig.hear(rtp(96, 20, 7, KEYFRAME, &[(1, "0")]));
    rig.hear(rtp(96, 10, 101, PICTURE, &[]));

    assert_eq!(rig.packets(), [(1, 0, 100), (1, 0, 7)]);
}

#[test]
fn lost_packets_are_asked_for_until_they_come() {
    let mut rig = Rig::new(vec![order(with_ssrcs(10), Some("0"), false)]);
    rig.hear(rtp(96, 10, 1, KEYFRAME, &[]));
    rig.hear(rtp(96, 10, 3, PICTURE, &[]));
    rig.pass(20);
    rig.hear(repeated(11, 2, &[]));
    rig.hear(repeated(11, 2, &[]));
    rig.pass(500);

    let asked: Vec<u16> = rig
        .told::<TransportLayerNack>()
        .iter()
        .flat_map(|nack| {
            nack.nacks
                .iter()
                .flat_map(NackPair::packet_list)
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(asked, [2]);
    assert_eq!(rig.packets(), [(1, 0, 1), (1, 0, 3), (1, 0, 2)]);
    let counters = rig.uplink.counters("0").unwrap();
    assert_eq!(
        (counters.packets, counters.recovered, counters.lost),
        (3, 1, 0)
    );
}

#[test]
fn what_never_comes_is_counted_and_given_up() {
    let mut rig = Rig::new(vec![order(with_ssrcs(10), Some("0"), false)]);
    rig.hear(rtp(96, 10, 1, KEYFRAME, &[]));
    rig.hear(rtp(96, 10, 4, PICTURE, &[]));

    rig.pass(3000);

    assert_eq!(rig.uplink.counters("0").unwrap().lost, 2);
    let reports = rig.told::<ReceiverReport>();
    let last = reports
        .iter()
        .rev()
        .find(|report| !report.reports.is_empty());
    assert_eq!(last.unwrap().reports[0].total_lost, 2);
}

#[test]
fn keyframes_are_asked_for_as_the_client_understands() {
    for (full_intra, expected) in [(false, (1, 0)), (true, (0, 1))] {
        let mut rig = Rig::new(vec![order(with_ssrcs(10), Some("0"), full_intra)]);
        rig.hear(rtp(96, 10, 1, PICTURE, &[]));
        rig.pass(100);
        assert!(rig.told::<PictureLossIndication>().is_empty());

        rig.uplink.wish_keyframe(1, 0);
        rig.uplink.wish_keyframe(1, 0);
        rig.pass(100);

        let asked = (
            rig.told::<PictureLossIndication>().len(),
            rig.told::<FullIntraRequest>().len(),
        );
        assert_eq!(asked, expected);
    }
}

#[test]
fn a_wish_for_a_layer_waits_until_it_is_known_by_whom() {
    let mut rig = Rig::new(vec![order(with_names(&["q", "h"]), Some("0"), false)]);
    rig.uplink.wish_keyframe(1, 1);
    rig.pass(1000);
    assert!(rig.told::<PictureLossIndication>().is_empty());

    rig.hear(rtp(96, 33, 1, PICTURE, &[(1, "0"), (2, "h")]));
    rig.pass(100);

    assert_eq!(rig.told::<PictureLossIndication>()[0].media_ssrc, 33);
}

#[test]
fn more_streams_than_a_report_holds_are_told_in_several() {
    let orders: Vec<_> = (0..40)
        .map(|number| {
            order(
                with_ssrcs(100 + 2 * number),
                Some(&number.to_string()),
                false,
            )
        })
        .collect();
    let mut rig = Rig::new(orders);
    for number in 0..40 {
        rig.hear(rtp(96, 100 + 2 * number, 1, KEYFRAME, &[]));
    }

    rig.pass(1500);

    let mut told: Vec<u32> = Vec::new();
    for report in rig.told::<ReceiverReport>() {
        assert!(report.reports.len() <= REPORTS_LIMIT);
        told.extend(report.reports.iter().map(|report| report.ssrc));
    }
    told.sort_unstable();
    assert_eq!(
        told,
        (0..40).map(|number| 100 + 2 * number).collect::<Vec<_>>()
    );
}

#[test]
fn a_paused_producer_is_counted_and_not_forwarded() {
    let mut rig = Rig::new(vec![order(with_ssrcs(10), Some("0"), false)]);
    rig.uplink.pause("0", true);
    rig.hear(rtp(96, 10, 1, KEYFRAME, &[]));
    assert_eq!(rig.packets(), []);
    assert_eq!(rig.uplink.counters("0").unwrap().packets, 1);

    rig.uplink.pause("0", false);
    rig.hear(rtp(96, 10, 2, PICTURE, &[]));

    assert_eq!(rig.packets(), [(1, 0, 2)]);
    let arrived = TransportEvent::MediaArrived("0".to_owned());
    assert_eq!(rig.events, [arrived]);
}

#[test]
fn a_producer_that_is_gone_leaves_nothing_behind() {
    let mut rig = Rig::new(vec![order(with_ssrcs(10), Some("0"), false)]);
    rig.hear(rtp(96, 10, 1, KEYFRAME, &[]));
    assert_eq!(rig.uplink.remove("0"), Some(1));
    assert_eq!(rig.uplink.remove("0"), None);
    rig.hear(rtp(96, 10, 2, KEYFRAME, &[]));

    assert_eq!(rig.packets(), [(1, 0, 1)]);
    assert_eq!(rig.uplink.poll_timeout(rig.now), None);
    rig.uplink
        .add(2, order(with_ssrcs(10), Some("0"), false))
        .unwrap();
}

#[test]
fn bits_of_the_last_second_are_measured() {
    let mut rig = Rig::new(vec![order(with_ssrcs(10), Some("0"), false)]);
    for sequence in 0..100 {
        rig.hear(rtp(96, 10, sequence, &[0x41; 1000], &[]));
        rig.pass(20);
    }

    let rate = rig.uplink.counters("0").unwrap().bits_per_second;
    assert!((380_000..420_000).contains(&rate), "{rate}");
}

proptest! {
    #[test]
    fn whatever_a_client_sends_comes_out_as_one_of_its_tracks(
        packets in prop::collection::vec(
            (95u8..98, 8u32..13, 0u16..40, prop::collection::vec(any::<u8>(), 0..6), 0usize..5, 0u64..30),
            1..200,
        )
    ) {
        let labels: [&[(u8, &str)]; 5] =
            [&[], &[(1, "0")], &[(1, "1"), (2, "q")], &[(2, "h")], &[(1, "1"), (3, "h")]];
        let mut rig = Rig::new(vec![
            order(with_ssrcs(10), Some("0"), false),
            order(with_names(&["q", "h"]), Some("1"), false),
        ]);
        for (payload_type, ssrc, sequence, payload, of, pause) in packets {
            rig.hear(rtp(payload_type, ssrc, sequence, &payload, labels[of]));
            rig.pass(pause);
        }
        for from in &rig.came {
            if let FromClient::Packet { producer, layer, .. } = from {
                prop_assert!(matches!((producer, layer), (1, 0) | (2, 0 | 1)));
            }
        }
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), first in 0x80u8..0xc0) {
        let mut rig = Rig::new(vec![order(with_names(&["q", "h"]), Some("0"), false)]);
        let mut bytes = bytes;
        rig.hear(bytes.clone());
        if let Some(byte) = bytes.first_mut() {
            *byte = first;
        }
        rig.hear(bytes);
    }
}
