//! Shows of a fleet go on when nodes die, stand still, leave, or lose sight of the registry.

mod browsers;
mod crash;
mod partition;
mod registry;
mod rolling;
mod secrets;
mod witness;

use std::time::Duration;

use anyhow::{Result, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::{Door, Fleet, Gateway, Studio, eventually};

use super::{LIVE_LIMIT, WATCH_LIMIT, destination};
use witness::Witness;

/// From a node's end to its shows on another. The promise is 5 s after its last heartbeat, and is told as a figure; a machine
/// that is busy starts programs late, too.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(45);

/// The longest that viewers may be without a new picture, by the pictures' own times, when a node dies.
const FAILOVER_GAP_LIMIT: Duration = Duration::from_secs(15);

/// A small picture, so that many studios fit into one machine.
const SMALL: [&str; 6] = ["--width", "480", "--height", "270", "--video-kbps", "500"];

/// Show to be seen before a fault and after it, in pictures.
const SHOW_FRAMES: u64 = 120;

async fn studio(url: &str) -> Result<Studio> {
    Studio::publish_with(url, 600, &SMALL).await
}

/// Has node 0 broadcast `show` from a studio to the witness, under the key `one`, until some of it has been seen.
async fn begin(fleet: &Fleet, witness: &Witness) -> Result<(Door, Studio)> {
    let node = fleet.nodes[0].gateway()?;
    let destinations = json!([destination("one", witness.address(), "one")]);
    node.create("show", destinations).await?;
    let door = fleet.door().await?;
    let studio = studio(&door.whip("show")).await?;
    node.destination_until("show", "one", "live", LIVE_LIMIT)
        .await?;
    watch(node, "show", SHOW_FRAMES).await?;
    Ok((door, studio))
}

/// Waits until `show` is seen from another node than the first with the slate, and some of it has been sent.
async fn taken_over(fleet: &Fleet) -> Result<usize> {
    let heir = fleet.moved("show", 0, TAKEOVER_LIMIT).await?;
    let node = fleet.nodes[heir].gateway()?;
    showing(node, "show", "slate").await?;
    node.destination_until("show", "one", "live", TAKEOVER_LIMIT)
        .await?;
    watch(node, "show", SHOW_FRAMES / 2).await?;
    Ok(heir)
}

/// Waits until a node leads to another for `show`: it has let go.
async fn lets_go(gateway: &Gateway) -> Result<()> {
    eventually("the node leads elsewhere", TAKEOVER_LIMIT, async || {
        let answer = gateway.get("/api/v1/broadcasts/show").await;
        Ok(answer
            .is_ok_and(|answer| answer.status == StatusCode::TEMPORARY_REDIRECT)
            .then_some(()))
    })
    .await
}

/// Has another studio come to `show`, ends the show after some of it, and checks what the platform was sent.
async fn end_with_a_studio(
    fleet: &Fleet,
    heir: usize,
    door: &Door,
    witness: &Witness,
    what: &str,
) -> Result<()> {
    let node = fleet.nodes[heir].gateway()?;
    let back = studio(&door.whip("show")).await?;
    showing(node, "show", "studio").await?;
    watch(node, "show", SHOW_FRAMES).await?;
    node.delete("/api/v1/broadcasts/show").await?;
    back.vanish().await?;

    witness.check_one_at_a_time("one")?;
    ensure!(
        witness.shows("one").len() == 2,
        "{:#?}",
        witness.shows("one")
    );
    let gap = tell_gaps(what, witness, "one")?;
    ensure!(gap <= FAILOVER_GAP_LIMIT, "no picture for {gap:?}");
    Ok(())
}

/// Waits until this is what a broadcast shows.
async fn showing(gateway: &Gateway, broadcast: &str, what: &str) -> Result<Value> {
    gateway
        .broadcast_until(broadcast, what, TAKEOVER_LIMIT, |now| {
            now["showing"] == what
        })
        .await
}

/// Waits until so many more pictures have gone to a broadcast's first destination.
async fn watch(gateway: &Gateway, broadcast: &str, pictures: u64) -> Result<()> {
    let sent = |now: &Value| now["destinations"][0]["framesSent"].as_u64();
    let before = sent(&gateway.broadcast(broadcast).await?).unwrap_or_default();
    gateway
        .broadcast_until(broadcast, "more pictures", WATCH_LIMIT, |now| {
            sent(now) >= Some(before + pictures)
        })
        .await
        .map(drop)
}

/// Tells how long viewers were without a new picture at each change of node, and returns the longest.
#[expect(
    clippy::print_stdout,
    reason = "figures for whoever reads the tests' output"
)]
fn tell_gaps(what: &str, witness: &Witness, key: &str) -> Result<Duration> {
    let changes = witness.changes(key)?;
    let gaps: Vec<_> = changes.iter().map(|change| change.gap()).collect();
    println!("figure: {what}, '{key}': {gaps:?}");
    Ok(gaps.into_iter().max().unwrap_or_default())
}
