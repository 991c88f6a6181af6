//! The laws of the source tree that no compiler keeps.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

const LINES_LIMIT: usize = 500;

/// Folders whose files nobody writes by hand.
const NOT_OURS: [&str; 5] = ["target", "node_modules", "dist", ".git", "fixtures"];

/// Whom each member may know besides the crates of others. A new member has to be put here, and into `ARCHITECTURE.md`.
const ARROWS: [(&str, &[&str]); 13] = [
    ("broadcast", &[]),
    ("media", &[]),
    ("ortc", &[]),
    ("fleet", &[]),
    ("rooms", &["broadcast", "ortc"]),
    ("peers", &["broadcast", "media", "ortc"]),
    ("signalling", &["broadcast", "media", "ortc", "rooms"]),
    ("pipelines", &["broadcast", "media"]),
    ("fake-providers", &[]),
    (
        "egress-providers",
        &["broadcast", "fake-providers", "media", "pipelines"],
    ),
    (
        "gateway",
        &[
            "broadcast",
            "egress-providers",
            "fleet",
            "media",
            "ortc",
            "peers",
            "pipelines",
            "rooms",
            "signalling",
        ],
    ),
    (
        "bench",
        &["broadcast", "gateway", "media", "peers", "pipelines"],
    ),
    (
        "tests",
        &[
            "broadcast",
            "fake-providers",
            "gateway",
            "media",
            "peers",
            "pipelines",
        ],
    ),
];

/// Outside things that only one member knows, besides tests of the whole.
const OWNERS: [(&str, &str); 9] = [
    ("rtc", "peers"),
    ("webrtc", "peers"),
    ("quinn-udp", "peers"),
    ("socketioxide", "signalling"),
    ("gstreamer", "pipelines"),
    ("opus", "pipelines"),
    ("xaac-rs", "pipelines"),
    ("tokio-rustls", "pipelines"),
    ("tracing-subscriber", "gateway"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every member's dependencies: all that it is built with, those of its tests left out.
fn dependencies_by_member() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(root())
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    metadata["packages"]
        .as_array()
        .context("packages")?
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"]
                .as_array()
                .context("dependencies")?
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .filter_map(|dependency| text(&dependency["name"]))
                .collect();
            Ok((text(&package["name"]).context("name")?, dependencies))
        })
        .collect()
}

/// All files of our own with one of these endings.
fn sources(endings: &[&str]) -> Result<Vec<PathBuf>> {
    let mut folders = vec![root()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                if !NOT_OURS.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if path
                .extension()
                .is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted))
            {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 5, "found only {files:?}");
    Ok(files)
}

#[test]
fn every_member_knows_only_whom_it_may() -> Result<()> {
    let members = dependencies_by_member()?;
    let allowed = BTreeMap::from(ARROWS);

    for (member, dependencies) in &members {
        let may = allowed
            .get(member.as_str())
            .with_context(|| format!("'{member}' has no arrows yet"))?;
        for dependency in dependencies
            .iter()
            .filter(|dependency| members.contains_key(*dependency))
        {
            assert!(
                may.contains(&dependency.as_str()),
                "{member} → {dependency}"
            );
        }
    }
    Ok(())
}

#[test]
fn every_outside_thing_has_one_member_that_knows_it() -> Result<()> {
    let members = dependencies_by_member()?;

    for (dependency, owner) in OWNERS {
        let knowers: Vec<_> = members
            .iter()
            .filter(|(member, dependencies)| {
                dependencies.contains(dependency) && !["bench", "tests"].contains(&member.as_str())
            })
            .map(|(member, _)| member.as_str())
            .collect();
        assert_eq!(knowers, [owner], "who depends on {dependency}");
    }
    Ok(())
}

#[test]
fn every_member_is_named_in_the_architecture() -> Result<()> {
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md"))?;

    for member in dependencies_by_member()?.keys() {
        let named = architecture.contains(&format!("`{member}`"))
            || architecture.contains(&format!("`{member}/`"))
            || architecture.contains(&format!("/{member}`"));
        assert!(named, "{member} is not in ARCHITECTURE.md");
    }
    Ok(())
}

#[test]
fn every_file_is_short() -> Result<()> {
    let mut long = Vec::new();
    for path in sources(&["rs", "ts", "tsx", "js", "mjs", "sh", "css"])? {
        let lines = fs::read_to_string(&path)?.lines().count();
        if lines > LINES_LIMIT {
            long.push(format!("{}: {lines}", path.display()));
        }
    }

    assert!(long.is_empty(), "over {LINES_LIMIT} lines: {long:#?}");
    Ok(())
}

#[test]
fn every_module_says_what_it_is_for() -> Result<()> {
    for path in sources(&["rs"])? {
        let text = fs::read_to_string(&path)?;
        let is_tests = path.to_string_lossy().contains("tests");
        assert!(
            is_tests || text.starts_with("//! "),
            "{} has no module doc",
            path.display()
        );
    }
    Ok(())
}

#[test]
fn only_the_gateway_reads_the_environment() -> Result<()> {
    let root = root();
    let exempt = [root.join("src/gateway"), root.join("tests")];
    for path in sources(&["rs"])? {
        if exempt.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        assert!(
            !text.contains("env::var"),
            "{} reads the environment",
            path.display()
        );
    }
    Ok(())
}
