//! What the fakes' media do by themselves, so that a fault of theirs is not taken for one of the gateway.

use anyhow::{Context, Result};
use fake_providers::{Media, OutputState};
use serde_json::json;
use tests::{Gateway, Nginx, Recording, RtmpMedia, Studio, eventually};

use super::super::{LIVE_LIMIT, check, watch};

/// Ten seconds of show, in which sound and picture can be compared.
const ENOUGH_PICTURES: u64 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn a_show_that_comes_in_by_rtmps_goes_out_as_it_came() -> Result<()> {
    let (media, platform) = tokio::try_join!(RtmpMedia::start(), Nginx::start())?;
    let authority = media.authority().to_str().context("a path")?.to_owned();
    let gateway = Gateway::start(&[("SSL_CERT_FILE", &authority)]).await?;
    let entrance = media.ingest("show-key").await;
    let target = |key: &str| format!("{}/{key}", platform.url());
    media.connect("show-key", "stays", &target("stays")).await;
    let destination =
        json!([{ "id": "provider", "rtmpUrl": entrance.url, "streamKey": entrance.key }]);
    gateway.create("show", destination).await?;

    let studio = Studio::publish(&gateway.url("/whip/show"), None, 40).await?;
    let live = async |output: &str| {
        eventually("the output is live", LIVE_LIMIT, async || {
            let state = media.state("show-key", output);
            Ok((state == OutputState::Live).then_some(()))
        })
        .await
    };
    live("stays").await?;
    media.connect("show-key", "added", &target("added")).await;
    live("added").await?;
    watch(&gateway, ENOUGH_PICTURES).await?;
    media.disconnect("show-key", "added").await;
    studio.finish().await?;
    gateway.delete("/api/v1/broadcasts/show").await?;

    for key in ["stays", "added"] {
        let path = platform.finished_recording(key).await?;
        check(&Recording::analyse(&path).await?).with_context(|| media.complaints())?;
    }
    assert_eq!(media.publications("show-key"), 1);
    assert_eq!(media.state("show-key", "added"), OutputState::Absent);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_refused_as_providers_do() -> Result<()> {
    let media = RtmpMedia::start().await?;
    let authority = media.authority().to_str().context("a path")?.to_owned();
    let gateway = Gateway::start(&[("SSL_CERT_FILE", &authority)]).await?;
    let destination = json!([{ "id": "provider", "rtmpUrl": media.url(), "streamKey": "unknown" }]);
    gateway.create("show", destination).await?;

    let studio = Studio::publish(&gateway.url("/whip/show"), None, 30).await?;
    let failed = gateway
        .broadcast_until("show", "the key is refused", LIVE_LIMIT, |broadcast| {
            broadcast["destinations"][0]["lastError"]["code"].is_string()
        })
        .await?;
    studio.leave().await?;

    assert_eq!(media.publications("unknown"), 0, "{failed:#}");
    Ok(())
}
