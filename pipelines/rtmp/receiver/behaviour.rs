//! The ways in which a receiver can be a bad platform.

use std::collections::HashMap;

/// How a receiver treats a publisher.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// As it should.
    #[default]
    Accept,
    /// Takes the TCP connection and says nothing. Only for a whole receiver.
    Silent,
    /// Answers `connect` with `NetConnection.Connect.Rejected`.
    RefuseConnect,
    /// Answers `publish` with `NetStream.Publish.BadName`.
    RefusePublish,
    /// Stops reading when this many bytes have come over the connection.
    StallAfter(u64),
    /// Closes the connection when this many bytes have come over it.
    CloseAfter(u64),
}

/// One behaviour for all, and others for some applications.
#[derive(Debug, Clone, Default)]
pub struct Behaviours {
    /// Of all that are not named.
    pub default: Behaviour,
    /// By application.
    pub by_application: HashMap<String, Behaviour>,
}

impl Behaviours {
    pub(super) fn of(&self, application: &str) -> Behaviour {
        self.by_application
            .get(application)
            .copied()
            .unwrap_or(self.default)
    }
}
