//! What is done to a broadcast, and how long the gateway takes to mend it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::world::{Line, Show, World};
use crate::tcp_weather::TcpCondition;

/// A stall is one after 15 s without progress; then it has to be noticed, and another connection tried.
const STALL_LIMIT: Duration = Duration::from_secs(30);

/// The longest pause before another try is 30 s, and a destination that lived shortly may be held back.
const RECOVERY_LIMIT: Duration = Duration::from_secs(75);

/// From the studio's offer to its picture.
const PICTURE_LIMIT: Duration = Duration::from_secs(15);

/// How long a cut lasts: enough for every connection to notice, over before the first new try.
const CUT: Duration = Duration::from_millis(100);

/// How long conditions last that the gateway is to bear without ending the connection.
const SPELL: Duration = Duration::from_secs(8);

/// A third of what a destination is sent.
const SLOW_BYTES_PER_SECOND: u32 = 190_000;

/// Something that goes wrong, or is asked for at a bad time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    StudioKilled,
    StudioTakenOver,
    PacketsLost,
    Cut,
    Reset,
    Stalled,
    Slow,
    HalfOpen,
    Delayed,
    KeyRotated,
    Paused,
    Replaced,
    SlateUploaded,
    SlateRefused,
    Probed,
}

impl Fault {
    pub(crate) const ALL: [Self; 15] = [
        Self::StudioKilled,
        Self::StudioTakenOver,
        Self::PacketsLost,
        Self::Cut,
        Self::Reset,
        Self::Stalled,
        Self::Slow,
        Self::HalfOpen,
        Self::Delayed,
        Self::KeyRotated,
        Self::Paused,
        Self::Replaced,
        Self::SlateUploaded,
        Self::SlateRefused,
        Self::Probed,
    ];

    /// For the report: what happens, and what the time behind it is.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::StudioKilled => ("studio killed, back after 1 to 8 s", "offer to picture"),
            Self::StudioTakenOver => ("studio back while the old one lives", ""),
            Self::PacketsLost => ("30 % of a studio's packets lost for 2 s", ""),
            Self::Cut => ("destination closed", "to live again"),
            Self::Reset => ("destination reset", "to live again"),
            Self::Stalled => ("destination reads no more", "to the next try"),
            Self::Slow => ("destination at 1.5 Mb/s for 8 s", ""),
            Self::HalfOpen => ("destination silent for 8 s, then reset", "to live again"),
            Self::Delayed => ("destination 300 ms away for 8 s", ""),
            Self::KeyRotated => ("key rotated", "to the new key's stream"),
            Self::Paused => ("paused for 4 s", ""),
            Self::Replaced => ("removed, added 2 s later", "to live"),
            Self::SlateUploaded => ("slate uploaded", "to the answer"),
            Self::SlateRefused => ("no picture uploaded as slate", "to the answer"),
            Self::Probed => ("good and bad address probed", "to both answers"),
        }
    }

    /// Whether it is done to a destination, and so not to one that must stay untouched.
    pub(crate) fn is_of_destination(self) -> bool {
        matches!(
            self,
            Self::Cut
                | Self::Reset
                | Self::Stalled
                | Self::Slow
                | Self::HalfOpen
                | Self::Delayed
                | Self::KeyRotated
                | Self::Paused
                | Self::Replaced
        )
    }

    /// Does it, and sees it mended. The time is what [`words`](Self::words) names; `chance` chooses details.
    pub(crate) async fn happen(
        self,
        world: &World,
        show: &Show,
        line: &Line,
        chance: u64,
    ) -> anyhow::Result<Duration> {
        match self {
            Self::StudioKilled => {
                world.studios.kill(show.number)?;
                sleep(Duration::from_millis(1_000 + chance % 7_000)).await;
                come_back(world, show).await
            }
            Self::StudioTakenOver => come_back(world, show).await.map(|_| Duration::ZERO),
            Self::PacketsLost => {
                let until = Instant::now() + Duration::from_secs(2);
                world.studios.lose(show.number, 30, until)?;
                sleep(Duration::from_secs(2)).await;
                Ok(Duration::ZERO)
            }
            Self::Cut => lose_connection(world, show, line, TcpCondition::Cut).await,
            Self::Reset => lose_connection(world, show, line, TcpCondition::Reset).await,
            Self::Stalled => stall(world, show, line).await,
            Self::Slow => {
                let condition = TcpCondition::Slow(SLOW_BYTES_PER_SECOND);
                endure(world, show, line, condition).await
            }
            Self::HalfOpen => {
                line.weather.set(TcpCondition::HalfOpen);
                sleep(SPELL).await;
                lose_connection(world, show, line, TcpCondition::Reset).await
            }
            Self::Delayed => {
                let condition = TcpCondition::Delayed(Duration::from_millis(300));
                endure(world, show, line, condition).await
            }
            Self::KeyRotated => rotate(world, show, line).await,
            Self::Paused => pause(world, show, line).await,
            Self::Replaced => replace(world, show, line).await,
            Self::SlateUploaded => upload(world, show, world.slate.clone(), StatusCode::OK).await,
            Self::SlateRefused => {
                let nonsense = chance.to_be_bytes().repeat(100);
                upload(world, show, nonsense, StatusCode::UNPROCESSABLE_ENTITY).await
            }
            Self::Probed => probe(world).await,
        }
    }
}

