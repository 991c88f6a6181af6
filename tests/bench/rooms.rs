//! What a room costs: participants send, others take it, by Hermes' sessions, which need no more than HTTP and SDP.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use media::{TrackKind, VideoCodec};
use serde_json::{Value, json};

use crate::{
    figures::percentile,
    listener::{Heard, Listeners},
    load::{Load, Sent},
    process::{GatewayProcess, own_usage},
    recording::{FRAMES, Recording},
};

/// Who sends, and how many take all of it that is not their own.
const FULL: [(usize, usize); 5] = [(1, 0), (1, 1), (1, 5), (1, 10), (5, 5)];
const QUICK: [(usize, usize); 2] = [(1, 1), (3, 3)];

/// Between two that begin to send, so that their keyframes do not fall together.
const STAGGER: Duration = Duration::from_millis(137);

/// Longer than any picture is under way; after the window, before the end.
const SETTLING: Duration = Duration::from_millis(500);

/// What a room costs
#[derive(Debug, clap::Args)]
pub(crate) struct RoomsArguments {
    /// The gateway's release binary
    #[arg(long)]
    gateway: PathBuf,

    /// One to one, and a room of three
    #[arg(long)]
    quick: bool,

    /// Length of each measured window in seconds
    #[arg(long, default_value_t = 20)]
    window: u64,

    /// Seconds between the last participant and the window
    #[arg(long, default_value_t = 5)]
    warm_up: u64,

    /// Where the load's media is kept; made when it is not there
    #[arg(long)]
    media: PathBuf,
}

const HEAD: &str = "\
| senders → receivers | pictures sent to somebody | CPU | per picture and sound sent to somebody | RSS beyond idle | latency p50 / p99 / max | join p50 / max | packets lost of | load's CPU, worst delay |
|---|---|---|---|---|---|---|---|---|";

