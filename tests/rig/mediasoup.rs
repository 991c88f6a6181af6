//! mediasoup: an SFU that is not ours, by whose words the five servers' clients speak.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use crate::{Process, Scratch, eventually, free_port};

/// On a machine that is busy.
const START_LIMIT: Duration = Duration::from_mins(1);

/// Ports that it has for media, from the first on.
const MEDIA_PORTS: u16 = 200;

/// A running server that speaks as the `MediaSoup` SFU does and, by REST, as Hermes does. It is killed when this is dropped.
#[derive(Debug)]
pub struct Mediasoup {
    process: Process,
    http: SocketAddr,
    _scratch: Scratch,
}

impl Mediasoup {
    /// Starts it on free ports, with one worker.
    pub async fn start() -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers");
        ensure!(
            folder.join("node_modules/mediasoup_prebuilt").is_dir(),
            "no node_modules: run scripts/setup, or npm ci in tests/servers"
        );
        let scratch = Scratch::new()?;
        let http = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let media = free_port()?.min(u16::MAX - MEDIA_PORTS);
        let mut command = Command::new("node");
        command
            .arg(folder.join("mediasoup.mjs"))
            .args([http.port(), media].map(|port| port.to_string()));
        let log = scratch.path().join("mediasoup.log");
        let mut server = Self {
            process: Process::spawn("mediasoup", command, log)?,
            http,
            _scratch: scratch,
        };
        eventually("mediasoup listens", START_LIMIT, async || {
            if let Some(status) = server.process.ended()? {
                bail!(
                    "mediasoup ended with {status}: {}",
                    server.process.output()?
                );
            }
            Ok(server.process.output()?.contains("worker ").then_some(()))
        })
        .await?;
        Ok(server)
    }

    /// Where its clients find it.
    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// The process that forwards the media.
    pub fn worker(&self) -> Result<u32> {
        let output = self.process.output()?;
        let number = output
            .lines()
            .find_map(|line| line.strip_prefix("worker "))
            .context("no worker")?;
        Ok(number.parse()?)
    }
}
