//! The synthetic studio as a command: a moving picture with sound, published over WHIP.

mod arguments;
mod report;
mod run;
mod session;
#[cfg(test)]
mod tests;

pub use crate::whip_client::{WhipClient, WhipError, WhipSession};
pub use arguments::PublishArguments;
pub use report::{Progress, PublishReport, SessionReport};
pub use run::{PublishError, PublishOptions, run};
