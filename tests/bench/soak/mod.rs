//! Ten broadcasts and a random fault every five seconds: none of them may end, and the gateway must not grow.

mod faults;
mod health;
mod receiver;
mod report;
mod studios;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::Context;
use faults::Fault;
use health::Health;
use reqwest::{Method, StatusCode};
use studios::Studios;
use tokio::{task::JoinSet, time::MissedTickBehavior};
use world::{Line, Show, World};

use crate::{process::GatewayProcess, recording::Recording};

/// Between two faults.
const FAULT_INTERVAL: Duration = Duration::from_secs(5);

/// Between two looks at the gateway and its broadcasts.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The last faults may take this long to be mended.
const MENDING_LIMIT: Duration = Duration::from_mins(2);

/// Everything that is made on first use has been made by then; a short run has no time for that.
const WARM_UP: Duration = Duration::from_mins(2);

/// How long the machine is watched before anything is started.
const IDLE_WINDOW: Duration = Duration::from_secs(3);

/// How long ended broadcasts may take to give back what they had.
const RELEASE: Duration = Duration::from_secs(5);

/// Draws of a fault that fits nobody before a moment is left out.
const DRAWS: u32 = 50;

/// How to soak.
#[derive(Debug, clap::Args)]
pub(crate) struct SoakArguments {
    /// How long faults happen
    #[arg(value_parser = clap::value_parser!(u64).range(1..=720))]
    minutes: u64,

    /// The gateway's release binary
    #[arg(long)]
    gateway: PathBuf,

    /// Where the studios' media is kept; made when it is not there
    #[arg(long)]
    media: PathBuf,

    /// Broadcasts at once
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=100))]
    broadcasts: u64,

    /// Chooses the faults and their order
    #[arg(long, default_value_t = 20_261_121)]
    seed: u64,
}

/// What became of one kind of fault.
#[derive(Debug, Default)]
struct Mended {
    times: Vec<Duration>,
    failures: Vec<String>,
}

/// What was seen while it lasted.
#[derive(Debug, Default)]
struct Seen {
    mended: BTreeMap<Fault, Mended>,
    health: Health,
    /// Broadcasts that were over although nobody had ended them.
    ended: BTreeSet<String>,
    /// Why the gateway itself ended, if it did.
    gateway_ended: Option<String>,
}

/// Soaks, prints what came of it, and fails when a broadcast ended by accident.
pub(crate) async fn run(
    arguments: &SoakArguments,
    http: &reqwest::Client,
) -> anyhow::Result<ExitCode> {
    let recording = Arc::new(Recording::prepare(
        &arguments.media,
        media::VideoCodec::H264,
    )?);
    let idle_percent = report::idle_percent(IDLE_WINDOW).await?;
    let mut gateway = GatewayProcess::start(&arguments.gateway, http).await?;
    let before = gateway.usage()?;
    let studios = Studios::start(recording)?;
    let broadcasts = usize::try_from(arguments.broadcasts)?;
    let world = Arc::new(World::create(&gateway.base, http, studios, broadcasts).await?);

    let length = Duration::from_secs(60 * arguments.minutes);
    let seen = soak(&world, &mut gateway, length, arguments.seed).await?;

    let latest = world.studios.latest().await?;
    let metrics = world.metrics().await.unwrap_or_default();
    let untouched: Vec<_> = world
        .shows
        .iter()
        .map(|show| world.receiver.ledger().of(&show.lines[0].name))
        .collect();
    let after = if seen.gateway_ended.is_none() {
        end(&world).await?;
        let after = gateway.usage()?;
        gateway.stop().await.context("at the end")?;
        Some(after)
    } else {
        None
    };
    let outcome = report::Outcome {
        length,
        broadcasts,
        seed: arguments.seed,
        idle_percent,
        warm_up: WARM_UP.min(length / 4),
        before,
        after,
        latest,
        panics: health::metric(&metrics, "castgate_panics_total"),
        worker_panics: health::metric(&metrics, "castgate_worker_panics"),
        untouched,
        seen,
    };
    writeln!(io::stdout(), "{}", outcome.table()?)?;
    Ok(if outcome.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn soak(
    world: &Arc<World>,
    gateway: &mut GatewayProcess,
    length: Duration,
    seed: u64,
) -> anyhow::Result<Seen> {
    let mut outcome = Seen::default();
    let mut random = Random(seed);
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    let mut faults = tokio::time::interval(FAULT_INTERVAL);
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while began.elapsed() < length || !tasks.is_empty() {
        tokio::select! {
            _ = faults.tick() => if began.elapsed() < length
                && let Some(fault) = random.fault(world)
            {
                tasks.spawn(do_harm(Arc::clone(world), fault, random.next()));
            },
            _ = looks.tick() => {
                if let Some(status) = gateway.ended()? {
                    outcome.gateway_ended = Some(status.to_string());
                    break;
                }
                if began.elapsed() < length {
                    outcome.health.look(gateway)?;
                }
                look_for_ends(world, &mut outcome.ended).await;
                if began.elapsed() > length + MENDING_LIMIT {
                    break;
                }
            }
            Some(done) = tasks.join_next() => {
                let (fault, came) = done?;
                let mended = outcome.mended.entry(fault).or_default();
                match came {
                    Ok(time) => mended.times.push(time),
                    Err(error) => mended.failures.push(format!("{error:#}")),
                }
            }
        }
    }
    Ok(outcome)
}

/// A fault, and whom it hits: a broadcast's place, and its destination's.
type Choice = (Fault, usize, usize);

async fn do_harm(
    world: Arc<World>,
    (fault, show, line): Choice,
    chance: u64,
) -> (Fault, anyhow::Result<Duration>) {
    let show = &world.shows[show];
    let line = &show.lines[line];
    let outcome = fault.happen(&world, show, line, chance).await;
    busy(fault, show, line).store(false, Ordering::Relaxed);
    (
        fault,
        outcome.with_context(|| format!("{} {}", show.id, line.id)),
    )
}

/// One fault at a time for each studio and for each destination.
fn busy<'a>(fault: Fault, show: &'a Show, line: &'a Line) -> &'a std::sync::atomic::AtomicBool {
    if fault.is_of_destination() {
        &line.busy
    } else {
        &show.busy
    }
}

async fn look_for_ends(world: &World, ended: &mut BTreeSet<String>) {
    for show in &world.shows {
        let path = format!("/api/v1/broadcasts/{}", show.id);
        // A gateway that does not answer is found out by its process.
        if let Ok(answer) = world.ask(Method::GET, &path, None).await
            && (answer.status == StatusCode::NOT_FOUND || answer.body["state"] == "ended")
        {
            ended.insert(show.id.clone());
        }
    }
}

async fn end(world: &World) -> anyhow::Result<()> {
    for show in &world.shows {
        let path = format!("/api/v1/broadcasts/{}", show.id);
        world.ask(Method::DELETE, &path, None).await?;
    }
    tokio::time::sleep(RELEASE).await;
    Ok(())
}

/// `SplitMix64`: the same faults for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap_or_default()
    }

    /// A fault for somebody who has none now.
    fn fault(&mut self, world: &World) -> Option<Choice> {
        for _ in 0..DRAWS {
            let fault = Fault::ALL[self.below(Fault::ALL.len())];
            let place = self.below(world.shows.len());
            let show = &world.shows[place];
            let line = 1 + self.below(show.lines.len() - 1);
            if !busy(fault, show, &show.lines[line]).swap(true, Ordering::Relaxed) {
                return Some((fault, place, line));
            }
        }
        None
    }
}
