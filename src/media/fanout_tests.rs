use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{AudioConfig, CodecConfig, VideoConfig, ring::BYTES_LIMIT};

#[path = "fanout_catch_up_tests.rs"]
mod catch_up;

const WINDOW: Duration = Duration::from_secs(4);
const PICTURE_MS: u64 = 33;

fn video_config() -> Arc<CodecConfig> {
    Arc::new(CodecConfig::Avc(VideoConfig {
        decoder_configuration: Bytes::from_static(&[1]),
        width: 2,
        height: 2,
    }))
}

fn audio_config() -> Arc<CodecConfig> {
    Arc::new(CodecConfig::Aac(AudioConfig {
        audio_specific_config: Bytes::from_static(&[0x11, 0x90]),
        sample_rate_hz: 48_000,
        channels: 2,
    }))
}

fn unit(config: &Arc<CodecConfig>, milliseconds: u64, keyframe: bool) -> AccessUnit {
    let data = Bytes::copy_from_slice(&milliseconds.to_be_bytes());
    AccessUnit {
        timestamp: Duration::from_millis(milliseconds),
        keyframe,
        config: Arc::clone(config),
        data,
    }
}

fn picture(milliseconds: u64, keyframe: bool) -> AccessUnit {
    unit(&video_config(), milliseconds, keyframe)
}

fn sound(milliseconds: u64) -> AccessUnit {
    unit(&audio_config(), milliseconds, true)
}

fn milliseconds(units: &[AccessUnit]) -> Vec<u128> {
    units
        .iter()
        .map(|unit| unit.timestamp.as_millis())
        .collect()
}

