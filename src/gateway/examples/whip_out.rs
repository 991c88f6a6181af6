//! What it costs to bring a show to a provider by WHIP: a recorded studio, the media path, and WHIP out, in one process.
//!
//! `cargo run --release -p gateway --example whip_out -- URL SECONDS [TOKEN]`
//!
//! The URL is that of a WHIP server, such as `tests/servers/whip_receiver.py`. The studio is coded first, as fast as the
//! machine can, and then played in real time. What is told is the processor time of the threads that do nothing but WHIP
//! out, in percent of a core.

use std::{
    io::Write,
    sync::{Arc, mpsc},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use broadcast::{BroadcastId, StreamKey};
use egress_providers::{
    MediaHints, Show,
    hosted::{Contribute, Contribution, ContributionOrder, WhipOrder},
};
use gateway::whip_out::WhipOut;
use media::{MediaSink, RtpPacket, SourceDescription, TrackKind, VideoCodec};
use pipelines::{
    gstreamer::{Pace, StudioOptions, TestStudio},
    path::{MediaPath, PathConfig},
};
use tokio::{runtime::Builder, sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// The first seconds, in which the connection comes up and its queues grow.
const WARM_UP: Duration = Duration::from_secs(5);

/// How much longer than the show takes it may be coded for.
const CODING_LIMIT: Duration = Duration::from_mins(10);

/// How often it is looked whether the first seconds are over.
const REPORTS: Duration = Duration::from_millis(500);

/// The threads that are measured, by their name.
const THREADS: &str = "whip-out";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().context("the URL of a WHIP server")?;
    let seconds = arguments.next().context("seconds")?.parse()?;
    let bearer = arguments.next().map(StreamKey::new);
    let recording = record(Duration::from_secs(seconds))?;

    let (path, media, _status) = MediaPath::new(PathConfig::default(), watch::channel(None).1);
    let show = Show {
        media,
        opus: path.opus(),
        keyframe_wanted: Arc::default(),
        permit: pipelines::Permit::unlimited(),
    };
    let order = ContributionOrder {
        broadcast: BroadcastId::new("measured")?,
        contribution: Contribution::Whip(WhipOrder {
            url: StreamKey::new(url),
            bearer,
        }),
        show,
        hints: MediaHints::default(),
        counters: Arc::default(),
        black_box: Arc::default(),
        flowing: Arc::default(),
        stop: CancellationToken::new(),
    };
    let (stop, counters) = (order.stop.clone(), Arc::clone(&order.counters));
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(THREADS)
        .enable_all()
        .build()?;
    let mut carried = JoinSet::new();
    carried.spawn_on(async move { WhipOut.carry(order).await }, runtime.handle());

    let began = Instant::now();
    let mut warm = None;
    play(path, &recording, began, |at| {
        if at > WARM_UP && warm.is_none() {
            let bytes = counters.bytes_sent();
            warm = Some((at, processor_time(), bytes, counters.frames_sent()));
        }
    });
    let (from, before, bytes, pictures) = warm.context("it takes more than five seconds")?;
    let (spent, elapsed) = (
        processor_time().saturating_sub(before),
        began.elapsed().saturating_sub(from),
    );
    let kilobits = u32::try_from((counters.bytes_sent() - bytes) / 125)?;
    let pictures = u32::try_from(counters.frames_sent() - pictures)?;
    stop.cancel();
    let ended = runtime.block_on(carried.join_next());
    writeln!(
        std::io::stdout(),
        "{:.2} % of a core for {:.2} Mb/s and {:.1} pictures a second; it ended with {ended:?}",
        spent.as_secs_f64() / elapsed.as_secs_f64() * 100.0,
        f64::from(kilobits) / elapsed.as_secs_f64() / 1_000.0,
        f64::from(pictures) / elapsed.as_secs_f64(),
    )?;
    Ok(())
}

/// A packet, and when it is sent.
type Sent = (Duration, TrackKind, RtpPacket);

/// Codes a studio: 1080p30 at 4.5 Mb/s with a keyframe every two seconds, and sound.
fn record(length: Duration) -> Result<Vec<Sent>> {
    let options = StudioOptions {
        width: 1920,
        height: 1080,
        video_bits_per_second: 4_500_000,
        keyframe_interval_frames: Some(60),
        pace: Pace::Unpaced(length),
        ..StudioOptions::default()
    };
    let (packets, inbox) = mpsc::channel();
    let studio = TestStudio::start(&options, move |kind, packet| {
        // Fails when nobody records any more.
        let _ = packets.send((kind, packet));
    })?;
    studio.wait(CODING_LIMIT)?;
    studio.stop();
    let mut first = [None; 2];
    let mut recording: Vec<Sent> = inbox
        .iter()
        .map(|(kind, packet)| {
            let first =
                *first[usize::from(kind == TrackKind::Audio)].get_or_insert(packet.timestamp);
            let ticks = packet.timestamp.wrapping_sub(first);
            let time = Duration::from_secs(1) * ticks / rate(kind);
            (time, kind, packet)
        })
        .collect();
    recording.sort_by_key(|(time, ..)| *time);
    Ok(recording)
}

const fn rate(kind: TrackKind) -> u32 {
    match kind {
        TrackKind::Video => 90_000,
        TrackKind::Audio => 48_000,
    }
}

/// Plays a recording through the media path, as a worker does.
fn play(
    mut path: MediaPath,
    recording: &[Sent],
    began: Instant,
    mut on_report: impl FnMut(Duration),
) {
    let description = SourceDescription {
        video: Some(VideoCodec::H264),
        audio: true,
    };
    path.handle_source_started(description, began);
    let mut next_report = Duration::ZERO;
    for (time, kind, packet) in recording {
        let due = began + *time;
        while let Some(timeout) = path.poll_timeout().filter(|timeout| *timeout < due) {
            sleep(timeout.saturating_duration_since(Instant::now()));
            path.handle_timeout(Instant::now());
        }
        sleep(due.saturating_duration_since(Instant::now()));
        path.handle_packet(*kind, packet.clone(), Instant::now());
        if *time >= next_report {
            next_report = *time + REPORTS;
            on_report(*time);
        }
    }
}

/// What the threads that only do WHIP out have used so far.
fn processor_time() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let used = threads.flatten().filter_map(|thread| {
        let read = |name: &str| std::fs::read_to_string(thread.path().join(name)).ok();
        let is_ours = read("comm")?.trim() == THREADS;
        let nanoseconds = read("schedstat")?.split(' ').next()?.parse().ok()?;
        is_ours.then(|| Duration::from_nanos(nanoseconds))
    });
    used.sum()
}
