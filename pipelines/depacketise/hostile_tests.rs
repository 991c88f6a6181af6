//! Whatever bytes come, nothing breaks, and what comes out is bounded.

use proptest::prelude::*;

use super::*;

/// One thing that arrives.
#[derive(Debug, Clone)]
enum Act {
    Packet(u32, bool, Vec<u8>),
    Loss,
    Reset,
    Require,
}

fn act() -> impl Strategy<Value = Act> {
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        // What looks like the front of something, and then anything.
        (
            prop::sample::select(vec![
                vec![0x10, 0x02, 0x00, 0x00, 0x9d, 0x01, 0x2a],
                vec![0x90, 0x80, 0x80, 0x01, 0x31],
                vec![0xb0, 0x80, 0x80, 0x02, 0x31],
                vec![0x0c, 0x82, 0x49, 0x83, 0x42, 0x20],
                vec![0x8c, 0x80, 0x02, 0x86],
                vec![0x00, 0x02, 0x30, 0x10],
                vec![0x18, 0x08, 0x00, 0x00, 0x00],
                vec![0x50, 0x30, 0x30],
                vec![0x90, 0x05],
            ]),
            prop::collection::vec(any::<u8>(), 0..30)
        )
            .prop_map(|(front, rest)| [front, rest].concat()),
    ];
    prop_oneof![
        12 => (0..6_u32, any::<bool>(), payload).prop_map(|(time, marker, payload)| Act::Packet(time, marker, payload)),
        2 => Just(Act::Loss),
        1 => Just(Act::Reset),
        1 => Just(Act::Require),
    ]
}

proptest! {
    #[test]
    fn hostile_payloads_break_nothing(
        codec in prop::sample::select(vec![VideoCodec::Vp8, VideoCodec::Vp9, VideoCodec::Av1]),
        acts in prop::collection::vec(act(), 1..200),
    ) {
        let now = Instant::now();
        let mut depacketiser = Depacketiser::new(codec);
        let mut is_first = true;
        for act in acts {
            let mut length = 0;
            match act {
                Act::Packet(timestamp, marker, payload) => {
                    length = payload.len();
                    begins_keyframe(codec, &payload);
                    let packet = RtpPacket { sequence: 0, timestamp, ssrc: 1, marker, payload: payload.into() };
                    depacketiser.handle_packet(&packet, now);
                }
                Act::Loss => depacketiser.handle_loss(),
                Act::Reset => {
                    depacketiser.reset();
                    is_first = true;
                }
                Act::Require => {
                    depacketiser.require_keyframe();
                    is_first = true;
                }
            }
            let pictures: Vec<WholePicture> = std::iter::from_fn(|| depacketiser.poll()).collect();
            prop_assert!(pictures.len() <= 2, "the one before and the one that came");
            for picture in pictures {
                prop_assert!(picture.keyframe || !is_first);
                prop_assert!(!picture.data.is_empty());
                prop_assert_eq!(picture.size.is_some(), picture.keyframe);
                prop_assert!(picture.data.len() <= PICTURE_LIMIT);
                is_first = false;
            }
            prop_assert!(length == 0 || depacketiser.is_within(u32::MAX) == depacketiser.unit.as_ref().is_some_and(|unit| unit.rtp_timestamp == u32::MAX));
        }
    }

    #[test]
    fn any_bytes_begin_a_keyframe_or_do_not(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        for codec in VideoCodec::ALL {
            begins_keyframe(codec, &bytes);
            describe(codec, &bytes);
        }
    }
}
