mod depayloaders;

use std::{
    ffi::OsStr,
    path::Path,
    process::Command,
    sync::Arc,
    task::Waker,
    thread,
    time::{Duration, Instant},
};

use broadcast::Rendition;
use bytes::Bytes;
use media::{CodecConfig, VideoCodec};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::runtime::Runtime;

use super::{
    Ffmpeg, FfmpegEngine,
    complaints::Complaint,
    flv::{FlvReader, FlvVideo},
};
use crate::{
    engine::{Engine as _, EnginePicture, EngineState, SourcePicture},
    path::video_config,
};

/// Nothing takes this long that works, on however busy a machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Pictures that are on their way at most, so that no socket overflows.
const AHEAD: usize = 20;

const PICTURE_PERIOD: Duration = Duration::from_nanos(33_366_700);

fn ffmpeg() -> Ffmpeg {
    Ffmpeg::find(Path::new("ffmpeg"), OsStr::new("/usr/bin:/usr/local/bin")).unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// A recording's pictures, 320×180, again and again on one timeline; each round begins with a keyframe.
fn recording(rounds: u32) -> Vec<SourcePicture> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("rtmp/tests/picture_and_sound.flv");
    let mut reader = FlvReader::default();
    reader
        .buffer()
        .extend_from_slice(&std::fs::read(file).unwrap());
    let (mut config, mut round) = (None, Vec::new());
    while let Some(video) = reader.poll().unwrap() {
        match video {
            FlvVideo::Configuration(record) => {
                let sets = crate::decoder_configuration::parameter_sets(&record).unwrap();
                let read = video_config(sets.0[0], sets.1[0]).unwrap();
                config = Some(Arc::new(CodecConfig::Avc(read)));
            }
            FlvVideo::Picture { keyframe, data, .. } => round.push((keyframe, data)),
        }
    }
    assert!(round[0].0);
    let pictures = (0..rounds).flat_map(|_| round.clone());
    (0..)
        .zip(pictures)
        .map(|(place, (keyframe, data))| SourcePicture {
            codec: VideoCodec::H264,
            timestamp: Duration::from_secs(100) + PICTURE_PERIOD * place,
            keyframe,
            config: config.clone(),
            size: (320, 180),
            data,
            arrival: Instant::now(),
        })
        .collect()
}

/// Two seconds of a test picture with a keyframe each second, by an encoder of `FFmpeg`'s.
fn coded(codec: VideoCodec, encoder: &str) -> Vec<SourcePicture> {
    let made = Command::new("ffmpeg")
        .args("-v error -f lavfi -i testsrc=size=320x180:rate=30 -t 2 -c:v".split(' '))
        .arg(encoder)
        .args("-deadline realtime -cpu-used 8 -auto-alt-ref 0 -lag-in-frames 0".split(' '))
        .args("-g 30 -b:v 500k -f ivf pipe:1".split(' '))
        .output()
        .unwrap();
    assert!(made.status.success());
    let mut rest = &made.stdout[32..];
    let mut pictures = Vec::new();
    while let Some((header, tail)) = rest.split_first_chunk::<12>() {
        let length = u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
        let (frame, tail) = tail.split_at(length);
        rest = tail;
        let place = u32::try_from(pictures.len()).unwrap();
        pictures.push(SourcePicture {
            codec,
            timestamp: Duration::from_secs(100) + PICTURE_PERIOD * place,
            keyframe: place.is_multiple_of(30),
            config: None,
            size: (320, 180),
            data: Bytes::copy_from_slice(frame),
            arrival: Instant::now(),
        });
    }
    pictures
}

fn engine(
    ffmpeg: &Ffmpeg,
    runtime: &Runtime,
    codec: VideoCodec,
    canvas: Option<Rendition>,
) -> FfmpegEngine {
    ffmpeg.engine(
        codec,
        canvas,
        runtime.handle().clone(),
        Waker::noop().clone(),
    )
}

/// Waits until the engine says so; looks at what comes out meanwhile.
fn until(
    engine: &mut FfmpegEngine,
    out: &mut Vec<EnginePicture>,
    mut holds: impl FnMut(&mut FfmpegEngine, &[EnginePicture]) -> bool,
) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        while let Some(picture) = engine.poll_picture() {
            out.push(picture);
        }
        if holds(engine, out) {
            return;
        }
        assert!(Instant::now() < deadline, "{engine:?} after {}", out.len());
        thread::sleep(Duration::from_millis(1));
    }
}

/// Hands pictures over, none too far ahead of what comes out.
fn feed(
    engine: &mut FfmpegEngine,
    pictures: &[SourcePicture],
    out: &mut Vec<EnginePicture>,
    ahead: usize,
) {
    let before = out.len();
    for (place, picture) in pictures.iter().enumerate() {
        engine.handle_picture(picture.clone(), Instant::now());
        until(engine, out, |_, out| out.len() - before + ahead > place);
    }
}

