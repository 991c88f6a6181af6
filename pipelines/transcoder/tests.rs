//! Transcoding is done by real children, and looked at by `FFmpeg`, which we did not write.

use std::{
    os::{fd::AsFd as _, unix::net::UnixStream},
    sync::Arc,
    task::Waker,
    thread::{self, Thread},
    time::{Duration, Instant},
};

use bytes::Bytes;
use media::{CodecConfig, VideoCodec};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::runtime::Runtime;

use super::*;
use crate::{
    confinement::Launcher,
    engine::{
        EnginePicture, EngineState, SourcePicture,
        recorded::{Coded, piped, record},
    },
};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

/// A machine that is busy with other tests makes nothing late, and is not taken for one that hangs.
const PATIENCE: Patience = Patience {
    late_after: DEADLINE,
    answer: Duration::from_secs(20),
    first_answer: Duration::from_secs(40),
};

/// Not a test: the process that the others start.
#[test]
#[ignore = "is the child of other tests"]
fn child() {
    let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    super::child::transcode(UnixStream::from(socket)).unwrap();
}

fn launcher(program: impl Into<std::path::PathBuf>) -> Launcher {
    // The next run finds the list of plugins there.
    let folder = std::env::temp_dir().join("castgate-test-children");
    std::fs::create_dir_all(&folder).unwrap();
    Launcher::new(program, folder)
}

/// Transcoders whose child is this test program.
pub(crate) fn transcoders(runtime: &Runtime) -> Transcoders {
    with_patience(runtime, PATIENCE)
}

fn with_patience(runtime: &Runtime, patience: Patience) -> Transcoders {
    let this = std::env::current_exe().unwrap();
    let child = ["--exact", "transcoder::tests::child", "--ignored"];
    let launcher = launcher(this).with_arguments(child);
    Transcoders::with_patience(launcher, runtime.handle().clone(), patience)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

struct Unpark(Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn waker() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

/// `FFmpeg`'s moving test picture.
fn pictures((width, height): (u32, u32), count: u32, group: u32) -> Vec<Coded> {
    let source = format!("testsrc2=size={width}x{height}:rate=30");
    let count = count.to_string();
    let input = ["-f", "lavfi", "-i", &source, "-frames:v", &count];
    record(VideoCodec::Vp8, (width, height), group, &input, Vec::new())
}

fn push(transcoder: &Transcoder, coded: &Coded, size: (u32, u32), timestamp: Duration) {
    let picture = SourcePicture {
        codec: VideoCodec::Vp8,
        timestamp,
        keyframe: coded.keyframe,
        config: None,
        size,
        data: coded.data.clone(),
        arrival: Instant::now(),
    };
    transcoder.push(picture).unwrap();
}

/// Waits until there is something.
fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "no {what}");
        thread::park_timeout(left);
    }
}

fn time(number: usize) -> Duration {
    Duration::from_secs(1) * u32::try_from(number).unwrap() / 30
}

