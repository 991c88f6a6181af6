//! Real pictures and sound through the engine: packets in, decoded flashes and beeps out.
#![expect(clippy::cast_precision_loss, reason = "test signals are small")]

use media::VideoCodec;

use super::tests::{
    BOTH, Event, Script, Weather, Worker, coded_pictures, decode_pictures, decode_sound, run,
    studio,
};
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

pub(super) fn offsets(units: &[AccessUnit]) -> Vec<f64> {
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
        let step = pair[1].saturating_sub(pair[0]).as_nanos();
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

/// Whether a picture is the studio's, and not one that stands in.
pub(super) fn is_studios(unit: &AccessUnit) -> bool {
    unit.kind() == TrackKind::Video
        && coded_pictures()
            .iter()
            .any(|picture| picture.data == unit.data)
}

pub(super) fn pictures_in(units: &[AccessUnit]) -> Vec<usize> {
    let mut all = coded_pictures().iter().enumerate();
    units
        .iter()
        .filter(|unit| is_studios(unit))
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
        times(&units, TrackKind::Video).len()
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

fn only(kind: TrackKind, script: Script) -> Script {
    let is_wanted = |event: &Event| matches!(event, Event::Packet(track, _) | Event::Report(track, _) if *track == kind);
    script
        .into_iter()
        .filter(|(_, event)| is_wanted(event))
        .collect()
}

pub(super) fn times(units: &[AccessUnit], kind: TrackKind) -> Vec<Duration> {
    units
        .iter()
        .filter(|unit| unit.kind() == kind)
        .map(|unit| unit.timestamp)
        .collect()
}

#[test]
fn a_studio_without_sound_is_given_silence_in_step_with_its_pictures() {
    let mut worker = Worker::new(Instant::now());
    let silent = SourceDescription {
        video: Some(VideoCodec::H264),
        audio: false,
    };
    worker.engine.handle_source_started(silent, worker.start);
    worker.play(
        &only(TrackKind::Video, studio(1, Weather::default())),
        Duration::ZERO,
    );

    let (pictures, sounds) = (
        times(&worker.units, TrackKind::Video),
        times(&worker.units, TrackKind::Audio),
    );
    assert_sound_is_unbroken(&worker.units);
    assert_eq!(pictures.len(), 360);
    assert!(
        pictures
            .last()
            .unwrap()
            .saturating_sub(*sounds.last().unwrap())
            < Duration::from_millis(22)
    );
    assert!(sounds[0].saturating_sub(pictures[0]) < Duration::from_millis(22));
    assert!(
        worker.units.is_sorted_by_key(|unit| unit.timestamp),
        "sound stands before its picture"
    );
}

#[test]
fn sound_that_stops_is_replaced_and_comes_back_in_its_place() {
    let mut worker = Worker::new(Instant::now());
    worker.engine.handle_source_started(BOTH, worker.start);
    let pause = Duration::from_millis(5_200)..Duration::from_millis(7_300);
    let mut script = studio(1, Weather::default());
    script.retain(|(time, event)| {
        !(pause.contains(time) && matches!(event, Event::Packet(TrackKind::Audio, _)))
    });
    worker.play(&script, Duration::ZERO);
    let status = worker.status.borrow().clone();

    assert_sound_is_unbroken(&worker.units);
    assert!(status.counters.silent_frames > 60, "{:?}", status.counters);
    let offsets = offsets(&worker.units);
    assert!(
        offsets[8..].iter().all(|offset| offset.abs() <= 0.02),
        "{offsets:?}"
    );
}

#[test]
fn a_studio_that_comes_back_goes_on_later_on_the_same_timeline() {
    let mut worker = Worker::new(Instant::now());
    worker.engine.handle_source_started(BOTH, worker.start);
    let script = studio(1, Weather::default());
    worker.play(&script, Duration::ZERO);
    let gone = script.last().unwrap().0;
    worker.engine.handle_source_ended(worker.start + gone);
    let back = gone + Duration::from_secs(3);
    worker.wait(back);

    worker
        .engine
        .handle_source_started(BOTH, worker.start + back);
    assert!(worker.engine.poll_keyframe_request());
    worker.play(&script, back);

    assert_sound_is_unbroken(&worker.units);
    assert_pictures_go_forward(&worker.units);
    let pictures: Vec<Duration> = worker
        .units
        .iter()
        .filter(|unit| is_studios(unit))
        .map(|unit| unit.timestamp)
        .collect();
    assert_eq!(pictures.len(), 720);
    let absence = pictures[360].saturating_sub(pictures[359]);
    assert!((3.0..3.4).contains(&absence.as_secs_f64()), "{absence:?}");
    let all = times(&worker.units, TrackKind::Video);
    let gap = all
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]))
        .max();
    assert!(gap < Some(Duration::from_millis(240)), "{gap:?}");
    let offsets = offsets(&worker.units);
    assert!(
        offsets[4..11]
            .iter()
            .chain(&offsets[17..])
            .all(|offset| offset.abs() <= 0.02),
        "{offsets:?}"
    );
}