fn identical(pictures: &[SourcePicture], out: &[EnginePicture]) {
    assert_eq!(pictures.len(), out.len());
    for (picture, out) in pictures.iter().zip(out) {
        assert_eq!(picture.timestamp, out.timestamp);
        assert_eq!(picture.keyframe, out.keyframe);
        assert_eq!(picture.arrival, out.arrival);
        assert_eq!(picture.config.as_ref(), Some(&out.config));
        assert!(picture.data == out.data, "other bytes");
    }
}

#[test]
fn a_copied_sequence_is_the_same_from_its_first_picture_to_its_last() {
    let (ffmpeg, runtime) = (ffmpeg(), runtime());
    let pictures = recording(2);
    let mut engine = engine(&ffmpeg, &runtime, VideoCodec::H264, None);
    let mut out = Vec::new();

    feed(&mut engine, &pictures, &mut out, AHEAD);
    until(&mut engine, &mut out, |_, out| out.len() == pictures.len());

    identical(&pictures, &out);
    assert_eq!(engine.state(), EngineState::Running);
    for complaint in Complaint::ALL {
        assert_eq!(ffmpeg.complaints().count(complaint), 0, "{complaint:?}");
    }
}

#[test]
fn a_killed_child_is_replaced_and_goes_on_with_the_next_keyframe() {
    let (ffmpeg, runtime) = (ffmpeg(), runtime());
    let pictures = recording(2);
    let (first, second) = pictures.split_at(pictures.len() / 2);
    let mut engine = engine(&ffmpeg, &runtime, VideoCodec::H264, None);
    let mut out = Vec::new();
    feed(&mut engine, first, &mut out, AHEAD);
    until(&mut engine, &mut out, |_, out| out.len() == first.len());
    engine.poll_keyframe_request();

    let victim = engine.process_id().unwrap();
    kill(Pid::from_raw(victim.try_into().unwrap()), Signal::SIGKILL).unwrap();
    until(&mut engine, &mut out, |engine, _| {
        engine.state() == EngineState::Failing(1) && engine.process_id().is_some()
    });
    let wished = engine.poll_keyframe_request();
    feed(&mut engine, second, &mut out, AHEAD);
    until(&mut engine, &mut out, |_, out| out.len() == pictures.len());

    assert!(wished);
    assert_ne!(engine.process_id(), Some(victim));
    identical(&pictures, &out);
    assert_eq!(engine.state(), EngineState::Running);
}

#[test]
fn a_child_that_stands_still_is_replaced() {
    let (ffmpeg, runtime) = (ffmpeg(), runtime());
    let pictures = recording(1);
    let mut engine = engine(&ffmpeg, &runtime, VideoCodec::H264, None);
    let mut out = Vec::new();
    feed(&mut engine, &pictures, &mut out, AHEAD);
    until(&mut engine, &mut out, |_, out| out.len() == pictures.len());

    let victim = engine.process_id().unwrap();
    kill(Pid::from_raw(victim.try_into().unwrap()), Signal::SIGSTOP).unwrap();
    engine.handle_picture(pictures[0].clone(), Instant::now());
    until(&mut engine, &mut out, |engine, _| {
        engine.process_id().is_some_and(|process| process != victim)
    });
    let before = out.len();
    engine.handle_picture(pictures[0].clone(), Instant::now());
    until(&mut engine, &mut out, |_, out| out.len() == before + 1);

    assert!(out[before].keyframe);
    assert!(!Path::new(&format!("/proc/{victim}/fd/0")).exists());
}

#[test]
fn a_child_that_speaks_nonsense_or_ends_harms_nobody() {
    let runtime = runtime();
    let pictures = recording(1);
    for program in ["/usr/bin/yes", "/bin/true", "/no/such/program"] {
        let ffmpeg = Ffmpeg::unasked(program);
        let mut engine = engine(&ffmpeg, &runtime, VideoCodec::H264, None);
        engine.handle_picture(pictures[0].clone(), Instant::now());

        let mut out = Vec::new();
        until(&mut engine, &mut out, |engine, _| {
            matches!(engine.state(), EngineState::Failing(3..))
        });

        assert_eq!(out.len(), 0);
        assert!(engine.poll_keyframe_request());
    }
}

