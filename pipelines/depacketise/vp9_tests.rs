use super::*;

/// Profile 0, shown, 640 × 360.
const KEYFRAME: [u8; 12] = [
    0x82, 0x49, 0x83, 0x42, 0x20, 0x27, 0xf0, 0x16, 0x70, 0x11, 0x22, 0x33,
];
const INTER: [u8; 3] = [0x86, 1, 2];

fn payload(descriptor: &[u8], body: &[u8]) -> Vec<u8> {
    [descriptor, body].concat()
}

fn assemble(payloads: &[Vec<u8>]) -> Result<Option<Assembled>, Malformed> {
    let mut frames = Frames::with_capacity(0);
    for payload in payloads {
        frames.take(payload)?;
    }
    frames.finish()
}

#[test]
fn a_keyframe_in_two_packets_tells_its_size() {
    let picture = assemble(&[
        payload(&[0x08], &KEYFRAME[..11]),
        payload(&[0x04], &KEYFRAME[11..]),
    ])
    .unwrap()
    .unwrap();

    assert!(picture.keyframe);
    assert_eq!(picture.size, Some((640, 360)));
    assert_eq!(picture.data, KEYFRAME[..]);
}

#[test]
fn a_frame_that_refers_to_others_tells_none() {
    for frame in [&INTER[..], &[0x88 | 3]] {
        let picture = assemble(&[payload(&[0x4c], frame)]).unwrap().unwrap();

        assert!(!picture.keyframe);
        assert_eq!(picture.size, None);
    }
}

#[test]
fn spatial_layers_of_one_instant_are_one_picture_of_the_largest_size() {
    // Two layers of 640 × 360 and 1280 × 720, and a group of two pictures with one reference each.
    let structure = [
        0x38, 0x02, 0x80, 0x01, 0x68, 0x05, 0x00, 0x02, 0xd0, 2, 0x04, 1, 0x14, 1,
    ];
    let base = payload(
        &[&[0xae, 0x80, 0x05, 0x00, 0x07], &structure[..]].concat(),
        &KEYFRAME,
    );
    let upper = payload(&[0xec, 0x80, 0x05, 0x03, 0x07], &INTER);

    let both = assemble(&[base.clone(), upper.clone()]).unwrap().unwrap();
    let alone = assemble(&[base]).unwrap().unwrap();
    let later = assemble(&[payload(&[0xec, 0x80, 0x06, 0x00, 0x08], &INTER), upper])
        .unwrap()
        .unwrap();

    assert!(both.keyframe);
    assert_eq!(both.size, Some((1280, 720)));
    assert_eq!(both.data, [&KEYFRAME[..], &INTER].concat());
    assert_eq!(alone.size, Some((640, 360)));
    assert_eq!(
        (later.keyframe, later.data),
        (false, [INTER, INTER].concat().into())
    );
}

#[test]
fn every_field_of_the_descriptor_is_skipped() {
    for (descriptor, number, layer) in [
        (&[0x08][..], None, 0),
        (&[0x88, 0x45], None, 0),
        (&[0x88, 0xc5, 0x67], Some(0x4567), 0),
        (&[0x28, 0x02, 0x99], None, 1),
        (&[0x38, 0x04], None, 2),
        (&[0x58, 0x02], None, 0),
        (&[0xf8, 0x81, 0x02, 0x06, 0x03, 0x05, 0x08], Some(0x102), 3),
        (&[0x0a, 0x00], None, 0),
        (&[0x0a, 0x08, 1, 0x0c, 1, 2, 3], None, 0),
    ] {
        let whole = payload(descriptor, &KEYFRAME);
        let parsed = parse(&whole).unwrap();

        assert_eq!(parsed.body, KEYFRAME, "{descriptor:x?}");
        assert_eq!(
            (parsed.number, parsed.layer),
            (number, layer),
            "{descriptor:x?}"
        );
        assert_eq!(begins_keyframe(&whole), layer == 0, "{descriptor:x?}");
        assert!(
            parse(descriptor).is_none(),
            "{descriptor:x?} without a body"
        );
    }
    assert!(
        parse(&payload(&[0x58, 3, 3, 3, 2], &INTER)).is_none(),
        "four references"
    );
}

#[test]
fn a_frame_begins_once_and_ends() {
    let (begin, middle, end) = (
        payload(&[0x08], &KEYFRAME),
        payload(&[0x00], &[1]),
        payload(&[0x04], &[2]),
    );
    assert!(assemble(&[begin.clone(), middle.clone(), end.clone()]).is_ok());
    for wrong in [
        vec![middle.clone(), end.clone()],
        vec![begin.clone(), begin.clone(), end.clone()],
        vec![begin.clone(), middle],
        vec![begin, end.clone(), end],
    ] {
        assert_eq!(assemble(&wrong).err(), Some(Malformed));
    }
}

#[test]
fn only_keyframes_of_profile_0_are_keyframes() {
    let mut codeless = KEYFRAME;
    codeless[1] = 0x48;
    let mut coloured = KEYFRAME;
    coloured[4] = 0xe0;
    let other_profile = [
        0xa2, 0x49, 0x83, 0x42, 0x20, 0x27, 0xf0, 0x16, 0x70, 0x11, 0x22, 0x33,
    ];
    for wrong in [&codeless[..], &coloured, &other_profile, &KEYFRAME[..8]] {
        let whole = payload(&[0x0c], wrong);
        assert_eq!(
            assemble(std::slice::from_ref(&whole)).err(),
            Some(Malformed)
        );
        assert!(!begins_keyframe(&whole));
    }
    assert!(!begins_keyframe(&payload(&[0x4c], &INTER)));
    assert!(!begins_keyframe(&payload(&[0x04], &KEYFRAME)));
}