#[test]
fn sound_alone_is_a_broadcast_too() {
    let mut worker = Worker::new(Instant::now());
    worker.engine.handle_source_started(
        SourceDescription {
            video: None,
            audio: true,
        },
        worker.start,
    );
    worker.play(
        &only(TrackKind::Audio, studio(1, Weather::default())),
        Duration::ZERO,
    );

    assert_sound_is_unbroken(&worker.units);
    assert!(worker.units[0].timestamp < Duration::from_millis(700));
    assert!(worker.units.last().unwrap().timestamp > Duration::from_millis(11_700));
}

#[test]
fn nothing_goes_out_before_the_first_keyframe() {
    let mut worker = Worker::new(Instant::now());
    worker.engine.handle_source_started(BOTH, worker.start);
    let mut script = studio(1, Weather::default());
    script.retain(|(time, event)| {
        *time > Duration::from_millis(300) || !matches!(event, Event::Packet(TrackKind::Video, _))
    });
    let is_before_second_keyframe = |time: &Duration| *time < Duration::from_millis(1_189);
    let (before, after): (Script, Script) = script
        .into_iter()
        .partition(|(time, _)| is_before_second_keyframe(time));

    worker.play(&before, Duration::ZERO);
    assert!(worker.units.is_empty());
    assert!(!worker.status.borrow().is_live);
    worker.play(&after, Duration::ZERO);

    assert!(worker.status.borrow().is_live);
    assert!(
        worker
            .units
            .iter()
            .find(|unit| unit.kind() == TrackKind::Video)
            .unwrap()
            .keyframe
    );
    assert!(
        worker.units[0].timestamp + Duration::from_millis(22)
            > times(&worker.units, TrackKind::Video)[0]
    );
}

#[test]
fn a_studio_that_showed_nothing_leaves_nothing() {
    let mut worker = Worker::new(Instant::now());
    worker.engine.handle_source_started(BOTH, worker.start);
    worker.play(
        &only(TrackKind::Audio, studio(1, Weather::default()))[..150].to_vec(),
        Duration::ZERO,
    );

    worker
        .engine
        .handle_source_ended(worker.start + Duration::from_secs(4));
    worker.wait(Duration::from_secs(20));

    assert!(worker.units.is_empty());
    assert!(!worker.status.borrow().is_live);
    assert_eq!(worker.engine.poll_timeout(), None);
}

#[test]
fn sound_goes_out_alone_when_no_picture_comes() {
    let mut worker = Worker::new(Instant::now());
    worker.engine.handle_source_started(BOTH, worker.start);
    worker.play(
        &only(TrackKind::Audio, studio(1, Weather::default())),
        Duration::ZERO,
    );

    assert!(worker.status.borrow().is_live);
    assert!(worker.units[0].timestamp > Duration::from_secs(9));
    assert_sound_is_unbroken(&worker.units);
}

#[test]
fn a_keyframe_is_wished_for_at_the_start_and_again_while_nothing_can_be_shown() {
    let mut worker = Worker::new(Instant::now());
    worker.engine.handle_source_started(BOTH, worker.start);
    let mut wishes = Vec::new();
    let mut script = only(TrackKind::Video, studio(1, Weather::default()));
    script.retain(|(time, _)| {
        *time > Duration::from_millis(300) && *time < Duration::from_millis(1_180)
    });
    for repetition in 0..3 {
        for (time, event) in &script {
            let now = worker.start + *time + Duration::from_secs(1) * repetition;
            let Event::Packet(kind, packet) = event.clone() else {
                continue;
            };
            worker.engine.handle_packet(kind, packet, now);
            if worker.engine.poll_keyframe_request() {
                wishes.push((now - worker.start).as_millis());
            }
        }
    }

    assert!((3..=4).contains(&wishes.len()), "{wishes:?}");
}

#[test]
fn the_engine_wakes_only_when_something_is_due() {
    let mut worker = Worker::new(Instant::now());
    worker.engine.handle_source_started(BOTH, worker.start);
    worker.play(&studio(1, Weather::default()), Duration::ZERO);

    // Once a second for the rates, and for the sound before the first picture.
    assert!(worker.wakes <= 12 + 5, "{}", worker.wakes);
}

#[test]
fn another_sender_on_the_same_connection_begins_with_its_keyframe() {
    let mut worker = Worker::new(Instant::now());
    worker.engine.handle_source_started(BOTH, worker.start);
    let mut script = studio(1, Weather::default());
    for (time, event) in &mut script {
        if let Event::Packet(TrackKind::Video, packet) = event
            && *time > Duration::from_millis(6_400)
        {
            packet.ssrc += 1;
            packet.sequence = packet.sequence.wrapping_add(20_000);
            packet.timestamp = packet.timestamp.wrapping_add(1_000_000_000);
        }
    }
    worker.play(&script, Duration::ZERO);

    let shown = pictures_in(&worker.units);
    let hole = shown
        .windows(2)
        .find(|pair| pair[1] != pair[0] + 1)
        .unwrap();
    assert_eq!(hole[1], 210);
    assert_pictures_go_forward(&worker.units);
    assert_sound_is_unbroken(&worker.units);
}
