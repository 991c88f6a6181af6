//! What becomes of a studio's pictures in bad weather: one cell of the loss matrix.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{Gateway, Nginx, Recording, Studio, UdpCondition, UdpTraffic, UdpWeather, free_port};

/// From the request to media at the destination.
const LIVE_LIMIT: Duration = Duration::from_mins(1);

/// A picture that stays for longer than this is a freeze, as browsers count them.
const FREEZE: Duration = Duration::from_millis(200);

/// One seed, so that the same weather comes again.
const SEED: u64 = 20_261_121;

/// What was measured between the first and the last picture that arrived.
#[derive(Debug, Clone, Copy)]
pub struct LossOutcome {
    /// Pictures that arrived at the server, each counted once.
    pub delivered: usize,
    /// Pictures that the studio sent meanwhile.
    pub sent: usize,
    /// Packets of the studio that did not come at first, and of these those that never came.
    pub packets_lost: u64,
    /// Of the former, those that never came.
    pub packets_missing: u64,
    /// How often packets were asked for.
    pub requests: u64,
    /// Keyframes that the gateway asked for, as far as its requests arrived at the studio.
    pub keyframe_requests: usize,
    /// How long the studio published.
    pub length: Duration,
    /// Pictures that stayed for more than 200 ms.
    pub freezes: usize,
    /// The longest of them, or the longest time between two pictures.
    pub longest: Duration,
    /// What passed the weather, in both directions.
    pub traffic: UdpTraffic,
}

impl LossOutcome {
    /// Of the pictures sent, in percent.
    pub fn delivered_percent(&self) -> f64 {
        percent(self.delivered, self.sent)
    }

    /// Requests for each packet that did not come at first; zero when all came.
    pub fn requests_per_lost_packet(&self) -> f64 {
        ratio(self.requests, self.packets_lost)
    }

    /// Requests for keyframes beside those that are made every two seconds anyhow, for each second.
    pub fn extra_keyframe_requests_per_second(&self) -> f64 {
        let seconds = self.length.as_secs_f64();
        (ratio(self.keyframe_requests as u64, 1) - seconds / 2.0).max(0.0) / seconds
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    (part as f64 / whole as f64 * 100.0).min(100.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}

/// Sends the synthetic studio (real retransmission) through this weather for so many seconds, records what comes out and
/// counts the numbers in its pictures.
pub async fn measure_loss(condition: UdpCondition, seconds: u32) -> Result<LossOutcome> {
    // The gateway announces an address that it does not listen on: the weather does.
    let port = free_port()?;
    let server = SocketAddr::from(([127, 0, 0, 1], port));
    let announced = SocketAddr::from(([127, 0, 0, 2], port));
    let variables = [
        ("RTC_PORT", port.to_string()),
        ("ANNOUNCED_IP", "127.0.0.2".to_owned()),
    ];
    let gateway =
        Gateway::start(&variables.each_ref().map(|(name, value)| (*name, &**value))).await?;
    let weather = UdpWeather::before(server, announced, condition, SEED).await?;
    let nginx = Nginx::start().await?;
    let destination = json!({
        "id": "one",
        "rtmpUrl": format!("rtmp://{}/live", nginx.address()),
        "streamKey": "loss",
    });
    gateway.create("show", json!([destination])).await?;

    let arguments = ["--width", "640", "--height", "360", "--video-kbps", "2000"];
    let url = gateway.url("/whip/show");
    let studio = Studio::publish_with(&url, seconds, &arguments).await?;
    gateway
        .destination_until("show", "one", "live", LIVE_LIMIT)
        .await?;
    let (report, ingest) = watch(&gateway, studio).await?;
    gateway.delete("/api/v1/broadcasts/show").await?;
    let recording = Recording::analyse(&nginx.finished_recording("loss").await?).await?;
    ensure!(
        recording.decode_errors.is_empty(),
        "{:#?}",
        recording.decode_errors
    );

    let count = |what: &str| ingest[what].as_u64().unwrap_or_default();
    let (missing, recovered) = (count("packetsLost"), count("packetsRecovered"));
    let (delivered, cadence) = (recording.counters().len(), recording.cadence());
    ensure!(delivered > 1, "no pictures arrived: {cadence:?}");
    let (freezes, longest) = freezes(&recording);
    Ok(LossOutcome {
        delivered,
        sent: (delivered + cadence.lost).saturating_sub(report.late_frames),
        packets_lost: missing + recovered,
        packets_missing: missing,
        requests: count("packetsRequested"),
        keyframe_requests: report.keyframe_requests,
        length: Duration::from_secs(seconds.into()),
        freezes,
        longest,
        traffic: weather.traffic(),
    })
}

/// Waits for the studio's end. The gateway forgets its figures with the studio, so the last ones are kept.
async fn watch(gateway: &Gateway, studio: Studio) -> Result<(crate::StudioReport, Value)> {
    let mut ingest = Value::Null;
    let finish = studio.finish();
    tokio::pin!(finish);
    let mut looks = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            report = &mut finish => {
                ensure!(!ingest.is_null(), "the gateway told no figures");
                return Ok((report.context("the studio")?, ingest));
            }
            _ = looks.tick() => {
                let now = gateway.broadcast("show").await?["ingest"].take();
                if now.is_object() {
                    ingest = now;
                }
            }
        }
    }
}

/// How many pictures stayed for long, and the longest stay of any.
fn freezes(recording: &Recording) -> (usize, Duration) {
    let mut frames: Vec<_> = recording
        .video
        .frames
        .iter()
        .filter(|frame| frame.counter.is_some())
        .collect();
    frames.dedup_by_key(|frame| frame.counter);
    let stays = frames
        .windows(2)
        .map(|pair| pair[1].at.saturating_sub(pair[0].at));
    (
        stays.clone().filter(|stay| *stay > FREEZE).count(),
        stays.max().unwrap_or_default(),
    )
}
