//! A real browser that is reloaded, killed and moved in the middle of a show: the platform sees one stream.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::{Browser, Gateway, Namespace, Nginx, Recording, TcpCondition, TcpWeather, eventually};

use super::{LIVE_LIMIT, SETTLING, SYNCHRONY_LIMIT, watch};

/// No pause of pictures may be longer, whatever happens.
const PAUSE_LIMIT: Duration = Duration::from_secs(1);

/// From the end of a fault to the studio's picture: loading the page and connecting, on a machine that is busy.
const RETURN_LIMIT: Duration = Duration::from_mins(1);

/// Show between two faults, in pictures.
const SHOW_FRAMES: u64 = 90;

/// Show after the last fault, in pictures: longer than it takes until the sender reports of both tracks have come.
const LAST_FRAMES: u64 = 210;

/// A studio in a network of its own that is live with one destination.
struct Show {
    gateway: Gateway,
    nginx: Nginx,
    browser: Browser,
    namespace: Namespace,
}

impl Show {
    async fn begin() -> Result<Self> {
        let namespace = Namespace::create().await?;
        let gateway = Gateway::start_at(namespace.host(), &[]).await?;
        let nginx = Nginx::start().await?;
        let page = format!(
            "/?source=test&pattern=flash&size=1280x720&golive=1&broadcast=show#destination={}/canvas",
            nginx.url()
        );
        let browser = Browser::open(&gateway.url(&page), Some(&namespace)).await?;
        // The page makes the broadcast.
        eventually("it is live", RETURN_LIMIT, async || {
            let broadcast = gateway.broadcast("show").await.unwrap_or_default();
            Ok((broadcast["destinations"][0]["state"] == "live").then_some(()))
        })
        .await?;
        watch(&gateway, SHOW_FRAMES).await?;
        Ok(Self {
            gateway,
            nginx,
            browser,
            namespace,
        })
    }

    async fn showing(&self, wanted: &[&str]) -> Result<()> {
        let what = format!("{wanted:?} is shown");
        self.gateway
            .broadcast_until("show", &what, RETURN_LIMIT, |broadcast| {
                wanted.iter().any(|shown| broadcast["showing"] == *shown)
            })
            .await
            .map(drop)
    }

    /// A stand-in was shown; waits until the studio is again, and for some more of the show.
    async fn is_back(&self) -> Result<()> {
        self.showing(&["studio"]).await?;
        watch(&self.gateway, SHOW_FRAMES).await
    }

    /// Ends it and judges the only recording.
    async fn end(self) -> Result<()> {
        watch(&self.gateway, LAST_FRAMES).await?;
        let broadcast = self.gateway.broadcast("show").await?;
        let destination = &broadcast["destinations"][0];
        ensure!(destination["reconnects"] == 0, "{destination}");
        self.gateway.delete("/api/v1/broadcasts/show").await?;
        self.browser.quit().await?;
        let path = eventually("the recording is closed", LIVE_LIMIT, async || {
            Ok(self.nginx.finished_recording("canvas").await.ok())
        })
        .await?;
        let recording = Recording::analyse(&path).await?;
        let (pause, at) = recording.worst_video_gap(Duration::ZERO);
        ensure!(pause <= PAUSE_LIMIT, "no picture for {pause:?} at {at:?}");
        let (pause, at) = recording.worst_audio_gap(SETTLING);
        ensure!(
            pause <= super::GAP_LIMIT,
            "no sound for {pause:?} at {at:?}"
        );
        ensure!(
            recording.decode_errors.is_empty(),
            "{:#?}",
            recording.decode_errors
        );
        let tags = recording.tags.as_ref().context("tags")?;
        tags.check_order()?;
        tags.check_sound_stays()?;
        recording.check_usual_synchrony(SYNCHRONY_LIMIT, SETTLING)
    }
}

#[tokio::test]
async fn a_tab_that_is_reloaded_or_dies_comes_back_into_the_same_recording() -> Result<()> {
    let mut show = Show::begin().await?;

    show.browser.command("reload").await?;
    show.is_back().await?;
    let crash = show.browser.command("crash").await?;
    show.is_back().await?;

    ensure!(crash["killed"].as_u64() >= Some(1), "{crash}");
    show.end().await
}

