//! Janus, an SFU that is not ours, with one video room.

use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};

use crate::{Process, Scratch, browser::folder, eventually, free_port};

const START_LIMIT: Duration = Duration::from_mins(1);
/// From the start of the browser to packets that are forwarded.
const PUBLISH_LIMIT: Duration = Duration::from_mins(2);
const ROOM: u32 = 1234;
/// Where Debian puts what Janus loads.
const MODULES: &str = "/usr/lib/x86_64-linux-gnu/janus";

/// A running Janus. It is killed when this is dropped.
#[derive(Debug)]
pub struct Janus {
    _process: Process,
    port: u16,
    _scratch: Scratch,
}

/// A browser that publishes to Janus until this is dropped.
#[derive(Debug)]
pub struct JanusPublisher {
    _browser: Child,
}

impl Janus {
    /// Starts it on free ports, with configuration of its own.
    pub async fn start() -> Result<Self> {
        let scratch = Scratch::new()?;
        let port = free_port()?;
        configure(scratch.path(), port)?;
        let mut command = Command::new("janus");
        command
            .arg("--configs-folder")
            .arg(scratch.path())
            .arg("--config")
            .arg(scratch.path().join("janus.jcfg"));
        let mut process = Process::spawn("janus", command, scratch.path().join("janus.log"))?;
        eventually("Janus listens", START_LIMIT, async || {
            if let Some(status) = process.ended()? {
                bail!("Janus ended with {status}: {}", process.output()?);
            }
            let connected = TcpStream::connect(("127.0.0.1", port)).await;
            Ok(connected.ok().map(drop))
        })
        .await?;
        Ok(Self {
            _process: process,
            port,
            _scratch: scratch,
        })
    }

    /// Has a browser publish a canvas with flash and beep to the room, and the room forward it to the ports of an ingest:
    /// pictures as 96, sound as 97.
    pub async fn publish_and_forward(&self, ingest: &Value) -> Result<JanusPublisher> {
        let forwards = json!({
            "video": { "port": ingest["video"]["port"], "rtcp_port": ingest["video"]["rtcpPort"], "pt": 96 },
            "audio": { "port": ingest["audio"]["port"], "pt": 97 },
        });
        let mut browser = Command::new("node")
            .arg("janus.mjs")
            .arg(format!("http://127.0.0.1:{}/janus", self.port))
            .arg(ROOM.to_string())
            .arg(forwards.to_string())
            .current_dir(folder()?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("node")?;
        let output = browser.stdout.take().context("its output")?;
        let mut lines = BufReader::new(output).lines();
        let line = timeout(PUBLISH_LIMIT, lines.next_line())
            .await
            .context("the browser did not publish in time")??;
        ensure!(
            line.as_deref() == Some("forwarding"),
            "the browser failed: {line:?}"
        );
        Ok(JanusPublisher { _browser: browser })
    }
}

/// One plugin, one transport, and nothing beyond this machine.
fn configure(folder: &Path, port: u16) -> Result<()> {
    let main = format!(
        "general: {{
  plugins_folder = \"{MODULES}/plugins\"
  transports_folder = \"{MODULES}/transports\"
  events_folder = \"{MODULES}/events\"
  loggers_folder = \"{MODULES}/loggers\"
  debug_level = 4
  server_name = \"test\"
}}
media: {{ rtp_port_range = \"32100-32700\" }}
nat: {{ ice_lite = true, full_trickle = false, ice_ignore_list = \"vmnet\" }}
plugins: {{ disable = \"{}\" }}
transports: {{ disable = \"{}\" }}
",
        others(&format!("{MODULES}/plugins"), "libjanus_videoroom.so")?,
        others(&format!("{MODULES}/transports"), "libjanus_http.so")?,
    );
    let http = format!(
        "general: {{ json = \"compact\", base_path = \"/janus\", http = true, port = {port}, ip = \"127.0.0.1\", https = false }}
admin: {{ admin_http = false }}
"
    );
    let room = format!(
        "room-{ROOM}: {{
  description = \"test\"
  publishers = 2
  bitrate = 1500000
  audiocodec = \"opus\"
  videocodec = \"h264\"
  h264_profile = \"42e01f\"
}}
"
    );
    fs::write(folder.join("janus.jcfg"), main)?;
    fs::write(folder.join("janus.transport.http.jcfg"), http)?;
    fs::write(folder.join("janus.plugin.videoroom.jcfg"), room)?;
    Ok(())
}

/// The names of all modules in a folder but one, separated by commas.
fn others(folder: &str, kept: &str) -> Result<String> {
    let entries = fs::read_dir(folder).with_context(|| format!("{folder}: is janus installed?"))?;
    let names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "so") && name != kept)
        .collect();
    Ok(names.join(","))
}
