//! How a gateway with a broadcast ends.

use std::time::Duration;

use anyhow::Result;
use pipelines::rtmp::receiver::{Ending, Receiver, StreamReport};
use serde_json::json;
use tests::{Gateway, Studio, eventually};

use super::{LIVE_LIMIT, destination};

/// How much of a broadcast the strict receiver watches.
const WATCHED: Duration = Duration::from_secs(8);

/// What it logs when it begins to end.
const DRAINING: &str = "gateway draining";

/// The exit code of a second signal, as a shell would give it.
const INTERRUPTED: i32 = 130;

const WATCHING_LIMIT: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_terminated_gateway_says_good_bye_to_its_destinations() -> Result<()> {
    let receiver = Receiver::bind(([127, 0, 0, 1], 0).into()).await?;
    let mut gateway = Gateway::start(&[]).await?;
    gateway
        .create(
            "show",
            json!([destination("one", receiver.local_address(), "bye")]),
        )
        .await?;
    let studio = Studio::publish(&gateway.url("/whip/show"), None, 600).await?;
    gateway
        .destination_until("show", "one", "live", LIVE_LIMIT)
        .await?;

    gateway.terminate()?;
    let status = gateway.process.wait(LIVE_LIMIT).await?;

    assert_eq!(status.code(), Some(0));
    let report = eventually("the receiver heard the end", LIVE_LIMIT, async || {
        Ok(receiver
            .streams()
            .into_iter()
            .find(|report| report.ending.is_some()))
    })
    .await?;
    assert_eq!(report.ending, Some(Ending::Deleted), "{report:?}");
    assert_eq!(report.violations_count, 0, "{:?}", report.violations);
    studio.vanish().await
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() -> Result<()> {
    // A destination that is silent keeps a drain from being over.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let mut gateway = Gateway::start(&[]).await?;
    gateway
        .create(
            "show",
            json!([destination("one", silent.local_addr()?, "key")]),
        )
        .await?;
    let studio = Studio::publish(&gateway.url("/whip/show"), None, 600).await?;
    gateway
        .destination_until("show", "one", "connecting", LIVE_LIMIT)
        .await?;

    gateway.terminate()?;
    // Of two signals that wait to be looked at, only one is seen.
    eventually("it drains", LIVE_LIMIT, async || {
        let is_told = gateway.process.output()?.contains(DRAINING);
        Ok(is_told.then_some(()))
    })
    .await?;
    gateway.terminate()?;
    let status = gateway.process.wait(LIVE_LIMIT).await?;

    assert_eq!(status.code(), Some(INTERRUPTED));
    studio.vanish().await
}

#[tokio::test]
async fn the_strict_receiver_has_nothing_to_complain_of() -> Result<()> {
    let receiver = Receiver::bind(([127, 0, 0, 1], 0).into()).await?;
    let gateway = Gateway::start(&[]).await?;
    let key = "live_1?a=b&c=d/e";
    gateway
        .create(
            "show",
            json!([destination("one", receiver.local_address(), key)]),
        )
        .await?;
    let studio = Studio::publish(&gateway.url("/whip/show"), None, 600).await?;
    eventually("eight seconds came", WATCHING_LIMIT, async || {
        let came = |report: &StreamReport| report.video.cadence.last > Some(WATCHED);
        Ok(receiver.streams().into_iter().find(came))
    })
    .await?;

    // The studio still sends: what comes between its last picture and its goodbye is the slate's, not ours to judge.
    gateway.delete("/api/v1/broadcasts/show").await?;

    let report = eventually("the receiver heard the end", LIVE_LIMIT, async || {
        Ok(receiver
            .streams()
            .into_iter()
            .find(|report| report.ending.is_some()))
    })
    .await?;
    assert_eq!(report.stream_key.expose(), key);
    assert_eq!(report.ending, Some(Ending::Deleted));
    assert_eq!(report.violations_count, 0, "{:?}", report.violations);
    // A studio on a machine that is busy is late by itself; then its last picture is repeated.
    let gap = report.video.cadence.longest_settled_gap;
    println!("no picture for {gap:?} at most");
    assert!(gap <= Duration::from_secs(1), "{:?}", report.video);
    assert!(
        report
            .video
            .longest_keyframe_interval
            .is_some_and(|interval| interval <= super::KEYFRAME_LIMIT)
    );
    studio.vanish().await
}