/// Measures one room after the other, each with a gateway of its own.
pub(crate) async fn run(arguments: &RoomsArguments, http: &reqwest::Client) -> anyhow::Result<()> {
    let recording = Arc::new(Recording::prepare(&arguments.media, VideoCodec::H264)?);
    let mut out = io::stdout();
    writeln!(out, "{HEAD}")?;
    let sizes = if arguments.quick {
        &QUICK[..]
    } else {
        &FULL[..]
    };
    let mut alone = HashMap::new();
    for &(senders, receivers) in sizes {
        let room = Room {
            senders,
            receivers,
            warm_up: Duration::from_secs(arguments.warm_up),
            window: Duration::from_secs(arguments.window),
        };
        match room.run(&arguments.gateway, &recording, http).await {
            Ok(outcome) => {
                if receivers == 0 {
                    alone.insert(senders, outcome.cpu_percent);
                }
                writeln!(out, "{}", row(&outcome, alone.get(&senders).copied()))?;
            }
            Err(error) => writeln!(out, "| {senders} → {receivers} | failed: {error:#} |")?,
        }
    }
    Ok(())
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
struct Room {
    senders: usize,
    receivers: usize,
    warm_up: Duration,
    window: Duration,
}

struct Outcome {
    room: Room,
    /// Pictures that go to somebody, and as many sounds.
    consumers: usize,
    cpu_percent: f64,
    bench_cpu_percent: f64,
    grown_bytes: u64,
    latencies: Vec<Duration>,
    /// From asking for a session to the first picture that came.
    joins: Vec<Duration>,
    packets: u64,
    missing: u64,
    load_latest: Duration,
}

impl Room {
    async fn run(
        self,
        binary: &Path,
        recording: &Arc<Recording>,
        http: &reqwest::Client,
    ) -> anyhow::Result<Outcome> {
        let gateway = GatewayProcess::start(binary, http).await?;
        let load = Load::start(Arc::clone(recording))?;
        let listeners = Listeners::start()?;
        let idle = gateway.usage()?;
        let mut tracks = Vec::new();
        for number in 0..self.senders {
            let session = Session::open(&gateway, http, &format!("sender-{number}")).await?;
            let told = session
                .exchange("publish", load.offer().await?, &[])
                .await?;
            load.answer(answer_of(&told)?).await?;
            tracks.push(ids_of(&told)?);
            tokio::time::sleep(STAGGER).await;
        }
        let mut asked = Vec::new();
        for number in 0..self.receivers {
            // Whoever sends gets all but its own.
            let others = tracks.iter().enumerate();
            let others = others.filter(|(sender, _)| self.senders == 1 || *sender != number);
            let wanted: Vec<_> = others.map(|(_, ids)| ids).collect();
            let ids: Vec<_> = wanted.iter().flat_map(|ids| ids.iter().cloned()).collect();
            asked.push(Instant::now());
            let session = Session::open(&gateway, http, &format!("receiver-{number}")).await?;
            let offer = listeners.offer(wanted.len()).await?;
            let told = session.exchange("subscribe", offer, &ids).await?;
            listeners.answer(answer_of(&told)?).await?;
        }
        tokio::time::sleep(self.warm_up).await;
        let (from, before, own_before) = (Instant::now(), gateway.usage()?, own_usage()?);
        tokio::time::sleep(self.window).await;
        let (until, after, own_after) = (Instant::now(), gateway.usage()?, own_usage()?);
        tokio::time::sleep(SETTLING).await;

        let heard = listeners.finish().await?;
        let sent = load.finish().await?;
        gateway.stop().await?;
        ensure!(
            !sent.iter().any(|sent| sent.failed) && !heard.iter().any(|heard| heard.failed),
            "a connection of the load broke"
        );
        let streams = || heard.iter().flat_map(|heard| heard.pictures.values());
        let consumers = match self.senders {
            1 => self.receivers,
            _ => self.receivers * (self.senders - 1),
        };
        ensure!(
            streams().count() == consumers,
            "{} of {consumers} pictures came",
            streams().count()
        );
        ensure!(heard.iter().all(|heard| heard.sounds > 0), "no sound came");
        Ok(Outcome {
            room: self,
            consumers,
            cpu_percent: after.cpu_percent_since(&before),
            bench_cpu_percent: own_after.cpu_percent_since(&own_before),
            grown_bytes: after.resident_bytes.saturating_sub(idle.resident_bytes),
            latencies: latencies(recording, &sent, &heard, from, until),
            joins: joins(&heard, &asked),
            packets: streams().map(|stream| stream.packets).sum(),
            missing: streams().map(|stream| stream.missing).sum(),
            load_latest: sent
                .iter()
                .map(|sent| sent.latest)
                .max()
                .unwrap_or_default(),
        })
    }
}

/// A session with a transport of its own.
struct Session<'a> {
    http: &'a reqwest::Client,
    url: String,
}

impl<'a> Session<'a> {
    async fn open(
        gateway: &GatewayProcess,
        http: &'a reqwest::Client,
        user: &str,
    ) -> anyhow::Result<Self> {
        let sessions = format!("{}/sessions", gateway.base);
        let order = json!({ "type": "video", "channel_id": "bench", "user_id": user });
        let told = ask(http, &sessions, &order).await?;
        let id = told["session_id"].as_str().context("no session")?;
        Ok(Self {
            http,
            url: format!("{sessions}/{id}"),
        })
    }

    /// Hands an offer in.
    async fn exchange(&self, what: &str, sdp: String, tracks: &[String]) -> anyhow::Result<Value> {
        let mut offer = json!({ "type": "offer", "sdp": sdp });
        if !tracks.is_empty() {
            offer["track_ids"] = json!(tracks);
        }
        ask(self.http, &format!("{}/{what}", self.url), &offer).await
    }
}

async fn ask(http: &reqwest::Client, url: &str, order: &Value) -> anyhow::Result<Value> {
    let response = http.post(url).json(order).send().await?;
    let status = response.status();
    let told = response.text().await?;
    if !status.is_success() {
        bail!("{url} said {status}: {told}");
    }
    Ok(serde_json::from_str(&told)?)
}

fn answer_of(told: &Value) -> anyhow::Result<String> {
    let answer = told["sdp_answer"].as_str().context("no answer")?;
    Ok(answer.to_owned())
}

