//! `scripts/setup-media-server.sh`: what it writes, that it can be run again, and that a gateway starts with it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::{Scratch, gateway_command};

use super::{attempt, look, root, run};

const ADDRESS: &str = "203.0.113.9";

const SCRIPT: &str = "scripts/setup-media-server.sh";

fn set_up(way: &str, folder: &Path, more: &[&str]) -> Result<String> {
    let folder = folder.display().to_string();
    let arguments = [&["--way", way, "--directory", &folder, "--no-start"], more].concat();
    run(SCRIPT, &arguments)
}

const FIRST: [&str; 5] = [
    "--domain",
    "media.example.org",
    "--public-ip",
    ADDRESS,
    "--self-signed",
];

/// Every file below a folder, with what is in it.
fn contents(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(contents(&path)?);
        } else {
            found.insert(path.clone(), fs::read(&path)?);
        }
    }
    Ok(found)
}

fn mode(path: &Path) -> Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o777)
}

/// The environment of a node, with its secrets where they are instead of where it would see them.
fn environment(text: &str, seen: &str, folder: &Path) -> Vec<(String, String)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| {
            (
                name.to_owned(),
                value.replace(seen, &folder.join("secrets").display().to_string()),
            )
        })
        .collect()
}

/// Has the gateway read its configuration, and returns what it makes of it.
async fn check_configuration(environment: &[(String, String)]) -> Result<String> {
    let output = gateway_command()
        .await?
        .arg("check-config")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(said)
}

fn from_json(environment: &Value) -> Result<String> {
    let lines: Option<Vec<String>> = environment
        .as_object()
        .context("an environment")?
        .iter()
        .map(|(name, value)| Some(format!("{name}={}", value.as_str()?)))
        .collect();
    Ok(lines.context("texts")?.join("\n"))
}

#[test]
fn a_second_run_changes_nothing_and_no_secret_is_told() -> Result<()> {
    for way in ["compose", "systemd"] {
        let scratch = Scratch::new()?;
        let folder = scratch.path();

        let said = set_up(way, folder, &FIRST)?;

        let before = contents(folder)?;
        let secrets = contents(&folder.join("secrets"))?;
        assert!(secrets.len() >= 2, "{secrets:?}");
        assert_eq!(mode(&folder.join("secrets"))?, 0o700);
        for (path, secret) in &secrets {
            let secret = String::from_utf8(secret.clone())?;
            assert_eq!(mode(path)? & 0o222, 0, "{} can be written", path.display());
            assert!(!said.contains(secret.trim()), "{} is told", path.display());
        }
        // Each is made by itself.
        let jwt = &secrets[&folder.join("secrets/jwt")];
        assert_eq!(jwt.len(), 64, "32 bytes in hexadecimal");
        assert_ne!(jwt, &secrets[&folder.join("secrets/turn")]);

        set_up(way, folder, &[])?;

        assert_eq!(contents(folder)?, before, "{way}");
    }
    Ok(())
}

#[test]
fn what_somebody_has_changed_stays() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path().join("environment");
    set_up("systemd", scratch.path(), &FIRST)?;
    let text = fs::read_to_string(&file)?;
    let changed = text.replace("SHUTDOWN_TIMEOUT_MS=30000", "SHUTDOWN_TIMEOUT_MS=45000");
    assert_ne!(changed, text);
    fs::write(&file, format!("{changed}WORKERS=3\n"))?;

    set_up("systemd", scratch.path(), &["--public-ip", "203.0.113.10"])?;

    let text = fs::read_to_string(&file)?;
    let lines: Vec<_> = text.lines().collect();
    for wanted in [
        "SHUTDOWN_TIMEOUT_MS=45000",
        "WORKERS=3",
        "ANNOUNCED_IP=203.0.113.10",
        "PUBLIC_URL=https://media.example.org",
    ] {
        assert!(lines.contains(&wanted), "{wanted} is not in {text}");
    }
    assert!(!text.contains(ADDRESS), "{text}");
    Ok(())
}