#[test]
fn what_must_be_a_keyframe_is_one_that_was_not_handed_over_yet() {
    let (ffmpeg, runtime) = (ffmpeg(), runtime());
    let pictures = recording(2);
    let half = pictures.len() / 2;
    let mut engine = engine(&ffmpeg, &runtime, VideoCodec::H264, None);
    let mut out = Vec::new();
    feed(&mut engine, &pictures[..half / 2], &mut out, AHEAD);
    until(&mut engine, &mut out, |_, out| out.len() == half / 2);

    engine.require_keyframe();
    let wished = engine.poll_keyframe_request();
    feed(
        &mut engine,
        &pictures[half / 2..half],
        &mut Vec::new(),
        usize::MAX - half,
    );
    let mut after = Vec::new();
    feed(&mut engine, &pictures[half..half + 5], &mut after, AHEAD);
    until(&mut engine, &mut after, |_, after| {
        after.last().map(|last| last.timestamp) == Some(pictures[half + 4].timestamp)
    });

    assert!(wished && after[0].keyframe);
    let expected = pictures[half / 2..half + 5]
        .iter()
        .filter(|picture| picture.timestamp >= after[0].timestamp);
    assert_eq!(after.len(), expected.count());
}

/// What becomes of all pictures, until nothing is held back any more.
fn transcoded(
    codec: VideoCodec,
    pictures: &[SourcePicture],
    canvas: Rendition,
) -> Vec<EnginePicture> {
    let (ffmpeg, runtime) = (ffmpeg(), runtime());
    let mut engine = engine(&ffmpeg, &runtime, codec, Some(canvas));
    let mut out = Vec::new();
    let last = pictures.last().unwrap().timestamp;
    for picture in pictures {
        engine.handle_picture(picture.clone(), Instant::now());
        until(&mut engine, &mut out, |_, out| {
            let latest = out.last().map(|latest: &EnginePicture| latest.timestamp);
            let begins = latest.is_none() && picture.timestamp < pictures[AHEAD].timestamp;
            begins || latest >= picture.timestamp.checked_sub(PICTURE_PERIOD * 12)
        });
    }
    engine.handle_end();
    until(&mut engine, &mut out, |_, out| {
        out.last()
            .is_some_and(|latest| latest.timestamp + PICTURE_PERIOD > last)
    });
    for complaint in Complaint::ALL {
        assert_eq!(ffmpeg.complaints().count(complaint), 0, "{complaint:?}");
    }
    out
}

fn check_transcoded(codec: VideoCodec, pictures: &[SourcePicture]) {
    let canvas = Rendition::new(640, 480, 30, 800).unwrap();

    let out = transcoded(codec, pictures, canvas);

    assert!(out[0].keyframe);
    let times = |pictures: &[SourcePicture]| -> Vec<_> {
        pictures.iter().map(|picture| picture.timestamp).collect()
    };
    let out_times: Vec<_> = out.iter().map(|picture| picture.timestamp).collect();
    assert_eq!(out_times, times(pictures));
    for picture in &out {
        let CodecConfig::Avc(config) = &*picture.config else {
            panic!("not H.264");
        };
        assert_eq!((config.width, config.height), (640, 480));
    }
}

/// The same pictures at another pace.
fn paced(mut pictures: Vec<SourcePicture>, period: Duration) -> Vec<SourcePicture> {
    for (place, picture) in (0..).zip(&mut pictures) {
        picture.timestamp = Duration::from_secs(100) + period * place;
    }
    pictures
}

#[test]
fn keyframes_are_two_seconds_apart_however_few_pictures_there_are() {
    let period = Duration::from_millis(125);
    let pictures = paced(coded(VideoCodec::Vp8, "libvpx"), period);
    let canvas = Rendition::new(640, 480, 30, 800).unwrap();

    let out = transcoded(VideoCodec::Vp8, &pictures, canvas);

    let keyframes: Vec<_> = out
        .iter()
        .filter(|picture| picture.keyframe)
        .map(|picture| picture.timestamp.as_secs())
        .collect();
    assert_eq!(keyframes, [100, 102, 104, 106]);
}

#[test]
fn pictures_above_the_canvas_s_rate_are_left_out() {
    let pictures = paced(
        coded(VideoCodec::Vp8, "libvpx"),
        Duration::from_micros(16_667),
    );
    let canvas = Rendition::new(640, 480, 30, 800).unwrap();

    let out = transcoded(VideoCodec::Vp8, &pictures, canvas);

    assert!(out.len().abs_diff(30) <= 1, "{}", out.len());
    assert!(out.is_sorted_by(|one, next| one.timestamp < next.timestamp));
}

#[test]
fn h264_for_a_canvas_is_made_anew_in_its_shape() {
    check_transcoded(VideoCodec::H264, &recording(1)[..60]);
}

#[test]
fn vp8_is_made_anew() {
    check_transcoded(VideoCodec::Vp8, &coded(VideoCodec::Vp8, "libvpx"));
}

#[test]
fn vp9_is_made_anew() {
    check_transcoded(VideoCodec::Vp9, &coded(VideoCodec::Vp9, "libvpx-vp9"));
}
