//! A camera of three layers over a link that becomes slow and fast again.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::{COLOURS, Gateway, Rooms, Sight, UdpCondition, UdpWeather, free_port};

use super::{CAMEL, Dialect, SOME_PICTURES, belongings};

/// Enough for the sound and the middle layer of 300 kb/s, too little for the largest of 900 kb/s.
const SLOW_KBPS: u32 = 450;

/// Widths of the smallest and of the largest layer.
const WIDTHS: [u32; 2] = [240, 960];

/// One seed, so that the same weather comes again.
const SEED: u64 = 20_261_121;

/// Of smaller pictures Chromium makes fewer than three layers, whatever it is asked for.
const SIZE: [u32; 2] = [WIDTHS[1], 540];

fn width(seen: &[Sight]) -> u32 {
    let picture = seen.iter().find(|sight| sight.kind == "video");
    picture.map_or(0, |sight| sight.frame_width)
}

/// Ann sends layers of a picture of this size, and the host, who sends nothing, comes to see them.
async fn show(url: &str, dialect: Dialect, size: [u32; 2], options: Value) -> Result<Rooms> {
    let mut rooms = Rooms::open(url, None).await?;
    let mut ann = belongings(dialect, "ann", COLOURS[1])?;
    ann["camera"] = json!({ "colour": COLOURS[1], "width": size[0], "height": size[1], "rate": 10, "busy": true });
    rooms.page("ann", "newest").await?;
    rooms.join("ann", dialect.name, "show", ann).await?;
    rooms.publish("ann", options).await?;
    let host = belongings(dialect, "host", COLOURS[0])?;
    rooms.page("host", "newest").await?;
    rooms.join("host", dialect.name, "show", host).await?;
    rooms.tell("host", "receive", json!({})).await?;
    Ok(rooms)
}

/// The host sees ann's largest layer, a smaller one while the link is slow, and the largest again.
async fn layers_follow_the_link(codec: &str) -> Result<()> {
    // The gateway announces an address that it does not listen on: the weather does.
    let port = free_port()?;
    let server = SocketAddr::from(([127, 0, 0, 1], port));
    let announced = SocketAddr::from(([127, 0, 0, 2], port));
    let gateway = Gateway::start(&[
        ("RTC_PORT", &port.to_string()),
        ("ANNOUNCED_IP", "127.0.0.2"),
    ])
    .await?;
    let fair = UdpCondition::default();
    let weather = UdpWeather::before(server, announced, fair, SEED).await?;
    let options = json!({ "codec": codec, "simulcast": true });
    let mut rooms = show(&gateway.url(""), CAMEL, SIZE, options).await?;

    let largest = |seen: &[Sight]| width(seen) == WIDTHS[1];
    let what = "the host sees the largest layer";
    rooms.seen_until("host", what, largest).await?;
    rooms.watches("host", &[COLOURS[1]], SOME_PICTURES).await?;

    weather.set(UdpCondition {
        downlink_kbps: Some(SLOW_KBPS),
        ..fair
    });
    let what = "the host sees a smaller layer";
    let smaller = |seen: &[Sight]| (WIDTHS[0]..WIDTHS[1]).contains(&width(seen));
    rooms.seen_until("host", what, smaller).await?;
    rooms
        .watches("host", &[COLOURS[1]], 4 * SOME_PICTURES)
        .await?;
    rooms.hears("host", 1).await?;
    let slow = rooms.seen("host").await?;
    ensure!(smaller(&slow), "it does not stay: {slow:#?}");

    weather.set(fair);
    let what = "the host sees the largest layer again";
    rooms.seen_until("host", what, largest).await?;
    rooms.watches("host", &[COLOURS[1]], SOME_PICTURES).await?;

    let sent = rooms.tell("ann", "sent", json!({})).await?;
    let layers = sent["video"].as_array().context("layers")?;
    let codecs = |sight: &Sight| sight.codec.as_deref() == Some(codec);
    ensure!(layers.len() == 3, "{sent}");
    ensure!(slow.iter().any(codecs), "{slow:#?}");
    for name in ["host", "ann"] {
        rooms.check_untroubled(name).await?;
    }
    rooms.quit().await
}

#[tokio::test]
async fn the_layers_of_h264_follow_a_viewers_link() -> Result<()> {
    layers_follow_the_link("video/H264").await
}

#[tokio::test]
async fn the_layers_of_vp8_follow_a_viewers_link() -> Result<()> {
    layers_follow_the_link("video/VP8").await
}

#[tokio::test]
async fn a_viewer_of_the_later_meetlite_picks_a_layer() -> Result<()> {
    let dialect = super::MEETLITE2;
    let gateway = super::gateway(dialect).await?;
    let options = json!({ "simulcast": true });
    let mut rooms = show(&gateway.url(""), dialect, SIZE, options).await?;

    let largest = |seen: &[Sight]| width(seen) == WIDTHS[1];
    let what = "the host sees the largest layer";
    let seen = rooms.seen_until("host", what, largest).await?;
    let picture = seen
        .iter()
        .find(|sight| sight.kind == "video")
        .context("a picture")?;

    let layers = |spatial: u8| -> Value {
        json!({ "id": picture.id, "spatialLayer": spatial, "temporalLayer": 2 })
    };
    rooms.tell("host", "setLayers", layers(0)).await?;
    let smallest = |seen: &[Sight]| width(seen) == WIDTHS[0];
    let what = "the host sees the smallest layer";
    rooms.seen_until("host", what, smallest).await?;
    rooms.tell("host", "setLayers", layers(2)).await?;
    rooms
        .seen_until("host", "and the largest again", largest)
        .await?;
    rooms.quit().await
}

#[tokio::test]
async fn a_layer_that_the_browser_never_sends_is_not_waited_for() -> Result<()> {
    let gateway = super::gateway(CAMEL).await?;
    let options = json!({ "simulcast": true });

    let mut rooms = show(&gateway.url(""), CAMEL, [640, 360], options).await?;

    let what = "the host sees the larger of the two that are sent";
    let larger = |seen: &[Sight]| width(seen) == 320;
    rooms.seen_until("host", what, larger).await?;
    rooms.watches("host", &[COLOURS[1]], SOME_PICTURES).await?;
    rooms.quit().await
}
