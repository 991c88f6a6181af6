//! What comes out of a broadcast by the synthetic studio, in fair and in foul weather.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::{Gateway, Nginx, Shown, Studio, UdpCondition, UdpWeather, eventually, free_port};

use super::{LIVE_LIMIT, SETTLING, SYNCHRONY_LIMIT, check, destination, end_and_analyse, watch};

const SECONDS: u32 = 15;

/// Pictures that may be missing between the first and the last.
const MISSING_FRAMES: usize = 30;

#[tokio::test]
async fn a_synthetic_studio_arrives_whole() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let nginx = Nginx::start().await?;
    gateway
        .create(
            "show",
            json!([destination("one", nginx.address(), "whole")]),
        )
        .await?;

    let studio = Studio::publish(&gateway.url("/whip/show"), None, SECONDS).await?;
    gateway
        .destination_until("show", "one", "live", LIVE_LIMIT)
        .await?;
    let sent = studio.finish().await?;

    let recording = end_and_analyse(&gateway, "show", &nginx, "whole").await?;
    check(&recording)?;
    // Those that stand in for pictures the studio was late with are not its own.
    let cadence = recording.cadence();
    let frames = recording.video.frames.len() - cadence.repeated;
    ensure!(frames <= sent.frames, "{frames} frames of {sent:?}");
    // What it sent before the destination was connected is not there; from then on all is that it was not late with.
    ensure!(2 * frames >= sent.frames, "{frames} frames of {sent:?}");
    ensure!(cadence.lost <= sent.late_frames, "{cadence:?}; {sent:?}");
    Ok(())
}

#[tokio::test]
async fn two_per_cent_loss_and_reordering_are_repaired() -> Result<()> {
    // The gateway announces an address that it does not listen on: the weather does.
    let port = free_port()?;
    let server = SocketAddr::from(([127, 0, 0, 1], port));
    let announced = SocketAddr::from(([127, 0, 0, 2], port));
    let gateway = Gateway::start(&[
        ("RTC_PORT", &port.to_string()),
        ("ANNOUNCED_IP", "127.0.0.2"),
    ])
    .await?;
    let condition = UdpCondition {
        loss: 0.02,
        delay: Duration::from_millis(30),
        jitter: Duration::from_millis(20),
        ..UdpCondition::default()
    };
    let weather = UdpWeather::before(server, announced, condition, 20_261_121).await?;
    let nginx = Nginx::start().await?;
    gateway
        .create("show", json!([destination("one", nginx.address(), "foul")]))
        .await?;

    let studio = Studio::publish(&gateway.url("/whip/show"), None, SECONDS).await?;
    gateway
        .destination_until("show", "one", "live", LIVE_LIMIT)
        .await?;
    let broadcast = gateway
        .broadcast_until(
            "show",
            "losses are seen and repaired",
            LIVE_LIMIT,
            |broadcast| {
                broadcast["ingest"]["packetsRecovered"]
                    .as_u64()
                    .is_some_and(|packets| packets >= 10)
            },
        )
        .await?;
    let sent = studio.finish().await?;

    let traffic = weather.traffic();
    assert!(
        traffic.lost * 100 >= traffic.received,
        "the weather was fair: {traffic:?}"
    );
    let recording = end_and_analyse(&gateway, "show", &nginx, "foul").await?;
    check(&recording)?;
    let cadence = recording.cadence();
    let frames = recording.video.frames.len() - cadence.repeated;
    ensure!(
        2 * frames >= sent.frames && cadence.lost <= sent.late_frames + MISSING_FRAMES,
        "{frames} frames of {sent:?}; {cadence:?}; {traffic:?}; {}",
        broadcast["ingest"]
    );
    Ok(())
}

#[tokio::test]
async fn another_address_and_bursts_of_loss_do_not_end_the_show() -> Result<()> {
    let port = free_port()?;
    let server = SocketAddr::from(([127, 0, 0, 1], port));
    let announced = SocketAddr::from(([127, 0, 0, 2], port));
    let gateway = Gateway::start(&[
        ("RTC_PORT", &port.to_string()),
        ("ANNOUNCED_IP", "127.0.0.2"),
    ])
    .await?;
    let fair = UdpCondition::default();
    let weather = UdpWeather::before(server, announced, fair, 20_261_121).await?;
    let nginx = Nginx::start().await?;
    gateway
        .create("show", json!([destination("one", nginx.address(), "one")]))
        .await?;
    let studio = Studio::publish(&gateway.url("/whip/show"), None, 600).await?;
    gateway
        .destination_until("show", "one", "live", LIVE_LIMIT)
        .await?;
    watch(&gateway, 90).await?;

    weather.change_addresses();
    watch(&gateway, 60).await?;
    // A tenth of a second of packets, again and again.
    weather.set(UdpCondition {
        bursts: 0.002,
        burst_length: 40,
        ..fair
    });
    // Chance decides when a burst begins: the judgement waits for one.
    eventually("a burst of packets is lost", LIVE_LIMIT, async || {
        Ok((weather.traffic().lost > 40).then_some(()))
    })
    .await?;
    watch(&gateway, 30).await?;
    weather.set(fair);
    watch(&gateway, 90).await?;
    let one = gateway
        .destination_until("show", "one", "live", LIVE_LIMIT)
        .await?;
    let recording = end_and_analyse(&gateway, "show", &nginx, "one").await?;
    studio.vanish().await?;

    ensure!(one["reconnects"] == 0, "{one}");
    ensure!(weather.traffic().lost > 40, "{:?}", weather.traffic());
    let (pause, at) = recording.worst_video_gap(Duration::ZERO);
    ensure!(
        pause <= Duration::from_secs(1),
        "no picture for {pause:?} at {at:?}"
    );
    ensure!(
        recording.decode_errors.is_empty(),
        "{:#?}",
        recording.decode_errors
    );
    recording.tags.as_ref().context("tags")?.check_order()?;
    let spans = recording.spans();
    ensure!(
        spans.last().is_some_and(|span| span.shown == Shown::Studio),
        "{spans:?}"
    );
    recording.check_usual_synchrony(SYNCHRONY_LIMIT, SETTLING)
}
