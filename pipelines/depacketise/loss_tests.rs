use std::time::Duration;

use super::*;

const VP8_KEYFRAME: [u8; 11] = [
    0x02, 0x00, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01, 7,
];
const VP9_KEYFRAME: [u8; 12] = [
    0x82, 0x49, 0x83, 0x42, 0x20, 0x27, 0xf0, 0x16, 0x70, 0x11, 0x22, 0x33,
];
const AV1_KEYFRAME: [u8; 15] = [
    12, 0x08, 0x00, 0x00, 0x00, 0x24, 0xc4, 0xff, 0x67, 0x9f, 0xbf, 0xff, 0x04, 2, 0x30,
];

/// What a test sends of a picture.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "as the bits of a packet")]
struct Part {
    /// The picture's number, which its time follows.
    picture: u16,
    keyframe: bool,
    is_first: bool,
    is_last: bool,
    is_discardable: bool,
}

/// A whole picture in one packet.
const fn whole(picture: u16) -> Part {
    Part {
        picture,
        keyframe: false,
        is_first: true,
        is_last: true,
        is_discardable: false,
    }
}

const fn keyframe(picture: u16) -> Part {
    Part {
        keyframe: true,
        ..whole(picture)
    }
}

fn packet(codec: VideoCodec, part: Part) -> RtpPacket {
    let [high, low] = part.picture.to_be_bytes();
    let payload = match codec {
        VideoCodec::Vp8 => {
            let first = 0x80
                | if part.is_first { 0x10 } else { 0 }
                | if part.is_discardable { 0x20 } else { 0 };
            let body: &[u8] = match (part.is_first, part.keyframe) {
                (true, true) => &VP8_KEYFRAME,
                (true, false) => &[0x31, 5],
                (false, _) => &[5],
            };
            [&[first, 0x80, high | 0x80, low], body].concat()
        }
        VideoCodec::Vp9 => {
            let flags =
                0x80 | if part.is_first { 0x08 } else { 0 } | if part.is_last { 0x04 } else { 0 };
            let body: &[u8] = match (part.is_first, part.keyframe) {
                (true, true) => &VP9_KEYFRAME,
                (true, false) => &[0x86, 5],
                (false, _) => &[5],
            };
            [&[flags, high | 0x80, low], body].concat()
        }
        VideoCodec::Av1 | VideoCodec::H264 => {
            let flags = if part.is_first { 0 } else { 0x80 } | if part.is_last { 0 } else { 0x40 };
            match (part.is_first, part.keyframe) {
                (true, true) => {
                    let mut body = AV1_KEYFRAME.to_vec();
                    body.extend_from_slice(&[0x10]);
                    [&[flags][..], &body].concat()
                }
                (true, false) => vec![flags, 2, 0x30, 0x30],
                (false, _) => vec![flags, 1, 5],
            }
        }
    };
    RtpPacket {
        sequence: 0,
        timestamp: u32::from(part.picture) * 3_000,
        ssrc: 1,
        marker: part.is_last,
        payload: payload.into(),
    }
}

/// Feeds parts, and losses for `None`; returns the numbers of the pictures that came out.
fn feed(depacketiser: &mut Depacketiser, parts: &[Option<Part>]) -> Vec<u32> {
    let codec = depacketiser.codec;
    let mut pictures = Vec::new();
    for part in parts {
        match part {
            Some(part) => depacketiser.handle_packet(&packet(codec, *part), Instant::now()),
            None => depacketiser.handle_loss(),
        }
        let ready = std::iter::from_fn(|| depacketiser.poll());
        pictures.extend(ready.map(|picture| picture.rtp_timestamp / 3_000));
    }
    pictures
}

fn started(codec: VideoCodec) -> Depacketiser {
    let mut depacketiser = Depacketiser::new(codec);
    assert!(depacketiser.take_keyframe_wish());
    assert_eq!(feed(&mut depacketiser, &[Some(keyframe(1))]), [1]);
    assert!(!depacketiser.take_keyframe_wish());
    depacketiser
}

const CODECS: [VideoCodec; 3] = [VideoCodec::Vp8, VideoCodec::Vp9, VideoCodec::Av1];

