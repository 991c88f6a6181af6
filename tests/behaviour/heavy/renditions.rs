//! One destination gets the studio's own picture and another one a smaller picture, on one timeline.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::{Gateway, Nginx, Recording, Shown, Studio, eventually};

use super::{LIVE_LIMIT, SETTLING, check, destination, end_and_analyse, watch};

const DESTINATIONS: &str = "/api/v1/broadcasts/show/destinations";

/// How far the same picture may be from its place in another destination, by rounding to milliseconds.
const PLACE_LIMIT: Duration = Duration::from_millis(2);

/// No freeze and no curtain makes a longer pause.
const PAUSE_LIMIT: Duration = Duration::from_secs(1);

/// A process has to start and a slate to be coded, on a machine that is busy.
const START_LIMIT: Duration = Duration::from_secs(90);

fn small(id: &str, nginx: &Nginx) -> Value {
    let mut small = destination(id, nginx.address(), id);
    small["rendition"] = json!({
        "width": 640, "height": 360, "framesPerSecond": 30, "bitrateKbps": 1_000,
    });
    small
}

/// The figure of a metric that has no labels.
async fn metric(gateway: &Gateway, name: &str) -> Result<u64> {
    let text = gateway.get("/metrics").await?.body;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("no {name}"))?.parse()?)
}

/// When each numbered picture is presented for the first time.
fn places(recording: &Recording) -> BTreeMap<u16, Duration> {
    let mut places = BTreeMap::new();
    for frame in &recording.video.frames {
        if let Some(counter) = frame.counter {
            places.entry(counter).or_insert(frame.at);
        }
    }
    places
}

#[tokio::test]
async fn a_small_rendition_runs_beside_the_studio_s_picture_and_has_a_curtain_of_its_own_size()
-> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let nginx = Nginx::start().await?;
    let destinations = json!([
        destination("whole", nginx.address(), "whole"),
        small("small", &nginx)
    ]);
    gateway.create("show", destinations).await?;
    let studio = Studio::publish(&gateway.url("/whip/show"), None, 600).await?;
    for id in ["whole", "small"] {
        gateway
            .destination_until("show", id, "live", START_LIMIT)
            .await?;
    }
    let running = metric(&gateway, "castgate_renditions_active").await?;
    watch(&gateway, 180).await?;

    // One of each size.
    super::slates_are_coded(&gateway, 2).await?;
    let path = format!("{DESTINATIONS}/small");
    gateway.patch(&path, &json!({ "paused": true })).await?;
    super::record_more(&nginx, "small").await?;
    gateway.patch(&path, &json!({ "paused": false })).await?;
    watch(&gateway, 150).await?;
    let live = gateway
        .destination_until("show", "small", "live", LIVE_LIMIT)
        .await?;
    gateway.delete(&path).await?;
    eventually("the rendition ends", LIVE_LIMIT, async || {
        let active = metric(&gateway, "castgate_renditions_active").await?;
        Ok((active == 0).then_some(()))
    })
    .await?;
    let small = Recording::analyse(&nginx.finished_recording("small").await?).await?;
    studio.vanish().await?;
    let whole = end_and_analyse(&gateway, "show", &nginx, "whole").await?;

    ensure!(running == 1, "{running} renditions");
    ensure!(
        live["reconnects"] == 0 && live["rendition"]["height"] == 360,
        "{live}"
    );
    ensure!(small.decode_errors.is_empty(), "{:#?}", small.decode_errors);
    let sizes = |recording: &Recording| {
        let frames = recording.video.frames.iter();
        let mut sizes: Vec<_> = frames.map(|frame| (frame.width, frame.height)).collect();
        sizes.dedup();
        sizes
    };
    ensure!(sizes(&small) == [(640, 360)], "{:?}", sizes(&small));
    ensure!(sizes(&whole) == [(1_280, 720)], "{:?}", sizes(&whole));
    let (pause, at) = small.worst_video_gap(SETTLING);
    ensure!(pause <= PAUSE_LIMIT, "no picture for {pause:?} at {at:?}");
    let spans = small.spans();
    let curtain = spans.iter().find(|span| span.shown == Shown::Slate);
    let curtain = curtain.with_context(|| format!("no curtain: {spans:?}"))?;
    ensure!(curtain.length() > Duration::from_secs(2), "{spans:?}");
    small.check_usual_synchrony(super::SYNCHRONY_LIMIT, SETTLING)?;

    // Each connection has a beginning of its own, and all else in common.
    let (of_whole, of_small) = (places(&whole), places(&small));
    let mut offsets = of_small.iter().filter_map(|(counter, at)| {
        let elsewhere = of_whole.get(counter)?;
        Some(elsewhere.as_micros().cast_signed() - at.as_micros().cast_signed())
    });
    let first = offsets.next().context("nothing in common")?;
    for offset in offsets {
        let difference = offset.abs_diff(first);
        ensure!(
            difference <= PLACE_LIMIT.as_micros(),
            "a picture is {difference} µs from its place"
        );
    }
    check(&whole)
}

#[tokio::test]
async fn a_rendition_larger_than_the_live_picture_is_refused_by_its_field() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let nginx = Nginx::start().await?;
    gateway
        .create(
            "show",
            json!([destination("whole", nginx.address(), "whole")]),
        )
        .await?;
    let studio = Studio::publish(&gateway.url("/whip/show"), None, 600).await?;
    watch(&gateway, 60).await?;

    for (preset, field) in [
        ("1080p-medium", "rendition.width"),
        ("1080p-ultra", "rendition.width"),
    ] {
        let mut large = destination("large", nginx.address(), "large");
        large["rendition"] = json!({ "preset": preset });
        let answer = gateway.post(DESTINATIONS, &large).await?;
        ensure!(answer.status == 422, "{}", answer.body);
        ensure!(answer.json()?["field"] == field, "{}", answer.body);
    }
    studio.vanish().await
}
