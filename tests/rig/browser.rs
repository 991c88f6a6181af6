//! A real browser at the studio page.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use tokio::{process::Command, time::timeout};

/// How much longer than its media the browser may take: to start, to go live, to end.
const PATIENCE: Duration = Duration::from_mins(1);

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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    ensure!(
        folder.join("node_modules").is_dir(),
        "no node_modules: run scripts/setup, or npm ci in tests/browser"
    );
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
