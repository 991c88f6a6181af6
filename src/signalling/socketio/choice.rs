//! Which dialect a client speaks: told by the namespace, by the handshake, or by the first event that belongs to one.

use serde_json::Value;

use super::{Caller, Dialect, Handshake};
use crate::{
    meetlite::MeetLite,
    meetlite2::MeetLite2,
    nself::Nself,
    sfu::{self, Sfu},
    streamlick::Streamlick,
};

/// The dialects that are spoken over Socket.IO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DialectName {
    Streamlick,
    Nself,
    Sfu,
    MeetLite,
    MeetLite2,
}

/// What is known of a client's dialect before it says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    Nothing,
    Dialect(DialectName),
    /// One of the two, told apart by the first event.
    AnyMeetLite,
}

/// The namespaces beside `/`, whose clients have told their dialect.
pub(super) const NAMESPACES: [&str; 4] = ["/streamlick", "/nself", "/meetlite", "/sfu"];

/// What only a client of the first `MeetLite` says.
const MEETLITE_EVENTS: [&str; 6] = [
    "create-webrtc-transport",
    "connect-webrtc-transport",
    "set-rtp-capabilities",
    "create-producer",
    "resume-all-consumers",
    "get-participant-stats",
];

impl Hint {
    /// By the namespace, else by `handshake.auth.dialect`.
    pub(super) fn of(namespace: &str, handshake: &Handshake) -> Self {
        let by_auth = || handshake.auth.get("dialect").and_then(Value::as_str);
        let name = namespace.strip_prefix('/').filter(|name| !name.is_empty());
        match name.or_else(by_auth) {
            Some("streamlick") => Self::Dialect(DialectName::Streamlick),
            Some("nself") => Self::Dialect(DialectName::Nself),
            Some("sfu") => Self::Dialect(DialectName::Sfu),
            Some("meetlite2") => Self::Dialect(DialectName::MeetLite2),
            Some("meetlite") => Self::AnyMeetLite,
            Some(_) | None => Self::Nothing,
        }
    }

    /// The dialect of an event, if it tells.
    pub(super) fn dialect(
        self,
        event: &str,
        payload: Option<&Value>,
        answered: bool,
    ) -> Option<DialectName> {
        match self {
            Self::Dialect(name) => Some(name),
            Self::AnyMeetLite if is_of_second_meetlite(event) => Some(DialectName::MeetLite2),
            Self::AnyMeetLite => Some(DialectName::MeetLite),
            Self::Nothing => by_event(event, payload, answered),
        }
    }
}

/// Names that several dialects have are told apart by the fields, and by whether an answer is waited for.
fn by_event(event: &str, payload: Option<&Value>, answered: bool) -> Option<DialectName> {
    let has = |field: &str| payload.is_some_and(|payload| payload.get(field).is_some());
    let name = match event {
        "join-room" if answered => DialectName::Nself,
        "join-room" => DialectName::MeetLite,
        "create-transport" | "connect-transport" | "produce" | "consume"
            if has("participantId") || has("roomId") =>
        {
            DialectName::Nself
        }
        "pause-producer" | "resume-producer" if has("producerId") => DialectName::Nself,
        "produce" if has("appData") => DialectName::Sfu,
        "consume" if !has("broadcastId") => DialectName::Sfu,
        "create-transport" | "connect-transport" | "produce" | "consume" | "start-rtmp"
        | "stop-rtmp" => DialectName::Streamlick,
        event if sfu::EVENTS.contains(&event) => DialectName::Sfu,
        event if is_of_second_meetlite(event) => DialectName::MeetLite2,
        event if MEETLITE_EVENTS.contains(&event) => DialectName::MeetLite,
        _ => return None,
    };
    Some(name)
}

fn is_of_second_meetlite(event: &str) -> bool {
    event == "ready"
        || ["mediasoup:", "media:", "recording:", "screen-share-"]
            .into_iter()
            .any(|prefix| event.starts_with(prefix))
}

