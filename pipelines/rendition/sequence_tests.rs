use std::sync::OnceLock;

use media::AudioConfig;
use proptest::prelude::*;

use super::*;
use crate::rendition::tests::footage::{Footage, coded};

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Pictures of an encoder, which can be repeated. The first is a keyframe.
fn pictures() -> &'static [AccessUnit] {
    static PICTURES: OnceLock<Vec<AccessUnit>> = OnceLock::new();
    PICTURES.get_or_init(|| {
        coded(
            Footage {
                size: [64, 64],
                ..Footage::default()
            },
            0..3,
        )
    })
}

fn source_picture(at: u64) -> AccessUnit {
    AccessUnit {
        timestamp: ms(at),
        ..pictures()[1].clone()
    }
}

fn sound(at: u64) -> AccessUnit {
    let config = AudioConfig {
        audio_specific_config: Bytes::from_static(&[0x11, 0x90]),
        sample_rate_hz: 48_000,
        channels: 2,
    };
    AccessUnit {
        timestamp: ms(at),
        keyframe: true,
        config: Arc::new(CodecConfig::Aac(config)),
        data: Bytes::from_static(b"sound"),
    }
}

fn made(at: u64, keyframe: bool, now: Instant) -> EnginePicture {
    let picture = &pictures()[usize::from(!keyframe)];
    EnginePicture {
        timestamp: ms(at),
        keyframe,
        config: Arc::clone(&picture.config),
        data: picture.data.clone(),
        arrival: now,
    }
}

/// What goes out: `k` a keyframe, `p` another picture, `f` a repeated one, `s` sound, each with its milliseconds.
fn out(sequence: &mut Sequence) -> Vec<String> {
    let units = std::iter::from_fn(|| sequence.poll_unit());
    let name = |unit: &AccessUnit| match unit.kind() {
        TrackKind::Audio => 's',
        TrackKind::Video if unit.keyframe => 'k',
        TrackKind::Video if unit.data == pictures()[1].data => 'p',
        TrackKind::Video => 'f',
    };
    units
        .map(|unit| format!("{}{}", name(&unit), unit.timestamp.as_millis()))
        .collect()
}

/// A sequence of 25 pictures a second that has brought forth the keyframe at 0.
fn begun(now: Instant) -> Sequence {
    let mut sequence = Sequence::new(25);
    sequence.handle_source(&source_picture(0), now);
    sequence.handle_picture(made(0, true, now), now);
    assert_eq!(out(&mut sequence), ["k0"]);
    sequence
}

#[test]
fn sound_stays_between_the_pictures_that_it_was_between() {
    let now = Instant::now();
    let mut sequence = begun(now);
    for unit in [
        sound(20),
        source_picture(40),
        sound(45),
        source_picture(80),
        sound(85),
    ] {
        sequence.handle_source(&unit, now);
    }
    assert_eq!(out(&mut sequence), ["s20"]);

    sequence.handle_picture(made(40, false, now), now);
    assert_eq!(out(&mut sequence), ["p40", "s45"]);
    sequence.handle_picture(made(80, false, now), now);
    assert_eq!(out(&mut sequence), ["p80", "s85"]);
    assert_eq!(sequence.poll_timeout(), None);
}

#[test]
fn a_picture_that_the_encoder_leaves_out_holds_nobody_up() {
    let now = Instant::now();
    let mut sequence = begun(now);
    for unit in [source_picture(17), sound(20), source_picture(33), sound(40)] {
        sequence.handle_source(&unit, now);
    }

    sequence.handle_picture(made(33, false, now), now);

    assert_eq!(out(&mut sequence), ["s20", "p33", "s40"]);
    assert!(!sequence.is_frozen());
}

#[test]
fn the_last_picture_is_repeated_in_the_places_of_those_that_do_not_come() {
    let now = Instant::now();
    let mut sequence = begun(now);
    for unit in [source_picture(40), sound(45), source_picture(80)] {
        sequence.handle_source(&unit, now + unit.timestamp);
    }
    sequence.handle_timeout(now + ms(539));
    assert_eq!(out(&mut sequence), [""; 0]);
    assert_eq!(sequence.poll_timeout(), Some(now + ms(540)));

    sequence.handle_timeout(now + ms(540));
    assert_eq!(out(&mut sequence), ["f40", "s45"]);
    assert!(sequence.is_frozen() && sequence.take_keyframe_wish());
    sequence.handle_picture(made(60, false, now), now + ms(541));
    sequence.handle_timeout(now + ms(580));
    assert_eq!(out(&mut sequence), ["f80"]);
    assert!(!sequence.take_keyframe_wish(), "it was asked for");
}

#[test]
fn after_a_freeze_a_keyframe_goes_on_behind_all_that_waited() {
    let now = Instant::now();
    let mut sequence = begun(now);
    for at in [40, 80, 120, 600] {
        sequence.handle_source(&source_picture(at), now + ms(at));
    }
    assert_eq!(out(&mut sequence), ["f40", "f80"]);

    sequence.handle_picture(made(600, true, now), now + ms(601));
    sequence.handle_source(&source_picture(640), now + ms(640));
    sequence.handle_picture(made(640, false, now), now + ms(641));

    assert_eq!(out(&mut sequence), ["f120", "k600", "p640"]);
    let counters = sequence.counters();
    assert_eq!(
        (counters.pictures, counters.freeze_pictures, counters.late),
        (3, 3, 0)
    );
}

#[test]
fn repeated_pictures_keep_to_the_rate() {
    let now = Instant::now();
    let mut sequence = begun(now);
    for at in [10, 20, 30, 40, 50, 60, 70] {
        sequence.handle_source(&source_picture(at), now + ms(at));
    }

    sequence.handle_timeout(now + ms(600));

    assert_eq!(out(&mut sequence), ["f30", "f60"]);
}

