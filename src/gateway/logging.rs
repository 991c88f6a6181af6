//! Where log lines go, and which.

use std::io;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::LogConfig;

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
    let mut filter = EnvFilter::new(config.level.as_str());
    for directive in config
        .refinement
        .iter()
        .flat_map(|text| text.split(','))
        .filter(|text| !text.trim().is_empty())
    {
        filter = filter.add_directive(directive.trim().parse()?);
    }
    let registry = tracing_subscriber::registry().with(filter);
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
