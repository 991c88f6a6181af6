//! A show goes into a call of Daily's by a sidecar, and from there to a platform.
//!
//! The sidecar is ours and whole; its SDK is not Daily's, and sends what is published in the call to the fake's ingest.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use fake_providers::{
    FakeSettings,
    daily::{DailyQuirks, FakeDaily},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use tests::{
    ChildProcess, Gateway, Nginx, Recording, RtmpMedia, Scratch, Studio, destination_of, eventually,
};

use tokio::time::Instant;

use super::{ENOUGH, REMOVED_LIMIT, WATCH_LIMIT, destination};

/// To a decoder, into the call, and from Daily's live stream to a platform; after a sidecar's death, with the pauses of
/// those who try again.
const LIVE_LIMIT: Duration = Duration::from_mins(1);

/// How far flash and beep may be apart, for most of them: both are sampled as they come, the sound with up to 50 ms that wait.
const SYNCHRONY_LIMIT_MS: f64 = 200.0;

/// Of the system's clock of processor time, which is 100 Hz for all programs.
const MILLISECONDS_A_TICK: u64 = 10;

/// Long enough that a test ends it, and not the studio.
const STUDIO_SECONDS: u32 = 150;

/// The stream key at the platform, which Daily must know and nobody may see.
const KEY: &str = "canary-key-5d1f";

const BROADCAST: &str = "/api/v1/broadcasts/show";

/// Daily with real media, a platform behind it, and a gateway whose sidecars take our SDK for Daily's.
pub(super) struct Call {
    pub(super) daily: FakeDaily,
    media: Arc<RtmpMedia>,
    pub(super) platform: Nginx,
    pub(super) gateway: Gateway,
    scratch: Scratch,
}

impl Call {
    async fn new() -> Result<Self> {
        Self::with(&[]).await
    }

    /// With more variables for the gateway.
    pub(super) async fn with(more: &[(&str, &str)]) -> Result<Self> {
        let (media, platform) = tokio::try_join!(RtmpMedia::start(), Nginx::start())?;
        let settings = FakeSettings {
            media: media.clone(),
            ..FakeSettings::default()
        };
        let daily = FakeDaily::start(&settings, DailyQuirks::default()).await?;
        let scratch = Scratch::new()?;
        write_python(scratch.path(), &media.url())?;
        let python = scratch.path().join("python");
        let mut variables = vec![
            ("DAILY_API_KEY", FakeDaily::API_KEY),
            ("DAILY_API_URL", daily.base().as_str()),
            ("DAILY_PYTHON", python.to_str().context("a path")?),
            ("STREAMING_METHOD", "daily"),
        ];
        variables.extend(more);
        let gateway = Gateway::start(&variables).await?;
        Ok(Self {
            daily,
            media,
            platform,
            gateway,
            scratch,
        })
    }

    /// Begins a show with the platform as its destination, and returns when it is live there.
    async fn begin(&self) -> Result<Studio> {
        let destinations = json!([destination("one", self.platform.address(), KEY)]);
        self.gateway.create("show", destinations).await?;
        let url = self.gateway.url("/whip/show");
        let studio = Studio::publish(&url, None, STUDIO_SECONDS).await?;
        self.live().await?;
        Ok(studio)
    }

    async fn live(&self) -> Result<()> {
        let live = self
            .gateway
            .destination_until("show", "one", "live", LIVE_LIMIT);
        live.await.map(drop)
    }

    /// Waits until the platform has so many recordings, and has seen enough of the last one.
    async fn watch(&self, recordings: usize) -> Result<()> {
        let watched = eventually(
            "the platform records",
            LIVE_LIMIT + WATCH_LIMIT,
            async || {
                self.check_single()?;
                let found = self.platform.recordings(KEY)?.len();
                let is_enough = found == recordings && self.platform.recorded(KEY)? >= ENOUGH;
                Ok(is_enough.then_some(()))
            },
        );
        watched
            .await
            .with_context(|| format!("the outputs: {}", self.media.complaints()))
    }

