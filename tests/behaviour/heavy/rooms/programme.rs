//! What goes out of a room: the host's composite, as Streamlick's studio has it brought to platforms.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tests::{Gateway, Nginx, Recording, Rooms, Shown};

use super::super::{LIVE_LIMIT, SETTLING, SYNCHRONY_LIMIT, check, watch};
use super::{SOME_PICTURES, STREAMLICK, belongings};

/// Ten seconds of show.
const SHOW_PICTURES: u64 = 300;

/// No pause of pictures may be longer, whatever happens.
const PAUSE_LIMIT: Duration = Duration::from_secs(1);

/// The host's canvas.
fn canvas() -> Value {
    json!({ "colour": [16, 20, 24], "width": 640, "height": 360, "rate": 30 })
}

fn destinations(nginx: &Nginx) -> Value {
    json!([{ "id": "one", "platform": "custom", "rtmpUrl": nginx.url(), "streamKey": "composite" }])
}

async fn come(rooms: &mut Rooms, name: &str, camera: Value) -> Result<()> {
    let mut more = belongings(STREAMLICK, name, [140, 0, 0])?;
    more["camera"] = camera;
    rooms.join(name, STREAMLICK.name, "show", more).await?;
    rooms.publish(name, json!({})).await.map(drop)
}

async fn start(rooms: &mut Rooms, nginx: &Nginx) -> Result<()> {
    let order = json!({ "destinations": destinations(nginx) });
    rooms.tell("host", "startRtmp", order).await.map(drop)
}

async fn showing(gateway: &Gateway, wanted: &str) -> Result<()> {
    let what = format!("{wanted} is shown");
    let shown = gateway.broadcast_until("show", &what, LIVE_LIMIT, |now| now["showing"] == wanted);
    shown.await.map(drop)
}

#[tokio::test]
async fn the_composite_of_a_room_with_a_guest_arrives_whole() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let nginx = Nginx::start().await?;
    let mut rooms = Rooms::open(&gateway.url(""), None).await?;
    for (name, camera) in [
        ("host", canvas()),
        ("ann", json!({ "colour": [140, 0, 0] })),
    ] {
        rooms.page(name, "newest").await?;
        come(&mut rooms, name, camera).await?;
    }
    rooms.watches("host", &[[140, 0, 0]], SOME_PICTURES).await?;

    start(&mut rooms, &nginx).await?;
    let started = |told: &Value| told["broadcastId"] == "show" && told["method"].is_string();
    rooms.event("host", "rtmp-started", started).await?;
    gateway
        .destination_until("show", "one", "live", LIVE_LIMIT)
        .await?;
    watch(&gateway, SHOW_PICTURES).await?;
    start(&mut rooms, &nginx).await?;
    let again = |told: &Value| told["method"] == "already-streaming" && told["note"].is_string();
    rooms.event("host", "rtmp-started", again).await?;
    rooms.watches("ann", &[[16, 20, 24]], SOME_PICTURES).await?;
    rooms.tell("host", "stopRtmp", json!({})).await?;
    let stopped = rooms.event("host", "rtmp-stopped", |told| told["broadcastId"] == "show");
    stopped.await?;

    // The room goes on without its programme.
    rooms.watches("ann", &[[16, 20, 24]], SOME_PICTURES).await?;
    let errors = rooms.events("host", "rtmp-error").await?;
    ensure!(errors.is_empty(), "{errors:?}");
    let recording = Recording::analyse(&nginx.finished_recording("composite").await?).await?;
    check(&recording)?;
    let odd = recording
        .video
        .frames
        .iter()
        .find(|frame| (frame.width, frame.height) != (640, 360));
    ensure!(odd.is_none(), "the canvas's size is 640×360: {odd:?}");
    for name in ["host", "ann"] {
        rooms.check_untroubled(name).await?;
    }
    rooms.quit().await
}

#[tokio::test]
async fn a_host_who_reloads_comes_back_into_the_same_recording() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let nginx = Nginx::start().await?;
    let mut rooms = Rooms::open(&gateway.url(""), None).await?;
    rooms.page("host", "newest").await?;
    come(&mut rooms, "host", canvas()).await?;
    start(&mut rooms, &nginx).await?;
    gateway
        .destination_until("show", "one", "live", LIVE_LIMIT)
        .await?;
    watch(&gateway, SHOW_PICTURES / 3).await?;

    rooms.tell("host", "reload", json!({})).await?;
    showing(&gateway, "slate").await?;
    watch(&gateway, SHOW_PICTURES / 3).await?;
    come(&mut rooms, "host", canvas()).await?;
    start(&mut rooms, &nginx).await?;
    showing(&gateway, "studio").await?;
    watch(&gateway, SHOW_PICTURES / 3).await?;
    rooms.tell("host", "break", json!({})).await?;
    watch(&gateway, SHOW_PICTURES / 3).await?;
    let broadcast = gateway.broadcast("show").await?;
    gateway.delete("/api/v1/broadcasts/show").await?;
    rooms.quit().await?;

    ensure!(
        broadcast["destinations"][0]["reconnects"] == 0,
        "{broadcast}"
    );
    let recording = Recording::analyse(&nginx.finished_recording("composite").await?).await?;
    let (pause, at) = recording.worst_video_gap(Duration::ZERO);
    ensure!(pause <= PAUSE_LIMIT, "no picture for {pause:?} at {at:?}");
    ensure!(
        recording.decode_errors.is_empty(),
        "{:#?}",
        recording.decode_errors
    );
    let spans = recording.spans();
    let slates = spans
        .iter()
        .filter(|span| span.shown == Shown::Slate)
        .count();
    let last = spans.last().map(|span| span.shown);
    ensure!(slates == 1 && last == Some(Shown::Studio), "{spans:?}");
    recording.check_usual_synchrony(SYNCHRONY_LIMIT, SETTLING)
}

#[tokio::test]
async fn what_cannot_go_out_is_told_as_streamlick_tells_it() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let nginx = Nginx::start().await?;
    let mut rooms = Rooms::open(&gateway.url(""), None).await?;
    rooms.page("host", "newest").await?;
    come(&mut rooms, "host", canvas()).await?;

    for order in [
        json!({ "destinations": [] }),
        json!({ "destinations": destinations(&nginx), "producers": { "video": "nobody's", "audio": "nobody's" } }),
    ] {
        let before = rooms.events("host", "rtmp-error").await?.len();
        rooms.tell("host", "startRtmp", order).await?;
        let mut errors = Vec::new();
        tests::eventually("an error is told", LIVE_LIMIT, async || {
            errors = rooms.events("host", "rtmp-error").await?;
            Ok((errors.len() > before).then_some(()))
        })
        .await?;
        ensure!(
            errors.iter().all(|error| error["error"].is_string()),
            "{errors:?}"
        );
    }

    // Nothing has begun, and it can still.
    let started = rooms.events("host", "rtmp-started").await?;
    ensure!(started.is_empty(), "{started:?}");
    start(&mut rooms, &nginx).await?;
    gateway
        .destination_until("show", "one", "live", LIVE_LIMIT)
        .await?;
    rooms.quit().await
}
