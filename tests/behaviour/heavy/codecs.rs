//! Every codec that a browser sends, from its canvas to a recording by another program.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::{Browser, BrowserReport, Gateway, Nginx, Recording, eventually, go_live_in_browser};

use super::{KEYFRAME_LIMIT, LIVE_LIMIT, SETTLING, SYNCHRONY_LIMIT, WATCH_LIMIT};

/// Enough for a browser and an engine that take long to begin, on a machine that is busy.
const SECONDS: u32 = 20;

/// Small: browser, gateway, its engine and the server share two cores, and the pictures are coded twice.
const SIZE: (u32, u32) = (640, 360);

/// How long nothing may be seen. A browser that shares its cores is late by itself, and then its last picture is repeated.
const GAP_LIMIT: Duration = Duration::from_secs(1);

/// Pictures that may be on the way when the statistics are read: half a second.
const FRAMES_ON_THE_WAY: u64 = 15;

/// Of the pictures that were sent when the destination was connected, those that come before its engine has started are lost:
/// on a machine that is busy no more than two of three.
const START_DIVISOR: u64 = 3;

fn page(codec: &str, nginx: &Nginx) -> String {
    let (width, height) = SIZE;
    format!(
        "/?source=test&pattern=flash&size={width}x{height}&kbps=1200&codec={codec}&golive=1&broadcast=canvas\
         #destination={}/{codec}",
        nginx.url()
    )
}

fn count(statistics: &Value, of: &str, what: &str) -> Result<u64> {
    statistics[of][what]
        .as_u64()
        .with_context(|| format!("no {what} in {statistics}"))
}

/// A canvas in this codec becomes H.264 and AAC, whole and in step.
async fn arrives(codec: &str) -> Result<()> {
    // The page asks for the local receiver; without one its console would hold an error.
    let receiver = format!("127.0.0.1:{}", tests::free_port()?);
    let gateway = Gateway::start(&[("LOCAL_RECEIVER_ADDRESS", &receiver)]).await?;
    let nginx = Nginx::start().await?;

    let report = go_live_in_browser(&gateway.url(&page(codec, &nginx)), SECONDS).await?;

    let path = eventually("the recording is closed", LIVE_LIMIT, async || {
        Ok(nginx.finished_recording(codec).await.ok())
    })
    .await?;
    let recording = Recording::analyse(&path).await?;
    ensure!(report.errors.is_empty(), "{:?}", report.errors);
    check_sent(codec, &report)?;
    check_recorded(&recording)?;
    check_pictures(&recording, &report)
}

/// The browser sent what it was to send, and the gateway says so.
fn check_sent(codec: &str, report: &BrowserReport) -> Result<()> {
    let sent = report.at_end["uplink"]["videoCodec"].as_str();
    ensure!(
        sent.is_some_and(|sent| sent.eq_ignore_ascii_case(&format!("video/{codec}"))),
        "the browser sends {sent:?}"
    );
    let broadcast = &report.state["broadcast"];
    ensure!(
        broadcast["egress"]["video"] == "transcode",
        "{}",
        broadcast["egress"]
    );
    let destination = &broadcast["destinations"][0];
    ensure!(
        destination["state"] == "live" && destination["reconnects"] == 0,
        "{destination}"
    );
    Ok(())
}

/// What any platform takes.
fn check_recorded(recording: &Recording) -> Result<()> {
    ensure!(recording.video.codec == "h264", "{}", recording.video.codec);
    ensure!(recording.audio.codec == "aac", "{}", recording.audio.codec);
    ensure!(
        recording.decode_errors.is_empty(),
        "{:#?}",
        recording.decode_errors
    );
    let odd = recording
        .video
        .frames
        .iter()
        .find(|frame| (frame.width, frame.height) != SIZE);
    ensure!(odd.is_none(), "not {SIZE:?}: {odd:?}");
    let interval = recording.longest_keyframe_interval();
    ensure!(interval <= KEYFRAME_LIMIT, "no keyframe for {interval:?}");
    let (gap, at) = recording.worst_video_gap(SETTLING);
    ensure!(gap <= GAP_LIMIT, "no picture for {gap:?} at {at:?}");
    let (gap, at) = recording.worst_audio_gap(SETTLING);
    ensure!(gap <= super::GAP_LIMIT, "no sound for {gap:?} at {at:?}");
    recording.tags.as_ref().context("tags")?.check_order()?;
    recording.check_usual_synchrony(SYNCHRONY_LIMIT, SETTLING)
}

