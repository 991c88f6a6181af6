//! Parameter sets that a sender describes in place of sending them.

use super::*;

#[test]
fn parameter_sets_that_only_the_description_holds_go_before_the_first_keyframe() {
    let mut described = order();
    if let Some((_, track)) = &mut described.video {
        track.format_parameters =
            Some("packetization-mode=1; sprop-parameter-sets=Z0IAH+kBQBbsgA==,aM48gA==".to_owned());
    }
    let mut rig = Rig::new(described);
    let picture = |sequence, payload: &'static [u8]| {
        let packet = RtpPacket {
            sequence,
            timestamp: 5,
            ssrc: VIDEO_SSRC,
            marker: true,
            payload: Bytes::from_static(payload),
        };
        packet::write(96, &packet)
    };

    let before = rig.take(
        TrackKind::Video,
        &picture(65_535, &[0x41, 1]),
        address(1, 5000),
    );
    let first = rig.take(TrackKind::Video, &picture(0, &[0x65, 1]), address(1, 5000));
    let second = rig.take(TrackKind::Video, &picture(1, &[0x65, 1]), address(1, 5000));

    assert_eq!((starts(&before), packets(&before)), (1, 0));
    let taken: Vec<(u16, &[u8])> = first
        .iter()
        .filter_map(|output| {
            let IngestOutput::Packet(_, packet) = output else {
                return None;
            };
            Some((packet.sequence, &packet.payload[..]))
        })
        .collect();
    let [(65_535, sets), (0, [0x65, 1])] = taken[..] else {
        panic!("{taken:?}");
    };
    assert_eq!(&sets[..4], [24, 0, 10, 0x67]);
    assert_eq!(&sets[13..], [0, 4, 0x68, 0xce, 0x3c, 0x80]);
    assert_eq!(packets(&second), 1);
}

#[test]
fn parameter_sets_that_come_with_the_pictures_are_enough() {
    let mut described = order();
    if let Some((_, track)) = &mut described.video {
        track.format_parameters = Some("sprop-parameter-sets=Z0IAH+kBQBbsgA==,aM48gA==".to_owned());
    }
    let mut rig = Rig::new(described);
    let packet = RtpPacket {
        sequence: 7,
        timestamp: 5,
        ssrc: VIDEO_SSRC,
        marker: false,
        payload: Bytes::from_static(&[0x67, 0x42, 0, 0x1f]),
    };

    let done = rig.take(
        TrackKind::Video,
        &packet::write(96, &packet),
        address(1, 5000),
    );

    assert_eq!(packets(&done), 1);
}
