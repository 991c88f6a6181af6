//! Files in `docker/`: that the tools take them, and that they speak of things that are there.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result, ensure};
use tests::Scratch;

use super::{look, root, run};

/// The most that `systemd-analyze security` may find the service exposed, of ten. What remains is the network, which it is
/// for, and the namespaces into which it moves its own children.
const EXPOSURE_LIMIT: f64 = 2.5;

fn text_of(path: &str) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| path.to_owned())
}

/// The words of a Bash array in `scripts/lib/install.sh`.
fn packages(name: &str) -> Result<BTreeSet<String>> {
    let script = text_of("scripts/lib/install.sh")?;
    let (_, list) = script
        .split_once(&format!("\n{name}=("))
        .with_context(|| name.to_owned())?;
    let (list, _) = list.split_once(')').context("its end")?;
    Ok(list.split_whitespace().map(str::to_owned).collect())
}

#[test]
fn the_image_is_built_as_the_linter_wants() -> Result<()> {
    run("hadolint", &["docker/Dockerfile"]).map(drop)
}

#[test]
fn the_image_is_built_with_the_toolchain_and_packages_of_everybody() -> Result<()> {
    let dockerfile = text_of("docker/Dockerfile")?;
    let toolchain = text_of("rust-toolchain.toml")?;
    let version = toolchain
        .split('"')
        .nth(1)
        .context("the channel's version")?;

    assert!(dockerfile.contains(&format!("FROM rust:{version}-slim-bookworm AS binary")));
    assert!(dockerfile.contains(&format!("RUSTUP_TOOLCHAIN={version}")));
    let installed: BTreeSet<_> = dockerfile.split_whitespace().map(str::to_owned).collect();
    for list in ["build_packages", "run_packages"] {
        let mut wanted = packages(list)?;
        // The images have these, or fetch nothing by them while building.
        for other in ["curl", "ca-certificates"] {
            wanted.remove(other);
        }
        let missing: Vec<_> = wanted.difference(&installed).collect();
        assert!(missing.is_empty(), "{list}: {missing:?}");
    }
    Ok(())
}

#[test]
fn the_builder_gets_all_members_of_the_workspace_and_nothing_that_was_built() -> Result<()> {
    let list = text_of("docker/Dockerfile.dockerignore")?;
    let lines: BTreeSet<_> = list.lines().collect();
    let manifest = text_of("Cargo.toml")?;
    let (_, members) = manifest.split_once("members = [").context("members")?;
    let (members, _) = members.split_once(']').context("their end")?;

    assert!(lines.contains("*"), "all is sent that is not named");
    for member in members
        .split(',')
        .map(str::trim)
        .filter(|member| !member.is_empty())
    {
        let folder = member
            .trim_matches('"')
            .split('/')
            .next()
            .context("its folder")?;
        assert!(lines.contains(format!("!{folder}").as_str()), "{member}");
    }
    for built in ["**/node_modules", "**/target", "web/dist"] {
        assert!(lines.contains(built), "{built}");
    }
    Ok(())
}

#[test]
fn the_composition_is_valid_and_its_parts_fit() -> Result<()> {
    look(&["compose"]).map(drop)
}

/// Helm's library is to be had for this architecture only.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_chart_renders_to_what_kubernetes_takes_and_refuses_what_cannot_work() -> Result<()> {
    look(&["chart"]).map(drop)
}

#[test]
fn alerts_fire_when_they_should() -> Result<()> {
    run(
        "promtool",
        &["check", "config", "docker/prometheus/prometheus.yml"],
    )?;
    run(
        "promtool",
        &["test", "rules", "docker/prometheus/alerts.test.yml"],
    )?;
    Ok(())
}

/// All words of a text that begin with `prefix`.
fn words_with(text: &str, prefix: &str) -> BTreeSet<String> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| word.starts_with(prefix) && *word != prefix)
        .map(str::to_owned)
        .collect()
}

/// The texts between quotation marks in the sources of the metrics: names, and more.
fn names_in_the_sources() -> Result<BTreeSet<String>> {
    let folder = root().join("src/gateway");
    let mut files = vec![folder.join("metrics.rs")];
    for entry in fs::read_dir(folder.join("metrics"))? {
        files.push(entry?.path());
    }
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        names.extend(text.split('"').skip(1).step_by(2).map(str::to_owned));
    }
    Ok(names)
}

/// Whether a name of Prometheus' is one of the sources with the unit and the ending that its kind gets.
fn is_known(metric: &str, names: &BTreeSet<String>) -> bool {
    let mut name = metric.trim_start_matches("castgate_");
    for ending in ["_bucket", "_count", "_sum", "_total", "_seconds", "_bytes"] {
        if names.contains(name) {
            return true;
        }
        name = name.strip_suffix(ending).unwrap_or(name);
    }
    names.contains(name)
}

#[test]
fn everything_that_is_watched_is_measured() -> Result<()> {
    let names = names_in_the_sources()?;
    let mut watched = BTreeSet::new();
    for file in [
        "docker/prometheus/alerts.yml",
        "docker/prometheus/adapter.yaml",
        "docker/grafana/dashboards/castgate.json",
        "docker/helm/castgate/templates/autoscaling.yaml",
    ] {
        let found = words_with(&text_of(file)?, "castgate_");
        assert!(!found.is_empty(), "{file} watches nothing");
        watched.extend(found);
    }

    let unknown: Vec<_> = watched
        .iter()
        .filter(|metric| !is_known(metric, &names))
        .collect();

    assert!(unknown.is_empty(), "nobody measures {unknown:?}");
    assert!(!is_known("castgate_load_ratio_of_nobody", &names));
    Ok(())
}

/// The service's file with a program that is there, since `verify` looks for it.
fn unit(folder: &Path) -> Result<String> {
    let unit = text_of("docker/systemd/castgate.service")?
        .replace("/usr/local/bin/media-server", "/bin/true");
    let path = folder.join("castgate.service");
    fs::write(&path, unit)?;
    Ok(path.display().to_string())
}

#[test]
fn the_service_is_one_that_systemd_takes() -> Result<()> {
    let scratch = Scratch::new()?;

    let said = run("systemd-analyze", &["verify", &unit(scratch.path())?])?;

    // It succeeds on words that it does not know, and tells of them.
    assert_eq!(said.trim(), "");
    Ok(())
}

#[test]
fn the_service_has_few_rights() -> Result<()> {
    let scratch = Scratch::new()?;

    let said = run(
        "systemd-analyze",
        &[
            "security",
            "--offline=true",
            "--no-pager",
            &unit(scratch.path())?,
        ],
    )?;

    let (_, verdict) = said
        .split_once("Overall exposure level for castgate.service: ")
        .with_context(|| said.clone())?;
    let exposure: f64 = verdict
        .split_whitespace()
        .next()
        .context("the figure")?
        .parse()?;
    ensure!(exposure <= EXPOSURE_LIMIT, "{said}");
    Ok(())
}