#[tokio::test]
async fn a_browser_whose_network_goes_away_and_whose_address_changes_stays_in_the_same_recording()
-> Result<()> {
    let mut show = Show::begin().await?;

    show.namespace.unplug().await?;
    show.showing(&["slate"]).await?;
    watch(&show.gateway, 60).await?;
    show.namespace.plug().await?;
    show.is_back().await?;
    show.namespace.change_address().await?;
    show.showing(&["freeze", "slate"]).await?;
    show.is_back().await?;

    show.end().await
}

/// Less than the browser sends by itself, however busy the machine is; more than the least that is asked for.
const SLOW_BYTES_PER_SECOND: u32 = 110_000;

/// Far less than that, so that pictures are soon dropped.
const VERY_SLOW_BYTES_PER_SECOND: u32 = 40_000;

/// From a connection that is too slow to a browser that has been asked for less, on a machine that is busy.
const LIMITED_WITHIN: Duration = Duration::from_mins(1);

fn limit_kbps(broadcast: &Value) -> Option<u64> {
    broadcast["ingest"]["bitrateLimitKbps"].as_u64()
}

#[tokio::test]
async fn a_required_destination_that_is_too_slow_has_the_browser_send_less() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let nginx = Nginx::start().await?;
    let weather = TcpWeather::before(nginx.address())?;
    let page = format!(
        "/?source=test&pattern=motion&size=1280x720&golive=1&broadcast=show#destination={}/good&destination=rtmp://{}/live/slow",
        nginx.url(),
        weather.address()
    );
    let browser = Browser::open(&gateway.url(&page), None).await?;
    let live = eventually("both are live", RETURN_LIMIT, async || {
        let broadcast = gateway.broadcast("show").await.unwrap_or_default();
        let destinations = broadcast["destinations"].as_array().cloned();
        Ok(destinations.filter(|all| {
            all.len() == 2 && all.iter().all(|destination| destination["state"] == "live")
        }))
    })
    .await?;
    let slow = live[1]["id"].as_str().context("id")?;
    let path = format!("/api/v1/broadcasts/show/destinations/{slow}");
    watch(&gateway, SHOW_FRAMES).await?;

    // While it is optional, only itself has less of it.
    weather.set(TcpCondition::Slow(VERY_SLOW_BYTES_PER_SECOND));
    let optional = gateway
        .broadcast_until("show", "pictures are dropped", LIMITED_WITHIN, |now| {
            now["destinations"][1]["framesDropped"].as_u64() > Some(0)
        })
        .await?;
    weather.set(TcpCondition::Slow(SLOW_BYTES_PER_SECOND));
    gateway.patch(&path, &json!({ "required": true })).await?;
    let limited = gateway
        .broadcast_until("show", "less is asked for", LIMITED_WITHIN, |now| {
            limit_kbps(now).is_some_and(|limit| limit < 900)
        })
        .await?;
    let what = "the browser sends less";
    gateway
        .broadcast_until("show", what, LIMITED_WITHIN, |now| {
            let sent = now["ingest"]["video"]["bitrateKbps"].as_u64();
            sent.is_some_and(|sent| sent > 0 && sent < 900)
        })
        .await?;
    gateway
        .broadcast_until("show", "the queue is short", LIMITED_WITHIN, |now| {
            now["destinations"][1]["queueMs"].as_u64() < Some(1_000)
        })
        .await?;
    let settled = gateway.broadcast("show").await?;
    watch(&gateway, SHOW_FRAMES).await?;
    let end = gateway.broadcast("show").await?;
    gateway.delete("/api/v1/broadcasts/show").await?;
    browser.quit().await?;

    ensure!(limit_kbps(&optional).is_none(), "{optional}");
    ensure!(limit_kbps(&limited) >= Some(500), "{limited}");
    ensure!(end["destinations"][0]["framesDropped"] == 0, "{end}");
    ensure!(
        end["destinations"][1]["framesDropped"] == settled["destinations"][1]["framesDropped"],
        "{settled} {end}"
    );
    Ok(())
}
