//! Real pictures and sound through the engine: packets in, decoded flashes and beeps out.

use super::tests::{Weather, coded_pictures, decode_pictures, decode_sound, run, studio};
use super::*;

/// The middles of the stretches in which `is_loud`, in seconds.
fn events(levels: &[(f64, bool)]) -> Vec<f64> {
    let mut events = Vec::new();
    let mut run: Option<(f64, f64)> = None;
    for &(time, is_loud) in levels {
        match (&mut run, is_loud) {
            (Some((_, end)), true) => *end = time,
            (None, true) => run = Some((time, time)),
            (Some((start, _)), false) => {
                events.push(*start);
                run = None;
            }
            (None, false) => {}
        }
    }
    events
}

fn offsets(units: &[AccessUnit]) -> Vec<f64> {
    let pictures: Vec<&AccessUnit> = units
        .iter()
        .filter(|unit| unit.kind() == TrackKind::Video)
        .collect();
    let sounds: Vec<&AccessUnit> = units
        .iter()
        .filter(|unit| unit.kind() == TrackKind::Audio)
        .collect();
    let brightness = decode_pictures(&pictures);
    assert_eq!(brightness.len(), pictures.len());
    let flashes: Vec<(f64, bool)> = pictures
        .iter()
        .zip(brightness)
        .map(|(picture, brightness)| (picture.timestamp.as_secs_f64(), brightness > 180.0))
        .collect();
    let samples = decode_sound(&sounds);
    let begin = sounds[0].timestamp.as_secs_f64();
    let beeps: Vec<(f64, bool)> = samples
        .chunks(48)
        .enumerate()
        .map(|(millisecond, block)| {
            let loud = block.iter().any(|sample| sample.abs() > 0.1);
            (begin + millisecond as f64 / 1_000.0, loud)
        })
        .collect();
    let (flashes, beeps) = (events(&flashes), events(&beeps));
    flashes
        .iter()
        .filter_map(|flash| {
            beeps
                .iter()
                .map(|beep| beep - flash)
                .min_by(|one, other| one.abs().total_cmp(&other.abs()))
        })
        .collect()
}

fn assert_sound_is_unbroken(units: &[AccessUnit]) {
    let times: Vec<Duration> = units
        .iter()
        .filter(|unit| unit.kind() == TrackKind::Audio)
        .map(|unit| unit.timestamp)
        .collect();
    for pair in times.windows(2) {
        let step = (pair[1] - pair[0]).as_nanos();
        assert!((21_333_333..=21_333_334).contains(&step), "{pair:?}");
    }
}

fn assert_pictures_go_forward(units: &[AccessUnit]) {
    let times: Vec<Duration> = units
        .iter()
        .filter(|unit| unit.kind() == TrackKind::Video)
        .map(|unit| unit.timestamp)
        .collect();
    assert!(
        times
            .windows(2)
            .all(|pair| pair[1] >= pair[0] + Duration::from_millis(1))
    );
}

fn pictures_in(units: &[AccessUnit]) -> Vec<usize> {
    let mut all = coded_pictures().iter().enumerate();
    units
        .iter()
        .filter(|unit| unit.kind() == TrackKind::Video)
        .map(|unit| {
            all.find(|(_, picture)| picture.data == unit.data)
                .expect("the studio's next picture")
                .0
        })
        .collect()
}

#[test]
fn repaired_weather_changes_nothing_that_is_seen_or_heard() {
    let weather = Weather {
        lost: 0.05,
        repaired: true,
        duplicated: 0.02,
        jitter: Duration::from_millis(10),
    };

    let (units, status) = run(&studio(7, weather));

    let count = coded_pictures().len();
    assert_eq!(count, 360);
    assert_eq!(pictures_in(&units), (0..count).collect::<Vec<_>>());
    assert_sound_is_unbroken(&units);
    assert_pictures_go_forward(&units);
    assert_eq!(status.counters.losses, 0);
    assert_eq!(status.counters.concealed_samples, 0);
    assert_eq!(status.counters.silent_frames, 0);
    let video = status.video.unwrap();
    assert_eq!((video.width, video.height), (320, 180));
    assert_eq!(
        video.keyframe_interval.unwrap().as_millis().div_ceil(50),
        20
    );
    assert_eq!(status.audio.unwrap().channels, 2);
    assert!(
        status.correction_nanoseconds < -100_000_000,
        "the picture had come late"
    );
    // Corrections of 3 ms a picture take a while.
    let offsets = offsets(&units);
    assert!(offsets.len() >= 11, "{offsets:?}");
    assert!(
        offsets[4..].iter().all(|offset| offset.abs() <= 0.02),
        "{offsets:?}"
    );
}

#[test]
fn what_is_lost_costs_the_rest_of_its_group_of_pictures_and_no_more() {
    let weather = Weather {
        lost: 0.004,
        repaired: false,
        duplicated: 0.0,
        jitter: Duration::from_millis(4),
    };

    let (units, status) = run(&studio(3, weather));

    let shown = pictures_in(&units);
    let all = coded_pictures();
    assert!(
        shown.len() < all.len() && shown.len() > all.len() / 3,
        "{} of {}",
        shown.len(),
        all.len()
    );
    for pair in shown.windows(2) {
        assert!(pair[1] == pair[0] + 1 || all[pair[1]].keyframe, "{pair:?}");
    }
    assert_eq!(
        decode_pictures(
            &units
                .iter()
                .filter(|unit| unit.kind() == TrackKind::Video)
                .collect::<Vec<_>>()
        )
        .len(),
        shown.len()
    );
    assert!(status.counters.pictures_dropped > 0);
    assert!(status.counters.losses > 0);
    assert!(status.counters.concealed_samples > 0);
    assert_sound_is_unbroken(&units);
    assert_pictures_go_forward(&units);
}

#[test]
fn without_any_weather_nothing_waits() {
    let (units, status) = run(&studio(1, Weather::default()));

    assert_eq!(pictures_in(&units).len(), coded_pictures().len());
    assert_eq!(
        status.latency.counts[1..].iter().sum::<u64>(),
        0,
        "{:?}",
        status.latency
    );
    assert_sound_is_unbroken(&units);
}
