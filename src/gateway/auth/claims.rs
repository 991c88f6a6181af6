//! What a token or the backend says about somebody.

use broadcast::BroadcastId;
use serde::Deserialize;
use serde_json::Value;

use super::identity::{Identity, Role, Scope};

/// The longest name of somebody, in bytes.
const LONGEST_SUBJECT: usize = 256;

/// The claims of the public contract; others are passed over.
#[derive(Deserialize)]
pub(super) struct Claims {
    sub: Option<String>,
    role: Option<String>,
    broadcast: Option<String>,
    room: Option<String>,
}

impl Claims {
    /// Makes an identity of a signed token, which must say who it is for and what they are.
    pub(super) fn identity(self) -> Result<Identity, String> {
        let subject = subject(self.sub)?.ok_or("it has no sub")?;
        let role = role(self.role.as_deref())?.ok_or("it has no role")?;
        let scope = scope(self.broadcast, self.room)?.unwrap_or(match role {
            Role::Operator => Scope::All,
            Role::Studio | Role::Guest | Role::Viewer => Scope::Nothing,
        });
        Ok(Identity {
            subject: Some(subject),
            role,
            scope,
        })
    }

    /// Makes an identity of the backend's answer, where what is not said is not limited.
    pub(super) fn vouched_identity(self) -> Result<Identity, String> {
        Ok(Identity {
            subject: subject(self.sub)?,
            role: role(self.role.as_deref())?.unwrap_or(Role::Studio),
            scope: scope(self.broadcast, self.room)?.unwrap_or(Scope::All),
        })
    }

    pub(super) const fn of_backend(
        sub: Option<String>,
        role: Option<String>,
        broadcast: Option<String>,
        room: Option<String>,
    ) -> Self {
        Self {
            sub,
            role,
            broadcast,
            room,
        }
    }
}

/// Makes an identity of a signed token for rooms, where tokens of other servers are good, too.
///
/// Those name somebody by `sub`, `userId`, `user_id`, `id` or Hasura's claims, have no role or one of their own words, and
/// name no room: who shows one is a guest of every room, as with those servers. A token with a role of ours holds for the
/// room that it names, as everywhere else.
pub(super) fn guest_identity(claims: &Value) -> Result<Identity, String> {
    const NAMES: [&str; 5] = [
        "/sub",
        "/userId",
        "/user_id",
        "/https:~1~1hasura.io~1jwt~1claims/x-hasura-user-id",
        "/id",
    ];
    let subject = subject(NAMES.iter().find_map(|path| text(claims.pointer(path)?)))?
        .ok_or("it has no sub and no userId")?;
    let named = |one: &str, other: &str| {
        let claim = claims.get(one).or_else(|| claims.get(other));
        claim.and_then(text)
    };
    let scope = scope(named("broadcast", "broadcastId"), named("room", "roomId"))?;
    let role = claims.get("role").and_then(text);
    let role = role.as_deref().and_then(Role::of_word);
    let unlimited = match role {
        None | Some(Role::Operator) => Scope::All,
        Some(Role::Studio | Role::Guest | Role::Viewer) => Scope::Nothing,
    };
    Ok(Identity {
        subject: Some(subject),
        role: role.unwrap_or(Role::Guest),
        scope: scope.unwrap_or(unlimited),
    })
}

/// Names are texts, or the numbers of a database.
fn text(claim: &Value) -> Option<String> {
    match claim {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn subject(sub: Option<String>) -> Result<Option<String>, String> {
    match sub {
        Some(sub) if sub.is_empty() || sub.len() > LONGEST_SUBJECT => {
            Err(format!("its sub must have 1 to {LONGEST_SUBJECT} bytes"))
        }
        sub => Ok(sub),
    }
}

fn role(word: Option<&str>) -> Result<Option<Role>, String> {
    word.map(|word| {
        Role::of_word(word)
            .ok_or_else(|| "its role is none of studio, guest, viewer, operator".to_owned())
    })
    .transpose()
}

fn scope(broadcast: Option<String>, room: Option<String>) -> Result<Option<Scope>, String> {
    let named = match (broadcast, room) {
        (Some(broadcast), Some(room)) if broadcast != room => {
            return Err("its broadcast and its room disagree".to_owned());
        }
        (broadcast, room) => broadcast.or(room),
    };
    named
        .map(|name| match name.as_str() {
            "*" => Ok(Scope::All),
            _ => BroadcastId::new(name)
                .map(Scope::Broadcast)
                .map_err(|_| "its broadcast is not a valid id".to_owned()),
        })
        .transpose()
}
