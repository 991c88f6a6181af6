//! What takes the whole machine: real media in real time.

mod browser;
mod browser_faults;
mod codecs;
mod continuity;
mod destinations;
mod ending;
mod engines;
mod fleet;
mod hostile;
mod loss;
#[path = "../plain_rtp.rs"]
mod plain_rtp;
mod providers;
mod quality;
mod renditions;
mod rooms;
mod seat;
mod secrets;
mod under_fire;
mod whep;
mod whip_out;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::{Gateway, Nginx, Recording};

/// From the request to media at a destination, on a machine that is busy.
const LIVE_LIMIT: Duration = Duration::from_mins(1);

/// Of the synthetic studio.
const FRAMES_PER_SECOND: f64 = 30.0;

/// Some seconds of show, on a machine that is busy.
const WATCH_LIMIT: Duration = Duration::from_secs(90);

/// The worst pause between two pictures that a viewer is to see.
const GAP_LIMIT: Duration = Duration::from_millis(150);

/// How long a stream may take to settle.
const SETTLING: Duration = Duration::from_secs(1);

/// The gateway asks for a keyframe every two seconds. An encoder on a machine that is busy is late with one; three are not missed.
const KEYFRAME_LIMIT: Duration = Duration::from_secs(6);

/// How far sound and picture may be apart.
const SYNCHRONY_LIMIT: Duration = Duration::from_millis(80);

/// A destination as the API takes it.
fn destination(id: &str, server: SocketAddr, key: &str) -> Value {
    json!({ "id": id, "rtmpUrl": format!("rtmp://{server}/live"), "streamKey": key })
}

/// The last error's code of a destination.
fn error_code(destination: &Value) -> &str {
    destination["lastError"]["code"]
        .as_str()
        .unwrap_or_default()
}

/// Waits until the broadcast's first destination has been sent so many more pictures.
async fn watch(gateway: &Gateway, pictures: u64) -> Result<()> {
    let sent = |broadcast: &Value| broadcast["destinations"][0]["framesSent"].as_u64();
    let before = sent(&gateway.broadcast("show").await?).unwrap_or_default();
    gateway
        .broadcast_until("show", "more pictures", WATCH_LIMIT, |now| {
            sent(now) >= Some(before + pictures)
        })
        .await
        .map(drop)
}

/// Waits until so many slates are coded: before, there is nothing to be shown in the show's place.
async fn slates_are_coded(gateway: &Gateway, count: u64) -> Result<()> {
    tests::eventually("the slates are coded", WATCH_LIMIT, async || {
        let metrics = gateway.get("/metrics").await?.body;
        let coded = metrics
            .lines()
            .find_map(|line| line.strip_prefix("castgate_slates_coded_total "))
            .and_then(|coded| coded.parse::<u64>().ok());
        Ok((coded >= Some(count)).then_some(()))
    })
    .await
}

/// Waits until a destination has been sent four more seconds, of whatever.
async fn record_more(nginx: &Nginx, key: &str) -> Result<()> {
    let enough = nginx.recorded(key)? + Duration::from_secs(4);
    tests::eventually("four more seconds are recorded", WATCH_LIMIT, async || {
        Ok((nginx.recorded(key)? >= enough).then_some(()))
    })
    .await
}

/// Ends the broadcast and reads the only recording of it.
async fn end_and_analyse(
    gateway: &Gateway,
    broadcast: &str,
    nginx: &Nginx,
    key: &str,
) -> Result<Recording> {
    gateway
        .delete(&format!("/api/v1/broadcasts/{broadcast}"))
        .await?;
    let path = nginx.finished_recording(key).await?;
    Recording::analyse(&path)
        .await
        .with_context(|| format!("recording of '{key}'"))
}

/// Everything that a good recording is, whoever made it.
fn check(recording: &Recording) -> Result<()> {
    assert_eq!(recording.video.codec, "h264");
    assert_eq!(recording.audio.codec, "aac");
    assert_eq!(recording.audio.profile, "LC");
    assert_eq!(
        (recording.audio.sample_rate_hz, recording.audio.channels),
        (48_000, 2)
    );
    assert!(
        recording.decode_errors.is_empty(),
        "{:#?}",
        recording.decode_errors
    );
    assert_eq!(recording.video.frames.len(), recording.video.packets);
    assert!(
        recording
            .video
            .frames
            .first()
            .is_some_and(|frame| frame.keyframe)
    );

    // The synthetic studio skips pictures on a busy machine; its numbers tell those that it never made.
    let (gap, at) = if recording.counters().is_empty() {
        recording.worst_video_gap(SETTLING)
    } else {
        recording.worst_unevenness(FRAMES_PER_SECOND, SETTLING)
    };
    assert!(gap <= GAP_LIMIT, "no picture for {gap:?} at {at:?}");
    let (gap, at) = recording.worst_audio_gap(SETTLING);
    assert!(gap <= GAP_LIMIT, "no sound for {gap:?} at {at:?}");
    let interval = recording.longest_keyframe_interval();
    tests::tell(format_args!(
        "{interval:?} from one keyframe to the next at most"
    ));
    assert!(interval <= KEYFRAME_LIMIT, "no keyframe for {interval:?}");
    recording.check_usual_synchrony(SYNCHRONY_LIMIT, SETTLING)
}
