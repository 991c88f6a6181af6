//! What a token or the backend says about somebody.

use broadcast::BroadcastId;
use serde::Deserialize;

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
