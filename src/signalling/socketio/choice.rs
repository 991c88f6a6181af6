//! Which dialect a client speaks: told by the namespace, by the handshake, or by the first event that belongs to one.

use serde_json::Value;

use super::{Caller, Dialect, Handshake};
use crate::{nself::Nself, sfu::Sfu, streamlick::Streamlick};

/// The dialects that are spoken over Socket.IO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DialectName {
    Streamlick,
    Nself,
    Sfu,
}

/// What is known of a client's dialect before it says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    Nothing,
    Dialect(DialectName),
}

/// The namespaces beside `/`, whose clients have told their dialect.
pub(super) const NAMESPACES: [&str; 3] = ["/streamlick", "/nself", "/sfu"];

impl Hint {
    /// By the namespace, else by `handshake.auth.dialect`.
    pub(super) fn of(namespace: &str, handshake: &Handshake) -> Self {
        let by_auth = || handshake.auth.get("dialect").and_then(Value::as_str);
        let name = namespace.strip_prefix('/').filter(|name| !name.is_empty());
        match name.or_else(by_auth) {
            Some("streamlick") => Self::Dialect(DialectName::Streamlick),
            Some("nself") => Self::Dialect(DialectName::Nself),
            Some("sfu") => Self::Dialect(DialectName::Sfu),
            Some(_) | None => Self::Nothing,
        }
    }

    /// The dialect of an event, if it tells. Names that several dialects have are told apart by the fields and by
    /// whether an answer is waited for.
    pub(super) fn dialect(
        self,
        event: &str,
        payload: Option<&Value>,
        answered: bool,
    ) -> Option<DialectName> {
        if let Self::Dialect(name) = self {
            return Some(name);
        }
        let has = |field: &str| payload.is_some_and(|payload| payload.get(field).is_some());
        match event {
            "create-transport" | "connect-transport" | "produce" | "consume" | "pause-producer"
            | "resume-producer"
                if has("participantId") =>
            {
                Some(DialectName::Nself)
            }
            "join-room" if answered => Some(DialectName::Nself),
            "create-transport" if has("roomId") => Some(DialectName::Nself),
            "consume" if !has("broadcastId") => Some(DialectName::Sfu),
            "produce" if has("appData") => Some(DialectName::Sfu),
            "create-transport" | "connect-transport" | "produce" | "consume" | "start-rtmp"
            | "stop-rtmp" => Some(DialectName::Streamlick),
            event if crate::sfu::EVENTS.contains(&event) => Some(DialectName::Sfu),
            _ => None,
        }
    }
}

impl DialectName {
    pub(super) fn open(self, caller: Caller) -> Box<dyn Dialect> {
        match self {
            Self::Streamlick => Box::new(Streamlick::new(caller)),
            Self::Nself => Box::new(Nself::new(caller)),
            Self::Sfu => Box::new(Sfu::new(caller)),
        }
    }
}