fn read(reader: &mut Reader) -> Option<(Batch, Vec<AccessUnit>)> {
    let mut units = Vec::new();
    match reader.poll_batch(&mut Context::from_waker(Waker::noop()), &mut units) {
        Poll::Ready(Some(batch)) => Some((batch, units)),
        Poll::Ready(None) | Poll::Pending => None,
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl std::task::Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_new_reader_begins_at_the_newest_keyframe_with_the_sound_from_there_on() {
    let mut fanout = Fanout::new(WINDOW);
    for unit in [
        picture(0, true),
        picture(33, false),
        sound(40),
        picture(66, true),
        sound(60),
        sound(80),
        picture(99, false),
    ] {
        fanout.push(unit);
    }

    let (batch, units) = read(&mut fanout.subscriber().reader()).unwrap();

    assert_eq!(batch.dropped, 0);
    assert!(batch.in_newest_group);
    assert_eq!(milliseconds(&units), [66, 80, 99]);
}

#[test]
fn a_new_reader_waits_for_a_keyframe_when_the_last_is_old() {
    let mut fanout = Fanout::new(WINDOW);
    for number in 0..100 {
        fanout.push(picture(number * PICTURE_MS, number == 0));
    }
    let mut reader = fanout.subscriber().reader();
    assert!(read(&mut reader).is_none());

    fanout.push(picture(3_300, true));

    assert_eq!(milliseconds(&read(&mut reader).unwrap().1), [3_300]);
}

#[test]
fn a_reader_that_falls_out_goes_on_at_the_newest_keyframe_and_is_told_its_loss() {
    let mut fanout = Fanout::new(WINDOW);
    let mut reader = fanout.subscriber().reader();
    fanout.push(picture(0, true));
    read(&mut reader).unwrap();

    for number in 1..400 {
        fanout.push(picture(number * PICTURE_MS, number % 60 == 0));
    }
    let (batch, units) = read(&mut reader).unwrap();

    assert_eq!(batch.dropped, 359);
    assert_eq!(units.len(), 40);
    assert!(units[0].keyframe);
}

#[test]
fn a_reader_wakes_once_per_picture_and_finds_the_sound_in_front_of_it() {
    let mut fanout = Fanout::new(WINDOW);
    let mut reader = fanout.subscriber().reader();
    fanout.push(picture(0, true));
    read(&mut reader).unwrap();
    let count = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut units = Vec::new();
    assert!(
        reader
            .poll_batch(&mut Context::from_waker(&waker), &mut units)
            .is_pending()
    );

    fanout.push(sound(10));
    fanout.push(sound(31));
    let woken_by_sound = count.0.load(Ordering::SeqCst);
    fanout.push(picture(33, false));
    let woken_by_picture = count.0.load(Ordering::SeqCst);

    assert_eq!((woken_by_sound, woken_by_picture), (0, 1));
    assert_eq!(milliseconds(&read(&mut reader).unwrap().1), [10, 31, 33]);
}

#[test]
fn sound_without_pictures_is_published_every_100_milliseconds() {
    let mut fanout = Fanout::new(WINDOW);
    let mut reader = fanout.subscriber().reader();
    fanout.push(picture(0, true));
    read(&mut reader).unwrap();

    for time in [20, 41, 62, 84, 105] {
        fanout.push(sound(time));
    }
    assert!(read(&mut reader).is_none());
    fanout.push(sound(126));

    assert_eq!(
        milliseconds(&read(&mut reader).unwrap().1),
        [20, 41, 62, 84, 105, 126]
    );
}

#[test]
fn a_broadcast_of_sound_alone_begins_at_the_newest_sound_and_pictures_join_at_a_keyframe() {
    let mut fanout = Fanout::new(WINDOW);
    let mut reader = fanout.subscriber().reader();
    for number in 0..30 {
        fanout.push(sound(number * 20));
        if number * 20 < 500 {
            assert!(read(&mut reader).is_none());
        }
    }
    let (_, first) = read(&mut reader).unwrap();

    fanout.push(picture(600, false));
    fanout.push(picture(633, true));
    let (batch, joined) = read(&mut reader).unwrap();

    assert_eq!(first.len(), 1);
    assert_eq!(batch.dropped, 1);
    assert_eq!(milliseconds(&joined), [633]);
}

#[test]
fn the_window_is_bounded_in_bytes() {
    let mut fanout = Fanout::new(Duration::from_hours(1));
    let data = Bytes::from(vec![0; 1024 * 1024]);

    for number in 0..100 {
        fanout.push(AccessUnit {
            data: data.clone(),
            ..picture(number * PICTURE_MS, true)
        });
    }

    let (units, keyframes, bytes) = fanout.shared.lock().figures();
    assert_eq!(bytes, BYTES_LIMIT);
    assert_eq!(units, keyframes);
}

#[test]
fn readers_end_after_the_last_unit_once_the_writer_is_gone() {
    let mut fanout = Fanout::new(WINDOW);
    let mut reader = fanout.subscriber().reader();
    fanout.push(picture(0, true));
    fanout.push(sound(5));
    drop(fanout);

    let mut units = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(
        reader.poll_batch(&mut context, &mut units),
        Poll::Ready(Some(_))
    ));
    assert_eq!(units.len(), 2);
    assert!(matches!(
        reader.poll_batch(&mut context, &mut units),
        Poll::Ready(None)
    ));
}

#[test]
fn a_dropped_reader_leaves_no_waker_behind() {
    let fanout = Fanout::new(WINDOW);
    let mut reader = fanout.subscriber().reader();
    assert!(read(&mut reader).is_none());

    drop(reader);

    assert!(fanout.shared.lock().wakers.is_empty());
}

/// What happens in a random run.
#[derive(Debug, Clone, Copy)]
enum Step {
    Picture { keyframe: bool },
    Sound,
    Pause,
    Read(usize),
    Retain(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => prop::bool::weighted(0.05).prop_map(|keyframe| Step::Picture { keyframe }),
        30 => Just(Step::Sound),
        1 => Just(Step::Pause),
        6 => (0..3_usize).prop_map(Step::Read),
        1 => any::<bool>().prop_map(Step::Retain),
    ]
}

proptest! {
    #[test]
    fn no_reader_sees_a_hole_in_a_group_of_pictures(steps in prop::collection::vec(step(), 1..1_500), window_ms in 50..3_000_u64) {
        let mut fanout = Fanout::new(Duration::from_millis(window_ms));
        let subscriber = fanout.subscriber();
        let mut retention = None;
        let mut readers = [
            subscriber.reader(),
            subscriber.patient_reader(),
            subscriber.reader_from(Duration::from_millis(300)),
        ];
        let mut seen: Vec<(Vec<AccessUnit>, u64)> = vec![Default::default(); 3];
        // The number of a picture is in its data.
        let mut pictures = 0_u64;
        let mut time = 0;
        let mut collect = |reader: usize| {
            while let Some((batch, units)) = read(&mut readers[reader]) {
                seen[reader].0.extend(units);
                seen[reader].1 += batch.dropped;
            }
        };

        for step in steps {
            time += 11;
            match step {
                Step::Picture { keyframe } => {
                    let data = Bytes::copy_from_slice(&pictures.to_be_bytes());
                    fanout.push(AccessUnit { data, ..picture(time, keyframe) });
                    pictures += 1;
                }
                Step::Sound => fanout.push(sound(time)),
                Step::Pause => time += 700,
                Step::Read(reader) => collect(reader),
                Step::Retain(wish) => {
                    retention = wish.then(|| subscriber.retain(Duration::from_secs(2)));
                }
            }
        }
        drop((fanout, retention));
        (0..3).for_each(&mut collect);

        for (units, dropped) in seen {
            prop_assert!(units.is_sorted_by(|earlier, later| earlier.timestamp < later.timestamp), "{:?}", milliseconds(&units));
            let shown: Vec<(u64, bool)> = units
                .iter()
                .filter(|unit| unit.kind() == TrackKind::Video)
                .map(|unit| (u64::from_be_bytes(unit.data[..].try_into().unwrap()), unit.keyframe))
                .collect();
            let mut next = None;
            let mut holes = 0;
            for (number, keyframe) in &shown {
                if next != Some(*number) {
                    prop_assert!(*keyframe, "picture {} follows a hole", number);
                    holes += next.map_or(0, |next| number - next);
                }
                next = Some(number + 1);
            }
            // What came before the first picture that was read may count as dropped or as never subscribed.
            let at_the_end = next.map_or(0, |next| pictures - next);
            prop_assert!(dropped >= holes);
            prop_assert!(dropped <= pictures - shown.len() as u64);
            if shown.first().is_some_and(|(number, _)| *number == 0) {
                prop_assert_eq!(dropped, holes + at_the_end);
            }
        }
    }
}
