//! What goes to a client without having been asked for.

use serde_json::Value;

/// The client cannot be told anything any more: it is gone, or it has not read for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client is gone or does not read")]
pub struct Gone;

/// Where nobody listens: what a dialect has while its client is away.
pub struct Nowhere;

impl Outbox for Nowhere {
    fn emit(&self, _: &str, _: Option<Value>) -> Result<(), Gone> {
        Err(Gone)
    }
}

/// Where events to a client go.
pub trait Outbox: Send + Sync + 'static {
    /// Sends an event with one argument, or none if `content` is `None`.
    ///
    /// When what waits for the client is too much, the connection is given up: a dialect may pass over [`Gone`].
    fn emit(&self, event: &str, content: Option<Value>) -> Result<(), Gone>;
}
