//! Live shows do not notice what happens to the registry.

use anyhow::{Result, ensure};
use reqwest::StatusCode;
use std::time::Duration;
use tests::{Fleet, Studio, eventually};

use super::{SHOW_FRAMES, TAKEOVER_LIMIT, Witness, begin, watch};

/// Pictures in the time for which the registry is away: ten seconds.
const AWAY_FRAMES: u64 = 300;

/// Pictures in half a minute.
const LONG_FRAMES: u64 = 900;

/// No pause of pictures may be longer, by their own times: after half a second without the studio's there are others.
const PAUSE_LIMIT: Duration = Duration::from_secs(1);

/// Waits until every node knows again where the show is, which never moved.
async fn is_known(fleet: &Fleet) -> Result<()> {
    fleet.gathered().await?;
    for (number, node) in fleet.nodes.iter().enumerate() {
        let wanted = if number == 0 {
            StatusCode::OK
        } else {
            StatusCode::TEMPORARY_REDIRECT
        };
        eventually("the show is known", TAKEOVER_LIMIT, async || {
            let answer = node.gateway()?.get("/api/v1/broadcasts/show").await?;
            Ok((answer.status == wanted).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// The platform saw one publication without a pause.
async fn end_unbroken(fleet: &Fleet, studio: Studio, witness: &Witness) -> Result<()> {
    let node = fleet.nodes[0].gateway()?;
    watch(node, "show", SHOW_FRAMES).await?;
    node.delete("/api/v1/broadcasts/show").await?;
    studio.vanish().await?;

    witness.check_one_at_a_time("one")?;
    let shows = witness.shows("one");
    ensure!(shows.len() == 1, "{shows:#?}");
    let pause = shows[0].video.cadence.longest_settled_gap;
    ensure!(pause <= PAUSE_LIMIT, "no picture for {pause:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "a node may cut its shows for a moment before it has asked the others (issue F)"]
async fn a_registry_that_dies_and_comes_back_without_memory_is_not_noticed() -> Result<()> {
    let mut fleet = Fleet::start(3).await?;
    let witness = Witness::start().await?;
    let (_door, studio) = begin(&fleet, &witness).await?;

    fleet.redis.kill().await?;
    watch(fleet.nodes[0].gateway()?, "show", AWAY_FRAMES).await?;
    fleet.redis.restart().await?;
    is_known(&fleet).await?;

    end_unbroken(&fleet, studio, &witness).await
}

#[tokio::test]
#[ignore = "a node may cut its shows for a moment before it has asked the others (issue F)"]
async fn a_registry_that_stands_still_for_half_a_minute_is_not_noticed() -> Result<()> {
    let fleet = Fleet::start(3).await?;
    let witness = Witness::start().await?;
    let (_door, studio) = begin(&fleet, &witness).await?;

    fleet.redis.freeze()?;
    let watched = watch_long(&fleet).await;
    fleet.redis.thaw()?;
    watched?;
    is_known(&fleet).await?;

    end_unbroken(&fleet, studio, &witness).await
}

#[tokio::test]
#[ignore = "a node may cut its shows for a moment before it has asked the others (issue F)"]
async fn a_registry_that_forgets_all_under_the_nodes_hands_is_not_noticed() -> Result<()> {
    let fleet = Fleet::start(3).await?;
    let witness = Witness::start().await?;
    let (_door, studio) = begin(&fleet, &witness).await?;

    fleet.redis.ask(&["FLUSHALL"]).await?;
    watch(fleet.nodes[0].gateway()?, "show", AWAY_FRAMES).await?;
    is_known(&fleet).await?;

    end_unbroken(&fleet, studio, &witness).await
}

async fn watch_long(fleet: &Fleet) -> Result<()> {
    let node = fleet.nodes[0].gateway()?;
    for _ in 0..LONG_FRAMES / AWAY_FRAMES {
        watch(node, "show", AWAY_FRAMES).await?;
    }
    Ok(())
}
