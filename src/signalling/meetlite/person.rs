//! Who a `MeetLite` client is, by its token and its profile.

use ::rooms::{JoinOrder, ParticipantId, ParticipantView};
use broadcast::BroadcastId;
use serde_json::{Value, json};

use crate::socketio::Caller;

/// The topic of `media-state-change`, which both generations understand.
pub(crate) const MEDIA_STATE: &str = "media-state";

/// The longest name, email or the like that others are told, in bytes.
const LONGEST_TEXT: usize = 256;

/// Who a client is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Person {
    id: Option<String>,
    email: Option<String>,
    name: Option<String>,
    uses_name: bool,
}

impl Person {
    /// Reads the token's claims, and what the client says of itself.
    pub(crate) fn of(caller: &Caller) -> Self {
        let claims = &caller.guest.claims;
        let profile = caller.handshake.auth.get("profile").unwrap_or(&Value::Null);
        let id = text(claims, "userId")
            .or_else(|| caller.guest.subject.clone())
            .or_else(|| text(&caller.handshake.auth, "userId"));
        let flag = |from: &Value| from.get("useNameInMeetings").and_then(Value::as_bool);
        Self {
            id: id.filter(|id| id.len() <= 128),
            email: text(claims, "email"),
            name: text(profile, "name").or_else(|| text(claims, "name")),
            uses_name: flag(profile).or_else(|| flag(claims)).unwrap_or(false),
        }
    }

    /// The order by which they come into a room; `more` is told to others beside who they are.
    pub(crate) fn order(&self, room: BroadcastId, mut more: Value) -> JoinOrder {
        if let Some(details) = more.as_object_mut() {
            for (name, value) in [
                ("email", json!(self.email)),
                ("userId", json!(self.id)),
                ("name", json!(self.name)),
                ("useNameInMeetings", json!(self.uses_name)),
            ] {
                details.insert(name.to_owned(), value);
            }
        }
        JoinOrder {
            room,
            participant: self.id.clone().map(ParticipantId::new),
            display_name: self.name.clone().or_else(|| self.email.clone()),
            details: more,
        }
    }
}

/// What clients are told of somebody, whatever dialect they speak.
pub(crate) fn user_info(participant: &ParticipantView) -> Value {
    let details = &participant.details;
    // Somebody who speaks another dialect has a name to be read, and no wish about it.
    let wish = details.get("useNameInMeetings").and_then(Value::as_bool);
    let (name, uses_name) = match wish {
        Some(wish) => (text(details, "name"), wish),
        None => (
            participant.display_name.clone(),
            participant.display_name.is_some(),
        ),
    };
    json!({
        "userId": participant.id,
        "email": text(details, "email"),
        "name": name,
        "useNameInMeetings": uses_name,
    })
}

/// `media-state-update` of somebody; what they did not tell is on.
pub(crate) fn media_state_update(participant: &str, told: &Value) -> Value {
    let on = |name: &str| told.get(name).and_then(Value::as_bool).unwrap_or(true);
    json!({
        "userId": participant,
        "audioEnabled": on("audioEnabled"),
        "videoEnabled": on("videoEnabled"),
    })
}

fn text(from: &Value, name: &str) -> Option<String> {
    let text = from.get(name)?.as_str()?;
    (1..=LONGEST_TEXT)
        .contains(&text.len())
        .then(|| text.to_owned())
}
