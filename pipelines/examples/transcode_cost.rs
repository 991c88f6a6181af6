//! Measures what transcoding costs: processor time and memory of the process, and the time it adds to a picture.
//!
//! `transcode_cost [SECONDS] [BROADCASTS]`: so many of each kind at a time, in real time.
#![expect(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a measurement for people"
)]

#[path = "../engine/recorded.rs"]
mod recorded;

use std::{
    fs,
    process::ExitCode,
    sync::Arc,
    task::{Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use media::VideoCodec;
use pipelines::{
    confinement::Launcher,
    engine::SourcePicture,
    transcoder::{Canvas, SpeedPreset, Transcoder, Transcoders, child},
};
use recorded::{Coded, record};

const SIZE: (u32, u32) = (1_920, 1_080);
const RATE: u32 = 30;

/// Moving shapes with film grain, which encoders find neither easy nor impossible.
const INPUT: [&str; 4] = [
    "-f",
    "lavfi",
    "-i",
    "testsrc2=size=1920x1080:rate=30:duration=6,noise=alls=6:allf=t",
];

/// Processor time is counted in ticks of 10 ms.
const TICKS_A_SECOND: f64 = 100.0;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|role| role == "transcode") {
        return child::run();
    }
    let mut numbers = arguments.iter().filter_map(|text| text.parse().ok());
    let (seconds, broadcasts): (u32, u32) =
        (numbers.next().unwrap_or(20), numbers.next().unwrap_or(1));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let folder = std::env::temp_dir().join("castgate-transcode-cost");
    fs::create_dir_all(&folder).expect("a folder for GStreamer's list");
    let launcher = Launcher::this_program(folder).expect("this program can be started again");
    let transcoders = Transcoders::new(launcher, runtime.handle().clone());

    println!(
        "{broadcasts} at a time, {seconds} s each; first picture: from its coming until the first comes out"
    );
    println!(
        "| from | to | CPU, % of a core | added p50 / p99 / max | first picture | RSS | lost, skipped |"
    );
    println!("|---|---|---|---|---|---|---|");
    let full = Canvas::of_size(SIZE, false);
    let small = Canvas {
        width: 1_280,
        height: 720,
        kilobits_per_second: 3_000,
        ..full
    };
    let fast = Canvas {
        preset: SpeedPreset::Ultrafast,
        ..full
    };
    for (codec, canvas) in [
        (VideoCodec::Vp8, full),
        (VideoCodec::Vp8, fast),
        (VideoCodec::H264, full),
        (VideoCodec::H264, small),
        (VideoCodec::Vp9, small),
        (VideoCodec::Av1, small),
    ] {
        let pictures = record(codec, SIZE, 60, &INPUT, Vec::new());
        measure(&transcoders, codec, canvas, &pictures, seconds, broadcasts);
    }
    ExitCode::SUCCESS
}

fn measure(
    transcoders: &Transcoders,
    codec: VideoCodec,
    canvas: Canvas,
    pictures: &[Coded],
    seconds: u32,
    broadcasts: u32,
) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let running: Vec<Transcoder> = (0..broadcasts)
        .map(|_| transcoders.start(codec, Some(canvas), waker.clone()))
        .collect();
    let begun = Instant::now();
    let mut latencies = Vec::new();
    let mut first = None;
    // The start is not measured.
    let mut warm = None;
    for number in 0..(seconds + 2) * RATE {
        let due = begun + Duration::from_secs(1) * number / RATE;
        loop {
            let now = Instant::now();
            for picture in running.iter().filter_map(Transcoder::poll) {
                first.get_or_insert(now - begun);
                if warm.is_some() {
                    latencies.push(now - picture.arrival);
                }
            }
            if now >= due {
                break;
            }
            thread::park_timeout(due - now);
        }
        if number == 2 * RATE {
            warm = Some((Instant::now(), used(&running)));
        }
        let next = &pictures[number as usize % pictures.len()];
        for transcoder in &running {
            // What is lost is counted.
            let _ = transcoder.push(SourcePicture {
                codec,
                timestamp: Duration::from_secs(1) * number / RATE,
                keyframe: next.keyframe,
                config: next.config.clone(),
                size: SIZE,
                data: next.data.clone(),
                arrival: Instant::now(),
            });
        }
    }
    let (since, before) = warm.expect("there were pictures");
    let cost = (used(&running) - before) / since.elapsed().as_secs_f64();
    latencies.sort();
    let at = |part: f64| {
        let place = (latencies.len() as f64 * part) as usize;
        latencies
            .get(place.min(latencies.len().saturating_sub(1)))
            .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1_000.0)
    };
    let counters: Vec<_> = running.iter().map(Transcoder::counters).collect();
    println!(
        "| {codec} {}×{} | {}×{}, up to {}/s, {} kb/s, {} | {:.0} | {:.0} / {:.0} / {:.0} ms | {:.0} ms | {} MB | {}, {} |",
        SIZE.0,
        SIZE.1,
        canvas.width,
        canvas.height,
        canvas.frames_per_second,
        canvas.kilobits_per_second,
        canvas.preset.as_str(),
        cost * 100.0 / f64::from(broadcasts),
        at(0.5),
        at(0.99),
        at(1.0),
        first.map_or(f64::NAN, |first| first.as_secs_f64() * 1_000.0),
        resident_kilobytes(&running[0]) / 1_024,
        counters
            .iter()
            .map(|counters| counters.dropped)
            .sum::<u64>(),
        counters
            .iter()
            .map(|counters| counters.skipped)
            .sum::<u64>(),
    );
}

/// Processor time of the processes so far in seconds.
fn used(running: &[Transcoder]) -> f64 {
    let ticks = |transcoder: &Transcoder| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", transcoder.process_id()?)).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
    };
    running.iter().filter_map(ticks).sum::<f64>() / TICKS_A_SECOND
}

fn resident_kilobytes(transcoder: &Transcoder) -> u64 {
    let status = transcoder
        .process_id()
        .and_then(|process| fs::read_to_string(format!("/proc/{process}/status")).ok())
        .unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
