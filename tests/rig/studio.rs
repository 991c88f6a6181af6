//! A studio without a browser: the binary's own `publish`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use crate::{Process, Scratch, gateway::gateway_command};

/// How much longer than its media a studio may take, to connect and to leave.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a studio says it has sent.
#[derive(Debug, Clone, Copy)]
pub struct StudioReport {
    /// Pictures.
    pub frames: usize,
    /// Pictures that were never made, because the encoder was late.
    pub late_frames: usize,
    /// Keyframes that the gateway asked for, as far as the requests arrived.
    pub keyframe_requests: usize,
}

/// A synthetic studio: flash and beep each second, H.264 and Opus unless it is told otherwise.
#[derive(Debug)]
pub struct Studio {
    process: Process,
    length: Duration,
    _scratch: Scratch,
}

impl Studio {
    /// Begins to publish to a WHIP URL, for so many seconds.
    pub async fn publish(url: &str, token: Option<&str>, seconds: u32) -> Result<Self> {
        Self::start(url, token, seconds, &[]).await
    }

    /// The same with more of the command's arguments, such as `--codec vp8`.
    pub async fn publish_with(url: &str, seconds: u32, arguments: &[&str]) -> Result<Self> {
        Self::start(url, None, seconds, arguments).await
    }

    async fn start(
        url: &str,
        token: Option<&str>,
        seconds: u32,
        arguments: &[&str],
    ) -> Result<Self> {
        let scratch = Scratch::new()?;
        let mut command = gateway_command().await?;
        command
            .args(["publish", "--url", url, "--seconds", &seconds.to_string()])
            .args(arguments);
        if let Some(token) = token {
            command.env("TOKEN", token);
        }
        Ok(Self {
            process: Process::spawn("studio", command, scratch.path().join("studio.log"))?,
            length: Duration::from_secs(seconds.into()),
            _scratch: scratch,
        })
    }

    /// Waits until it has sent all and left; it must be content.
    pub async fn finish(mut self) -> Result<StudioReport> {
        let status = self.process.wait(self.length + PATIENCE).await?;
        ensure!(status.success(), "the studio ended with {status}");
        let output = self.process.output()?;
        let count = |what: &str| {
            output
                .lines()
                .filter(|line| line.contains(": answered after "))
                .filter_map(|line| line.split_once(what)?.0.rsplit(' ').next()?.parse().ok())
                .next_back()
                .with_context(|| format!("no{what} in: {output}"))
        };
        Ok(StudioReport {
            frames: count(" frames, ")?,
            late_frames: count(" late frames, ")?,
            keyframe_requests: count(" keyframe requests")?,
        })
    }

    /// Waits until it has given up.
    pub async fn fail(mut self) -> Result<String> {
        let status = self.process.wait(self.length + PATIENCE).await?;
        ensure!(!status.success(), "the studio was content");
        self.process.output()
    }

    /// Has it say good-bye before its time.
    pub async fn leave(mut self) -> Result<()> {
        self.process.signal(Signal::SIGINT)?;
        let status = self.process.wait(PATIENCE).await?;
        ensure!(status.success(), "the studio ended with {status}");
        Ok(())
    }

    /// Ends it without a good-bye.
    pub async fn vanish(mut self) -> Result<()> {
        self.process.kill().await
    }
}
