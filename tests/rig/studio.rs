//! A studio without a browser: the binary's own `publish`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::{Process, Scratch, gateway::gateway_command};

/// How much longer than its media a studio may take, to connect and to leave.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a studio says it has sent.
#[derive(Debug, Clone, Copy)]
pub struct StudioReport {
    /// Pictures.
    pub frames: usize,
}

/// A synthetic studio: flash and beep each second, H.264 and Opus.
#[derive(Debug)]
pub struct Studio {
    process: Process,
    length: Duration,
    _scratch: Scratch,
}

impl Studio {
    /// Begins to publish to a WHIP URL, for so many seconds.
    pub async fn publish(url: &str, token: Option<&str>, seconds: u32) -> Result<Self> {
        let scratch = Scratch::new()?;
        let mut command = gateway_command().await?;
        command.args(["publish", "--url", url, "--seconds", &seconds.to_string()]);
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
        let frames = output
            .lines()
            .filter_map(|line| {
                line.split_once(" frames, ")?
                    .0
                    .rsplit(' ')
                    .next()?
                    .parse()
                    .ok()
            })
            .next_back();
        Ok(StudioReport {
            frames: frames.with_context(|| format!("no frames in: {output}"))?,
        })
    }

    /// Waits until it has given up.
    pub async fn fail(mut self) -> Result<String> {
        let status = self.process.wait(self.length + PATIENCE).await?;
        ensure!(!status.success(), "the studio was content");
        self.process.output()
    }

    /// Ends it without a good-bye.
    pub async fn vanish(mut self) -> Result<()> {
        self.process.kill().await
    }
}
