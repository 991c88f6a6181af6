//! Where log lines go, and which.

use std::io;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, filter::filter_fn, fmt, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::config::{LogConfig, LogLevel};

/// What the WebRTC libraries log below this says little to an operator, and shows addresses of studios.
const QUIET: [&str; 2] = ["rtc=error", "webrtc=error"];

/// What tells all that clients say over websockets, tokens and stream keys among it, below `info`.
const INDISCREET: [&str; 2] = ["tungstenite", "tokio_tungstenite"];

/// Why no log is installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// `RUST_LOG` is not a filter.
    #[error("RUST_LOG is not a filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// There is one already.
    #[error("a log is installed already")]
    Installed(#[from] tracing_subscriber::util::TryInitError),
}

/// Writes log lines to standard error from now on.
pub fn install(config: &LogConfig) -> Result<(), LogError> {
    let refinement = config.refinement.as_deref().unwrap_or_default();
    let quiet: &[&str] = match config.level {
        LogLevel::Trace | LogLevel::Debug => &[],
        LogLevel::Info | LogLevel::Warn | LogLevel::Error => &QUIET,
    };
    let mut filter = EnvFilter::new(config.level.as_str());
    for directive in quiet
        .iter()
        .copied()
        .chain(refinement.split(','))
        .map(str::trim)
    {
        if !directive.is_empty() {
            filter = filter.add_directive(directive.parse()?);
        }
    }
    let registry = tracing_subscriber::registry().with(filter).with(discreet());
    if config.json {
        registry
            .with(fmt::layer().json().with_writer(io::stderr))
            .try_init()?;
    } else {
        registry
            .with(fmt::layer().with_writer(io::stderr))
            .try_init()?;
    }
    Ok(())
}

/// Keeps out of every log what tells secrets, whatever `RUST_LOG` asks for.
pub fn discreet<S: Subscriber>() -> impl Layer<S> {
    filter_fn(|metadata: &Metadata<'_>| {
        let told_by = |name: &&str| metadata.target().split("::").next() == Some(*name);
        *metadata.level() <= Level::INFO || !INDISCREET.iter().any(told_by)
    })
}
