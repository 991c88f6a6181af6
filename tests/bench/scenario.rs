//! One measurement: a fresh gateway, so many broadcasts with so many destinations each.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use media::VideoCodec;
use serde_json::json;

use crate::{
    figures::{self, Likeness, percentile},
    load::Load,
    process::{GatewayProcess, own_usage},
    receiver::{Log, Receiver},
    recording::Recording,
};

/// How long a broadcast may take to arrive at all its destinations.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(15);

/// Between two broadcasts that go live, so that their keyframes do not fall together.
const STAGGER: Duration = Duration::from_millis(137);

/// Longer than any picture is under way; after the window, before the end.
const SETTLING: Duration = Duration::from_millis(1_500);

/// The engines of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Method {
    Gstreamer,
    Ffmpeg,
}

impl Method {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Gstreamer => "gstreamer",
            Self::Ffmpeg => "ffmpeg",
        }
    }
}

/// How much load, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) broadcasts: usize,
    pub(crate) destinations: usize,
    /// Who makes the pictures.
    pub(crate) method: Method,
    /// Whether H.264 is coded anew, too.
    pub(crate) transcode: bool,
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
}

/// What came out.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) scenario: Scenario,
    /// Of the gateway, in percent of one core.
    pub(crate) cpu_percent: f64,
    /// Of the load and the receiver together; the machine has to bear it too.
    pub(crate) bench_cpu_percent: f64,
    /// Before the first broadcast.
    pub(crate) idle_bytes: u64,
    pub(crate) resident_bytes: u64,
    pub(crate) idle_threads: u64,
    pub(crate) threads: u64,
    /// By picture and destination.
    pub(crate) latency_p50: Duration,
    pub(crate) latency_p99: Duration,
    pub(crate) latency_max: Duration,
    /// From sending the offer to having the answer.
    pub(crate) answer_p50: Duration,
    pub(crate) answer_max: Duration,
    /// From sending the offer to the first picture at the first destination.
    pub(crate) live_p50: Duration,
    pub(crate) live_max: Duration,
    /// Pictures times destinations in the window.
    pub(crate) pictures: usize,
    pub(crate) lost: usize,
    pub(crate) changed: usize,
    pub(crate) reconnects: u64,
    /// How late the load itself was at worst.
    pub(crate) load_latest: Duration,
}

struct Broadcast {
    names: Vec<String>,
    asked: Instant,
    answered_after: Duration,
}

impl Scenario {
    /// Measures, and leaves nothing running.
    pub(crate) async fn run(
        self,
        binary: &Path,
        recording: &Arc<Recording>,
        http: &reqwest::Client,
    ) -> anyhow::Result<Outcome> {
        let receiver = Receiver::<Log>::start()?;
        let gateway = GatewayProcess::start(binary, http).await?;
        let load = Load::start(Arc::clone(recording))?;
        let likeness = if self.transcode || recording.codec != VideoCodec::H264 {
            Likeness::CodedAnew
        } else {
            Likeness::Same
        };
        let idle = gateway.usage()?;

        let mut broadcasts = Vec::new();
        for number in 0..self.broadcasts {
            let broadcast = self
                .go_live(number, &gateway, &load, &receiver, http)
                .await?;
            broadcasts.push(broadcast);
            tokio::time::sleep(STAGGER).await;
        }
        for broadcast in &broadcasts {
            arrived(&receiver, &broadcast.names).await?;
        }

        tokio::time::sleep(self.warm_up).await;
        let (from, before, own_before) = (Instant::now(), gateway.usage()?, own_usage()?);
        tokio::time::sleep(self.window).await;
        let (until, after, own_after) = (Instant::now(), gateway.usage()?, own_usage()?);
        tokio::time::sleep(SETTLING).await;

        let sent = load.finish().await?;
        ensure!(
            !sent.iter().any(|sent| sent.failed),
            "a session of the load broke"
        );
        let (mut latencies, mut live, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        let (mut lost, mut changed, mut reconnects) = (0, 0, 0);
        for (broadcast, sent) in broadcasts.iter().zip(&sent) {
            answers.push(broadcast.answered_after);
            let mut first = None;
            for name in &broadcast.names {
                let came = receiver.take(name);
                let arrived = came.pictures.first().map(|picture| picture.at);
                first = [first, arrived].into_iter().flatten().min();
                let delivery =
                    figures::compare(sent, &came, &recording.frames, likeness, from, until);
                latencies.extend(delivery.latencies);
                lost += delivery.lost;
                changed += delivery.changed;
                reconnects += delivery.reconnects;
            }
            live.extend(first.map(|first: Instant| first - broadcast.asked));
        }
        gateway.stop().await?;
        Ok(Outcome {
            scenario: self,
            cpu_percent: after.cpu_percent_since(&before),
            bench_cpu_percent: own_after.cpu_percent_since(&own_before),
            idle_bytes: idle.resident_bytes,
            resident_bytes: after.resident_bytes,
            idle_threads: idle.threads,
            threads: after.threads,
            pictures: latencies.len() + lost,
            latency_p50: percentile(&mut latencies, 50),
            latency_p99: percentile(&mut latencies, 99),
            latency_max: percentile(&mut latencies, 100),
            answer_p50: percentile(&mut answers, 50),
            answer_max: percentile(&mut answers, 100),
            live_p50: percentile(&mut live, 50),
            live_max: percentile(&mut live, 100),
            lost,
            changed,
            reconnects,
            load_latest: sent
                .iter()
                .map(|sent| sent.latest)
                .max()
                .unwrap_or_default(),
        })
    }

    async fn go_live(
        &self,
        number: usize,
        gateway: &GatewayProcess,
        load: &Load,
        receiver: &Receiver<Log>,
        http: &reqwest::Client,
    ) -> anyhow::Result<Broadcast> {
        let id = format!("bench-{number}");
        let names: Vec<String> = (0..self.destinations)
            .map(|destination| format!("b{number}-d{destination}"))
            .collect();
        let destinations: Vec<_> = names
            .iter()
            .map(|name| {
                json!({
                    "rtmpUrl": format!("rtmp://{}/bench", receiver.address),
                    "streamKey": name,
                })
            })
            .collect();
        let created = http
            .post(format!("{}/api/v1/broadcasts", gateway.base))
            .json(&json!({
                "id": id,
                "method": self.method.as_str(),
                "video": { "mode": if self.transcode { "transcode" } else { "auto" } },
                "destinations": destinations,
            }))
            .send()
            .await?;
        if !created.status().is_success() {
            bail!("the broadcast was refused: {}", created.text().await?);
        }
        let offer = load.offer().await?;
        let asked = Instant::now();
        let response = http
            .post(format!("{}/whip/{id}", gateway.base))
            .header("content-type", "application/sdp")
            .body(offer)
            .send()
            .await?;
        let status = response.status();
        let answer = response.text().await?;
        let answered_after = asked.elapsed();
        if status.as_u16() != 201 {
            bail!("the offer was refused: {status} {answer}");
        }
        load.answer(answer)
            .await
            .context("the answer is not usable")?;
        Ok(Broadcast {
            names,
            asked,
            answered_after,
        })
    }
}

async fn arrived(receiver: &Receiver<Log>, names: &[String]) -> anyhow::Result<()> {
    let deadline = Instant::now() + ARRIVAL_LIMIT;
    for name in names {
        while receiver.pictures(name) == 0 {
            if Instant::now() > deadline {
                bail!("nothing arrived at {name}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}