/// Every picture that the browser sent while the destination was live is there, by its number; what it has drawn but not
/// sent is its own loss.
fn check_pictures(recording: &Recording, report: &BrowserReport) -> Result<()> {
    let cadence = recording.cadence();
    ensure!(
        cadence.out_of_order == 0 && cadence.studios == 1,
        "{cadence:?}"
    );
    let (drawn, all_sent) = (
        count(&report.at_end, "canvas", "framesDrawn")?,
        count(&report.at_end, "uplink", "framesSent")?,
    );
    let sent = all_sent - count(&report.at_live, "uplink", "framesSent")?;
    let told = recording.counters().len() as u64;
    ensure!(
        told * START_DIVISOR >= sent,
        "{told} pictures recorded, {sent} sent; {cadence:?}"
    );
    let dropped_by_the_browser = drawn.saturating_sub(all_sent);
    ensure!(
        cadence.lost as u64 <= dropped_by_the_browser + FRAMES_ON_THE_WAY,
        "{cadence:?}; {drawn} drawn, {all_sent} sent"
    );
    Ok(())
}

#[tokio::test]
async fn a_canvas_in_vp8_becomes_h264() -> Result<()> {
    arrives("vp8").await
}

#[tokio::test]
async fn a_canvas_in_vp9_becomes_h264() -> Result<()> {
    arrives("vp9").await
}

#[tokio::test]
async fn a_canvas_in_av1_becomes_h264() -> Result<()> {
    arrives("av1").await
}

#[tokio::test]
async fn a_canvas_that_changes_its_size_is_scaled_into_the_one_that_the_platform_knows()
-> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let nginx = Nginx::start().await?;
    let mut browser = Browser::open(&gateway.url(&page("vp8", &nginx)), None).await?;
    let received = |wanted: (u32, u32)| {
        move |broadcast: &Value| {
            let video = &broadcast["ingest"]["video"];
            (&video["width"], &video["height"]) == (&wanted.0.into(), &wanted.1.into())
        }
    };
    gateway.made("canvas", LIVE_LIMIT).await?;
    gateway
        .broadcast_until("canvas", "the canvas arrives", WATCH_LIMIT, |broadcast| {
            broadcast["destinations"][0]["state"] == "live" && received(SIZE)(broadcast)
        })
        .await?;

    for wanted in [(480, 360), (854, 480), SIZE] {
        watch_canvas(&gateway, 60).await?;
        browser
            .command(&format!("resize {}x{}", wanted.0, wanted.1))
            .await?;
        gateway
            .broadcast_until(
                "canvas",
                "the new size arrives",
                WATCH_LIMIT,
                received(wanted),
            )
            .await?;
    }
    watch_canvas(&gateway, 60).await?;
    browser.command("stop").await?;
    browser.quit().await?;

    let path = eventually("the recording is closed", LIVE_LIMIT, async || {
        Ok(nginx.finished_recording("vp8").await.ok())
    })
    .await?;
    let recording = Recording::analyse(&path).await?;
    check_recorded(&recording)?;
    let headers = &recording.tags.as_ref().context("tags")?.video_headers;
    let (_, first) = headers.first().context("no header of the picture")?;
    ensure!(
        headers.iter().all(|(_, header)| header == first),
        "the picture's description changes: {headers:?}"
    );
    Ok(())
}

/// Waits until the destination has been sent so many more pictures.
async fn watch_canvas(gateway: &Gateway, pictures: u64) -> Result<()> {
    let sent = |broadcast: &Value| broadcast["destinations"][0]["framesSent"].as_u64();
    let before = sent(&gateway.broadcast("canvas").await?).unwrap_or_default();
    gateway
        .broadcast_until("canvas", "more pictures", WATCH_LIMIT, |now| {
            sent(now) >= Some(before + pictures)
        })
        .await
        .map(drop)
}
