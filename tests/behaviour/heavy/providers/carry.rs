//! Shows go by providers as they go by ourselves.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::{Landlord, Studio, eventually};
use tokio::time::Instant;

use super::{LIVE_LIMIT, Scene};

/// Long enough that a test ends it, and not the studio.
const STUDIO_SECONDS: u32 = 90;

/// Two destinations from the beginning; where it can be done hot, one is added and one is removed while the other goes on.
async fn carry(landlord: Landlord, is_hot: bool) -> Result<()> {
    let scene = Scene::new(landlord).await?;
    scene
        .create(landlord.method(), &["stays", "leaves"])
        .await?;
    let studio = Studio::publish(&scene.gateway.url("/whip/show"), None, STUDIO_SECONDS).await?;
    scene
        .gateway
        .broadcast_until("show", "the studio is there", LIVE_LIMIT, |broadcast| {
            broadcast["state"] == "live"
        })
        .await?;
    let since = Instant::now();
    // The product promises two seconds; on a busy machine that is told, and not judged.
    eventually("the provider has the show", LIVE_LIMIT, async || {
        Ok((scene.rented.publishing() > 0).then_some(()))
    })
    .await?;
    report(landlord, since.elapsed());

    scene.live("stays").await?;
    scene.live("leaves").await?;
    scene.watch("leaves").await?;
    check_figures(&scene.gateway.broadcast("show").await?)?;
    let destinations = "/api/v1/broadcasts/show/destinations";
    if is_hot {
        let added = scene
            .gateway
            .post(destinations, &scene.destination("added"))
            .await?;
        assert!(added.status.is_success(), "{}", added.body);
        scene.live("added").await?;
        let removed = scene
            .gateway
            .delete(&format!("{destinations}/leaves"))
            .await?;
        assert!(removed.status.is_success(), "{}", removed.body);
        scene.watch("added").await?;
    }
    scene.gateway.delete("/api/v1/broadcasts/show").await?;
    studio.leave().await?;

    scene.nothing_left().await?;
    scene.check_no_doubles()?;
    let keys: &[&str] = if is_hot {
        &["stays", "leaves", "added"]
    } else {
        &["stays", "leaves"]
    };
    for key in keys {
        scene
            .check_recording(key)
            .await
            .with_context(|| format!("'{key}': {}", scene.rented.complaints()))?;
    }
    Ok(())
}

/// What is brought to the provider is told, and nothing of what only the provider knows.
fn check_figures(broadcast: &Value) -> Result<()> {
    let way = &broadcast["egress"]["hosted"][0]["contribution"];
    ensure!(way["framesSent"].as_u64() > Some(100), "{way}");
    ensure!(way["bytesSent"].as_u64() > Some(100_000), "{way}");
    ensure!(way["bitrateKbps"].is_u64(), "{way}");
    let destination = tests::destination_of(broadcast, "stays");
    for figure in [
        "bytesSent",
        "bitrateKbps",
        "framesSent",
        "framesDropped",
        "queueMs",
    ] {
        ensure!(destination.get(figure).is_none(), "{destination}");
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the test runner captures it")]
fn report(landlord: Landlord, elapsed: Duration) {
    println!("{landlord:?} has the show {elapsed:?} after the gateway");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_show_goes_by_cloudflare() -> Result<()> {
    carry(Landlord::Cloudflare, true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_show_goes_by_livekit() -> Result<()> {
    carry(Landlord::Livekit, true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_show_goes_by_mux() -> Result<()> {
    carry(Landlord::Mux, false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_show_goes_by_mediamtx() -> Result<()> {
    carry(Landlord::MediaMtx, true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mux_takes_no_destination_while_a_show_is_on_and_the_others_notice_nothing() -> Result<()> {
    let scene = Scene::new(Landlord::Mux).await?;
    scene.create("mux", &["stays"]).await?;
    let studio = Studio::publish(&scene.gateway.url("/whip/show"), None, STUDIO_SECONDS).await?;
    scene.live("stays").await?;

    let added = scene.destination("late");
    scene
        .gateway
        .post("/api/v1/broadcasts/show/destinations", &added)
        .await?;
    scene
        .gateway
        .broadcast_until("show", "it is told", LIVE_LIMIT, |broadcast| {
            let late = tests::destination_of(broadcast, "late");
            late["lastError"]["code"] == "provider_restart_required"
        })
        .await?;
    scene.watch("stays").await?;
    scene.gateway.delete("/api/v1/broadcasts/show").await?;
    studio.leave().await?;

    scene.nothing_left().await?;
    assert!(scene.platform.recordings("late")?.is_empty());
    scene.check_recording("stays").await
}
