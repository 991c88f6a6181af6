//! Bad destinations beside a good one.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::Result;
use serde_json::json;
use tests::{Gateway, Nginx, Recording, Studio, TcpCondition, TcpWeather, eventually, free_port};
use tokio::net::TcpListener;

use super::{
    FRAMES_PER_SECOND, GAP_LIMIT, LIVE_LIMIT, SETTLING, check, destination, end_and_analyse,
    error_code,
};

/// By the failure policy a stall is one after 15 s without progress, after what the kernel's buffers swallow; and then some on
/// a machine that is busy.
const STALL_LIMIT: Duration = Duration::from_mins(2);

const BLACK_BOX: &str = "/api/v1/broadcasts/show/destinations/stalling/black-box";

/// Of a recording that is to be judged.
const LONG_ENOUGH: Duration = Duration::from_secs(5);

/// The longest pause of the backoff, and then some.
const RETRY_LIMIT: Duration = Duration::from_secs(90);

#[tokio::test]
async fn no_failing_destination_touches_another() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let good = Nginx::start().await?;
    let mut mortal = Nginx::start().await?;
    let stalling = Nginx::start().await?;
    let weather = TcpWeather::before(stalling.address())?;
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let refused = (Ipv4Addr::LOCALHOST, free_port()?).into();
    gateway
        .create(
            "show",
            json!([
                destination("good", good.address(), "good"),
                destination("mortal", mortal.address(), "mortal"),
                destination("stalling", weather.address(), "stalling"),
                destination("silent", silent.local_addr()?, "silent"),
                destination("refused", refused, "refused"),
            ]),
        )
        .await?;
    let studio = Studio::publish(&gateway.url("/whip/show"), None, 600).await?;

    for id in ["good", "mortal", "stalling"] {
        gateway
            .destination_until("show", id, "live", LIVE_LIMIT)
            .await?;
    }
    weather.set(TcpCondition::Stalled);
    mortal.kill().await?;
    let lost = gateway
        .destination_until("show", "mortal", "retrying", LIVE_LIMIT)
        .await?;
    assert!(
        ["closed_by_peer", "connect_refused"].contains(&error_code(&lost)),
        "{lost}"
    );
    let refused = gateway
        .destination_until("show", "refused", "retrying", LIVE_LIMIT)
        .await?;
    assert_eq!(error_code(&refused), "connect_refused", "{refused}");
    let silent = gateway
        .destination_until("show", "silent", "retrying", STALL_LIMIT)
        .await?;
    assert!(
        ["handshake_failed", "connect_timeout"].contains(&error_code(&silent)),
        "{silent}"
    );
    mortal.restart().await?;
    gateway
        .destination_until("show", "mortal", "live", RETRY_LIMIT)
        .await?;
    // The black box keeps it, while the destination may have gone on to fail in another way.
    eventually("the stall is found", STALL_LIMIT, async || {
        let black_box = gateway.get(BLACK_BOX).await?.json()?;
        let events = black_box["events"].as_array().cloned().unwrap_or_default();
        let is_found = events.iter().any(|event| event["what"] == "stalled");
        Ok(is_found.then_some(()))
    })
    .await?;
    weather.set(TcpCondition::Clear);
    gateway
        .destination_until("show", "stalling", "live", RETRY_LIMIT)
        .await?;
    let untouched = gateway
        .destination_until("show", "good", "live", LIVE_LIMIT)
        .await?;

    assert_eq!(untouched["reconnects"], 0, "{untouched}");
    assert_eq!(untouched["framesDropped"], 0, "{untouched}");
    // Enough for the restarted one to be judged as well.
    let again = eventually(
        "the second recording of the restarted server",
        LIVE_LIMIT,
        async || {
            let recordings = mortal.recordings("mortal")?;
            let is_long = recordings.len() == 2 && mortal.recorded("mortal")? > LONG_ENOUGH;
            Ok(is_long.then(|| recordings[1].clone()))
        },
    )
    .await?;
    studio.vanish().await?;
    check(&end_and_analyse(&gateway, "show", &good, "good").await?)?;
    let again = Recording::analyse(&again).await?;
    assert!(again.video.frames[0].keyframe);
    let (unevenness, at) = again.worst_unevenness(FRAMES_PER_SECOND, SETTLING);
    assert!(unevenness <= GAP_LIMIT, "{unevenness:?} at {at:?}");
    assert!(again.decode_errors.is_empty(), "{:?}", again.decode_errors);
    Ok(())
}

#[tokio::test]
async fn destinations_come_and_go_while_another_is_live() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let nginx = Nginx::start().await?;
    gateway
        .create(
            "show",
            json!([destination("steady", nginx.address(), "steady")]),
        )
        .await?;
    let studio = Studio::publish(&gateway.url("/whip/show"), None, 600).await?;
    gateway
        .destination_until("show", "steady", "live", LIVE_LIMIT)
        .await?;
    let destinations = "/api/v1/broadcasts/show/destinations";

    gateway
        .post(destinations, &destination("late", nginx.address(), "late"))
        .await?;
    gateway
        .destination_until("show", "late", "live", LIVE_LIMIT)
        .await?;
    gateway
        .patch(
            &format!("{destinations}/late"),
            &json!({ "streamKey": "rotated" }),
        )
        .await?;
    let rotated = eventually("the stream of the new key", LIVE_LIMIT, async || {
        let is_long = nginx.recorded("rotated")? > LONG_ENOUGH;
        Ok(nginx.recordings("rotated")?.pop().filter(|_| is_long))
    })
    .await?;
    gateway
        .patch(
            &format!("{destinations}/late"),
            &json!({ "enabled": false }),
        )
        .await?;
    gateway
        .destination_until("show", "late", "stopped", LIVE_LIMIT)
        .await?;
    gateway.delete(&format!("{destinations}/late")).await?;
    let steady = gateway
        .destination_until("show", "steady", "live", LIVE_LIMIT)
        .await?;

    assert_eq!(steady["reconnects"], 0);
    studio.vanish().await?;
    let rotated = Recording::analyse(&rotated).await?;
    assert!(rotated.video.frames[0].keyframe);
    assert!(
        rotated.decode_errors.is_empty(),
        "{:?}",
        rotated.decode_errors
    );
    check(&end_and_analyse(&gateway, "show", &nginx, "steady").await?)
}

#[tokio::test]
async fn stop_and_start_close_and_open_the_destinations_under_a_connected_studio() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let nginx = Nginx::start().await?;
    gateway
        .create("show", json!([destination("one", nginx.address(), "one")]))
        .await?;
    let studio = Studio::publish(&gateway.url("/whip/show"), None, 600).await?;
    gateway
        .destination_until("show", "one", "live", LIVE_LIMIT)
        .await?;

    gateway
        .post("/api/v1/broadcasts/show/stop", &json!({}))
        .await?;
    gateway
        .destination_until("show", "one", "stopped", LIVE_LIMIT)
        .await?;
    let stopped = gateway.broadcast("show").await?;
    gateway
        .post("/api/v1/broadcasts/show/start", &json!({}))
        .await?;
    let live = gateway
        .destination_until("show", "one", "live", LIVE_LIMIT)
        .await?;

    assert!(
        stopped["ingest"].is_object(),
        "the studio was sent away: {stopped}"
    );
    assert_eq!(live["reconnects"], 0, "{live}");
    studio.vanish().await
}
