//! What it costs to bring a show to a provider by WHIP: a synthetic studio, the media path, and WHIP out, in one process.
//!
//! `cargo run --release -p gateway --example whip_out -- URL SECONDS [AWAY_FROM AWAY_TO]`
//!
//! The URL is that of a WHIP server, such as `tests/servers/whip_receiver.py`. Between the two last numbers of seconds the
//! studio is away. It prints the processor time of the threads that do nothing but WHIP out, in percent of a core.

use std::{
    io::Write,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use broadcast::{BroadcastId, StreamKey};
use egress_providers::{
    Show,
    hosted::{Contribute, Contribution, ContributionOrder, WhipOrder},
};
use gateway::whip_out::WhipOut;
use media::{MediaSink, RtpPacket, SourceDescription, TrackKind, VideoCodec};
use pipelines::{
    gstreamer::{StudioOptions, TestStudio},
    path::{MediaPath, PathConfig},
};
use tokio::{
    runtime::Builder,
    sync::{Notify, watch},
    task::JoinSet,
};

/// As a studio sends it at its best.
const STUDIO: StudioOptions = StudioOptions {
    codec: VideoCodec::H264,
    width: 1920,
    height: 1080,
    frames_per_second: 30,
    video_bits_per_second: 4_500_000,
    audio_bits_per_second: 128_000,
    keyframe_interval_frames: None,
    encoder_threads: 0,
    pace: pipelines::gstreamer::Pace::RealTime,
};

/// How often the gateway asks for a keyframe.
const CADENCE: Duration = Duration::from_secs(2);

const REPORTS: Duration = Duration::from_millis(500);

/// The threads that are measured, by their name.
const THREADS: &str = "whip-out";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let url = arguments.first().context("the URL of a WHIP server")?;
    let mut numbers = arguments[1..].iter().map(|one| one.parse::<u64>());
    let seconds = numbers.next().context("seconds")??;
    let away = match (numbers.next(), numbers.next()) {
        (Some(from), Some(to)) => from?..to?,
        _ => 0..0,
    };

    let (path, media, _status) = MediaPath::new(PathConfig::default(), watch::channel(None).1);
    let wanted = Arc::new(Notify::new());
    let show = Show {
        media,
        opus: path.opus(),
        keyframe_wanted: Arc::clone(&wanted),
    };
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(THREADS)
        .enable_all()
        .build()?;
    let order = ContributionOrder {
        broadcast: BroadcastId::new("measured")?,
        contribution: Contribution::Whip(WhipOrder {
            url: StreamKey::new(url),
            bearer: std::env::args().nth(5).map(StreamKey::new),
        }),
        show,
        hints: Default::default(),
        counters: Arc::default(),
        black_box: Arc::default(),
        flowing: Arc::default(),
        stop: Default::default(),
    };
    let (stop, counters) = (order.stop.clone(), Arc::clone(&order.counters));
    let mut carried = JoinSet::new();
    carried.spawn_on(async move { WhipOut.carry(order).await }, runtime.handle());

    let began = Instant::now();
    let mut warm = None;
    play(
        path,
        began,
        Duration::from_secs(seconds),
        &away,
        &wanted,
        |at| {
            if at > Duration::from_secs(5) && warm.is_none() {
                warm = Some((at, processor_time(), counters.bytes_sent()));
            }
        },
    )?;
    let (from, before, bytes) = warm.context("it takes more than five seconds")?;
    let (spent, elapsed) = (processor_time() - before, began.elapsed() - from);
    let bits = (counters.bytes_sent() - bytes) * 8;
    stop.cancel();
    let ended = runtime.block_on(carried.join_next());
    let percent = spent.as_secs_f64() / elapsed.as_secs_f64() * 100.0;
    writeln!(
        std::io::stdout(),
        "{percent:.2} % of a core, {:.2} Mb/s, {} pictures, {ended:?}",
        f64::from(u32::try_from(bits / 1_000)?) / elapsed.as_secs_f64() / 1_000.0,
        counters.frames_sent(),
    )?;
    Ok(())
}

/// Plays a studio through the media path, as a worker does.
fn play(
    mut path: MediaPath,
    began: Instant,
    length: Duration,
    away: &std::ops::Range<u64>,
    wanted: &Arc<Notify>,
    mut on_second: impl FnMut(Duration),
) -> Result<()> {
    let (packets, inbox) = mpsc::sync_channel::<(TrackKind, RtpPacket)>(4_096);
    let studio = TestStudio::start(&STUDIO, move |kind, packet| {
        // When full, the packet is lost, as on a network.
        let _ = packets.try_send((kind, packet));
    })?;
    let description = SourceDescription {
        video: Some(VideoCodec::H264),
        audio: true,
    };
    let mut is_there = false;
    let (mut next_keyframe, mut next_report, mut next_second) = (began, began, began);
    let mut wish = Box::pin(wanted.notified());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    while began.elapsed() < length {
        let now = Instant::now();
        let should_be = !away.contains(&began.elapsed().as_secs());
        if should_be != is_there {
            is_there = should_be;
            if is_there {
                path.handle_source_started(description, now);
                next_keyframe = now;
            } else {
                path.handle_source_ended(now);
            }
        }
        let due = path.poll_timeout().unwrap_or(now + REPORTS);
        let wait = due.min(next_report).saturating_duration_since(now);
        let packet = inbox.recv_timeout(wait);
        let now = Instant::now();
        if let (Ok((kind, packet)), true) = (packet, is_there) {
            path.handle_packet(kind, packet, now);
        }
        if path.poll_timeout().is_some_and(|due| due <= now) {
            path.handle_timeout(now);
        }
        if now >= next_report {
            next_report = now + REPORTS;
            for kind in [TrackKind::Video, TrackKind::Audio] {
                path.handle_sender_report(kind, studio.sender_report(kind), now);
            }
        }
        let is_wanted = wish.as_mut().poll(&mut context).is_ready();
        if is_wanted {
            wish = Box::pin(wanted.notified());
        }
        if path.poll_keyframe_request() || is_wanted || now >= next_keyframe {
            next_keyframe = now + CADENCE;
            studio.request_keyframe();
        }
        if now >= next_second {
            next_second = now + Duration::from_secs(1);
            on_second(began.elapsed());
        }
    }
    ensure!(studio.failure().is_none(), "the studio failed");
    studio.stop();
    Ok(())
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
