use proptest::prelude::*;

use super::*;

const SEQUENCE: [u8; 13] = [
    0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x17, 0xfc, 0xb0, 0x0f, 0x08,
];
const PICTURE: [u8; 4] = [0x68, 0xce, 0x3c, 0x80];
const KEYFRAME: [u8; 6] = [0x65, 1, 2, 3, 4, 5];
const SLICE: [u8; 4] = [0x41, 6, 7, 8];

fn packet(timestamp: u32, marker: bool, payload: &[u8]) -> RtpPacket {
    RtpPacket {
        sequence: 0,
        timestamp,
        ssrc: 1,
        marker,
        payload: Bytes::copy_from_slice(payload),
    }
}

fn aggregate(nals: &[&[u8]]) -> Vec<u8> {
    let mut payload = vec![0x78];
    for nal in nals {
        payload.extend_from_slice(&(nal.len() as u16).to_be_bytes());
        payload.extend_from_slice(nal);
    }
    payload
}

fn fragments(nal: &[u8], size: usize) -> Vec<Vec<u8>> {
    let chunks: Vec<&[u8]> = nal[1..].chunks(size).collect();
    let last = chunks.len() - 1;
    let header = |index| {
        nal[0] & 0x1f | if index == 0 { 0x80 } else { 0 } | if index == last { 0x40 } else { 0 }
    };
    chunks
        .iter()
        .enumerate()
        .map(|(index, chunk)| [&[nal[0] & 0xe0 | 0x1c, header(index)], *chunk].concat())
        .collect()
}

fn length_prefixed(nals: &[&[u8]]) -> Vec<u8> {
    nals.iter()
        .flat_map(|nal| [&(nal.len() as u32).to_be_bytes()[..], nal].concat())
        .collect()
}

fn feed(depacketiser: &mut Depacketiser, packets: &[RtpPacket]) -> Vec<Picture> {
    let now = Instant::now();
    let mut pictures = Vec::new();
    for packet in packets {
        depacketiser.handle_packet(packet, now);
        pictures.extend(std::iter::from_fn(|| depacketiser.poll()));
    }
    pictures
}

fn started() -> Depacketiser {
    let mut depacketiser = Depacketiser::default();
    let first = feed(
        &mut depacketiser,
        &[packet(
            0,
            true,
            &aggregate(&[&SEQUENCE, &PICTURE, &KEYFRAME]),
        )],
    );
    assert_eq!(first.len(), 1);
    depacketiser
}

#[test]
fn a_keyframe_brings_its_parameters_and_not_in_its_data() {
    let mut depacketiser = Depacketiser::default();
    assert!(depacketiser.take_keyframe_wish());
    let delimiter = [0x09, 0xf0];
    let filler = [0x0c, 0xff, 0x80];

    let pictures = feed(
        &mut depacketiser,
        &[
            packet(9, false, &aggregate(&[&delimiter, &SEQUENCE, &PICTURE])),
            packet(9, false, &filler),
            packet(9, true, &KEYFRAME),
        ],
    );

    assert!(pictures[0].keyframe);
    assert_eq!(pictures[0].data, length_prefixed(&[&KEYFRAME]));
    let CodecConfig::Avc(config) = &*pictures[0].config else {
        panic!("not video")
    };
    assert_eq!((config.width, config.height), (640, 360));
    assert!(!depacketiser.take_keyframe_wish());
}

#[test]
fn a_beginning_is_known_by_its_parameters() {
    let delimiter = [0x09, 0xf0];

    assert!(begins_anew(&SEQUENCE));
    assert!(begins_anew(&aggregate(&[&delimiter, &SEQUENCE, &PICTURE])));
    for other in [
        &[][..],
        &[0x78],
        &[0x78, 0],
        &KEYFRAME,
        &PICTURE,
        &aggregate(&[&PICTURE, &SLICE]),
    ] {
        assert!(!begins_anew(other), "{other:?}");
    }
}

#[test]
fn fragments_become_one_unit_and_padding_changes_nothing() {
    let mut depacketiser = started();
    let large: Vec<u8> = [0x41]
        .into_iter()
        .chain((0..=250).cycle().take(5_000))
        .collect();
    let mut packets: Vec<RtpPacket> = fragments(&large, 1_100)
        .iter()
        .map(|part| packet(3_000, false, part))
        .collect();
    packets.insert(2, packet(3_000, false, &[]));
    packets.last_mut().unwrap().marker = true;
    packets.push(packet(3_000, false, &[]));

    let pictures = feed(&mut depacketiser, &packets);

    assert_eq!(pictures.len(), 1);
    assert_eq!(pictures[0].data, length_prefixed(&[&large]));
    assert!(!pictures[0].keyframe);
}

#[test]
fn a_new_timestamp_ends_a_unit_without_a_marker() {
    let mut depacketiser = started();

    let pictures = feed(
        &mut depacketiser,
        &[packet(1, false, &SLICE), packet(2, false, &SLICE)],
    );

    assert_eq!(pictures.len(), 1);
    assert_eq!(pictures[0].rtp_timestamp, 1);
}

#[test]
fn after_a_loss_nothing_comes_until_a_keyframe_and_it_is_asked_for_once() {
    let mut depacketiser = started();

    depacketiser.handle_loss();
    let lost = feed(
        &mut depacketiser,
        &[packet(1, true, &SLICE), packet(2, true, &SLICE)],
    );
    let wishes = [
        depacketiser.take_keyframe_wish(),
        depacketiser.take_keyframe_wish(),
    ];
    let pictures = feed(
        &mut depacketiser,
        &[packet(3, true, &KEYFRAME), packet(4, true, &SLICE)],
    );

    assert!(lost.is_empty());
    assert_eq!(wishes, [true, false]);
    assert_eq!(depacketiser.dropped(), 2);
    assert_eq!(pictures.len(), 2);
}

