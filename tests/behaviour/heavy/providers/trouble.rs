//! Providers that refuse, answer nonsense or cannot be reached; other ways out; changes of mind.

use anyhow::Result;
use fake_providers::Action;
use serde_json::json;
use tests::{Landlord, Studio, destination_of, eventually};

use super::{LIVE_LIMIT, Scene};
use crate::heavy::error_code;

const STUDIO_SECONDS: u32 = 90;

/// Everything that the provider is asked fails so; then it is well again, and the show goes on by itself.
async fn recovers(action: Action, code: &str) -> Result<()> {
    let scene = Scene::new(Landlord::MediaMtx).await?;
    scene.rented.faults.add("*", 0, action);
    scene.create("restream", &["one"]).await?;
    let studio = Studio::publish(&scene.gateway.url("/whip/show"), None, STUDIO_SECONDS).await?;
    scene
        .gateway
        .broadcast_until("show", "the trouble is told", LIVE_LIMIT, |broadcast| {
            error_code(destination_of(broadcast, "one")) == code
        })
        .await?;
    assert!(scene.platform.recordings("one")?.is_empty());

    scene.rented.faults.clear();
    // A breaker may have to close first: it is open for 30 s.
    scene
        .gateway
        .destination_until("show", "one", "live", 3 * LIVE_LIMIT)
        .await?;
    scene.gateway.delete("/api/v1/broadcasts/show").await?;
    studio.leave().await?;

    scene.nothing_left().await?;
    scene.check_no_doubles()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_out_of_order_is_tried_again() -> Result<()> {
    recovers(Action::Status(503, None), "provider_unavailable").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_was_asked_too_often_is_tried_again() -> Result<()> {
    recovers(Action::Status(429, Some(30)), "provider_rate_limited").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_answers_nonsense_is_told_as_such() -> Result<()> {
    recovers(Action::Garbage, "provider_protocol").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_told_and_not_tried_again_until_somebody_asks() -> Result<()> {
    let scene = Scene::with(Landlord::MediaMtx, &[("RESTREAM_TOKEN", "castgate:wrong")]).await?;
    scene.create("restream", &["one"]).await?;

    let studio = Studio::publish(&scene.gateway.url("/whip/show"), None, STUDIO_SECONDS).await?;
    let failed = scene
        .gateway
        .destination_until("show", "one", "failed", LIVE_LIMIT)
        .await?;
    studio.leave().await?;

    assert_eq!(error_code(&failed), "provider_auth", "{failed:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_the_provider_cannot_reach_does_not_touch_the_others() -> Result<()> {
    let scene = Scene::new(Landlord::MediaMtx).await?;
    let nowhere = tests::free_port()?;
    let dead = json!({ "id": "dead", "rtmpUrl": format!("rtmp://127.0.0.1:{nowhere}/live"), "streamKey": "dead" });
    let body = json!({ "id": "show", "method": "restream", "destinations": [scene.destination("good"), dead] });
    let created = scene.gateway.post("/api/v1/broadcasts", &body).await?;
    assert!(created.status.is_success(), "{}", created.body);

    let studio = Studio::publish(&scene.gateway.url("/whip/show"), None, STUDIO_SECONDS).await?;
    scene.live("good").await?;
    scene
        .gateway
        .broadcast_until("show", "the dead one is told", LIVE_LIMIT, |broadcast| {
            error_code(destination_of(broadcast, "dead")) == "provider_destination"
        })
        .await?;
    scene.watch("good").await?;
    scene.gateway.delete("/api/v1/broadcasts/show").await?;
    studio.leave().await?;

    scene.nothing_left().await?;
    scene.check_recording("good").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hybrid_show_goes_another_way_when_its_first_choice_does_not_work() -> Result<()> {
    let order = [("HYBRID_ORDER", "restream,own")];
    let scene = Scene::with(Landlord::MediaMtx, &order).await?;
    scene.rented.faults.add("*", 0, Action::Status(503, None));
    scene.create("hybrid", &["one"]).await?;

    let studio = Studio::publish(&scene.gateway.url("/whip/show"), None, STUDIO_SECONDS).await?;
    scene.live("one").await?;
    scene.watch("one").await?;
    let broadcast = scene.gateway.broadcast("show").await?;
    scene.gateway.delete("/api/v1/broadcasts/show").await?;
    studio.leave().await?;

    assert_eq!(scene.rented.publishing(), 0, "{broadcast:#}");
    scene.check_no_doubles()?;
    scene.check_recording("one").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_show_moves_to_a_provider_and_back_without_two_publishers() -> Result<()> {
    let scene = Scene::new(Landlord::MediaMtx).await?;
    scene.create("gstreamer", &["one"]).await?;
    let studio = Studio::publish(&scene.gateway.url("/whip/show"), None, STUDIO_SECONDS).await?;
    scene.live("one").await?;
    let path = "/api/v1/broadcasts/show";

    let moved = scene
        .gateway
        .patch(path, &json!({ "method": "restream" }))
        .await?;
    assert!(moved.status.is_success(), "{}", moved.body);
    eventually("the provider has the show", LIVE_LIMIT, async || {
        Ok((scene.rented.publishing() > 0).then_some(()))
    })
    .await?;
    scene.live("one").await?;
    let back = scene
        .gateway
        .patch(path, &json!({ "method": "gstreamer" }))
        .await?;
    assert!(back.status.is_success(), "{}", back.body);
    scene.nothing_left().await?;
    scene.live("one").await?;
    scene.gateway.delete(path).await?;
    studio.leave().await?;

    assert!(scene.platform.recordings("one")?.len() >= 3);
    scene.check_no_doubles()
}
