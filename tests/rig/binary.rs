//! The gateway's binary, as the same build made it.

use std::{path::PathBuf, process::Stdio};

use anyhow::{Context, Result, bail, ensure};
use tokio::{process::Command, sync::OnceCell};

static BINARY: OnceCell<PathBuf> = OnceCell::const_new();

/// Where `media-server` is. `CASTGATE_GATEWAY_BINARY` names it; without that, Cargo is asked to build it.
pub(crate) async fn gateway_binary() -> Result<PathBuf> {
    BINARY.get_or_try_init(find).await.cloned()
}

async fn find() -> Result<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "set by scripts/test for its own tests"
    )]
    if let Ok(path) = std::env::var("CASTGATE_GATEWAY_BINARY") {
        let path = PathBuf::from(path);
        ensure!(path.is_file(), "no gateway at {}", path.display());
        return Ok(path);
    }
    build().await
}

async fn build() -> Result<PathBuf> {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--workspace", "--bins", "--tests"])
        .args(["--message-format", "json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .stderr(Stdio::inherit())
        .output()
        .await
        .context("cargo build")?;
    ensure!(output.status.success(), "the gateway does not build");
    for line in output
        .stdout
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let message: serde_json::Value = serde_json::from_slice(line)?;
        if message["target"]["name"] == "media-server"
            && let Some(path) = message["executable"].as_str()
        {
            return Ok(path.into());
        }
    }
    bail!("cargo named no executable")
}