#[test]
fn a_dry_run_does_nothing() -> Result<()> {
    for way in ["compose", "systemd"] {
        let scratch = Scratch::new()?;
        let folder = scratch.path().join("not-yet");
        let path = folder.display().to_string();

        let said = run(
            SCRIPT,
            &[
                &["--way", way, "--directory", &path, "--dry-run"],
                &FIRST[..],
            ]
            .concat(),
        )?;

        assert!(said.contains("would make the secret jwt"), "{said}");
        assert!(!folder.exists());
    }
    Ok(())
}

#[test]
fn what_cannot_be_is_refused_with_words() -> Result<()> {
    for (arguments, words) in [
        (vec!["--domain", "no host"], "not the name of a host"),
        (
            vec!["--domain", "a.example.org", "--public-ip", "1.2.3.400"],
            "no public address",
        ),
        (
            vec!["--domain", "a.example.org", "--public-ip", ADDRESS],
            "give --certificates",
        ),
        (vec!["--domain"], "needs a value"),
        (
            vec!["--way", "balloon", "--domain", "a.example.org"],
            "--way is",
        ),
        (vec!["--unheard-of"], "usage"),
    ] {
        let scratch = Scratch::new()?;
        let path = scratch.path().display().to_string();

        let output = attempt(
            SCRIPT,
            &[&["--directory", &path, "--no-start"], &arguments[..]].concat(),
        )?;

        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(contents(scratch.path())?.is_empty(), "{arguments:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_node_of_the_composition_takes_its_configuration() -> Result<()> {
    let scratch = Scratch::new()?;
    set_up("compose", scratch.path(), &FIRST)?;
    let written = fs::read_to_string(scratch.path().join(".env"))?;
    let values = written.lines().filter(|line| !line.starts_with('#'));
    for node in ["node-1", "node-2"] {
        let arguments: Vec<_> = ["compose-environment", node]
            .into_iter()
            .chain(values.clone())
            .collect();
        let given = from_json(&serde_json::from_str(&look(&arguments)?)?)?;

        let said =
            check_configuration(&environment(&given, "/run/secrets", scratch.path())).await?;

        assert!(said.contains(ADDRESS), "{said}");
        for (path, secret) in contents(&scratch.path().join("secrets"))? {
            let secret = String::from_utf8(secret)?;
            assert!(!said.contains(secret.trim()), "{} is told", path.display());
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_service_takes_its_configuration() -> Result<()> {
    let scratch = Scratch::new()?;
    set_up("systemd", scratch.path(), &FIRST)?;
    let given = fs::read_to_string(scratch.path().join("environment"))?;
    // As LoadCredential=secret:/etc/castgate/secrets names each file there.
    let seen = "/run/credentials/castgate.service/secret_";
    assert!(given.contains(seen));
    let given = given.replace(seen, "/etc/castgate/secrets/");

    let said = check_configuration(&environment(
        &given,
        "/etc/castgate/secrets",
        scratch.path(),
    ))
    .await?;

    assert!(said.contains("https://media.example.org"), "{said}");
    Ok(())
}

/// Helm's library is to be had for this architecture only.
#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn a_pod_takes_its_configuration() -> Result<()> {
    let scratch = Scratch::new()?;
    // A Secret with the keys of the chart, as its notes ask for.
    set_up("compose", scratch.path(), &FIRST)?;
    let secrets = scratch.path().join("secrets");
    for (key, file) in [
        ("JWT_SECRET", "jwt"),
        ("REDIS_URL", "redis-url"),
        ("SECRETS_KEY", "secrets-key"),
    ] {
        fs::copy(secrets.join(file), secrets.join(key))?;
    }
    let pod: Value = serde_json::from_str(&look(&["chart-environment"])?)?;
    let start = scratch.path().join("start.sh");
    fs::write(&start, pod["start"].as_str().context("a script")?)?;
    let given = from_json(&pod["environment"])?;
    let gateway = gateway_command().await?;
    let program = Path::new(gateway.as_std().get_program());
    let folder = program.parent().context("its folder")?;

    // The pod's own script, which finds the program on its PATH and adds what is known only there.
    let output = tokio::process::Command::new("/bin/sh")
        .arg(&start)
        .arg("check-config")
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .envs(environment(&given, "/etc/castgate/secrets", scratch.path()))
        .current_dir(root())
        .output()
        .await?;

    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for wanted in ["castgate-0", "203.0.113.4", "40000"] {
        assert!(said.contains(wanted), "{wanted} is not in {said}");
    }
    Ok(())
}
