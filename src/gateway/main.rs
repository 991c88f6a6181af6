//! The command line of the gateway.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use gateway::{
    Gateway,
    admission::Methods,
    config::{Config, Mistakes, Surroundings},
    demo::DemoArguments,
    logging,
    publish::PublishArguments,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pipelines::ffmpeg::Ffmpeg;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code of a bad configuration (`EX_CONFIG`).
const BAD_CONFIGURATION: u8 = 78;

/// Exit code of a second signal, as a shell would give it for SIGINT.
const INTERRUPTED: u8 = 130;

/// How long tasks that nobody waits for may take at the very end.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Takes a studio's canvas by WebRTC and sends it to RTMP destinations.
///
/// Configured by the environment; see docs/configuration.md.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway (the default)
    Serve,
    /// Print the effective configuration, secrets hidden, or every mistake in it
    CheckConfig,
    /// Publish a synthetic studio over WHIP
    Publish(PublishArguments),
    /// Run everything in one process and check what two destinations receive
    Demo(DemoArguments),
    #[command(flatten)]
    Child(Child),
}

/// What this program does in a process of its own, away from everything else.
#[derive(Debug, Subcommand)]
enum Child {
    /// Code the slate that comes on standard input
    #[command(hide = true)]
    RenderSlate,
    /// Look at the pictures that come on standard input
    #[command(hide = true)]
    InspectPictures,
    /// Transcode the pictures that come over the socket that is standard input
    #[command(hide = true)]
    Transcode,
    /// Decode the show that comes over the socket that is standard input
    #[command(hide = true)]
    DecodeShow,
}

impl Child {
    fn run(&self) -> ExitCode {
        match self {
            Self::RenderSlate => pipelines::slate::child::run(),
            Self::InspectPictures => pipelines::inspection::child::run(),
            Self::Transcode => pipelines::transcoder::child::run(),
            Self::DecodeShow => pipelines::decoder::child::run(),
        }
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let command = Arguments::parse().command.unwrap_or(Command::Serve);
    // Before there are threads: what a child gives up, each of its threads must give up.
    if let Command::Child(child) = command {
        return Ok(child.run());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(run(command));
    runtime.shutdown_timeout(LAST_WAIT);
    outcome
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let config = match read_config() {
        Ok(config) => config,
        Err(mistakes) => {
            write!(io::stderr(), "{mistakes}")?;
            return Ok(ExitCode::from(BAD_CONFIGURATION));
        }
    };
    match command {
        Command::Child(child) => Ok(child.run()),
        Command::CheckConfig => {
            let ffmpeg = Ffmpeg::find(&config.ffmpeg, &config.search);
            let ffmpeg = Methods::new(ffmpeg).describe_ffmpeg();
            writeln!(io::stdout(), "{}# FFmpeg: {ffmpeg}", config.describe())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Serve => {
            logging::install(&config.log)?;
            serve(config).await
        }
        Command::Publish(arguments) => {
            logging::install(&config.log)?;
            arguments.run(stop_by_signal()?).await
        }
        Command::Demo(arguments) => {
            logging::install(&config.log)?;
            raise_file_limit();
            arguments.run(config, stop_by_signal()?).await
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the environment"
)]
fn read_config() -> Result<Config, Mistakes> {
    let surroundings = Surroundings {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        server_id: uuid::Uuid::new_v4().to_string(),
        terminal: io::stderr().is_terminal(),
    };
    Config::read(&|name| std::env::var(name).ok(), &surroundings)
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    raise_file_limit();
    for name in &config.ignored {
        tracing::warn!(
            variable = name,
            "this version does not act on a variable that is set"
        );
    }
    let mut signals = Signals::new()?;
    let gateway = match Gateway::start(config).await {
        Ok(gateway) => gateway,
        Err(error) if error.is_configuration() => {
            tracing::error!(%error, "the gateway does not start");
            return Ok(ExitCode::from(BAD_CONFIGURATION));
        }
        Err(error) => return Err(error.into()),
    };
    signals.next().await;
    tokio::select! {
        () = gateway.shutdown() => Ok(ExitCode::SUCCESS),
        () = signals.next() => {
            tracing::warn!("second signal: ending at once");
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// A token that the first signal cancels; a second one ends the process.
fn stop_by_signal() -> anyhow::Result<CancellationToken> {
    let mut signals = Signals::new()?;
    let stop = CancellationToken::new();
    let first = stop.clone();
    // Owned by the runtime for as long as the process lives.
    let watch = async move {
        signals.next().await;
        first.cancel();
        signals.next().await;
        std::process::exit(i32::from(INTERRUPTED));
    };
    tokio_util::task::TaskTracker::new().spawn(watch);
    Ok(stop)
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("cannot catch SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("cannot catch SIGTERM")?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Every destination and every viewer is a file; the soft limit of a shell is 1024.
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
