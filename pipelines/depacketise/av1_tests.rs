use super::*;

/// 640 × 360, one operating point, without its OBU header.
const SEQUENCE: [u8; 11] = [
    0x00, 0x00, 0x00, 0x24, 0xc4, 0xff, 0x67, 0x9f, 0xbf, 0xff, 0x04,
];
const SEQUENCE_OBU: u8 = SEQUENCE_HEADER << 3;
const FRAME_OBU: u8 = FRAME << 3;
const KEY: u8 = 0x10;
const INTER: u8 = 0x30;

fn sequence() -> Vec<u8> {
    [&[SEQUENCE_OBU], &SEQUENCE[..]].concat()
}

/// An aggregation header and elements with their lengths in front.
fn payload(flags: u8, elements: &[&[u8]]) -> Vec<u8> {
    let mut payload = BytesMut::from(&[flags][..]);
    for element in elements {
        put_size(&mut payload, element.len());
        payload.put_slice(element);
    }
    payload.to_vec()
}

fn assemble(payloads: &[Vec<u8>]) -> Result<Option<Assembled>, Malformed> {
    let mut unit = TemporalUnit::with_capacity(0);
    for payload in payloads {
        unit.take(payload)?;
    }
    unit.finish()
}

#[test]
fn a_sequence_header_tells_the_size() {
    assert_eq!(sequence_size(&SEQUENCE), Some((640, 360)));
    for length in 0..7 {
        assert_eq!(sequence_size(&SEQUENCE[..length]), None, "{length} bytes");
    }
    assert_eq!(sequence_size(&[0x18; 20]), None, "a still picture");
}

#[test]
fn times_delays_and_layers_in_a_sequence_header_are_skipped() {
    // Numbers and their bits: with timing of equal intervals, a decoder model, delays and two operating points.
    let fields: [(u64, u32); 29] = [
        (0, 3),
        (0, 1),
        (0, 1),
        (1, 1),
        (1, 32),
        (30, 32),
        (1, 1),
        (1, 1),
        (1, 1),
        (9, 5),
        (1, 32),
        (7, 5),
        (7, 5),
        (1, 1),
        (1, 5),
        (0x103, 12),
        (8, 5),
        (1, 1),
        (1, 1),
        (3, 10),
        (4, 10),
        (0, 1),
        (1, 1),
        (5, 4),
        (0x101, 12),
        (4, 5),
        (0, 1),
        (0, 1),
        (0, 0),
    ];
    let size: [(u64, u32); 4] = [(10, 4), (9, 4), (1_919, 11), (1_023, 10)];
    let text: Vec<u8> = fields
        .iter()
        .chain(&size)
        .flat_map(|&(value, bits)| (0..bits).rev().map(move |bit| (value >> bit & 1) as u8))
        .collect();
    let header: Vec<u8> = text
        .chunks(8)
        .map(|bits| {
            bits.iter()
                .enumerate()
                .fold(0, |byte, (index, bit)| byte | bit << (7 - index))
        })
        .collect();

    assert_eq!(sequence_size(&header), Some((1_920, 1_024)));
}

#[test]
fn obus_get_sizes_and_delimiters_vanish() {
    let delimiter = [TEMPORAL_DELIMITER << 3];
    let with_extension = [FRAME_OBU | HAS_EXTENSION, 0x28, INTER, 9];
    let with_size = [FRAME_OBU | HAS_SIZE, 2, INTER, 8];
    let picture = assemble(&[payload(
        0x08,
        &[
            &delimiter,
            &sequence(),
            &[FRAME_OBU, KEY, 7],
            &with_extension,
            &with_size,
        ],
    )])
    .unwrap()
    .unwrap();

    let mut expected = vec![SEQUENCE_OBU | HAS_SIZE, 11];
    expected.extend_from_slice(&SEQUENCE);
    expected.extend_from_slice(&[FRAME_OBU | HAS_SIZE, 2, KEY, 7]);
    expected.extend_from_slice(&[FRAME_OBU | HAS_EXTENSION | HAS_SIZE, 0x28, 2, INTER, 9]);
    expected.extend_from_slice(&[FRAME_OBU | HAS_SIZE, 2, INTER, 8]);
    assert!(picture.keyframe);
    assert_eq!(picture.size, Some((640, 360)));
    assert_eq!(picture.data, expected);
}