    /// The participants of all rooms, as processes that are there.
    fn participants(&self) -> Result<Vec<i32>> {
        let mut processes = Vec::new();
        for entry in fs::read_dir(self.scratch.path().join("presence"))? {
            let name = entry?.file_name().into_string().unwrap_or_default();
            let (_, process) = name.rsplit_once('.').context("a room and a process")?;
            if is_running(process) {
                processes.push(process.parse()?);
            }
        }
        Ok(processes)
    }

    /// Nobody publishes what another does, neither to Daily nor to the platform.
    fn check_single(&self) -> Result<()> {
        let rooms = self.daily.rooms();
        let streams: usize = rooms.iter().map(|room| room.streams.len()).sum();
        ensure!(rooms.len() <= 1 && streams <= 1, "{rooms:?}");
        let participants = self.participants()?;
        ensure!(participants.len() <= 1, "participants: {participants:?}");
        self.check_no_collisions()
    }

    fn check_no_collisions(&self) -> Result<()> {
        ensure!(self.media.collisions()? == 0, "two publishers at Daily");
        ensure!(
            self.platform.collisions()? == 0,
            "two publishers at the platform"
        );
        Ok(())
    }

    /// What the processes that bring the show into the call take from now on.
    fn effort(&self) -> Result<Effort> {
        let children = self.gateway.process.children()?;
        let ticks = |child: ChildProcess| Some((child.processor_ticks().ok()?, child));
        Ok(Effort {
            since: Instant::now(),
            before: children.into_iter().filter_map(ticks).collect(),
        })
    }

    /// It is told how many pictures the call was given, and not what only the SDK and Daily know.
    async fn check_figures(&self) -> Result<()> {
        let broadcast = self.gateway.broadcast("show").await?;
        let way = &broadcast["egress"]["hosted"][0]["contribution"];
        ensure!(way["framesSent"].as_u64() > Some(100), "{way}");
        ensure!(way.get("bytesSent").is_none(), "{way}");
        let destination = destination_of(&broadcast, "one");
        ensure!(destination.get("framesSent").is_none(), "{destination}");
        Ok(())
    }

    /// Ends the show; nothing of it may be left anywhere.
    async fn end(&self, studio: Studio) -> Result<()> {
        self.gateway.delete(BROADCAST).await?;
        studio.leave().await?;
        eventually("nothing is left at Daily", REMOVED_LIMIT, async || {
            let is_empty = self.daily.rooms().is_empty() && self.media.publishing() == 0;
            Ok((is_empty && self.participants()?.is_empty()).then_some(()))
        })
        .await?;
        self.check_no_collisions()
    }

    /// The key is in a room's own list of addresses, and in nothing else that Daily is asked.
    fn check_no_key_but_in_rooms(&self) -> Result<()> {
        let records = self.daily.records();
        ensure!(records.count("start_stream") > 0, "no live stream");
        for request in records.all() {
            if request.operation != "change_room" {
                ensure!(!format!("{request:?}").contains(KEY), "{request:?}");
                continue;
            }
            let endpoints = request.body["properties"]["streaming_endpoints"].as_array();
            for endpoint in endpoints.into_iter().flatten() {
                let name = endpoint["name"].as_str().context("a name")?;
                ensure!(!name.contains(KEY), "the name of a destination is its key");
            }
        }
        Ok(())
    }
}

/// Processes, with what they had taken at a time, in ticks of the system.
struct Effort {
    since: Instant,
    before: Vec<(u64, ChildProcess)>,
}

impl Effort {
    /// Tells what each has taken since, for docs/benchmarks.md.
    #[expect(clippy::print_stdout, reason = "the test runner captures it")]
    fn tell(&self) -> Result<()> {
        let milliseconds = self.since.elapsed().as_millis();
        for (before, child) in &self.before {
            let Ok(now) = child.processor_ticks() else {
                continue;
            };
            let spent = u128::from(now.saturating_sub(*before) * MILLISECONDS_A_TICK);
            let program = child.command.trim().rsplit(' ').next().context("a name")?;
            println!("{} % of a core: {program}", 100 * spent / milliseconds);
        }
        Ok(())
    }
}

