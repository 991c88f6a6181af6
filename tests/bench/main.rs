//! Measures what the gateway costs and what it bears: `cost` counts CPU, memory, threads, latency and losses of broadcasts
//! that are passed through; `soak` does them harm, one fault after the other, and sees that none of them ends.
//!
//! The load and the receivers run in this process, the gateway in its own, so that only its own work is counted.

mod commanded;
mod figures;
mod listener;
mod load;
mod peer;
mod process;
mod receiver;
mod recording;
mod rooms;
mod rtmp;
mod scenario;
mod soak;
#[expect(unreachable_pub, reason = "it is the rig's, where it is public")]
#[path = "../rig/tcp_weather.rs"]
mod tcp_weather;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Parser;
use media::VideoCodec;
use recording::Recording;
use scenario::{Method, Outcome, Scenario};

/// Broadcasts and destinations of the full run.
const FULL: [(usize, usize); 8] = [
    (1, 1),
    (1, 3),
    (5, 1),
    (5, 3),
    (20, 1),
    (20, 3),
    (40, 1),
    (40, 3),
];

/// The same of a quick look.
const QUICK: [(usize, usize); 2] = [(1, 1), (5, 3)];

/// Measures the gateway from outside
#[derive(Debug, Parser)]
enum Arguments {
    /// What it costs: prints a Markdown table
    Cost(CostArguments),
    /// What a room costs: prints a Markdown table
    Rooms(rooms::RoomsArguments),
    /// What it bears: prints Markdown tables; fails when a broadcast ended by accident
    Soak(soak::SoakArguments),
}

#[derive(Debug, clap::Args)]
struct CostArguments {
    /// The gateway's release binary
    #[arg(long)]
    gateway: PathBuf,

    /// One broadcast to one destination, and five to three
    #[arg(long)]
    quick: bool,

    /// What to measure instead, as broadcasts x destinations: 20x3
    #[arg(long = "only", value_parser = size)]
    only: Vec<(usize, usize)>,

    /// Length of each measured window in seconds
    #[arg(long, default_value_t = 20)]
    window: u64,

    /// Seconds between the last broadcast going live and the window
    #[arg(long, default_value_t = 10)]
    warm_up: u64,

    /// How the load is coded: h264, vp8 or vp9; what is not H.264 is coded anew by the gateway
    #[arg(long, default_value = "h264", value_parser = codec)]
    codec: VideoCodec,

    /// Who makes the pictures
    #[arg(long, value_enum, default_value_t = Method::Gstreamer)]
    method: Method,

    /// Code H.264 anew, too
    #[arg(long)]
    transcode: bool,

    /// Where the load's media is kept; made when it is not there
    #[arg(long)]
    media: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .build()?;
    match Arguments::parse() {
        Arguments::Cost(arguments) => cost(&arguments, &http).await.map(|()| ExitCode::SUCCESS),
        Arguments::Rooms(arguments) => rooms::run(&arguments, &http)
            .await
            .map(|()| ExitCode::SUCCESS),
        Arguments::Soak(arguments) => soak::run(&arguments, &http).await,
    }
}

async fn cost(arguments: &CostArguments, http: &reqwest::Client) -> anyhow::Result<()> {
    let recording = Arc::new(Recording::prepare(&arguments.media, arguments.codec)?);
    let mut out = io::stdout();
    writeln!(
        out,
        "1080p{} {} at {:.2} Mb/s and 128 kb/s Opus, method `{}`{}; windows of {} s after {} s; CPU in % of one core, children included.\n\n{HEAD}",
        recording::FRAMES_PER_SECOND,
        arguments.codec,
        megabits(recording.video_bits_per_second()),
        arguments.method.as_str(),
        if arguments.transcode {
            ", H.264 coded anew"
        } else {
            ""
        },
        arguments.window,
        arguments.warm_up,
    )?;
    let sizes = match (arguments.only.as_slice(), arguments.quick) {
        ([], true) => &QUICK[..],
        ([], false) => &FULL[..],
        (only, _) => only,
    };
    for &(broadcasts, destinations) in sizes {
        let scenario = Scenario {
            broadcasts,
            destinations,
            method: arguments.method,
            transcode: arguments.transcode,
            warm_up: Duration::from_secs(arguments.warm_up),
            window: Duration::from_secs(arguments.window),
        };
        match scenario.run(&arguments.gateway, &recording, http).await {
            Ok(outcome) => writeln!(out, "{}", row(&outcome))?,
            Err(error) => writeln!(out, "| {broadcasts} × {destinations} | failed: {error:#} |")?,
        }
    }
    Ok(())
}

const HEAD: &str = "\
| broadcasts × destinations | CPU | per broadcast | RSS | beyond idle, each | threads (idle) | latency p50 / p99 / max | go-live p50 / max | WHIP answer p50 / max | pictures lost of | load's CPU, worst delay |
|---|---|---|---|---|---|---|---|---|---|---|";

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn row(outcome: &Outcome) -> String {
    let broadcasts = outcome.scenario.broadcasts as f64;
    let mebibytes = |bytes: u64| bytes as f64 / 1_048_576.0;
    let milliseconds = |time: Duration| time.as_secs_f64() * 1_000.0;
    let remarks = if outcome.changed > 0 || outcome.reconnects > 0 {
        format!(
            " ({} changed, {} reconnects)",
            outcome.changed, outcome.reconnects
        )
    } else {
        String::new()
    };
    format!(
        "| {} × {} | {:.1} | {:.2} | {:.0} MB | {:.2} MB | {} ({}) | {:.1} / {:.1} / {:.0} ms | {:.0} / {:.0} ms | {:.1} / {:.1} ms | {} of {}{remarks} | {:.0} %, {:.1} ms |",
        outcome.scenario.broadcasts,
        outcome.scenario.destinations,
        outcome.cpu_percent,
        outcome.cpu_percent / broadcasts,
        mebibytes(outcome.resident_bytes),
        mebibytes(outcome.resident_bytes.saturating_sub(outcome.idle_bytes)) / broadcasts,
        outcome.threads,
        outcome.idle_threads,
        milliseconds(outcome.latency_p50),
        milliseconds(outcome.latency_p99),
        milliseconds(outcome.latency_max),
        milliseconds(outcome.live_p50),
        milliseconds(outcome.live_max),
        milliseconds(outcome.answer_p50),
        milliseconds(outcome.answer_max),
        outcome.lost,
        outcome.pictures,
        outcome.bench_cpu_percent,
        milliseconds(outcome.load_latest),
    )
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn megabits(bits: usize) -> f64 {
    bits as f64 / 1e6
}

/// AV1 is left out: the load is made by the synthetic studio, which has no payloader for it.
fn codec(text: &str) -> Result<VideoCodec, String> {
    [VideoCodec::H264, VideoCodec::Vp8, VideoCodec::Vp9]
        .into_iter()
        .find(|codec| codec.as_str().eq_ignore_ascii_case(text))
        .ok_or_else(|| "it is h264, vp8 or vp9".to_owned())
}

fn size(text: &str) -> Result<(usize, usize), String> {
    let (broadcasts, destinations) = text.split_once('x').ok_or("write it as 20x3")?;
    let count = |text: &str| match text.parse() {
        Ok(count) if (1..=1000).contains(&count) => Ok(count),
        _ => Err(format!("{text} is not a count")),
    };
    Ok((count(broadcasts)?, count(destinations)?))
}
