//! What is packetised comes back as it was.

use std::time::Instant;

use bytes::Bytes;
use media::{CodecConfig, RtpPacket, VideoCodec};
use proptest::prelude::*;

use super::Depacketiser;
use crate::{
    packetise::{Coded, Packetiser, Stream},
    path::video_config,
};

/// 640×360, Constrained Baseline, by Chromium.
const SEQUENCE: [u8; 13] = [
    0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x17, 0xfc, 0xb0, 0x0f, 0x08,
];
const PICTURE: [u8; 4] = [0x68, 0xce, 0x3c, 0x80];

fn picture(sizes: &[usize], first_type: u8) -> Vec<u8> {
    let mut data = Vec::new();
    for (place, size) in sizes.iter().enumerate() {
        data.extend(u32::try_from(*size).unwrap().to_be_bytes());
        data.push(0x60 | if place == 0 { first_type } else { 1 });
        data.extend((1..*size).map(|byte| u8::try_from(byte % 251).unwrap()));
    }
    data
}

fn parse(packet: &[u8]) -> RtpPacket {
    let word = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
    RtpPacket {
        sequence: u16::from_be_bytes([packet[2], packet[3]]),
        timestamp: word(4),
        ssrc: word(8),
        marker: packet[1] & 0x80 != 0,
        payload: Bytes::copy_from_slice(&packet[12..]),
    }
}

proptest! {
    #[test]
    fn what_is_packetised_comes_back_as_the_same_picture(
        sizes in prop::collection::vec(1..6_000_usize, 1..6),
        keyframes in prop::collection::vec(any::<bool>(), 0..4),
        payload_bytes in 64..2_000_usize,
        delimits: bool,
    ) {
        let stream = Stream { ssrc: 7, payload_type: 96, sequence: 65_530, payload_bytes };
        let mut packetiser = Packetiser::new(VideoCodec::H264, stream).unwrap();
        let mut depacketiser = Depacketiser::default();
        let config = CodecConfig::Avc(video_config(&SEQUENCE, &PICTURE).unwrap());
        let now = Instant::now();
        let mut next = 65_530_u16;
        let kinds = [true].into_iter().chain(keyframes);
        for (place, keyframe) in (0..).zip(kinds) {
            let data = picture(&sizes, if keyframe { 5 } else { 1 });
            let coded = Coded { rtp_timestamp: place * 3_000, keyframe, config: Some(&config), data: &data };
            let mut packets = Vec::new();
            packetiser.packetise(&coded, |packet| packets.push(parse(packet)));
            if delimits {
                packets.push(parse(packetiser.delimiter(place * 3_000 + 90)));
            }
            for packet in packets {
                prop_assert!(packet.payload.len() <= payload_bytes);
                prop_assert_eq!(packet.sequence, next);
                next = next.wrapping_add(1);
                depacketiser.handle_packet(&packet, now);
            }
            let back = depacketiser.poll().unwrap();
            prop_assert_eq!(back.rtp_timestamp, place * 3_000);
            prop_assert_eq!(back.keyframe, keyframe);
            prop_assert_eq!(&*back.config, &config);
            prop_assert!(back.data == data, "the bytes are others");
            prop_assert!(depacketiser.poll().is_none());
        }
    }
}