/// What `connect_error` tells somebody who is not let in. The second `MeetLite`'s clients look for words of their own
/// when they have no token; they are known by the profile that they send.
pub(super) fn refusal(hint: Hint, handshake: &Handshake, has_token: bool) -> &'static str {
    let second = hint == Hint::Dialect(DialectName::MeetLite2)
        || (hint == Hint::Nothing && handshake.auth.get("profile").is_some());
    if second && !has_token {
        "Authentication error: No token provided"
    } else {
        "Authentication failed"
    }
}

impl DialectName {
    pub(super) fn open(self, caller: Caller) -> Box<dyn Dialect> {
        match self {
            Self::Streamlick => Box::new(Streamlick::new(caller)),
            Self::Nself => Box::new(Nself::new(caller)),
            Self::Sfu => Box::new(Sfu::new(caller)),
            Self::MeetLite => Box::new(MeetLite::new(caller)),
            Self::MeetLite2 => Box::new(MeetLite2::new(caller)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(event: &str, payload: &Value, answered: bool) -> Option<DialectName> {
        Hint::Nothing.dialect(event, Some(payload), answered)
    }

    #[test]
    fn the_first_event_of_every_client_tells_its_dialect() {
        let room = json!({ "roomId": "r" });
        let broadcast = json!({ "broadcastId": "b" });
        let track = json!({ "transportId": "t", "kind": "audio", "rtpParameters": {} });

        for (event, payload, answered, dialect) in [
            (
                "create-transport",
                &broadcast,
                true,
                DialectName::Streamlick,
            ),
            ("start-rtmp", &broadcast, false, DialectName::Streamlick),
            ("consume", &broadcast, true, DialectName::Streamlick),
            ("produce", &track, true, DialectName::Streamlick),
            ("join-room", &room, true, DialectName::Nself),
            ("create-transport", &room, true, DialectName::Nself),
            ("join-room", &room, false, DialectName::MeetLite),
            (
                "create-webrtc-transport",
                &room,
                false,
                DialectName::MeetLite,
            ),
            ("ready", &room, false, DialectName::MeetLite2),
            ("mediasoup:join-room", &room, false, DialectName::MeetLite2),
            ("joinRoom", &room, true, DialectName::Sfu),
            (
                "getRouterRtpCapabilities",
                &json!({}),
                true,
                DialectName::Sfu,
            ),
            (
                "consume",
                &json!({ "producerId": "p" }),
                true,
                DialectName::Sfu,
            ),
        ] {
            assert_eq!(told(event, payload, answered), Some(dialect), "{event}");
        }
        assert_eq!(told("chat", &room, true), None);
    }

    #[test]
    fn an_event_without_an_argument_tells_too() {
        assert_eq!(
            Hint::Nothing.dialect("getProducers", None, true),
            Some(DialectName::Sfu)
        );
    }

    #[test]
    fn a_namespace_or_the_handshake_tells_before_any_event() {
        let auth = |dialect: &str| Handshake {
            auth: json!({ "dialect": dialect }),
            ..Handshake::default()
        };
        let none = Handshake::default();

        assert_eq!(
            Hint::of("/sfu", &auth("nself")),
            Hint::Dialect(DialectName::Sfu)
        );
        assert_eq!(
            Hint::of("/", &auth("nself")),
            Hint::Dialect(DialectName::Nself)
        );
        assert_eq!(Hint::of("/", &auth("klingon")), Hint::Nothing);
        let meetlite = Hint::of("/meetlite", &none);
        assert_eq!(
            meetlite.dialect("join-room", None, true),
            Some(DialectName::MeetLite)
        );
        assert_eq!(
            meetlite.dialect("ready", None, false),
            Some(DialectName::MeetLite2)
        );
    }

    #[test]
    fn each_client_is_refused_in_its_words() {
        let profile = Handshake {
            auth: json!({ "profile": { "name": "Ada" } }),
            ..Handshake::default()
        };

        assert_eq!(
            refusal(Hint::Nothing, &profile, false),
            "Authentication error: No token provided"
        );
        assert_eq!(
            refusal(Hint::Nothing, &profile, true),
            "Authentication failed"
        );
        assert_eq!(
            refusal(Hint::Nothing, &Handshake::default(), false),
            "Authentication failed"
        );
    }
}
