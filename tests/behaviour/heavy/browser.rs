//! What a real browser's canvas becomes on the way.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::{BrowserReport, Gateway, Nginx, Recording, eventually, go_live_in_browser};

use super::{KEYFRAME_LIMIT, LIVE_LIMIT, check};

const SECONDS: u32 = 15;

/// Pictures that may be on the way when the statistics are read: a second, on a machine that is busy.
const FRAMES_ON_THE_WAY: u64 = 30;

/// Pictures that the browser may go on to send until the page has stopped: five seconds, on a machine that is busy.
const LAST_FRAMES: u64 = 150;

fn frames_sent(statistics: &Value) -> Result<u64> {
    statistics["uplink"]["framesSent"]
        .as_u64()
        .with_context(|| format!("no frames in {statistics}"))
}

/// Every picture that the browser sent while the destination was live is in the recording, in the canvas's size.
fn check_against(recording: &Recording, report: &BrowserReport) -> Result<()> {
    check(recording)?;
    let (at_live, at_end) = (frames_sent(&report.at_live)?, frames_sent(&report.at_end)?);
    // Those that stand in for pictures the browser was late with are not its own.
    let recorded = (recording.video.frames.len() - recording.cadence().repeated) as u64;
    ensure!(
        recorded + FRAMES_ON_THE_WAY >= at_end - at_live,
        "{recorded} recorded, {at_live} sent when it went live, {at_end} at the end"
    );
    ensure!(
        recorded <= at_end + LAST_FRAMES,
        "{recorded} recorded, {at_end} sent"
    );
    let odd = recording
        .video
        .frames
        .iter()
        .find(|frame| (frame.width, frame.height) != (1280, 720));
    ensure!(odd.is_none(), "the canvas's size is 1280×720: {odd:?}");
    Ok(())
}

#[tokio::test]
async fn a_canvas_in_chromium_arrives_whole_at_two_servers() -> Result<()> {
    let receiver_port = tests::free_port()?;
    let receiver = format!("127.0.0.1:{receiver_port}");
    let gateway = Gateway::start(&[("LOCAL_RECEIVER_ADDRESS", &receiver)]).await?;
    let nginx = Nginx::start().await?;
    let page = format!(
        "/?source=test&pattern=flash&size=1280x720&golive=1&broadcast=canvas#destination=local&destination={}/browser",
        nginx.url()
    );

    let report = go_live_in_browser(&gateway.url(&page), SECONDS).await?;

    let path = eventually("the recording is closed", LIVE_LIMIT, async || {
        Ok(nginx.finished_recording("browser").await.ok())
    })
    .await?;
    let recording = Recording::analyse(&path).await?;
    check_against(&recording, &report)?;
    ensure!(report.errors.is_empty(), "{:?}", report.errors);
    ensure!(
        !report.address.contains("destination"),
        "the key is in the address bar: {}",
        report.address
    );
    let destinations = report.state["broadcast"]["destinations"]
        .as_array()
        .context("destinations")?;
    ensure!(destinations.len() == 2, "{destinations:?}");
    for destination in destinations {
        ensure!(
            destination["state"] == "live" && destination["reconnects"] == 0,
            "{destination}"
        );
        ensure!(
            destination["keyframeIntervalMs"]
                .as_u64()
                .is_some_and(|interval| u128::from(interval) <= KEYFRAME_LIMIT.as_millis()),
            "{destination}"
        );
    }
    Ok(())
}