/// A Python that takes our SDK for Daily's, where each token lets in once.
fn write_python(folder: &Path, ingest: &str) -> Result<()> {
    let servers = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers");
    let modules = folder.join("modules");
    fs::create_dir(&modules)?;
    fs::create_dir(folder.join("presence"))?;
    fs::create_dir(folder.join("used"))?;
    fs::copy(servers.join("fake_daily.py"), modules.join("daily.py"))?;
    let python = folder.join("python");
    let program = format!(
        "#!/bin/sh\nexport PYTHONPATH={} FAKE_DAILY_PRESENCE={} FAKE_DAILY_USED={} FAKE_DAILY_RTMP={ingest}\nexec python3 \"$@\"\n",
        modules.display(),
        folder.join("presence").display(),
        folder.join("used").display(),
    );
    fs::write(&python, program)?;
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn is_running(process: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/stat"));
    status.is_ok_and(|status| !status.contains(") Z "))
}

/// A call is sampled as it comes, by the wall clock of a machine that may be busy; so nothing is asked of its cadence but that
/// the pictures are one studio's, in their order, with the sound that belongs to them.
fn check(recording: &Recording) -> Result<()> {
    let (video, audio) = (&recording.video, &recording.audio);
    ensure!(video.codec == "h264" && audio.codec == "aac", "{video:?}");
    let errors = &recording.decode_errors;
    ensure!(errors.is_empty(), "{errors:#?}");
    let cadence = recording.cadence();
    ensure!(
        cadence.studios == 1 && cadence.out_of_order == 0,
        "{cadence:?}"
    );
    let rises = recording.rises();
    ensure!(
        rises.iter().map(|rise| rise.pictures).sum::<usize>() > 100,
        "{rises:?}"
    );
    let mut offsets: Vec<f64> = recording
        .offsets()
        .iter()
        .map(|offset| offset.milliseconds)
        .collect();
    offsets.sort_by(f64::total_cmp);
    report(&offsets);
    let middle = offsets.get(offsets.len() / 2).context("no flash")?;
    ensure!(
        offsets.len() >= 5 && middle.abs() <= SYNCHRONY_LIMIT_MS,
        "the beeps are off by {offsets:?} ms"
    );
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the test runner captures it")]
fn report(offsets: &[f64]) {
    println!("the beeps are off by {offsets:.0?} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_show_goes_by_daily_and_its_key_is_told_to_its_room_only() -> Result<()> {
    let call = Call::new().await?;

    let studio = call.begin().await?;
    let effort = call.effort()?;
    call.watch(1).await?;
    effort.tell()?;
    call.check_figures().await?;
    call.end(studio).await?;

    call.check_no_key_but_in_rooms()?;
    let path = call.platform.finished_recording(KEY).await?;
    check(&Recording::analyse(&path).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_is_killed_joins_again_by_a_new_token_and_nobody_publishes_twice()
-> Result<()> {
    let call = Call::new().await?;
    let studio = call.begin().await?;
    call.watch(1).await?;
    let participants = call.participants()?;
    let [first] = participants[..] else {
        anyhow::bail!("participants: {participants:?}");
    };

    kill(Pid::from_raw(first), Signal::SIGKILL)?;
    call.watch(2).await?;
    call.live().await?;
    let second = call.participants()?;
    call.end(studio).await?;

    assert!(second.len() == 1 && second != [first], "{second:?}");
    let used = fs::read_dir(call.scratch.path().join("used"))?.count();
    assert_eq!(used, 2, "tokens that let in");
    // What the first one was about to say when it was killed is lost; what the second one says is a good show.
    let recordings = call.platform.recordings(KEY)?;
    let last = recordings.last().context("a recording")?;
    check(&Recording::analyse(last).await?)
}
