//! A Redis of a test's own, with a password, which can be killed, stopped, and asked for everything it knows.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use tokio::process::Command;

use crate::{Process, Scratch, eventually, free_port};

const START_LIMIT: Duration = Duration::from_secs(10);

const PROGRAM: &str = "redis-server";

/// A running Redis. It is killed when this is dropped.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    listener: Option<Process>,
    address: SocketAddr,
    scratch: Scratch,
}

impl Redis {
    /// What nodes must know to be let in.
    pub const PASSWORD: &'static str = "canary-of-the-redis-password";

    /// Starts it on a free port of loopback. It keeps nothing on disk, so that a restart is a loss of memory.
    pub async fn start() -> Result<Self> {
        let scratch = Scratch::new()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut redis = Self {
            process: spawn(address, &scratch)?,
            listener: None,
            address,
            scratch,
        };
        redis.answers().await?;
        Ok(redis)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL with the password, by way of another address that leads to it.
    pub fn url_by(&self, address: SocketAddr) -> String {
        format!("redis://:{}@{address}", Self::PASSWORD)
    }

    /// Kills it.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Starts it again on the same port, without memory.
    pub async fn restart(&mut self) -> Result<()> {
        self.process = spawn(self.address, &self.scratch)?;
        self.answers().await
    }

    /// Lets it stand still: it takes connections, and answers nobody.
    pub fn freeze(&self) -> Result<()> {
        self.process.signal(Signal::SIGSTOP)
    }

    /// Lets it go on.
    pub fn thaw(&self) -> Result<()> {
        self.process.signal(Signal::SIGCONT)
    }

    /// Says something to it, and returns what it answers.
    pub async fn ask(&self, words: &[&str]) -> Result<String> {
        let output = self.command().args(words).output().await?;
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{words:?}: {answer}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(answer)
    }

    /// From now on every command that it is given is written down.
    pub async fn listen(&mut self) -> Result<()> {
        let mut command = self.command();
        command.arg("MONITOR");
        let log = self.scratch.path().join("commands.log");
        let listener = Process::spawn("redis-cli monitor", command, log)?;
        eventually("commands are written down", START_LIMIT, async || {
            Ok(listener.output()?.contains("OK").then_some(()))
        })
        .await?;
        self.listener = Some(listener);
        Ok(())
    }

    /// The commands that were written down, as `MONITOR` shows them.
    pub fn heard(&self) -> Result<String> {
        self.listener.as_ref().context("nobody listens")?.output()
    }

    /// All it knows, as it would be written to disk, nothing compressed.
    pub async fn memory(&self) -> Result<Vec<u8>> {
        self.ask(&["SAVE"]).await?;
        Ok(fs::read(self.scratch.path().join("dump.rdb"))?)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("redis-cli");
        command
            .args(["-p", &self.address.port().to_string()])
            // As an argument others would see it, and the program would complain.
            .env("REDISCLI_AUTH", Self::PASSWORD)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn answers(&mut self) -> Result<()> {
        eventually("Redis answers", START_LIMIT, async || {
            if let Some(status) = self.process.ended()? {
                bail!("Redis ended with {status}: {}", self.process.output()?);
            }
            let answer = self.ask(&["PING"]).await;
            Ok(answer
                .is_ok_and(|answer| answer.trim() == "PONG")
                .then_some(()))
        })
        .await
    }
}

fn spawn(address: SocketAddr, scratch: &Scratch) -> Result<Process> {
    let mut command = Command::new(PROGRAM);
    command
        .args(["--bind", &address.ip().to_string()])
        .args(["--port", &address.port().to_string()])
        .args(["--requirepass", Redis::PASSWORD])
        .args(["--save", "", "--rdbcompression", "no"])
        .arg("--dir")
        .arg(scratch.path());
    Process::spawn("redis", command, scratch.path().join("redis.log"))
}
