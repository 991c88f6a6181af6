//! A real browser at the studio page.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::Namespace;

/// How much longer than its media the browser may take: to start, to go live, to end.
const PATIENCE: Duration = Duration::from_mins(2);

/// What the browser says of one broadcast.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BrowserReport {
    /// `window.castgate.stats()` when the destinations had gone live.
    pub at_live: Value,
    /// The same at the end, still live.
    pub at_end: Value,
    /// `window.castgate.state()` at the end.
    pub state: Value,
    /// Errors of the page and on its console.
    pub errors: Vec<String>,
    /// The page's address as it stood in the address bar at the end.
    pub address: String,
}

/// Opens the studio page, which goes live as its address says, and ends it after so many seconds of being live.
pub async fn go_live_in_browser(url: &str, seconds: u32) -> Result<BrowserReport> {
    let folder = folder()?;
    let browser = Command::new("node")
        .args(["go-live.mjs", url, &seconds.to_string()])
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let limit = Duration::from_secs(seconds.into()) + PATIENCE;
    let output = timeout(limit, browser)
        .await
        .context("the browser did not end")??;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the browser failed: {complaint}");
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("the browser's report; {complaint}"))
}

pub(crate) fn folder() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    ensure!(
        folder.join("node_modules").is_dir(),
        "no node_modules: run scripts/setup, or npm ci in tests/browser"
    );
    Ok(folder)
}

/// A browser that is told what to do, at the studio page or watching. Dropping it ends it, without a good-bye.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    /// Opens the page; within a network of its own, if one is given.
    pub async fn open(url: &str, namespace: Option<&Namespace>) -> Result<Self> {
        Self::start(&["studio.mjs", url], namespace).await
    }

    /// Watches a broadcast at its WHEP URL, without the studio page.
    pub async fn watch(url: &str) -> Result<Self> {
        Self::start(&["watch.mjs", url], None).await
    }

    /// Takes part in rooms; commands are JSON documents (`tests/browser/rooms.mjs`).
    pub(crate) async fn take_part(namespace: Option<&Namespace>) -> Result<Self> {
        Self::start(&["rooms.mjs"], namespace).await
    }

    /// Has many people in rooms, without a browser; commands are JSON documents (`tests/browser/crowd.mjs`).
    pub(crate) async fn crowd() -> Result<Self> {
        Self::start(&["crowd.mjs"], None).await
    }

    async fn start(arguments: &[&str], namespace: Option<&Namespace>) -> Result<Self> {
        let mut command =
            namespace.map_or_else(|| Command::new("node"), |found| found.command("node"));
        let mut child = command
            .args(arguments)
            .current_dir(folder()?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("node")?;
        let commands = child.stdin.take().context("its input")?;
        let answers = BufReader::new(child.stdout.take().context("its output")?).lines();
        let mut browser = Self {
            child,
            commands,
            answers,
        };
        browser.command("state").await.context("the page opens")?;
        Ok(browser)
    }

    /// Has it do something, which must succeed. A studio: `state`, `stats`, `reload`, `crash`, `resize 640x360`, `monitor`,
    /// `stop`. One that watches: `state`, `stats`, `leave`.
    pub async fn command(&mut self, command: &str) -> Result<Value> {
        self.commands
            .write_all(format!("{command}\n").as_bytes())
            .await?;
        let answer = timeout(PATIENCE, self.answers.next_line())
            .await
            .with_context(|| format!("{command} took too long"))??
            .context("the browser has ended")?;
        let answer: Value = serde_json::from_str(&answer)?;
        match answer.get("done") {
            Some(done) => Ok(done.clone()),
            None => bail!("{command}: {answer}"),
        }
    }

    /// Closes it.
    pub async fn quit(mut self) -> Result<()> {
        self.commands.write_all(b"quit\n").await?;
        drop(self.commands);
        timeout(PATIENCE, self.child.wait())
            .await
            .context("the browser did not end")??;
        Ok(())
    }
}
