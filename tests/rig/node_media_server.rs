//! Node-Media-Server: a second RTMP server that is not ours, which records what it is sent.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use serde_json::json;
use tokio::{net::TcpStream, process::Command};

use crate::{Process, Scratch, eventually, free_port};

/// On a machine that is busy.
const START_LIMIT: Duration = Duration::from_mins(1);

/// On a machine that is busy.
const CLOSE_LIMIT: Duration = Duration::from_secs(30);

/// A recording that has not grown from one of so many looks to the next is whole: it is written as it comes.
const SAME_LOOKS: u32 = 60;

/// A running server with an application `live` that records every stream.
#[derive(Debug)]
pub struct NodeMediaServer {
    process: Process,
    port: u16,
    scratch: Scratch,
}

impl NodeMediaServer {
    /// Starts it on a free port.
    pub async fn start() -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/node_modules");
        let program = folder.join("node-media-server/bin/app.js");
        ensure!(
            program.is_file(),
            "no node_modules: run scripts/setup, or npm ci in tests/servers"
        );
        let scratch = Scratch::new()?;
        let port = free_port()?;
        let configuration = json!({
            "bind": "127.0.0.1",
            "rtmp": { "port": port },
            "store": { "path": "./data" },
            "auth": { "play": false, "publish": false, "secret": "of-no-use" },
            "record": { "auto": true, "path": "./record" },
        });
        let file = scratch.path().join("configuration.json");
        fs::write(&file, configuration.to_string())?;
        let mut command = Command::new("node");
        command.arg(program).arg("-c").arg(file);
        let log = scratch.path().join("server.log");
        let mut server = Self {
            process: Process::spawn("node-media-server", command, log)?,
            port,
            scratch,
        };
        server.listen().await?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// How often somebody began to publish under a key.
    pub fn publications(&self, key: &str) -> Result<usize> {
        let began = format!("start push /live/{key}\n");
        Ok(self.process.output()?.matches(&began).count())
    }

    /// The one recording of a stream key, once its publisher has left.
    pub async fn finished_recording(&self, key: &str) -> Result<PathBuf> {
        let folder = self.scratch.path().join("record/live").join(key);
        let mut recordings: Vec<_> = fs::read_dir(&folder)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        let (Some(recording), true) = (recordings.pop(), recordings.is_empty()) else {
            bail!("not one recording in {}", folder.display());
        };
        let mut last = (0, 0);
        eventually("the recording grows no more", CLOSE_LIMIT, async || {
            let length = recording.metadata()?.len();
            last = (length, if length == last.0 { last.1 + 1 } else { 0 });
            Ok((last.1 >= SAME_LOOKS).then(|| recording.clone()))
        })
        .await
    }

    async fn listen(&mut self) -> Result<()> {
        let address = self.address();
        eventually("the server listens and records", START_LIMIT, async || {
            if let Some(status) = self.process.ended()? {
                bail!("it ended with {status}: {}", self.process.output()?);
            }
            // It listens before it is ready to record.
            let ready = self.process.output()?.contains("Store ready");
            Ok(TcpStream::connect(address)
                .await
                .ok()
                .filter(|_| ready)
                .map(drop))
        })
        .await
    }
}