#[test]
fn nothing_comes_before_the_first_keyframe() {
    for codec in CODECS {
        let mut depacketiser = Depacketiser::new(codec);

        let pictures = feed(
            &mut depacketiser,
            &[Some(whole(1)), Some(keyframe(2)), Some(whole(3))],
        );

        assert_eq!(pictures, [2, 3], "{codec}");
        assert_eq!(depacketiser.dropped(), 1, "{codec}");
    }
}

#[test]
fn after_a_missing_picture_nothing_comes_until_a_keyframe_and_it_is_asked_for_once() {
    for codec in CODECS {
        let mut depacketiser = started(codec);

        let lost = feed(
            &mut depacketiser,
            &[None, Some(whole(3)), Some(whole(4)), None, Some(whole(6))],
        );
        let wishes = [
            depacketiser.take_keyframe_wish(),
            depacketiser.take_keyframe_wish(),
        ];
        let pictures = feed(
            &mut depacketiser,
            &[None, Some(keyframe(8)), Some(whole(9))],
        );

        assert!(lost.is_empty(), "{codec}");
        assert_eq!(wishes, [true, false], "{codec}");
        assert_eq!(pictures, [8, 9], "{codec}");
    }
}

#[test]
fn a_picture_that_lost_its_end_its_middle_or_its_beginning_does_not_come_out() {
    let (begin, middle, end) = (
        Part {
            is_last: false,
            ..whole(2)
        },
        Part {
            is_first: false,
            is_last: false,
            ..whole(2)
        },
        Part {
            is_first: false,
            ..whole(2)
        },
    );
    for codec in CODECS {
        for parts in [
            [Some(begin), None, Some(whole(3))],
            [Some(begin), None, Some(end)],
            [None, Some(end), Some(whole(3))],
            [Some(middle), Some(end), Some(whole(3))],
        ] {
            let mut depacketiser = started(codec);

            let pictures = feed(&mut depacketiser, &parts);

            assert!(pictures.is_empty(), "{codec}: {parts:?} gave {pictures:?}");
            assert!(depacketiser.waits_for_keyframe());
            assert!(depacketiser.take_keyframe_wish());
        }
    }
}

#[test]
fn a_damaged_keyframe_is_asked_for_again() {
    for codec in CODECS {
        let mut depacketiser = Depacketiser::new(codec);
        depacketiser.take_keyframe_wish();
        let begin = Part {
            is_last: false,
            ..keyframe(1)
        };
        let end = Part {
            is_first: false,
            ..keyframe(1)
        };

        assert!(feed(&mut depacketiser, &[Some(begin), None, Some(end)]).is_empty());
        assert!(depacketiser.take_keyframe_wish(), "{codec}");
    }
}

#[test]
fn lost_padding_is_forgiven_when_the_numbers_go_on() {
    for (codec, pictures) in [
        (VideoCodec::Vp8, &[2, 3][..]),
        (VideoCodec::Vp9, &[2, 3]),
        (VideoCodec::Av1, &[]),
    ] {
        let mut depacketiser = started(codec);

        let came = feed(
            &mut depacketiser,
            &[None, Some(whole(2)), None, None, Some(whole(3))],
        );

        assert_eq!(came, pictures, "{codec}");
        assert_eq!(
            depacketiser.take_keyframe_wish(),
            pictures.is_empty(),
            "{codec}"
        );
    }
}

#[test]
fn numbers_go_on_after_they_wrap() {
    for codec in [VideoCodec::Vp8, VideoCodec::Vp9] {
        let mut depacketiser = Depacketiser::new(codec);

        let mut parts = vec![Some(keyframe(0x7fff)), None];
        parts.push(Some(Part {
            picture: 0x8000,
            ..whole(0)
        }));
        // The highest bit says that the number is of 15 bits.
        let pictures = feed(&mut depacketiser, &parts);

        assert_eq!(pictures, [0x7fff, 0x8000], "{codec}");
    }
}

