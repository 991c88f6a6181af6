//! WHIP out: a show contributed to a hosted provider, as receivers that share no code with the gateway see and hear it.

use std::{
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use fake_providers::{
    FakeSettings, Ingest, Media, OutputState,
    livekit::{API_KEY, API_SECRET, FakeLivekit},
};
use serde_json::{Value, json};
use tests::{Gateway, Namespace, Studio, eventually};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::{SYNCHRONY_LIMIT, WATCH_LIMIT};

/// Small: what is sent is decoded again on the same two cores.
const SMALL: [&str; 6] = ["--width", "640", "--height", "360", "--video-kbps", "800"];

/// A receiver's answer, on a machine that is busy.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);

/// How far sound and picture may be apart in a browser: its sound is measured behind its jitter buffer and an audio graph,
/// its picture when it is handed to the compositor. Aiortc's offsets are those of the sender reports.
const BROWSER_SYNCHRONY_LIMIT: Duration = Duration::from_millis(200);

/// Of the offsets of flash and beep the middle one counts: a busy machine's studio skips pictures, and flashes with them.
const CUES: usize = 8;

/// A WHIP server that measures what it gets. Dropping it ends it.
struct Receiver {
    _child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    url: String,
}

impl Receiver {
    /// One on aiortc.
    async fn aiortc() -> Result<Self> {
        Self::start(Command::new("python3"), "servers", &["whip_receiver.py"]).await
    }

    /// One in a browser.
    async fn browser() -> Result<Self> {
        Self::start(Command::new("node"), "browser", &["whip-receiver.mjs"]).await
    }

    /// One on `GStreamer`'s webrtcbin, by the system's own Python.
    async fn gstreamer(network: &Namespace) -> Result<Self> {
        let address = network.inside().to_string();
        let python = network.command("/usr/bin/python3");
        Self::start(python, "servers", &["whip_gstreamer.py", &address]).await
    }

    async fn start(mut program: Command, folder: &str, arguments: &[&str]) -> Result<Self> {
        let script = arguments.join(" ");
        let mut child = program
            .args(arguments)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| script.clone())?;
        let commands = child.stdin.take().context("standard input")?;
        let answers = BufReader::new(child.stdout.take().context("standard output")?).lines();
        let mut receiver = Self {
            _child: child,
            commands,
            answers,
            url: String::new(),
        };
        let begun = receiver.answer().await.with_context(|| {
            format!("{script} did not begin; its packages come with scripts/setup")
        })?;
        receiver.url = begun["url"].as_str().context("a URL")?.to_owned();
        Ok(receiver)
    }

    async fn answer(&mut self) -> Result<Value> {
        let line = timeout(ANSWER_LIMIT, self.answers.next_line()).await??;
        Ok(serde_json::from_str(&line.context("the receiver ended")?)?)
    }

    async fn report(&mut self) -> Result<Value> {
        self.commands.write_all(b"report\n").await?;
        self.answer().await
    }

    /// Waits until its report is so.
    async fn until(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
        eventually(what, WATCH_LIMIT, async || {
            let report = self.report().await?;
            Ok(is_so(&report).then_some(report))
        })
        .await
    }
}

/// What moves the fake provider's media: a receiver that is somebody else's takes them in, and nothing goes on from there.
#[derive(Debug)]
struct Elsewhere {
    url: String,
    outputs: Mutex<Vec<(String, String)>>,
}

impl Elsewhere {
    fn outputs(&self) -> std::sync::MutexGuard<'_, Vec<(String, String)>> {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Media for Elsewhere {
    async fn ingest(&self, key: &str) -> Ingest {
        Ingest {
            url: self.url.clone(),
            key: key.to_owned(),
        }
    }

    fn is_arriving(&self, _key: &str) -> bool {
        true
    }

    async fn connect(&self, key: &str, output: &str, _url: &str) {
        self.outputs().push((key.to_owned(), output.to_owned()));
    }

    async fn disconnect(&self, key: &str, output: &str) {
        self.outputs().retain(|one| one.0 != key || one.1 != output);
    }

    fn state(&self, key: &str, output: &str) -> OutputState {
        let is_there = |one: &(String, String)| one.0 == key && one.1 == output;
        if self.outputs().iter().any(is_there) {
            OutputState::Live
        } else {
            OutputState::Absent
        }
    }

    async fn forget(&self, key: &str) {
        self.outputs().retain(|one| one.0 != key);
    }
}

/// A gateway whose shows go to a provider that takes them in where the receiver is.
struct Stage {
    gateway: Gateway,
    _provider: FakeLivekit,
    receiver: Receiver,
}

