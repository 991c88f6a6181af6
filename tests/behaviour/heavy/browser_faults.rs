//! A real browser that is reloaded, killed and moved in the middle of a show: the platform sees one stream.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::{Browser, Gateway, Namespace, Nginx, Recording};

use super::{LIVE_LIMIT, SETTLING, SYNCHRONY_LIMIT, watch};

/// No pause of pictures may be longer, whatever happens.
const PAUSE_LIMIT: Duration = Duration::from_secs(1);

/// From the end of a fault to the studio's picture: loading the page and connecting, on a machine that is busy.
const RETURN_LIMIT: Duration = Duration::from_secs(25);

/// Show between two faults, in pictures.
const SHOW_FRAMES: u64 = 90;

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
        gateway
            .broadcast_until("show", "it is live", RETURN_LIMIT, |broadcast| {
                broadcast["destinations"][0]["state"] == "live"
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
    async fn end(mut self) -> Result<()> {
        let broadcast = self.gateway.broadcast("show").await?;
        let destination = &broadcast["destinations"][0];
        ensure!(destination["reconnects"] == 0, "{destination}");
        self.browser.command("stop").await?;
        self.browser.quit().await?;
        let path = tests::eventually("the recording is closed", LIVE_LIMIT, async || {
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
        ensure!(
            tags.audio_headers.len() == 1,
            "{} headers of the sound",
            tags.audio_headers.len()
        );
        recording.check_synchrony(SYNCHRONY_LIMIT, SETTLING, 2)
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