async fn come_back(world: &World, show: &Show) -> anyhow::Result<Duration> {
    let asked = Instant::now();
    world.connect_studio(show).await?;
    let is_back = |broadcast: &Value| broadcast["showing"] == "studio";
    world
        .until(show, PICTURE_LIMIT, "the picture is back", is_back)
        .await?;
    Ok(asked.elapsed())
}

/// Ends the connection, lets the next one be, and waits for it.
async fn lose_connection(
    world: &World,
    show: &Show,
    line: &Line,
    condition: TcpCondition,
) -> anyhow::Result<Duration> {
    let before = line.weather.connections().len();
    let began = Instant::now();
    line.weather.set(condition);
    sleep(CUT).await;
    line.weather.set(TcpCondition::Clear);
    world
        .wait(RECOVERY_LIMIT, "another connection", || {
            line.weather.connections().len() > before
        })
        .await?;
    live(world, show, line).await?;
    Ok(began.elapsed())
}

async fn stall(world: &World, show: &Show, line: &Line) -> anyhow::Result<Duration> {
    let before = line.weather.connections().len();
    let began = Instant::now();
    line.weather.set(TcpCondition::Stalled);
    let tried = world
        .wait(STALL_LIMIT, "another try", || {
            line.weather.connections().len() > before
        })
        .await;
    let found = began.elapsed();
    line.weather.set(TcpCondition::Clear);
    tried?;
    live(world, show, line).await?;
    Ok(found)
}

/// A condition that need not end the connection; whether it did or not, the destination is live in the end.
async fn endure(
    world: &World,
    show: &Show,
    line: &Line,
    condition: TcpCondition,
) -> anyhow::Result<Duration> {
    line.weather.set(condition);
    sleep(SPELL).await;
    line.weather.set(TcpCondition::Clear);
    live(world, show, line).await?;
    Ok(Duration::ZERO)
}

async fn rotate(world: &World, show: &Show, line: &Line) -> anyhow::Result<Duration> {
    let before = line.weather.connections().len();
    let began = Instant::now();
    let body = json!({ "streamKey": line.next_key() });
    change(world, show, line, &body).await?;
    world
        .wait(RECOVERY_LIMIT, "a connection with the new key", || {
            line.weather.connections().len() > before
        })
        .await?;
    live(world, show, line).await?;
    Ok(began.elapsed())
}

async fn pause(world: &World, show: &Show, line: &Line) -> anyhow::Result<Duration> {
    change(world, show, line, &json!({ "paused": true })).await?;
    sleep(Duration::from_secs(4)).await;
    change(world, show, line, &json!({ "paused": false })).await?;
    live(world, show, line).await?;
    Ok(Duration::ZERO)
}

async fn replace(world: &World, show: &Show, line: &Line) -> anyhow::Result<Duration> {
    let path = show.destination_path(line);
    let answer = world.ask(Method::DELETE, &path, None).await?;
    ensure!(answer.status.is_success(), "{answer:?}");
    sleep(Duration::from_secs(2)).await;
    let began = Instant::now();
    let destinations = format!("/api/v1/broadcasts/{}/destinations", show.id);
    let answer = world
        .ask(Method::POST, &destinations, Some(&line.body()))
        .await?;
    ensure!(answer.status == StatusCode::CREATED, "{answer:?}");
    live(world, show, line).await?;
    Ok(began.elapsed())
}

async fn upload(
    world: &World,
    show: &Show,
    picture: Vec<u8>,
    expected: StatusCode,
) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let answer = world.upload(show, picture).await?;
    ensure!(answer.status == expected, "{answer:?}");
    Ok(began.elapsed())
}

async fn probe(world: &World) -> anyhow::Result<Duration> {
    let began = Instant::now();
    for (address, good) in [
        (world.receiver.address.to_string(), true),
        (World::nobody(), false),
    ] {
        let body = json!({ "rtmpUrl": format!("rtmp://{address}/live"), "streamKey": "probe" });
        let answer = world
            .ask(Method::POST, "/api/v1/destinations/probe", Some(&body))
            .await?;
        ensure!(
            answer.status == StatusCode::OK && answer.body["ok"] == good,
            "{answer:?}"
        );
    }
    Ok(began.elapsed())
}

async fn change(world: &World, show: &Show, line: &Line, body: &Value) -> anyhow::Result<()> {
    let answer = world
        .ask(Method::PATCH, &show.destination_path(line), Some(body))
        .await?;
    if !answer.status.is_success() {
        bail!("{answer:?}");
    }
    Ok(())
}

async fn live(world: &World, show: &Show, line: &Line) -> anyhow::Result<()> {
    let is_live = |broadcast: &Value| {
        broadcast["destinations"]
            .as_array()
            .is_some_and(|destinations| {
                destinations
                    .iter()
                    .any(|found| found["id"] == line.id && found["state"] == "live")
            })
    };
    let last = world.until(show, RECOVERY_LIMIT, "the destination is live", is_live);
    last.await.map(drop).context(line.name.clone())
}