#[test]
fn an_encoder_that_is_always_late_is_waited_for_longer_up_to_a_limit() {
    let now = Instant::now();
    let mut sequence = begun(now);
    let mut at = 40;
    for patience in [500, 700, 900, 900] {
        sequence.handle_source(&source_picture(at), now);
        assert_eq!(sequence.poll_timeout(), Some(now + ms(patience)));
        sequence.handle_timeout(now + ms(patience));
        sequence.take_keyframe_wish();

        sequence.handle_picture(made(at, true, now), now + ms(patience));

        assert!(sequence.take_keyframe_wish(), "this one is no use");
        at += 40;
    }
    assert_eq!(sequence.counters().late, 4);
    sequence.handle_source(&source_picture(at), now);
    sequence.handle_picture(made(at, true, now), now + ms(899));
    assert!(!sequence.is_frozen());
}

#[test]
fn nothing_is_heard_before_the_first_picture_unless_that_does_not_come() {
    let now = Instant::now();
    let mut sequence = Sequence::new(25);
    for unit in [source_picture(0), sound(10), source_picture(40), sound(50)] {
        sequence.handle_source(&unit, now);
    }
    sequence.handle_timeout(now + ms(4_999));
    assert_eq!(out(&mut sequence), [""; 0]);
    let mut late = Sequence::new(25);
    late.handle_source(&source_picture(0), now);
    late.handle_source(&sound(10), now);

    sequence.handle_picture(made(0, false, now), now);
    sequence.handle_picture(made(40, true, now), now);
    late.handle_timeout(now + FIRST_PATIENCE);

    assert_eq!(out(&mut sequence), ["k40", "s50"]);
    assert_eq!(out(&mut late), ["s10"]);
    assert!(!late.is_frozen() && !late.take_keyframe_wish());
}

#[test]
fn a_show_without_pictures_is_heard_at_once() {
    let mut sequence = Sequence::new(25);

    sequence.handle_source(&sound(0), Instant::now());

    assert_eq!(out(&mut sequence), ["s0"]);
}

#[test]
fn a_pause_of_the_source_is_filled_unless_it_stood_still() {
    let now = Instant::now();
    let mut sequence = begun(now);
    sequence.handle_source(&source_picture(900), now);
    sequence.handle_picture(made(900, false, now), now);
    assert_eq!(out(&mut sequence), ["p900"]);

    sequence.handle_source(&source_picture(3_000), now);
    assert!(sequence.take_keyframe_wish(), "before the encoder sees it");
    sequence.handle_picture(made(3_000, true, now), now);
    sequence.handle_source(&source_picture(13_000), now);
    sequence.handle_picture(made(13_000, false, now), now);

    assert_eq!(
        out(&mut sequence),
        ["f1350", "f1800", "f2250", "k3000", "p13000"]
    );
}

#[test]
fn what_waits_is_bounded() {
    let now = Instant::now();
    let mut sequence = begun(now);
    for number in 1..=WAITING_LIMIT as u64 {
        sequence.handle_source(&source_picture(number * 40), now);
    }
    assert_eq!(out(&mut sequence), [""; 0]);

    sequence.handle_source(&sound(100_000), now);

    assert_eq!(out(&mut sequence), ["f40"]);
    assert_eq!(sequence.waiting.len(), WAITING_LIMIT);
}

#[derive(Debug, Clone)]
enum Step {
    Sound,
    Picture(u64),
    /// The encoder gives one of the pictures that it has.
    Made(prop::sample::Index, bool),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Sound),
        (1..1_500_u64).prop_map(Step::Picture),
        (any::<prop::sample::Index>(), any::<bool>())
            .prop_map(|(which, key)| Step::Made(which, key)),
        (1..700_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn no_order_of_events_makes_time_go_backwards_or_a_picture_follow_what_it_does_not_refer_to(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let begin = Instant::now();
        let (mut now, mut at, mut sequence) = (begin, 0, Sequence::new(25));
        let mut handed = Vec::new();
        let mut units = Vec::new();
        for step in steps {
            match step {
                Step::Sound => {
                    at += 1;
                    sequence.handle_source(&sound(at), now);
                }
                Step::Picture(after) => {
                    at += after;
                    handed.push(at);
                    sequence.handle_source(&source_picture(at), now);
                }
                Step::Made(which, keyframe) if !handed.is_empty() => {
                    let place = which.index(handed.len());
                    let timestamp = handed.drain(..=place).next_back().unwrap_or(at);
                    sequence.handle_picture(made(timestamp, keyframe, now), now);
                }
                Step::Made(..) => {}
                Step::Wait(time) => {
                    now += ms(time);
                    sequence.handle_timeout(now);
                }
            }
            prop_assert!(sequence.poll_timeout().is_none_or(|due| due > now && due <= now + FIRST_PATIENCE));
            units.extend(std::iter::from_fn(|| sequence.poll_unit()));
        }
        let (pictures_out, sounds): (Vec<_>, Vec<_>) =
            units.iter().partition(|unit| unit.kind() == TrackKind::Video);
        prop_assert!(pictures_out.is_sorted_by(|one, other| one.timestamp < other.timestamp));
        prop_assert!(sounds.is_sorted_by(|one, other| one.timestamp < other.timestamp));
        let is_repeated = |unit: &AccessUnit| !unit.keyframe && unit.data != pictures()[1].data;
        for pair in pictures_out.windows(2) {
            prop_assert!(!is_repeated(pair[0]) || is_repeated(pair[1]) || pair[1].keyframe);
        }
        prop_assert!(pictures_out.first().is_none_or(|unit| unit.keyframe));
    }
}