/// The luma of the last of these pictures.
fn last_luma(pictures: &[EnginePicture], size: (u32, u32)) -> Vec<u8> {
    let mut stream = Vec::new();
    let CodecConfig::Avc(config) = &*pictures[0].config else {
        panic!("no H.264")
    };
    let record = &config.decoder_configuration;
    let (sequences, others) = crate::decoder_configuration::parameter_sets(record).unwrap();
    for set in sequences.iter().chain(&others) {
        stream.extend([0, 0, 0, 1]);
        stream.extend(*set);
    }
    for picture in pictures {
        let mut rest = &picture.data[..];
        while let Some((length, tail)) = rest.split_first_chunk::<4>() {
            let (nal, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
            stream.extend([0, 0, 0, 1]);
            stream.extend(nal);
            rest = tail;
        }
    }
    let arguments = [
        "-f", "h264", "-i", "-", "-vsync", "0", "-f", "rawvideo", "-pix_fmt", "gray", "-",
    ];
    let decoded = piped(&arguments, stream);
    let bytes = (size.0 * size.1) as usize;
    assert_eq!(decoded.len(), bytes * pictures.len());
    decoded[bytes * (pictures.len() - 1)..].to_vec()
}

#[test]
fn a_source_that_changes_its_size_changes_nothing_that_comes_out() {
    let runtime = runtime();
    let wide = (320, 180);
    let transcoder = transcoders(&runtime).start(VideoCodec::Vp8, None, waker());
    let mut out = Vec::new();
    let sizes = [wide, (640, 480), (160, 90)];
    let coded = sizes.iter().flat_map(|size| {
        let pictures = pictures(*size, 5, 100);
        pictures.into_iter().map(|coded| (*size, coded))
    });

    for (number, (size, coded)) in coded.enumerate() {
        push(&transcoder, &coded, size, time(number));
        out.push(wait("picture", || transcoder.poll()));
    }

    assert_eq!(out.len(), 15);
    assert!(
        out.iter()
            .all(|picture| Arc::ptr_eq(&picture.config, &out[0].config))
    );
    let canvas = transcoder.canvas().unwrap();
    assert_eq!((canvas.width, canvas.height), wide);
    // 640 × 480 fits into it between borders of 40 pixels.
    let luma = last_luma(&out[..10], wide);
    let mean = |columns: std::ops::Range<usize>| {
        let rows = luma.chunks_exact(320);
        let pixels = rows.flat_map(|row| &row[columns.clone()]);
        pixels.map(|pixel| usize::from(*pixel)).sum::<usize>() / (columns.len() * 180)
    };
    assert!(mean(2..36) < 20 && mean(284..318) < 20 && mean(44..276) > 60);
    assert_eq!(transcoder.counters().restarts, 0);
}

#[test]
fn a_canvas_of_a_lower_rate_takes_every_other_picture_at_its_own_time() {
    let runtime = runtime();
    let canvas = Canvas {
        frames_per_second: 15,
        ..Canvas::of_size((160, 90), false)
    };
    let transcoder = transcoders(&runtime).start(VideoCodec::Vp8, Some(canvas), waker());
    let mut times = Vec::new();

    for (number, coded) in pictures((320, 180), 20, 100).iter().enumerate() {
        push(&transcoder, coded, (320, 180), time(number));
        if number % 2 == 0 {
            times.push(wait("picture", || transcoder.poll()).timestamp);
        }
    }

    let expected: Vec<_> = (0..20).step_by(2).map(time).collect();
    assert_eq!(times, expected);
}

/// Whether the thread that answers has come to a stop, which it does some time after the signal.
fn is_stopped(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.starts_with('T')
}

#[test]
fn a_child_that_hangs_is_replaced() {
    let runtime = runtime();
    let patience = Patience {
        answer: Duration::from_secs(2),
        first_answer: Duration::from_secs(8),
        ..PATIENCE
    };
    let transcoder = with_patience(&runtime, patience).start(VideoCodec::Vp8, None, waker());
    let pictures = pictures((320, 180), 10, 5);
    push(&transcoder, &pictures[0], (320, 180), time(0));
    wait("picture", || transcoder.poll());
    let process = transcoder.process_id().unwrap();

    kill(Pid::from_raw(process.cast_signed()), Signal::SIGSTOP).unwrap();
    let deadline = Instant::now() + DEADLINE;
    while !is_stopped(process) {
        assert!(Instant::now() < deadline, "it works on");
        thread::yield_now();
    }
    push(&transcoder, &pictures[1], (320, 180), time(1));
    wait("wish", || transcoder.take_keyframe_wish().then_some(()));
    assert_eq!(transcoder.state(), EngineState::Failing(1));
    push(&transcoder, &pictures[5], (320, 180), time(5));
    let picture = wait("picture", || transcoder.poll());

    assert!(picture.keyframe && picture.timestamp == time(5));
    assert_eq!(transcoder.state(), EngineState::Running);
    assert_eq!(transcoder.counters().restarts, 1);
}

fn has_failed_twice(transcoder: &Transcoder) -> Option<()> {
    matches!(transcoder.state(), EngineState::Failing(deaths) if deaths > 1).then_some(())
}

#[test]
fn a_child_that_talks_nonsense_is_lost_again_and_again_and_breaks_nothing() {
    let runtime = runtime();
    for said in [
        "printf garbage >&0; exec sleep 60",
        "exit 1",
        "printf '\\001\\0\\0\\0\\0' >&0; printf '\\003\\377\\377\\377\\377' >&0; exec sleep 60",
    ] {
        let launcher = launcher("/bin/sh").with_arguments(["-c", said]);
        let transcoders = Transcoders::with_patience(launcher, runtime.handle().clone(), PATIENCE);
        let transcoder = transcoders.start(VideoCodec::Vp8, None, waker());

        wait("second death", || has_failed_twice(&transcoder));

        assert!(transcoder.poll().is_none());
        assert!(transcoder.take_keyframe_wish());
    }
}

#[test]
fn a_program_that_is_not_there_is_tried_again() {
    let runtime = runtime();
    let launcher = launcher("/nonexistent");
    let transcoders = Transcoders::new(launcher, runtime.handle().clone());

    let transcoder = transcoders.start(VideoCodec::Vp8, None, waker());

    wait("second failure", || has_failed_twice(&transcoder));
}

/// Whether a process has not ended. One that has may wait for its parent to notice: Tokio does when the next one ends.
fn is_running(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat"));
    let state = status
        .ok()
        .and_then(|status| Some(status.rsplit_once(") ")?.1.chars().next()));
    !matches!(state, None | Some(None | Some('Z')))
}

#[test]
fn a_transcoder_that_is_dropped_takes_its_child_along() {
    let runtime = runtime();
    let transcoders = transcoders(&runtime);
    let transcoder = transcoders.start(VideoCodec::Vp8, None, waker());
    let pictures = pictures((160, 90), 1, 5);
    push(&transcoder, &pictures[0], (160, 90), time(0));
    wait("picture", || transcoder.poll());
    let process = transcoder.process_id().unwrap();

    drop(transcoder);

    let deadline = Instant::now() + DEADLINE;
    while is_running(process) {
        assert!(Instant::now() < deadline, "it lives");
        thread::yield_now();
    }
}

#[test]
fn pictures_without_end_that_nobody_takes_are_bounded() {
    let transcoder = transcoders(&runtime()).start(VideoCodec::Vp8, None, waker());
    let mut lost = 0;
    for number in 0..1_000 {
        let picture = SourcePicture {
            codec: VideoCodec::Vp8,
            timestamp: time(number),
            keyframe: number == 0,
            config: None,
            size: (160, 90),
            data: Bytes::from_static(&[0; 100]),
            arrival: Instant::now(),
        };
        lost += usize::from(transcoder.push(picture) == Err(Full));
    }

    assert!(lost > 800 && transcoder.take_keyframe_wish());
}
