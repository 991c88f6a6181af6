//! What a client gets, and what comes of what it asks for.

use std::time::Duration;

use media::{RtpPacket, SenderReport, VideoCodec};
use rtc::{
    rtcp::{
        payload_feedbacks::{
            full_intra_request::{FirEntry, FullIntraRequest},
            picture_loss_indication::PictureLossIndication,
            receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate,
        },
        receiver_report::ReceiverReport,
        reception_report::ReceptionReport,
        sender_report,
        source_description::SourceDescription,
        transport_feedbacks::transport_layer_nack::{
            TransportLayerNack, nack_pairs_from_sequence_numbers,
        },
    },
    shared::marshal::Marshal,
};

use super::{
    super::Downlink,
    rig::{Hands, KEYFRAME, MID, PAYLOAD_TYPE, PICTURE, REPEAT_PAYLOAD_TYPE, Rig, pictures, sound},
};

fn milliseconds(time: u64) -> Duration {
    Duration::from_millis(time)
}

pub(super) fn missing(ssrc: u32, sequences: &[u16]) -> TransportLayerNack {
    TransportLayerNack {
        sender_ssrc: 1,
        media_ssrc: ssrc,
        nacks: nack_pairs_from_sequence_numbers(sequences),
    }
}

/// The wishes since the last time.
fn wishes(rig: &mut Rig) -> Vec<(u32, u8)> {
    std::mem::take(&mut rig.hands.wishes)
}

