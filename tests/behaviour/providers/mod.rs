//! Fakes of hosted providers, held to what the vendors' own SDKs make of them.

mod cloudflare;
mod livekit;
mod mux;

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use fake_providers::Records;
use serde_json::json;
use tokio::{process::Command, time::timeout};

/// How long a script may take, on a machine that is busy.
const SCRIPT_LIMIT: Duration = Duration::from_secs(150);

/// Runs `tests/servers/SCRIPT` with Node.js and returns what it has printed; it must be content.
async fn sdk(script: &str, arguments: &[&str]) -> Result<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers");
    ensure!(
        folder.join("node_modules/livekit-server-sdk").is_dir(),
        "no node_modules: run scripts/setup, or npm ci in tests/servers"
    );
    let run = Command::new("node")
        .arg(script)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(SCRIPT_LIMIT, run)
        .await
        .with_context(|| format!("{script} did not end within {SCRIPT_LIMIT:?}"))?
        .context("node")?;
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    ensure!(output.status.success(), "{script}: {said}{complained}");
    Ok(said)
}

/// The documents that some operations were asked with, as JSON: `[{ "operation": …, "body": … }, …]`.
fn recorded(records: &Records, operations: &[&str]) -> String {
    let all = operations
        .iter()
        .flat_map(|operation| records.of(operation));
    let documents = all.map(|sent| json!({ "operation": sent.operation, "body": sent.body }));
    documents.collect::<serde_json::Value>().to_string()
}
