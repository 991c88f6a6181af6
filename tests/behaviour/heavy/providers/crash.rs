//! A gateway that is killed leaves nothing that costs money, and nobody publishes twice.

use anyhow::Result;
use tests::{Landlord, Studio, eventually};

use super::{LIVE_LIMIT, REMOVED_LIMIT, Scene, gateway};

/// The studio has to notice that its gateway is gone.
const STUDIO_SECONDS: u32 = 60;

async fn killed(landlord: Landlord) -> Result<()> {
    let mut scene = Scene::new(landlord).await?;
    scene.create(landlord.method(), &["one", "two"]).await?;
    let studio = Studio::publish(&scene.gateway.url("/whip/show"), None, STUDIO_SECONDS).await?;
    scene.live("one").await?;
    scene.live("two").await?;
    assert_eq!(scene.rented.shows().await.len(), 1);

    scene.gateway.process.kill().await?;
    studio.vanish().await?;
    eventually("the provider has lost the show", LIVE_LIMIT, async || {
        Ok((scene.rented.publishing() == 0).then_some(()))
    })
    .await?;
    assert_eq!(
        scene.rented.shows().await.len(),
        1,
        "a dead gateway cannot remove anything"
    );
    scene.gateway = gateway(&scene.rented, &scene.state, &[]).await?;

    scene.nothing_left().await?;
    let handles = std::fs::read_dir(scene.state.path())?.count();
    eventually(
        "nothing is written down any more",
        REMOVED_LIMIT,
        async || {
            let left = files(scene.state.path(), "json")?;
            Ok((left == 0).then_some(()))
        },
    )
    .await?;
    assert!(handles > 0, "the owner is written down");
    scene.check_no_doubles()
}

/// How many files of this ending there are in a folder and below.
fn files(folder: &std::path::Path, ending: &str) -> Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            count += files(&path, ending)?;
        } else if path.extension().is_some_and(|found| found == ending) {
            count += 1;
        }
    }
    Ok(count)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_gateway_had_at_cloudflare_is_removed_by_the_next() -> Result<()> {
    killed(Landlord::Cloudflare).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_gateway_had_at_livekit_is_removed_by_the_next() -> Result<()> {
    killed(Landlord::Livekit).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_gateway_had_at_mux_is_removed_by_the_next() -> Result<()> {
    killed(Landlord::Mux).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_gateway_had_at_mediamtx_is_removed_by_the_next() -> Result<()> {
    killed(Landlord::MediaMtx).await
}

/// Another gateway's broadcast of the same name begins while the first one's is still there.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_broadcast_after_a_crash_has_one_show_and_one_publisher() -> Result<()> {
    let mut scene = Scene::new(Landlord::Cloudflare).await?;
    scene.create("cloudflare", &["one"]).await?;
    let studio = Studio::publish(&scene.gateway.url("/whip/show"), None, STUDIO_SECONDS).await?;
    scene.live("one").await?;

    scene.gateway.process.kill().await?;
    studio.vanish().await?;
    scene.gateway = gateway(&scene.rented, &scene.state, &[]).await?;
    scene.create("cloudflare", &["one"]).await?;
    let studio = Studio::publish(&scene.gateway.url("/whip/show"), None, STUDIO_SECONDS).await?;
    scene.live("one").await?;

    assert_eq!(scene.rented.shows().await.len(), 1);
    scene.gateway.delete("/api/v1/broadcasts/show").await?;
    studio.leave().await?;
    scene.nothing_left().await?;
    scene.check_no_doubles()
}
