//! The command line of `media-server publish`.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use media::VideoCodec;
use pipelines::gstreamer::StudioOptions;
use tokio_util::sync::CancellationToken;

use super::{PublishOptions, PublishReport, run};
use crate::config::Secret;

/// Publishes a synthetic studio, a moving picture with a flash and a beep each second, over WHIP.
#[derive(Debug, Clone, clap::Args)]
pub struct PublishArguments {
    /// WHIP URL; with more than one session it contains {n}, the number of the session
    #[arg(long)]
    url: String,

    /// Bearer token; other users of this machine can see it, so prefer TOKEN or --token-file
    #[arg(long, env = "TOKEN", hide_env_values = true, value_parser = secret)]
    token: Option<Secret>,

    /// File that holds the bearer token
    #[arg(long, conflicts_with = "token")]
    token_file: Option<PathBuf>,

    /// How long to publish, in seconds; without it until interrupted
    #[arg(long)]
    seconds: Option<u64>,

    /// How many sessions at once
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    sessions: u16,

    /// How the picture is coded: h264, vp8 or vp9
    #[arg(long, default_value = "h264", value_parser = codec)]
    codec: VideoCodec,

    /// Picture width in pixels
    #[arg(long, default_value_t = 1280)]
    width: u32,

    /// Picture height in pixels
    #[arg(long, default_value_t = 720)]
    height: u32,

    /// Pictures a second
    #[arg(long, default_value_t = 30)]
    fps: u32,

    /// Video bitrate in kbit/s
    #[arg(long, default_value_t = 3_000)]
    video_kbps: u32,

    /// Of a hundred packets of picture, put garbage in so many, as a broken encoder does
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    damage: u8,
}

impl PublishArguments {
    /// Publishes, with a line a second on standard output, until the time is up or `stop` is cancelled.
    ///
    /// The exit code is 0 when every session published to its end.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<ExitCode> {
        let options = self.options()?;
        let report = run(options, stop, |progress| {
            // Nobody reads standard output any more: publishing goes on.
            let _ = writeln!(io::stdout(), "{progress}");
        })
        .await?;
        print(&report)?;
        Ok(if report.succeeded() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn options(self) -> anyhow::Result<PublishOptions> {
        let token = match (self.token, &self.token_file) {
            (Some(token), _) => Some(token),
            (None, Some(path)) => Some(Secret::new(std::fs::read_to_string(path)?.trim())),
            (None, None) => None,
        };
        Ok(PublishOptions {
            url: self.url,
            token,
            duration: self.seconds.map(Duration::from_secs),
            sessions: usize::from(self.sessions),
            studio: StudioOptions {
                codec: self.codec,
                width: self.width,
                height: self.height,
                frames_per_second: self.fps,
                video_bits_per_second: self.video_kbps.saturating_mul(1_000),
                ..StudioOptions::default()
            },
            damage_percent: self.damage,
        })
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape that clap wants")]
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// AV1 is left out: `GStreamer` 1.22 has no payloader for it.
fn codec(text: &str) -> Result<VideoCodec, &'static str> {
    [VideoCodec::H264, VideoCodec::Vp8, VideoCodec::Vp9]
        .into_iter()
        .find(|codec| codec.as_str().eq_ignore_ascii_case(text))
        .ok_or("it is h264, vp8 or vp9")
}

fn print(report: &PublishReport) -> io::Result<()> {
    let mut out = io::stdout();
    for session in &report.sessions {
        let milliseconds = |time: Option<Duration>| {
            time.map_or_else(|| "-".to_owned(), |time| format!("{} ms", time.as_millis()))
        };
        writeln!(
            out,
            "{}: answered after {}, connected after {}, {} frames, {} late frames, {} audio packets, {} kB, {} keyframe requests",
            session.url.path(),
            milliseconds(session.answered_after),
            milliseconds(session.connected_after),
            session.frames,
            session.late_frames,
            session.audio_packets,
            session.bytes / 1_000,
            session.keyframe_requests,
        )?;
        if let Some(failure) = &session.failure {
            writeln!(out, "{}: {failure}", session.url.path())?;
        }
    }
    Ok(())
}