#[test]
fn the_last_of_counted_elements_has_no_length() {
    let mut counted = payload(0x20, &[&sequence()]);
    counted.extend_from_slice(&[FRAME_OBU, KEY]);

    assert!(assemble(&[counted]).unwrap().unwrap().keyframe);
    assert!(
        assemble(&[vec![0x20, 1, FRAME_OBU]]).is_err(),
        "the second is missing"
    );
    assert!(
        assemble(&[vec![0x30, 1, FRAME_OBU]]).is_err(),
        "two are missing"
    );
}

#[test]
fn fragments_become_one_obu() {
    let frame: Vec<u8> = [FRAME_OBU, INTER]
        .into_iter()
        .chain((0..=250).cycle().take(300))
        .collect();
    let picture = assemble(&[
        payload(0x40, &[&[5 << 3, 1], &frame[..100]]),
        [&[0xd0], &frame[100..200]].concat(),
        payload(0x80, &[&frame[200..]]),
    ])
    .unwrap()
    .unwrap();

    let size = frame.len() - 1;
    let low = u8::try_from(size & 0x7f).unwrap() | 0x80;
    let mut expected = vec![5 << 3 | HAS_SIZE, 1, 1, FRAME_OBU | HAS_SIZE, low, 2];
    expected.extend_from_slice(&frame[1..]);
    assert_eq!(picture.data, expected);
    assert!(!picture.keyframe);
}

#[test]
fn fragments_that_do_not_fit_are_refused() {
    let begin = payload(0x40, &[&[FRAME_OBU, INTER]]);
    for wrong in [
        vec![begin.clone()],
        vec![begin.clone(), payload(0, &[&[FRAME_OBU, INTER]])],
        vec![payload(0x80, &[&[1]])],
        vec![payload(0, &[&[FRAME_OBU | 0x80, INTER]])],
        vec![payload(0, &[&[FRAME_OBU]])],
        vec![payload(0, &[&[]])],
        vec![vec![0, 9, FRAME_OBU]],
        vec![vec![0, 0xff, 0xff, 0xff, 0xff, 0xff, 0]],
        vec![vec![0]],
        vec![payload(0, &[&[FRAME_OBU | HAS_SIZE, 3, INTER]])],
    ] {
        assert_eq!(assemble(&wrong).err(), Some(Malformed), "{wrong:x?}");
    }
}

#[test]
fn only_a_shown_key_frame_behind_a_sequence_header_is_a_beginning() {
    let unit = |sequence: &[u8], frame: u8| {
        let frame = [FRAME_OBU, frame];
        let elements: Vec<&[u8]> = [sequence, &frame]
            .into_iter()
            .filter(|element| !element.is_empty())
            .collect();
        assemble(&[payload(0, &elements)]).unwrap().unwrap()
    };

    assert!(unit(&sequence(), KEY).keyframe);
    assert!(!unit(&[], KEY).keyframe, "no sequence header");
    for other in [INTER, 0x00, 0x80, 0x50] {
        let picture = unit(&sequence(), other);
        assert!(!picture.keyframe, "{other:x}");
        assert_eq!(picture.size, None);
    }
}

#[test]
fn an_instant_without_a_frame_is_no_picture() {
    assert!(assemble(&[payload(0, &[&sequence()])]).unwrap().is_none());
}

#[test]
fn a_keyframe_begins_with_its_sequence_header() {
    assert!(begins_keyframe(&payload(0x08, &[&sequence()])));
    assert!(begins_keyframe(&payload(
        0x08,
        &[&[TEMPORAL_DELIMITER << 3], &sequence()]
    )));
    assert!(begins_keyframe(
        &[&[0x18], &sequence()[..], &[1, 2]].concat()
    ));
    assert!(!begins_keyframe(&payload(0, &[&[FRAME_OBU, INTER]])));
    assert!(
        !begins_keyframe(&payload(0x80, &[&sequence()])),
        "the rest of something"
    );
    assert!(!begins_keyframe(&[]));
    assert!(!begins_keyframe(&[0x08]));
}