/// The ids of what was published, pictures first.
fn ids_of(told: &Value) -> anyhow::Result<Vec<String>> {
    let tracks = told["tracks"].as_array().context("no tracks")?;
    let of = |kind: &str| {
        let track = tracks.iter().find(|track| track["kind"] == kind);
        let id = track.and_then(|track| track["track_id"].as_str());
        id.map(str::to_owned).with_context(|| format!("no {kind}"))
    };
    Ok(vec![of("video")?, of("audio")?])
}

/// How long pictures were under way, from the load's sending to the listener's having them, by what the last packet of
/// each picture holds.
fn latencies(
    recording: &Recording,
    sent: &[Sent],
    heard: &[Heard],
    from: Instant,
    until: Instant,
) -> Vec<Duration> {
    let ends = recording
        .packets
        .iter()
        .filter(|item| item.kind == TrackKind::Video && item.marker);
    // Some pictures end alike.
    let mut numbers: HashMap<u64, Vec<usize>> = HashMap::new();
    for (number, item) in ends.enumerate() {
        let alike = numbers.entry(digest(&item.payload)).or_default();
        alike.push(number % FRAMES);
    }
    let mut latencies = Vec::new();
    for (at, payload) in heard
        .iter()
        .flat_map(|heard| heard.pictures.values())
        .flat_map(|stream| &stream.pictures)
        .filter(|(at, _)| (from..until).contains(at))
    {
        let Some(numbers) = numbers.get(&digest(payload)) else {
            continue;
        };
        // Whoever sent it: the one that sent it last before it came.
        let left = sent.iter().flat_map(|sent| {
            numbers.iter().filter_map(|number| {
                let mut times = sent.pictures.iter().skip(*number).step_by(FRAMES);
                times.rfind(|left| *left <= at)
            })
        });
        latencies.extend(left.max().map(|left| *at - *left));
    }
    latencies
}

fn digest(payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    payload.hash(&mut hasher);
    hasher.finish()
}

fn joins(heard: &[Heard], asked: &[Instant]) -> Vec<Duration> {
    let firsts = heard.iter().map(|heard| {
        let pictures = heard.pictures.values();
        pictures
            .filter_map(|stream| stream.pictures.first().map(|(at, _)| *at))
            .min()
    });
    let pairs = firsts.zip(asked);
    pairs
        .filter_map(|(first, asked)| Some(first? - *asked))
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn row(outcome: &Outcome, alone: Option<f64>) -> String {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1_000.0;
    let consumers = outcome.consumers as f64;
    let share = match alone {
        Some(alone) if outcome.consumers > 0 => {
            format!("{:.2}", (outcome.cpu_percent - alone) / consumers)
        }
        Some(_) => "—".to_owned(),
        None if outcome.consumers > 0 => {
            format!(
                "{:.2}, senders' cost included",
                outcome.cpu_percent / consumers
            )
        }
        None => "—".to_owned(),
    };
    let (mut latencies, mut joins) = (outcome.latencies.clone(), outcome.joins.clone());
    format!(
        "| {} → {} | {} | {:.1} | {share} | {:.1} MB | {:.1} / {:.1} / {:.0} ms | {:.0} / {:.0} ms | {} of {} | {:.0} %, {:.1} ms |",
        outcome.room.senders,
        outcome.room.receivers,
        outcome.consumers,
        outcome.cpu_percent,
        outcome.grown_bytes as f64 / 1_048_576.0,
        milliseconds(percentile(&mut latencies, 50)),
        milliseconds(percentile(&mut latencies, 99)),
        milliseconds(percentile(&mut latencies, 100)),
        milliseconds(percentile(&mut joins, 50)),
        milliseconds(percentile(&mut joins, 100)),
        outcome.missing,
        outcome.packets + outcome.missing,
        outcome.bench_cpu_percent,
        milliseconds(outcome.load_latest),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_are_told_pictures_first() {
        let told = json!({ "tracks": [
            { "track_id": "a", "kind": "audio" },
            { "track_id": "v", "kind": "video" },
        ] });

        assert_eq!(ids_of(&told).unwrap(), ["v", "a"]);
        assert!(ids_of(&json!({ "tracks": [] })).is_err());
    }
}
