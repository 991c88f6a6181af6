use bytes::Bytes;
use media::RtpPacket;
use proptest::prelude::*;

use super::*;

const STREAM: Stream = Stream {
    ssrc: 7,
    payload_type: 96,
    sequence: 65_530,
    payload_bytes: NETWORK_PAYLOAD_BYTES,
};

fn parse(packet: &[u8]) -> RtpPacket {
    let word = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
    RtpPacket {
        sequence: u16::from_be_bytes([packet[2], packet[3]]),
        timestamp: word(4),
        ssrc: word(8),
        marker: packet[1] & 0x80 != 0,
        payload: Bytes::copy_from_slice(&packet[HEADER_BYTES..]),
    }
}

fn packets(packetiser: &mut Packetiser, picture: &Coded<'_>) -> Vec<RtpPacket> {
    let mut packets = Vec::new();
    packetiser.packetise(picture, |packet| packets.push(parse(packet)));
    packets
}

proptest! {
    #[test]
    fn any_bytes_are_a_picture_or_none(data: Vec<u8>, keyframe: bool) {
        for codec in [VideoCodec::H264, VideoCodec::Vp8, VideoCodec::Vp9] {
            let mut packetiser = Packetiser::new(codec, STREAM).unwrap();
            let picture = Coded { rtp_timestamp: 0, keyframe, config: None, data: &data };
            let packets = packets(&mut packetiser, &picture);
            prop_assert!(packets.iter().rev().skip(1).all(|packet| !packet.marker));
            prop_assert!(packets.last().is_none_or(|packet| packet.marker));
        }
    }
}

#[test]
fn nobody_makes_packets_of_av1() {
    assert!(Packetiser::new(VideoCodec::Av1, STREAM).is_none());
}

#[test]
fn sequence_numbers_and_picture_ids_go_round() {
    let mut packetiser = Packetiser::new(
        VideoCodec::Vp8,
        Stream {
            sequence: 0x7fff,
            ..STREAM
        },
    )
    .unwrap();
    let picture = Coded {
        rtp_timestamp: 0,
        keyframe: true,
        config: None,
        data: &[1; 3_000],
    };

    let first = packets(&mut packetiser, &picture);
    let second = packets(&mut packetiser, &picture);

    assert_eq!(first.len(), 3);
    assert_eq!(first[0].payload[..4], [0x90, 0x80, 0xff, 0xff]);
    assert_eq!(first[1].payload[..4], [0x80, 0x80, 0xff, 0xff]);
    assert_eq!(second[0].payload[..4], [0x90, 0x80, 0x80, 0x00]);
    assert_eq!(second[0].sequence, 0x8002);
}

#[test]
fn a_sender_report_counts_what_was_sent() {
    let mut packetiser = Packetiser::new(VideoCodec::Vp9, STREAM).unwrap();
    let picture = Coded {
        rtp_timestamp: 5,
        keyframe: false,
        config: None,
        data: &[1; 100],
    };
    packets(&mut packetiser, &picture);

    let report = packetiser.sender_report(0x0102_0304_0506_0708, 9);

    assert_eq!(
        report[..],
        [
            0x80, 200, 0, 6, 0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0,
            103
        ]
    );
}
