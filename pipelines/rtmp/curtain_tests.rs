use std::time::Duration;

use media::{StandInPicture, VideoConfig};
use proptest::prelude::*;

use super::*;

fn video(name: &'static [u8]) -> Arc<CodecConfig> {
    Arc::new(CodecConfig::Avc(VideoConfig {
        decoder_configuration: Bytes::from_static(name),
        width: 320,
        height: 180,
    }))
}

fn audio() -> Arc<CodecConfig> {
    Arc::new(CodecConfig::Aac(AudioConfig {
        audio_specific_config: Bytes::from_static(&[0x11, 0x90]),
        sample_rate_hz: SAMPLE_RATE_HZ,
        channels: 2,
    }))
}

fn picture(milliseconds: u64, keyframe: bool) -> AccessUnit {
    AccessUnit {
        timestamp: Duration::from_millis(milliseconds),
        keyframe,
        config: video(b"show"),
        data: Bytes::from_static(b"show"),
    }
}

fn sound(milliseconds: u64) -> AccessUnit {
    AccessUnit {
        timestamp: Duration::from_millis(milliseconds),
        keyframe: true,
        config: audio(),
        data: Bytes::from_static(b"show"),
    }
}

fn curtain() -> Arc<Curtain> {
    let names: [&[u8]; 3] = [b"0", b"1", b"2"];
    let pictures = names
        .iter()
        .enumerate()
        .map(|(place, name)| StandInPicture {
            keyframe: place == 0,
            data: Bytes::from_static(name),
        });
    Arc::new(Curtain {
        stand_in: Some(Arc::new(StandIn {
            config: video(b"slate"),
            pictures: pictures.collect(),
            picture_interval: Duration::from_millis(33),
            sound: Vec::new(),
        })),
    })
}

fn played(
    stage: &mut Stage,
    wish: Option<&Arc<Curtain>>,
    units: &[AccessUnit],
) -> (Vec<AccessUnit>, Option<Change>) {
    let mut units = units.to_vec();
    let change = stage.play(wish, &mut units);
    (units, change)
}

#[test]
fn an_open_stage_changes_nothing() {
    let units = [picture(0, true), sound(5), picture(33, false)];

    assert_eq!(
        played(&mut Stage::default(), None, &units),
        (units.to_vec(), None)
    );
}

#[test]
fn a_curtain_falls_at_once_and_begins_at_its_keyframe() {
    let (mut stage, curtain) = (Stage::default(), curtain());
    played(&mut stage, None, &[picture(0, true)]);

    let units = [
        picture(33, false),
        picture(66, true),
        picture(99, false),
        picture(132, false),
    ];
    let (units, change) = played(&mut stage, Some(&curtain), &units);

    assert_eq!(change, Some(Change::Paused { with_picture: true }));
    let seen: Vec<_> = units
        .iter()
        .map(|unit| (unit.timestamp.as_millis(), unit.keyframe, &unit.data[..]))
        .collect();
    assert_eq!(
        seen,
        [
            (33, true, &b"0"[..]),
            (66, false, b"1"),
            (99, false, b"2"),
            (132, true, b"0")
        ]
    );
    assert_eq!(units[0].config, video(b"slate"));
}

#[test]
fn the_show_returns_at_its_keyframe_and_its_sound_with_it() {
    let (mut stage, curtain) = (Stage::default(), curtain());
    played(&mut stage, Some(&curtain), &[picture(0, true)]);

    let before = [sound(20), picture(33, false)];
    let (waiting, change) = played(&mut stage, None, &before);
    assert_eq!((change, &waiting[1].data[..]), (None, &b"1"[..]));
    assert_ne!(waiting[0].data, before[0].data);

    let units = [sound(60), picture(66, true), sound(70), picture(99, false)];
    let (shown, change) = played(&mut stage, None, &units);
    assert_eq!(change, Some(Change::Resumed));
    assert_ne!(shown[0], units[0]);
    assert_eq!(shown[1..], units[1..]);
}

#[test]
fn without_a_stand_in_no_picture_is_sent() {
    let mut stage = Stage::default();
    let bare = Arc::new(Curtain { stand_in: None });

    let units = [picture(0, true), sound(5), picture(33, false)];
    let (units, change) = played(&mut stage, Some(&bare), &units);

    assert_eq!(
        change,
        Some(Change::Paused {
            with_picture: false
        })
    );
    assert_eq!(units.len(), 1);
    assert_eq!(units[0].timestamp, Duration::from_millis(5));
    let (units, _) = played(&mut stage, None, &[picture(66, false), picture(99, true)]);
    assert_eq!(units, [picture(99, true)]);
}

#[test]
fn another_curtain_begins_at_its_own_keyframe() {
    let mut stage = Stage::default();
    let bare = Arc::new(Curtain { stand_in: None });
    played(&mut stage, Some(&bare), &[picture(0, true)]);

    let (units, change) = played(&mut stage, Some(&curtain()), &[picture(33, false)]);

    assert_eq!(change, None);
    assert!(units[0].keyframe && units[0].data == b"0"[..]);
}

#[test]
fn sound_alone_returns_without_a_keyframe() {
    let mut stage = Stage::default();
    played(&mut stage, Some(&curtain()), &[sound(0)]);

    let (units, change) = played(&mut stage, None, &[sound(20)]);

    assert_eq!((units, change), (vec![sound(20)], Some(Change::Resumed)));
}

proptest! {
    #[test]
    fn nothing_of_the_show_is_behind_the_curtain_and_no_timestamp_changes(
        steps in prop::collection::vec((any::<bool>(), prop::bool::weighted(0.2), any::<bool>()), 1..200),
    ) {
        let (mut stage, curtain) = (Stage::default(), curtain());
        let mut was_show = None;
        for (number, (is_drawn, keyframe, is_sound)) in steps.into_iter().enumerate() {
            let time = number as u64 * 10;
            let unit = if is_sound { sound(time) } else { picture(time, keyframe) };
            let (sent, _) = played(&mut stage, is_drawn.then_some(&curtain), std::slice::from_ref(&unit));

            prop_assert_eq!(sent.len(), 1);
            prop_assert_eq!(sent[0].timestamp, unit.timestamp);
            let is_show = sent[0].data == unit.data;
            prop_assert!(!(is_show && is_drawn));
            if !is_sound {
                // A decoder can follow each change.
                let changes = was_show.replace(is_show).is_some_and(|was_show| was_show != is_show);
                prop_assert!(!changes || sent[0].keyframe);
            }
        }
    }
}
