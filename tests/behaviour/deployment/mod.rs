//! What deploys the gateway, looked at by the tools that it is for, and a real proxy before real gateways.

mod manifests;
mod proxy;
mod setup;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs a program of `scripts/test`'s at the project's root, and returns what it says if it succeeds.
fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = attempt(program, arguments)?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(
        output.status.success(),
        "{program} {arguments:?}: {}\n{said}",
        output.status
    );
    Ok(said)
}

fn attempt(program: &str, arguments: &[&str]) -> Result<Output> {
    Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output()
        .with_context(|| format!("{program}, which scripts/test installs"))
}

/// Runs `tests/servers/deployment.py`.
fn look(arguments: &[&str]) -> Result<String> {
    let output = attempt(
        "python3",
        &[&["tests/servers/deployment.py"], arguments].concat(),
    )?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(said)
}
