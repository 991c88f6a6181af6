//! Answers of a child that was taken over.

use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;

const GEOMETRY: Geometry = Geometry {
    width: 640,
    height: 360,
    frames_per_second: 1,
};

/// 640×360, Constrained Baseline, by Chromium.
const SEQUENCE: [u8; 13] = [
    0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x17, 0xfc, 0xb0, 0x0f, 0x08,
];
const PICTURE_SET: [u8; 4] = [0x68, 0xce, 0x3c, 0x80];
const KEYFRAME: [u8; 7] = [0, 0, 0, 3, 0x65, 0x88, 0x84];
const FOLLOWER: [u8; 7] = [0, 0, 0, 3, 0x41, 0x9a, 0x02];

type Record = (u8, Vec<u8>);

fn whole() -> Vec<Record> {
    vec![
        (tag::SEQUENCE, SEQUENCE.to_vec()),
        (tag::PICTURE_SET, PICTURE_SET.to_vec()),
        (tag::PICTURE, KEYFRAME.to_vec()),
        (tag::PICTURE, FOLLOWER.to_vec()),
        (tag::SOUND, vec![0xfc, 1, 2]),
        (tag::DONE, Vec::new()),
    ]
}

fn bytes(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (tag, body) in records {
        bytes.push(*tag);
        bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body);
    }
    bytes
}

fn read_bytes(bytes: &[u8]) -> Result<StandIn, SlateError> {
    // All bytes are there, so nothing waits.
    let answer = std::pin::pin!(read(bytes, GEOMETRY));
    match answer.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("waited for bytes that are there"),
    }
}

#[test]
fn a_whole_answer_is_a_slate() {
    let slate = read_bytes(&bytes(&whole())).unwrap();

    assert_eq!(slate.pictures.len(), 2);
    assert!(slate.pictures[0].keyframe && !slate.pictures[1].keyframe);
    assert_eq!(slate.picture_interval, Duration::from_secs(1));
    assert_eq!(slate.sound, [vec![0xfc, 1, 2]]);
}

#[test]
fn an_answer_that_breaks_a_rule_is_a_crash() {
    let change = |place: usize, record: Record| {
        let mut records = whole();
        records[place] = record;
        records
    };
    let without = |place: usize| {
        let mut records = whole();
        records.remove(place);
        records
    };
    for (what, records) in [
        ("no sequence", without(0)),
        ("no picture set", without(1)),
        ("no keyframe", without(2)),
        ("half a group", without(3)),
        ("no end", without(5)),
        (
            "two keyframes",
            change(3, (tag::PICTURE, KEYFRAME.to_vec())),
        ),
        (
            "mixed slices",
            change(2, (tag::PICTURE, [KEYFRAME, FOLLOWER].concat())),
        ),
        (
            "a parameter set among slices",
            change(3, (tag::PICTURE, vec![0, 0, 0, 2, 0x67, 1])),
        ),
        (
            "a length too long",
            change(3, (tag::PICTURE, vec![0, 0, 0, 9, 0x41, 1])),
        ),
        (
            "an empty slice",
            change(3, (tag::PICTURE, vec![0, 0, 0, 1, 0x41])),
        ),
        ("an empty picture", change(3, (tag::PICTURE, vec![]))),
        ("High profile", {
            let mut sequence = SEQUENCE.to_vec();
            sequence[1] = 100;
            change(0, (tag::SEQUENCE, sequence))
        }),
        ("another tag", change(4, (99, vec![]))),
        ("sound of 60 ms", change(4, (tag::SOUND, vec![0xff, 3]))),
        ("a huge packet", change(4, (tag::SOUND, vec![0xfc; 2_000]))),
        ("an end with more", change(5, (tag::DONE, vec![1]))),
    ] {
        assert_eq!(
            read_bytes(&bytes(&records)),
            Err(SlateError::Crashed),
            "{what}"
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let other = Geometry {
        width: 320,
        ..GEOMETRY
    };
    let answered = runtime.block_on(read(&bytes(&whole())[..], other));
    assert_eq!(answered, Err(SlateError::Crashed), "another shape");
}

#[test]
fn a_length_is_refused_before_there_is_room_for_it() {
    let mut huge = vec![tag::PICTURE];
    huge.extend(u32::MAX.to_be_bytes());

    assert_eq!(read_bytes(&huge), Err(SlateError::Crashed));
}

#[test]
fn the_name_of_a_missing_element_is_only_a_name() {
    let answer = bytes(&[(tag::MISSING, b"x264enc\n<b>".to_vec())]);

    let refused = read_bytes(&answer);

    let which = "x264encb".to_owned();
    assert_eq!(refused, Err(SlateError::Unavailable { which }));
}

proptest! {
    #[test]
    fn any_bytes_are_a_slate_or_an_error(
        noise: Vec<u8>,
        flip in (0..90_usize, any::<u8>()),
        cut in 0..90_usize,
    ) {
        let mut damaged = bytes(&whole());
        let place = flip.0 % damaged.len();
        damaged[place] ^= flip.1;
        for answer in [&noise[..], &damaged[..cut.min(damaged.len())], &damaged[..]] {
            if let Ok(slate) = read_bytes(answer) {
                prop_assert_eq!(slate.pictures.len(), 2);
                prop_assert!(slate.pictures[0].keyframe);
            }
        }
    }

    #[test]
    fn any_packet_is_heard_or_refused(packet: Vec<u8>) {
        if is_twenty_milliseconds(&packet) {
            let samples = opus::packet::get_nb_samples(&packet, 48_000);
            prop_assert_eq!(samples.unwrap(), 960);
        }
    }
}
