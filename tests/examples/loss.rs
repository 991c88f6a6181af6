//! The loss matrix: writes a Markdown table of what becomes of a studio's pictures in each weather. On standard output are
//! the last words of the programs that took part.
//!
//! `CASTGATE_GATEWAY_BINARY=target/release/media-server cargo run --release -p tests --example loss TABLE.md [SECONDS]`

use std::{fs::File, io::Write, time::Duration};

use anyhow::{Context, Result};
use tests::{UdpCondition, measure_loss};

/// Of the packets in each direction, in percent.
const LOSSES: [u32; 5] = [0, 1, 2, 5, 10];

/// Each packet is late by so much, and by up to so much more, each by another amount, in milliseconds.
const DELAYS: [(u64, u64); 4] = [(0, 0), (30, 0), (100, 0), (30, 30)];

/// Twenty cells then take less than ten minutes.
const SECONDS: u32 = 20;

const HEAD: &str = "\
| loss | delay + jitter | pictures delivered | packets lost (never came) | requests per lost packet | keyframe requests beyond the cadence | freezes > 200 ms (longest) |
|---|---|---|---|---|---|---|";

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().context("the name of the table")?;
    let seconds = match arguments.next() {
        Some(seconds) => seconds.parse().context("seconds of each cell")?,
        None => SECONDS,
    };
    let mut out = File::create(path)?;
    writeln!(
        out,
        "H.264 640×360 at 30 pictures/s and 2 Mb/s, {seconds} s each; loss, delay and jitter in both directions.\n\n{HEAD}"
    )?;
    for loss in LOSSES {
        for (delay, jitter) in DELAYS {
            let condition = UdpCondition {
                loss: f64::from(loss) / 100.0,
                delay: Duration::from_millis(delay),
                jitter: Duration::from_millis(jitter),
                ..UdpCondition::default()
            };
            match measure_loss(condition, seconds).await {
                Ok(outcome) => writeln!(
                    out,
                    "| {loss} % | {delay} + {jitter} ms | {:.2} % ({} of {}) | {} ({}) | {:.2} | {:.2}/s | {} ({} ms) |",
                    outcome.delivered_percent(),
                    outcome.delivered,
                    outcome.sent,
                    outcome.packets_lost,
                    outcome.packets_missing,
                    outcome.requests_per_lost_packet(),
                    outcome.extra_keyframe_requests_per_second(),
                    outcome.freezes,
                    outcome.longest.as_millis(),
                )?,
                Err(error) => writeln!(
                    out,
                    "| {loss} % | {delay} + {jitter} ms | failed: {error:#} |"
                )?,
            }
        }
    }
    Ok(())
}
