//! Measures what broadcasts cost that `FFmpeg` copies, in percent of one core per broadcast, in real time.
//!
//! `ffmpeg_cost [BROADCASTS] [SECONDS] [PROGRAM]`: 1080p30 H.264 at 4.5 Mb/s each. Prints what the children take, what this
//! process takes for them, and how long a picture is on its way.
#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement for people"
)]

use std::{
    ffi::OsStr,
    fs,
    path::Path,
    process::Command,
    sync::Arc,
    task::Waker,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use media::{CodecConfig, VideoCodec, VideoConfig};
use pipelines::{
    engine::{Engine as _, EngineState, SourcePicture},
    ffmpeg::{Complaint, Ffmpeg, FfmpegEngine},
};

const PICTURES_A_SECOND: u32 = 30;

/// Before the measurement begins; children have started by then.
const WARM_UP: Duration = Duration::from_secs(2);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default| {
        let text = arguments.get(place);
        text.and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (broadcasts, seconds) = (number(0, 5_u64), number(1, 20_u64));
    let program = arguments.get(2).map_or("ffmpeg", String::as_str);
    let ffmpeg = Ffmpeg::find(Path::new(program), OsStr::new("/usr/local/bin:/usr/bin"))
        .expect("there is an FFmpeg");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let mut engines: Vec<FfmpegEngine> = (0..broadcasts)
        .map(|_| {
            let waker = Waker::from(Arc::new(Unpark(thread::current())));
            ffmpeg.engine(VideoCodec::H264, None, runtime.handle().clone(), waker)
        })
        .collect();
    let (config, recording) = recording(&ffmpeg);

    let start = Instant::now();
    let period = Duration::from_secs(1) / PICTURES_A_SECOND;
    let (mut before, mut latencies, mut sent) = (None, Vec::new(), 0_u64);
    let end = WARM_UP + Duration::from_secs(seconds);
    for place in 0.. {
        let due = start + period * place;
        if due >= start + end {
            break;
        }
        loop {
            let now = Instant::now();
            for engine in &mut engines {
                while let Some(picture) = engine.poll_picture() {
                    latencies.push(now.saturating_duration_since(picture.arrival));
                }
            }
            if now >= due {
                break;
            }
            thread::park_timeout(due - now);
        }
        if before.is_none() && due >= start + WARM_UP {
            before = Some((used(&engines), Instant::now()));
            latencies.clear();
        }
        for engine in &mut engines {
            let (keyframe, data) = &recording[place as usize % recording.len()];
            let picture = SourcePicture {
                codec: VideoCodec::H264,
                timestamp: Duration::from_secs(1) * place / PICTURES_A_SECOND,
                keyframe: *keyframe,
                config: Some(Arc::clone(&config)),
                size: (1_920, 1_080),
                data: data.clone(),
                arrival: Instant::now(),
            };
            engine.handle_picture(picture, Instant::now());
            sent += u64::from(before.is_some());
        }
    }
    let (before, since) = before.expect("the measurement has begun");
    let after = used(&engines);
    let elapsed = since.elapsed();
    let percent = |before: Duration, after: Duration| {
        after.saturating_sub(before).as_secs_f64() * 100.0
            / elapsed.as_secs_f64()
            / broadcasts as f64
    };
    println!(
        "{broadcasts} broadcasts, {seconds} s, FFmpeg {}",
        ffmpeg.full_version()
    );
    println!(
        "children      {:.2} % of a core each",
        percent(before.0, after.0)
    );
    println!(
        "this process  {:.2} % of a core each",
        percent(before.1, after.1)
    );
    println!("pictures      {} of {sent}", latencies.len());
    let running = engines
        .iter()
        .filter(|engine| engine.state() == EngineState::Running);
    println!("running       {} of {broadcasts}", running.count());
    tell_latency(latencies);
    for complaint in Complaint::ALL {
        println!(
            "{:18} {}",
            complaint.as_str(),
            ffmpeg.complaints().count(complaint)
        );
    }
}

fn tell_latency(mut latencies: Vec<Duration>) {
    latencies.sort();
    let latency = |share: usize| {
        let place = (latencies.len() * share / 1_000).min(latencies.len().saturating_sub(1));
        latencies
            .get(place)
            .map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    };
    let (usual, rare, worst) = (latency(500), latency(990), latency(1_000));
    println!("on the way    p50 {usual:.2} ms, p99 {rare:.2} ms, max {worst:.2} ms");
}

struct Unpark(thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Four seconds of a moving picture with noise, coded as a browser would be asked to: its parameters, and its pictures.
fn recording(ffmpeg: &Ffmpeg) -> (Arc<CodecConfig>, Vec<(bool, Bytes)>) {
    let made = Command::new(ffmpeg.program())
        .args(
            "-v error -f lavfi -i testsrc2=size=1920x1080:rate=30,noise=alls=15:allf=t".split(' '),
        )
        .args("-t 4 -c:v libx264 -preset veryfast -tune zerolatency -g 60 -bf 0".split(' '))
        .args("-b:v 4500k -maxrate 4500k -bufsize 2250k -x264-params sliced-threads=0".split(' '))
        .args("-f h264 pipe:1".split(' '))
        .output()
        .expect("FFmpeg encodes");
    let (mut sequence, mut picture) = (Vec::new(), Vec::new());
    let mut pictures = Vec::new();
    for unit in nal_units(&made.stdout) {
        match unit[0] & 0x1f {
            kind @ (1 | 5) => {
                let mut data = u32::try_from(unit.len())
                    .unwrap_or_default()
                    .to_be_bytes()
                    .to_vec();
                data.extend(unit);
                pictures.push((kind == 5, Bytes::from(data)));
            }
            7 => sequence = unit.to_vec(),
            8 => picture = unit.to_vec(),
            _ => {}
        }
    }
    let mut record = vec![1, sequence[1], sequence[2], sequence[3], 0xff, 0xe1];
    for (count, set) in [(None, &sequence), (Some(1), &picture)] {
        record.extend(count);
        record.extend(u16::try_from(set.len()).unwrap_or_default().to_be_bytes());
        record.extend(set);
    }
    let config = VideoConfig {
        decoder_configuration: record.into(),
        width: 1_920,
        height: 1_080,
    };
    (Arc::new(CodecConfig::Avc(config)), pictures)
}

/// What stands between start codes.
fn nal_units(stream: &[u8]) -> Vec<&[u8]> {
    let mut starts = Vec::new();
    for place in 0..stream.len().saturating_sub(3) {
        if stream[place..].starts_with(&[0, 0, 1]) {
            starts.push(place);
        }
    }
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    let units = starts.iter().zip(ends).map(|(start, end)| {
        let mut unit = &stream[start + 3..end];
        while let [rest @ .., 0] = unit {
            unit = rest;
        }
        unit
    });
    units.filter(|unit| !unit.is_empty()).collect()
}

/// Processor time of the children, and of this process without them.
fn used(engines: &[FfmpegEngine]) -> (Duration, Duration) {
    let children = engines.iter().filter_map(FfmpegEngine::process_id);
    let own = std::process::id();
    (children.map(processor_time).sum(), processor_time(own))
}

fn processor_time(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|text| text.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