#[test]
fn a_keyframe_that_is_damaged_is_asked_for_again() {
    let mut depacketiser = Depacketiser::default();
    depacketiser.take_keyframe_wish();
    let large: Vec<u8> = [0x65].into_iter().chain([7; 3_000]).collect();
    let parts = fragments(&large, 1_000);
    depacketiser.handle_packet(&packet(1, false, &parts[0]), Instant::now());

    depacketiser.handle_loss();
    let pictures = feed(&mut depacketiser, &[packet(1, true, &parts[2])]);

    assert!(pictures.is_empty());
    assert!(depacketiser.take_keyframe_wish());
}

#[test]
fn an_open_fragment_at_the_marker_spoils_the_unit() {
    let mut depacketiser = started();
    let parts = fragments(&[0x41; 100], 50);

    let pictures = feed(
        &mut depacketiser,
        &[packet(1, true, &parts[0]), packet(2, true, &SLICE)],
    );

    assert!(pictures.is_empty());
    assert!(depacketiser.take_keyframe_wish());
}

#[test]
fn the_same_parameters_keep_their_allocation_and_others_do_not() {
    let mut depacketiser = started();
    let again = aggregate(&[&SEQUENCE, &PICTURE, &KEYFRAME]);
    let other_picture = [0x68, 0xce, 0x38, 0x80];
    let changed = aggregate(&[&SEQUENCE, &other_picture, &KEYFRAME]);

    let pictures = feed(
        &mut depacketiser,
        &[
            packet(1, true, &again),
            packet(2, true, &again),
            packet(3, true, &changed),
        ],
    );

    assert!(Arc::ptr_eq(&pictures[0].config, &pictures[1].config));
    assert_ne!(pictures[1].config, pictures[2].config);
}

#[test]
fn a_bad_parameter_set_spoils_its_unit() {
    let mut depacketiser = started();

    let pictures = feed(
        &mut depacketiser,
        &[packet(
            1,
            true,
            &aggregate(&[&[0x67, 0x42], &PICTURE, &KEYFRAME]),
        )],
    );

    assert!(pictures.is_empty());
    assert!(depacketiser.take_keyframe_wish());
}

#[test]
fn a_unit_has_a_limit() {
    let mut depacketiser = started();
    let part = [&[0x7c, 0x01][..], &vec![0; 60_000]].concat();
    let start = [&[0x7c, 0x81][..], &vec![0; 60_000]].concat();
    let now = Instant::now();

    depacketiser.handle_packet(&packet(1, false, &start), now);
    for _ in 0..100 {
        depacketiser.handle_packet(&packet(1, false, &part), now);
    }

    assert!(depacketiser.unit.as_ref().unwrap().data.len() <= ACCESS_UNIT_LIMIT);
    assert!(depacketiser.waits_for_keyframe());
}

/// Takes length-prefixed data apart; panics when it does not add up.
fn nal_kinds(mut data: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let Some((length, rest)) = data.split_first_chunk::<4>() {
        let (nal, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        kinds.push(nal[0] & 0x1f);
        data = rest;
    }
    assert!(data.is_empty());
    kinds
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let nal = (
        prop::sample::select(vec![0x41_u8, 0x65, 0x06, 0x09, 0x0c, 0x67, 0x68]),
        prop::collection::vec(any::<u8>(), 0..40),
    )
        .prop_map(|(header, body)| [vec![header], body].concat());
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        nal.clone(),
        prop::collection::vec(nal.clone(), 1..4).prop_map(|nals| {
            let nals: Vec<&[u8]> = nals.iter().map(Vec::as_slice).collect();
            aggregate(&nals)
        }),
        (any::<u8>(), nal).prop_map(|(header, nal)| [
            &[0x7c, header & 0xc0 | nal[0] & 0x1f],
            &nal[1..]
        ]
        .concat()),
        Just(aggregate(&[&SEQUENCE, &PICTURE, &KEYFRAME])),
        Just(SLICE.to_vec()),
    ]
}

proptest! {
    #[test]
    fn any_packets_give_consistent_units_or_none(
        packets in prop::collection::vec((payload(), any::<bool>(), 0..4_u32, 0..20_u8, 0..60_usize), 1..80),
    ) {
        let mut depacketiser = Depacketiser::default();
        let now = Instant::now();
        let mut begun = false;
        let mut timestamp = 0_u32;
        for (mut payload, marker, step, event, cut) in packets {
            if event == 0 {
                depacketiser.handle_loss();
                begun = false;
            }
            if event == 1 {
                depacketiser.reset();
                begun = false;
            }
            if event < 5 {
                payload.truncate(cut);
            }
            timestamp += step;
            depacketiser.handle_packet(&packet(timestamp, marker, &payload), now);
            while let Some(picture) = depacketiser.poll() {
                let kinds = nal_kinds(&picture.data);
                prop_assert!(kinds.iter().all(|kind| (1..=6).contains(kind)));
                prop_assert_eq!(picture.keyframe, kinds.contains(&5));
                prop_assert!(begun || picture.keyframe);
                begun = true;
            }
        }
    }
}
