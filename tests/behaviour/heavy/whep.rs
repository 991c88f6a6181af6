//! A browser that watches what the studio sends.

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Browser, Gateway, Studio, eventually, send};

use super::{LIVE_LIMIT, WATCH_LIMIT};

/// Small: what is sent is decoded again on the same two cores.
const SMALL: [&str; 6] = ["--width", "640", "--height", "360", "--video-kbps", "800"];

/// Of a show of thirty pictures a second that is watched without trouble; a busy machine decodes fewer.
const LEAST_PICTURES: u64 = 60;

/// How often a viewer may ask for a keyframe at the beginning: its own decoder may ask more than once.
const FIRST_REQUESTS: u64 = 3;

/// Pictures for each request after these: a browser on a machine that is busy loses sight of some, and no storm is more than one
/// a second.
const PICTURES_A_REQUEST: u64 = 15;

fn count(seen: &Value, what: &str) -> Result<u64> {
    seen[what]
        .as_u64()
        .with_context(|| format!("no {what} in {seen}"))
}

/// Waits until the browser has decoded so many more pictures.
async fn watch(browser: &mut Browser, pictures: u64) -> Result<Value> {
    let before = count(&browser.command("stats").await?, "framesDecoded")?;
    eventually("more pictures are decoded", WATCH_LIMIT, async || {
        let seen = browser.command("stats").await?;
        let decoded = count(&seen, "framesDecoded")?;
        Ok((decoded >= before + pictures).then_some(seen))
    })
    .await
}

async fn showing(gateway: &Gateway, what: &str) -> Result<()> {
    gateway
        .broadcast_until("show", what, LIVE_LIMIT, |broadcast| {
            broadcast["state"] == "live"
        })
        .await
        .map(drop)
}

/// A viewer sees and hears a show in this codec, another studio in its place, and leaves.
async fn is_watched(codec: &str) -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    gateway.create("show", json!([])).await?;
    let arguments = [&SMALL[..], &["--codec", codec]].concat();
    let url = gateway.url("/whip/show");
    let studio = Studio::publish_with(&url, 600, &arguments).await?;
    showing(&gateway, "the studio is live").await?;

    let mut browser = Browser::watch(&gateway.url("/whep/show")).await?;
    let first = watch(&mut browser, LEAST_PICTURES).await?;
    let then = watch(&mut browser, LEAST_PICTURES).await?;

    ensure!(
        then["codec"]
            .as_str()
            .is_some_and(|found| found.eq_ignore_ascii_case(&format!("video/{codec}"))),
        "{then}"
    );
    ensure!(
        (&then["width"], &then["height"]) == (&json!(640), &json!(360)),
        "{then}"
    );
    ensure!(
        then["audioEnergy"].as_f64() > first["audioEnergy"].as_f64(),
        "nothing is heard: {first}, {then}"
    );
    ensure!(
        count(&then, "pictureLossIndications")?
            <= FIRST_REQUESTS + count(&then, "framesDecoded")? / PICTURES_A_REQUEST,
        "{then}"
    );

    // The studio is reloaded: another one, with other numbers everywhere, on the same connection of the viewer.
    studio.leave().await?;
    let studio = Studio::publish_with(&url, 600, &arguments).await?;
    showing(&gateway, "the studio is back").await?;
    // More than what the first one may have left on the way.
    let again = watch(&mut browser, LEAST_PICTURES).await?;
    let heard = watch(&mut browser, LEAST_PICTURES).await?;
    ensure!(again["connection"] == "connected", "{again}");
    ensure!(
        heard["audioEnergy"].as_f64() > again["audioEnergy"].as_f64(),
        "nothing is heard of the second studio: {again}, {heard}"
    );

    let left = browser.command("leave").await?;
    ensure!(left == 200, "{left}");
    browser.quit().await?;
    studio.vanish().await
}

#[tokio::test]
async fn a_browser_watches_h264_and_the_studio_after_it() -> Result<()> {
    is_watched("h264").await
}

#[tokio::test]
async fn a_browser_watches_vp8_and_the_studio_after_it() -> Result<()> {
    is_watched("vp8").await
}

#[tokio::test]
async fn a_browser_watches_vp9_and_the_studio_after_it() -> Result<()> {
    is_watched("vp9").await
}

#[tokio::test]
async fn the_studio_page_shows_what_the_gateway_receives_and_what_it_sends() -> Result<()> {
    let receiver = format!("127.0.0.1:{}", tests::free_port()?);
    let gateway = Gateway::start(&[("LOCAL_RECEIVER_ADDRESS", &receiver)]).await?;
    let page = "/?source=test&pattern=flash&size=640x360&golive=1&broadcast=show#destination=local";
    let mut browser = Browser::open(&gateway.url(page), None).await?;
    gateway.made("show", LIVE_LIMIT).await?;
    showing(&gateway, "the page is live").await?;

    eventually("the page watches itself", WATCH_LIMIT, async || {
        let seen = browser.command("monitor").await?;
        let enough =
            seen["framesDecoded"].as_u64() >= Some(LEAST_PICTURES) && seen["height"] == 360;
        Ok(enough.then_some(()))
    })
    .await?;
    let thumbnail = eventually("there is a thumbnail", WATCH_LIMIT, async || {
        let path = "/api/v1/broadcasts/show/thumbnail.jpg";
        let answer = send(gateway.request(Method::GET, path)).await?;
        Ok((answer.status == StatusCode::OK).then_some(answer))
    })
    .await?;
    ensure!(
        thumbnail.header("content-type")? == "image/jpeg",
        "{:?}",
        thumbnail.headers
    );
    browser.command("stop").await?;
    browser.quit().await
}
