//! The synthetic studio as a command: a moving picture with sound, published over WHIP.

mod arguments;
mod report;
mod run;
mod session;
#[cfg(test)]
mod tests;
mod whip;

pub use arguments::PublishArguments;
pub use report::{Progress, PublishReport, SessionReport};
pub use run::{PublishError, PublishOptions, run};
pub use whip::{WhipClient, WhipError, WhipSession};