impl Stage {
    async fn start(receiver: Receiver) -> Result<Self> {
        let media = Elsewhere {
            url: receiver.url.clone(),
            outputs: Mutex::default(),
        };
        let provider = FakeLivekit::start(FakeSettings {
            media: Arc::new(media),
            ..FakeSettings::default()
        })
        .await?;
        let url = provider.base().to_string();
        let gateway = Gateway::start(&[
            ("STREAMING_METHOD", "livekit"),
            ("LIVEKIT_URL", &url),
            ("LIVEKIT_API_KEY", API_KEY),
            ("LIVEKIT_API_SECRET", API_SECRET),
        ])
        .await?;
        let destination = json!({ "id": "platform", "rtmpUrl": "rtmp://127.0.0.1:1935/live", "streamKey": "key" });
        gateway.create("show", json!([destination])).await?;
        Ok(Self {
            gateway,
            _provider: provider,
            receiver,
        })
    }

    async fn studio(&self) -> Result<Studio> {
        Studio::publish_with(&self.gateway.url("/whip/show"), 600, &SMALL).await
    }
}

fn number(report: &Value, what: &str) -> u64 {
    report[what].as_u64().unwrap_or_default()
}

fn offsets(report: &Value) -> Vec<i64> {
    let offsets = report["offsets"].as_array().into_iter().flatten();
    let mut offsets: Vec<i64> = offsets.filter_map(Value::as_i64).collect();
    offsets.sort_unstable();
    offsets
}

/// Pictures and sound arrive, and belong together.
fn check(report: &Value, limit: Duration) -> Result<()> {
    let offsets = offsets(report);
    let middle = offsets[offsets.len() / 2].unsigned_abs();
    let limit = u64::try_from(limit.as_millis())?;
    ensure!(middle <= limit, "flash and beep are apart: {offsets:?} ms");
    ensure!(number(report, "pictures") > 100, "{report}");
    ensure!(number(report, "sounds") > 300, "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn aiortc_sees_and_hears_a_show_the_slate_in_its_place_and_the_studio_again() -> Result<()> {
    let mut stage = Stage::start(Receiver::aiortc().await?).await?;
    let studio = stage.studio().await?;
    let is_measured = |report: &Value| offsets(report).len() >= CUES;
    let report = stage
        .receiver
        .until("flashes and beeps", is_measured)
        .await?;
    check(&report, SYNCHRONY_LIMIT)?;
    ensure!(
        report["sizes"] == json!([[640, 360]]),
        "{}",
        report["sizes"]
    );

    studio.leave().await?;
    stage
        .gateway
        .broadcast_until("show", "the slate is shown", WATCH_LIMIT, |show| {
            show["showing"] == "slate"
        })
        .await?;
    let begun = stage.receiver.report().await?;
    let slate = stage
        .receiver
        .until("pictures of the slate", |report| {
            number(report, "pictures") >= number(&begun, "pictures") + 50
        })
        .await?;
    // Up to the studio's last flash may still have been on its way.
    let flashes = number(&slate, "flashes");
    ensure!(flashes <= number(&begun, "flashes") + 1, "{slate}");

    let again = stage.studio().await?;
    let report = stage
        .receiver
        .until("flashes of the studio that is back", |report| {
            number(report, "flashes") >= flashes + 4
        })
        .await?;
    check(&report, SYNCHRONY_LIMIT)?;
    ensure!(number(&report, "ended") == 0, "it is one session: {report}");

    again.leave().await?;
    stage.gateway.delete("/api/v1/broadcasts/show").await?;
    let is_over = |report: &Value| number(report, "ended") == 1;
    stage.receiver.until("the session's end", is_over).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_sees_and_hears_a_show() -> Result<()> {
    let mut stage = Stage::start(Receiver::browser().await?).await?;
    let _studio = stage.studio().await?;

    let is_measured = |report: &Value| offsets(report).len() >= CUES;
    let report = stage
        .receiver
        .until("flashes and beeps", is_measured)
        .await?;

    check(&report, BROWSER_SYNCHRONY_LIMIT)?;
    ensure!(
        report["width"] == 640 && report["height"] == 360,
        "{report}"
    );
    Ok(())
}

/// Libnice has no candidates on loopback, so it gets a network. How far flash and beep are apart is told and not judged: its
/// jitter buffers move what a busy studio sends late, and Aiortc has measured it by the reports.
#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_sees_and_hears_a_show_and_its_end() -> Result<()> {
    let network = Namespace::create().await?;
    let mut stage = Stage::start(Receiver::gstreamer(&network).await?).await?;
    let studio = stage.studio().await?;

    let is_enough = |report: &Value| {
        let enough = [
            ("pictures", 150),
            ("sounds", 300),
            ("flashes", 3),
            ("beeps", 3),
        ];
        enough
            .iter()
            .all(|(what, least)| number(report, what) >= *least)
    };
    let report = stage
        .receiver
        .until("pictures and sound", is_enough)
        .await?;
    tell(&report);
    studio.leave().await?;
    stage.gateway.delete("/api/v1/broadcasts/show").await?;

    let is_over = |report: &Value| number(report, "ended") == 1;
    stage.receiver.until("the session's end", is_over).await?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the test runner captures it")]
fn tell(report: &Value) {
    println!("flash and beep are apart: {} ms", report["offsets"]);
}
