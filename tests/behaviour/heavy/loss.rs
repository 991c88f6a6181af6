//! Two cells of the loss matrix; all of them are measured by `tests/examples/loss.rs` (docs/benchmarks.md).

use std::time::Duration;

use anyhow::{Result, ensure};
use tests::{LossOutcome, UdpCondition, measure_loss};

const SECONDS: u32 = 20;

/// Requests for each packet that did not come at first.
const MOST_REQUESTS: f64 = 1.5;

/// Keyframe requests a second beside the cadence of two seconds.
const MOST_KEYFRAME_REQUESTS: f64 = 1.0;

fn condition(loss_percent: f64) -> UdpCondition {
    UdpCondition {
        loss: loss_percent / 100.0,
        delay: Duration::from_millis(30),
        ..UdpCondition::default()
    }
}

fn check(outcome: &LossOutcome, least_percent: f64) -> Result<()> {
    tests::tell(format_args!(
        "{:.2} % of the pictures arrived",
        outcome.delivered_percent()
    ));
    ensure!(
        outcome.packets_lost > 20,
        "the weather was fair: {outcome:?}"
    );
    ensure!(
        outcome.delivered_percent() >= least_percent,
        "{:.2} % of the pictures arrived: {outcome:?}",
        outcome.delivered_percent()
    );
    ensure!(
        outcome.requests_per_lost_packet() <= MOST_REQUESTS,
        "{:.2} requests for a lost packet: {outcome:?}",
        outcome.requests_per_lost_packet()
    );
    ensure!(
        outcome.extra_keyframe_requests_per_second() <= MOST_KEYFRAME_REQUESTS,
        "{:.2} keyframe requests a second: {outcome:?}",
        outcome.extra_keyframe_requests_per_second()
    );
    Ok(())
}

#[tokio::test]
async fn at_two_per_cent_loss_and_thirty_milliseconds_nearly_every_picture_arrives() -> Result<()> {
    // 99.5 % where packets are asked for and sent again without delay.
    check(&measure_loss(condition(2.0), SECONDS).await?, 97.0)
}

#[tokio::test]
async fn at_five_per_cent_loss_and_thirty_milliseconds_few_pictures_are_missing() -> Result<()> {
    // 98 % where packets are asked for and sent again without delay.
    check(&measure_loss(condition(5.0), SECONDS).await?, 94.0)
}
