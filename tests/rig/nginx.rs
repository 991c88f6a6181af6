//! nginx with its RTMP module: a server that is not ours, which records what it is sent.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail};
use tokio::{net::TcpStream, process::Command};

use crate::{Namespace, Process, Scratch, eventually, free_port};

/// On a machine that is busy.
const START_LIMIT: Duration = Duration::from_mins(1);

/// nginx closes a recording as soon as its publisher has left, on a machine that is busy.
const CLOSE_LIMIT: Duration = Duration::from_secs(30);

const PROGRAM: &str = "/usr/sbin/nginx";

/// Where Debian puts the module.
const MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";

/// A running nginx with an application `live` that records every stream.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    address: SocketAddr,
    scratch: Scratch,
}

impl Nginx {
    /// Starts it on a free port.
    pub async fn start() -> Result<Self> {
        Self::start_by(Ipv4Addr::LOCALHOST, Command::new(PROGRAM), "").await
    }

    /// Starts it within a network of its own, on a free port. A publisher that it does not hear is forgotten after a while,
    /// as platforms do; otherwise it would let nobody else publish under the key.
    pub async fn start_within(namespace: &Namespace) -> Result<Self> {
        let forgetful = "drop_idle_publisher 5s;";
        Self::start_by(namespace.inside(), namespace.command(PROGRAM), forgetful).await
    }

    async fn start_by(address: Ipv4Addr, command: Command, more: &str) -> Result<Self> {
        let scratch = Scratch::new()?;
        let address = SocketAddr::from((address, free_port()?));
        fs::create_dir(scratch.path().join("recordings"))?;
        fs::write(
            scratch.path().join("nginx.conf"),
            configuration(scratch.path(), address, more),
        )?;
        let mut nginx = Self {
            process: spawn(command, scratch.path())?,
            address,
            scratch,
        };
        nginx.listen().await?;
        Ok(nginx)
    }

    /// Kills it, as a crash would.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Starts it again on the same port of loopback, with the same recordings.
    pub async fn restart(&mut self) -> Result<()> {
        self.process = spawn(Command::new(PROGRAM), self.scratch.path())?;
        self.listen().await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where to publish to, without the key.
    pub fn url(&self) -> String {
        format!("rtmp://{}/live", self.address())
    }

    /// How often a publisher was turned away because another was publishing under its key.
    pub fn collisions(&self) -> Result<usize> {
        Ok(self.process.output()?.matches("already publishing").count())
    }

    /// How far the latest recording of a stream key has come; zero when there is none.
    pub fn recorded(&self, key: &str) -> Result<Duration> {
        match self.recordings(key)?.last() {
            Some(path) => Ok(last_timestamp(&fs::read(path)?)),
            None => Ok(Duration::ZERO),
        }
    }

    /// The recordings of one stream key, oldest first.
    pub fn recordings(&self, key: &str) -> Result<Vec<PathBuf>> {
        let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(self.scratch.path().join("recordings"))? {
            let entry = entry?;
            if entry
                .file_name()
                .to_string_lossy()
                .starts_with(&format!("{key}-"))
            {
                found.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        found.sort();
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }

    /// The one recording of a stream key, once its publisher has left.
    pub async fn finished_recording(&self, key: &str) -> Result<PathBuf> {
        let recordings = self.recordings(key)?;
        let [recording] = recordings.as_slice() else {
            bail!("{} recordings of '{key}'", recordings.len());
        };
        self.closed(recording).await?;
        Ok(recording.clone())
    }

    /// The recordings of a stream key that was published to one after the other, oldest first, once the last has left.
    pub async fn finished_recordings(&self, key: &str) -> Result<Vec<PathBuf>> {
        let recordings = self.recordings(key)?;
        for recording in &recordings {
            self.closed(recording).await?;
        }
        Ok(recordings)
    }

    async fn closed(&self, recording: &Path) -> Result<()> {
        let path = recording.display().to_string();
        let id = self.process.id()?;
        eventually("the recording is closed", CLOSE_LIMIT, async || {
            Ok((!open_files(id)?.contains(&path)).then_some(()))
        })
        .await
    }

    async fn listen(&mut self) -> Result<()> {
        let address = self.address();
        eventually("nginx listens", START_LIMIT, async || {
            if let Some(status) = self.process.ended()? {
                bail!("nginx ended with {status}: {}", self.process.output()?);
            }
            Ok(TcpStream::connect(address).await.ok().map(drop))
        })
        .await
    }
}

fn spawn(mut command: Command, folder: &Path) -> Result<Process> {
    command
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(folder.join("nginx.conf"))
        .args(["-e", "stderr"]);
    Process::spawn("nginx", command, folder.join("nginx.log"))
}

/// One process, so that ending it leaves nothing behind.
fn configuration(folder: &Path, address: SocketAddr, more: &str) -> String {
    let folder = folder.display();
    format!(
        "daemon off; master_process off; worker_processes 1;
load_module {MODULE};
pid {folder}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 64; }}
rtmp {{
  access_log off;
  server {{
    listen {address};
    chunk_size 4096;
    application live {{
      live on;
      {more}
      record all;
      record_path {folder}/recordings;
      record_suffix -%s.flv;
      record_unique off;
    }}
  }}
}}
"
    )
}

/// The time of the last whole tag of an FLV file, behind its header of 9 bytes and the length of no tag before the first.
fn last_timestamp(flv: &[u8]) -> Duration {
    let (mut rest, mut last) = (flv.get(13..).unwrap_or_default(), 0);
    while let [_, a, b, c, d, e, f, upper, _, _, _, behind @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some(next) = behind.get(length + 4..) else {
            break;
        };
        last = u32::from_be_bytes([*upper, *d, *e, *f]);
        rest = next;
    }
    Duration::from_millis(last.into())
}

fn open_files(id: u32) -> Result<Vec<String>> {
    let folder = PathBuf::from(format!("/proc/{id}/fd"));
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    Ok(entries
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .map(|target| target.display().to_string())
        .collect())
}