#[test]
fn a_loss_in_a_picture_that_none_refers_to_costs_that_picture_alone() {
    let discardable = Part {
        is_discardable: true,
        ..whole(2)
    };
    let (begin, end) = (
        Part {
            is_last: false,
            ..discardable
        },
        Part {
            is_first: false,
            ..discardable
        },
    );
    for parts in [
        vec![Some(begin), None, Some(end), Some(whole(3))],
        vec![Some(begin), None, Some(whole(3))],
        vec![None, Some(end), Some(whole(3))],
        vec![Some(begin), None, Some(end), None, Some(whole(3))],
    ] {
        let mut depacketiser = started(VideoCodec::Vp8);

        let pictures = feed(&mut depacketiser, &parts);

        assert_eq!(pictures, [3], "{parts:?}");
        assert!(!depacketiser.take_keyframe_wish());
    }
    for parts in [
        vec![Some(begin), None, Some(end), Some(whole(4))],
        vec![Some(begin), None, Some(whole(4))],
        vec![
            Some(begin),
            None,
            Some(Part {
                is_first: false,
                ..whole(3)
            }),
        ],
    ] {
        let mut depacketiser = started(VideoCodec::Vp8);

        assert!(feed(&mut depacketiser, &parts).is_empty(), "{parts:?}");
        assert!(depacketiser.take_keyframe_wish());
    }
}

#[test]
fn when_something_else_was_shown_only_a_keyframe_will_do() {
    for codec in CODECS {
        let mut depacketiser = started(codec);

        depacketiser.require_keyframe();

        assert!(depacketiser.waits_for_keyframe());
        assert!(depacketiser.take_keyframe_wish());
        assert_eq!(
            feed(&mut depacketiser, &[Some(whole(2)), Some(keyframe(3))]),
            [3],
            "{codec}"
        );
    }
}

#[test]
fn a_new_beginning_forgets_the_picture_in_the_making() {
    for codec in CODECS {
        let mut depacketiser = started(codec);
        let begin = Part {
            is_last: false,
            ..whole(2)
        };
        feed(&mut depacketiser, &[Some(begin)]);
        assert!(depacketiser.is_within(6_000));

        depacketiser.reset();

        assert!(!depacketiser.is_within(6_000));
        assert!(depacketiser.take_keyframe_wish());
        assert_eq!(
            feed(
                &mut depacketiser,
                &[Some(whole(3)), Some(keyframe(4)), Some(whole(5))]
            ),
            [4, 5]
        );
    }
}

#[test]
fn a_picture_ends_without_a_marker_and_padding_changes_nothing() {
    for codec in CODECS {
        let mut depacketiser = started(codec);
        let now = Instant::now();
        let padding = RtpPacket {
            payload: Bytes::new(),
            ..packet(codec, whole(2))
        };
        let unmarked = RtpPacket {
            marker: false,
            ..packet(codec, whole(2))
        };

        depacketiser.handle_packet(&unmarked, now);
        depacketiser.handle_packet(&padding, now);
        depacketiser.handle_packet(&packet(codec, whole(3)), now + Duration::from_millis(33));

        let pictures: Vec<_> = std::iter::from_fn(|| depacketiser.poll()).collect();
        assert_eq!(pictures.len(), 2, "{codec}");
        assert_eq!(
            (pictures[0].first_arrival, pictures[0].last_arrival),
            (now, now)
        );
    }
}

#[test]
fn a_picture_of_more_than_four_megabytes_is_dropped() {
    for codec in CODECS {
        let mut depacketiser = started(codec);
        let begin = Part {
            is_last: false,
            ..whole(2)
        };
        let part = packet(
            codec,
            Part {
                is_first: false,
                is_last: false,
                ..whole(2)
            },
        );
        // An AV1 payload of one element, so that it needs no length.
        let front: Vec<u8> = match codec {
            VideoCodec::Av1 => vec![0xd0],
            VideoCodec::Vp8 | VideoCodec::Vp9 | VideoCodec::H264 => part.payload.to_vec(),
        };
        let large = RtpPacket {
            payload: [front, vec![0; 60_000]].concat().into(),
            ..part
        };
        feed(&mut depacketiser, &[Some(begin)]);

        for _ in 0..PICTURE_LIMIT / 60_000 {
            depacketiser.handle_packet(&large, Instant::now());
        }
        let is_whole = !depacketiser.waits_for_keyframe();
        depacketiser.handle_packet(&large, Instant::now());

        assert!(is_whole, "{codec}");
        assert!(depacketiser.waits_for_keyframe(), "{codec}");
        assert!(depacketiser.take_keyframe_wish(), "{codec}");
    }
}
