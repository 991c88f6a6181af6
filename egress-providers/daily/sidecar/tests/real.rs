//! The sidecar's program with Daily's own SDK, as far as that goes without Daily: `tests/servers/daily_join.py`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Runs one part of the program; each of its cases that is not as expected is shown.
fn run(part: &str) {
    let servers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/servers");
    let sidecar: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("daily/sidecar/sidecar.py");
    if !is_installed() {
        eprintln!("SKIPPED: Daily's SDK is not installed; run the tests by scripts/test");
        return;
    }
    let output = Command::new("python3")
        .arg(servers.join("daily_join.py"))
        .arg(part)
        .arg(sidecar)
        // The SDK complains of what is wrong on purpose.
        .stderr(Stdio::null())
        .output()
        .unwrap();

    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = said
        .lines()
        .filter(|line| !line.contains(r#""right": true"#));
    let wrong: Vec<&str> = wrong.collect();
    assert!(
        output.status.success() && wrong.is_empty(),
        "{}: {wrong:#?}",
        output.status
    );
    assert!(said.lines().count() >= 2);
}

fn is_installed() -> bool {
    let import = Command::new("python3")
        .args(["-c", "import cryptography; from daily import CallClient"])
        .stderr(Stdio::null())
        .status();
    import.is_ok_and(|status| status.success())
}

#[test]
fn the_sdk_takes_our_settings_and_refuses_what_we_think_it_does() {
    run("settings");
}

#[test]
fn each_answer_of_the_room_lookup_ends_the_sidecar_with_its_code() {
    run("joins");
}

#[test]
fn a_call_is_left_and_released_twenty_times_without_a_crash_or_a_leak() {
    run("leaves");
}

#[test]
fn the_sdk_takes_whole_pictures_only_and_sound_at_its_own_pace() {
    run("frames");
}