#[test]
fn a_consumer_gets_its_own_numbers_and_names() {
    let mut rig = Rig::new();
    rig.add(pictures(2, 1));
    rig.add(sound(3));

    rig.give(2, 0, KEYFRAME);
    rig.give(3, 0, PICTURE);
    rig.give(2, 0, PICTURE);
    rig.give(4, 0, PICTURE);

    let seen: Vec<_> = rig
        .hands
        .packets
        .iter()
        .map(|packet| {
            let header = &packet.header;
            let mid = header.get_extension(MID).unwrap();
            (
                header.ssrc,
                header.sequence_number,
                mid.to_vec(),
                Hands::transport_sequence(packet).unwrap(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (1002, 65_500, b"2".to_vec(), 1),
            (1003, 65_500, b"3".to_vec(), 2),
            (1002, 65_501, b"2".to_vec(), 3),
        ]
    );
    assert!(
        rig.hands
            .packets
            .iter()
            .all(|packet| packet.header.payload_type == PAYLOAD_TYPE)
    );
    let counters = rig.downlink.counters(2).unwrap();
    assert_eq!(
        (counters.packets, counters.bytes, counters.spatial_layer),
        (2, 8, None)
    );
    assert_eq!(rig.downlink.counters(4), None);
}

#[test]
fn nothing_is_sent_before_the_transport_is_connected() {
    let mut rig = Rig::new();
    rig.downlink = Downlink::new(rig.now);
    rig.add(pictures(2, 1));
    rig.give(2, 0, KEYFRAME);
    assert!(rig.hands.packets.is_empty());
    assert_eq!(
        (wishes(&mut rig), rig.downlink.poll_timeout()),
        (vec![], None)
    );

    rig.downlink.begin(rig.now, &mut rig.hands);

    assert_eq!(wishes(&mut rig), [(2, 0)]);
    rig.give(2, 0, KEYFRAME);
    assert_eq!(rig.hands.packets.len(), 1);
}

#[test]
fn what_is_missing_is_sent_again_in_its_own_stream() {
    let mut rig = Rig::new();
    rig.add(pictures(2, 1));
    rig.give(2, 0, KEYFRAME);
    rig.give(2, 0, PICTURE);
    rig.hands.packets.clear();

    rig.tell(missing(1002, &[65_501, 9]));
    rig.tell(missing(1002, &[65_501]));
    rig.tell(missing(77, &[65_500]));

    let [packet] = &rig.hands.packets[..] else {
        panic!("{:?}", rig.hands.packets);
    };
    let header = &packet.header;
    assert_eq!(
        (header.ssrc, header.payload_type),
        (2002, REPEAT_PAYLOAD_TYPE)
    );
    assert_eq!(packet.payload[..2], 65_501_u16.to_be_bytes());
    assert_eq!(&packet.payload[2..], PICTURE);
    assert_eq!(Hands::transport_sequence(packet), Some(3));
    let counters = rig.downlink.counters(2).unwrap();
    assert_eq!((counters.packets, counters.repeated), (2, 1));
}

#[test]
fn without_a_stream_for_it_the_same_bytes_are_sent_again() {
    let mut rig = Rig::new();
    let mut setup = pictures(2, 1);
    setup.rtp.encodings[0].rtx = None;
    rig.add(setup);
    rig.give(2, 0, KEYFRAME);
    rig.pass(milliseconds(50));

    rig.tell(missing(1002, &[65_500]));

    let [first, again] = &rig.hands.packets[..] else {
        panic!("{:?}", rig.hands.packets);
    };
    assert_eq!(first.marshal().unwrap(), again.marshal().unwrap());
}

#[test]
fn sound_is_not_sent_again_unless_that_was_agreed_on() {
    let mut rig = Rig::new();
    rig.add(sound(3));
    rig.give(3, 0, PICTURE);

    rig.tell(missing(1003, &[65_500]));

    assert_eq!(rig.hands.packets.len(), 1);
}

#[test]
fn a_keyframe_is_wished_for_at_the_beginning_and_when_the_client_asks() {
    let mut rig = Rig::new();
    rig.add(pictures(2, 1));
    assert_eq!(wishes(&mut rig), [(2, 0)]);
    rig.give(2, 0, PICTURE);
    assert_eq!(wishes(&mut rig), [], "it has just been asked for");
    rig.pass(milliseconds(200));
    wishes(&mut rig);
    rig.pass(milliseconds(199));
    rig.give(2, 0, KEYFRAME);

    rig.tell(PictureLossIndication {
        sender_ssrc: 1,
        media_ssrc: 1002,
    });
    rig.tell(FullIntraRequest {
        sender_ssrc: 1,
        media_ssrc: 0,
        fir: vec![FirEntry {
            ssrc: 1002,
            sequence_number: 1,
        }],
    });
    rig.tell(PictureLossIndication {
        sender_ssrc: 1,
        media_ssrc: 9,
    });

    assert_eq!(wishes(&mut rig), [(2, 0), (2, 0)]);
    assert_eq!(rig.downlink.counters(2).unwrap().keyframe_requests, 2);
}

#[test]
fn a_pause_of_either_side_ends_with_a_keyframe() {
    let mut rig = Rig::new();
    rig.add(pictures(2, 1));
    rig.give(2, 0, KEYFRAME);
    let set = |rig: &mut Rig, by_consumer: bool, paused: bool| {
        let (now, hands) = (rig.now, &mut rig.hands);
        if by_consumer {
            rig.downlink.pause(2, paused, now, hands);
        } else {
            rig.downlink.pause_producer(2, paused, now, hands);
        }
    };
    for by_consumer in [true, false] {
        rig.hands.packets.clear();
        wishes(&mut rig);

        set(&mut rig, by_consumer, true);
        rig.give(2, 0, PICTURE);
        assert_eq!((rig.hands.packets.len(), wishes(&mut rig)), (0, vec![]));
        set(&mut rig, by_consumer, false);

        assert_eq!(wishes(&mut rig), [(2, 0)]);
        rig.give(2, 0, PICTURE);
        rig.give(2, 0, KEYFRAME);
        assert_eq!(rig.hands.packets.len(), 1);
    }
    assert_eq!(
        rig.hands.packets[0].header.sequence_number, 65_502,
        "no gap"
    );
    assert_eq!(rig.changes(), []);
}

#[test]
fn a_preferred_layer_is_changed_to_at_its_keyframe() {
    let mut rig = Rig::new();
    rig.add(pictures(2, 3));
    for _ in 0..30 {
        for layer in 0..3 {
            rig.give(2, layer, KEYFRAME);
        }
        rig.pass(milliseconds(33));
    }
    assert_eq!(rig.changes(), [(2, Some(0)), (2, Some(2))]);
    assert_eq!(rig.downlink.counters(2).unwrap().spatial_layer, Some(2));
    wishes(&mut rig);

    rig.downlink
        .prefer_layers(2, 1, None, rig.now, &mut rig.hands);
    assert_eq!(wishes(&mut rig), [(2, 1)]);
    rig.give(2, 1, PICTURE);
    assert_eq!(rig.changes(), []);
    rig.give(2, 1, KEYFRAME);

    assert_eq!(rig.changes(), [(2, Some(1))]);
}

#[test]
fn a_layer_that_ends_is_replaced_by_one_that_flows() {
    let mut rig = Rig::new();
    rig.add(pictures(2, 3));
    for _ in 0..30 {
        rig.give(2, 0, KEYFRAME);
        rig.give(2, 2, KEYFRAME);
        rig.pass(milliseconds(33));
    }
    assert_eq!(rig.changes().last(), Some(&(2, Some(2))));

    for _ in 0..75 {
        rig.give(2, 0, KEYFRAME);
        rig.pass(milliseconds(33));
    }

    assert_eq!(rig.changes(), [(2, Some(0))]);
}

#[test]
fn higher_temporal_layers_are_left_out_without_a_gap() {
    let mut rig = Rig::new();
    let mut setup = pictures(2, 1);
    setup.video = Some(VideoCodec::Vp8);
    rig.add(setup);
    rig.downlink
        .prefer_layers(2, 0, Some(0), rig.now, &mut rig.hands);
    for (number, layer) in (0_u8..).zip([0_u8, 2, 1, 2, 0, 2, 1, 2]) {
        let payload = vec![
            0x90,
            0xe0,
            0x80,
            number,
            number / 4,
            layer << 6 | 0x20,
            0x11,
        ];
        let packet = RtpPacket {
            sequence: u16::from(number),
            timestamp: u32::from(number) * 3000,
            ssrc: 20,
            marker: true,
            payload: payload.into(),
        };
        let incoming = super::super::Incoming {
            producer: 2,
            layer: 0,
            packet: &packet,
            extensions: &crate::router::extensions::Extensions::default(),
            begins_keyframe: number == 0,
        };
        rig.downlink
            .handle_packet(&incoming, rig.now, &mut rig.hands);
    }

    let sent: Vec<_> = rig
        .hands
        .packets
        .iter()
        .map(|packet| {
            (
                packet.header.sequence_number,
                packet.payload[3],
                packet.payload[4],
            )
        })
        .collect();
    assert_eq!(sent, [(65_500, 1, 1), (65_501, 2, 2)]);
}

#[test]
fn clocks_are_told_soon_and_every_second() {
    let mut rig = Rig::new();
    rig.add(pictures(2, 1));
    rig.add(sound(3));
    for (producer, rtp_timestamp) in [(2, 9000), (3, 4800)] {
        let report = SenderReport {
            ssrc: producer * 10,
            ntp_time: Duration::from_secs(5000),
            rtp_timestamp,
        };
        rig.downlink.handle_report(producer, 0, &report, rig.now);
    }
    rig.give(2, 0, KEYFRAME);
    rig.give(3, 0, PICTURE);
    rig.pass(milliseconds(1));

    let reports = |rig: &mut Rig| {
        let compounds = std::mem::take(&mut rig.hands.compounds);
        let names = compounds
            .iter()
            .filter(|packet| packet.as_any().is::<SourceDescription>());
        let names = names.count();
        let reports: Vec<sender_report::SenderReport> = compounds
            .iter()
            .filter_map(|packet| packet.as_any().downcast_ref().cloned())
            .collect();
        assert_eq!(names, reports.len());
        reports
    };
    let first = reports(&mut rig);
    rig.pass(milliseconds(2999));
    let later = reports(&mut rig);

    assert_eq!(
        first.iter().map(|report| report.ssrc).collect::<Vec<_>>(),
        [1002, 1003]
    );
    assert_eq!(first[0].packet_count, 1);
    // Both were captured a tenth of a second before their reports; the timestamps they went out with are known.
    let captured = |report: &sender_report::SenderReport, clock_rate: u32| {
        let behind = report.rtp_time.wrapping_sub(1_000_000).cast_signed();
        let time = (u128::from(report.ntp_time) * 1000) >> 32;
        i64::try_from(time).unwrap() - i64::from(behind) * 1000 / i64::from(clock_rate)
    };
    let apart = captured(&first[0], 90_000) - captured(&first[1], 48_000);
    assert!(apart.abs() <= 1, "{apart} ms");
    assert!((5..=6).contains(&later.len()), "{}", later.len());
}

#[test]
fn reports_of_many_streams_are_split() {
    let mut rig = Rig::new();
    for number in 2..100 {
        rig.add(sound(number));
        rig.give(number, 0, PICTURE);
    }

    rig.pass(milliseconds(1001));

    let reports = rig.hands.compounds.iter();
    let reports = reports.filter(|packet| packet.as_any().is::<sender_report::SenderReport>());
    assert_eq!(reports.count(), 2 * 98);
}

#[test]
fn the_client_tells_its_losses_and_the_round_trip() {
    let mut rig = Rig::new();
    rig.add(pictures(2, 1));
    rig.give(2, 0, KEYFRAME);
    rig.pass(milliseconds(1));
    let told = rig.hands.compounds[0].as_any();
    let ntp_time = told
        .downcast_ref::<sender_report::SenderReport>()
        .unwrap()
        .ntp_time;
    rig.pass(milliseconds(150));

    let report = |delay| ReceiverReport {
        ssrc: 1,
        reports: vec![ReceptionReport {
            ssrc: 1002,
            total_lost: 12,
            last_sender_report: u32::try_from(ntp_time >> 16 & u64::from(u32::MAX)).unwrap(),
            delay,
            ..ReceptionReport::default()
        }],
        ..ReceiverReport::default()
    };
    rig.tell(report(65_536 / 10));

    let counters = rig.downlink.counters(2).unwrap();
    assert_eq!(counters.lost, 12);
    let round_trip = counters.round_trip.unwrap();
    assert!(
        (49..=52).contains(&round_trip.as_millis()),
        "{round_trip:?}"
    );
    rig.tell(report(u32::MAX / 2));
    assert_eq!(
        rig.downlink.counters(2).unwrap().round_trip,
        Some(round_trip),
        "a lie"
    );
}

#[test]
fn a_client_that_only_tells_its_most_is_obeyed() {
    let mut rig = Rig::new();
    let mut setup = pictures(2, 2);
    setup.rtp.header_extensions.clear();
    rig.add(setup);
    let flow = |rig: &mut Rig, seconds: u64| {
        for _ in 0..seconds * 30 {
            rig.give_sized(2, 0, KEYFRAME, 600);
            rig.give_sized(2, 1, KEYFRAME, 4000);
            rig.pass(milliseconds(33));
        }
        rig.hands.packets.clear();
        rig.changes().last().copied()
    };
    assert_eq!(flow(&mut rig, 3), Some((2, Some(1))));

    let most = |bitrate| ReceiverEstimatedMaximumBitrate {
        sender_ssrc: 1,
        bitrate,
        ssrcs: vec![1002],
    };
    rig.tell(most(500_000.0));
    assert_eq!(flow(&mut rig, 3), Some((2, Some(0))));
    rig.tell(most(50_000.0));
    assert_eq!(flow(&mut rig, 3), Some((2, None)));
    rig.tell(most(5_000_000.0));
    assert_eq!(flow(&mut rig, 8), Some((2, Some(1))));
}

#[test]
fn who_is_removed_gets_nothing_and_is_not_known() {
    let mut rig = Rig::new();
    rig.add(pictures(2, 1));
    rig.give(2, 0, KEYFRAME);
    rig.downlink.remove(2, rig.now, &mut rig.hands);
    rig.downlink.remove(2, rig.now, &mut rig.hands);
    rig.hands.packets.clear();

    rig.give(2, 0, KEYFRAME);
    rig.tell(missing(1002, &[65_500]));

    assert!(rig.hands.packets.is_empty());
    assert_eq!(rig.downlink.counters(2), None);
}
