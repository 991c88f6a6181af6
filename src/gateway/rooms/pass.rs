//! What a guest may do in rooms.

use broadcast::BroadcastId;
use rooms::RoomError;
use signalling::rooms::Guest;

use crate::auth::{Action, Identity, Role};

/// What the gateway knows of a guest, behind [`Guest::pass`].
#[derive(Debug, Clone)]
pub(super) struct Pass {
    identity: Identity,
}

impl Pass {
    pub(super) const fn new(identity: Identity) -> Self {
        Self { identity }
    }

    /// The pass that this gateway gave to a guest.
    pub(super) fn of(guest: &Guest) -> Result<Self, RoomError> {
        let pass = guest.pass.downcast_ref::<Self>();
        pass.cloned()
            .ok_or_else(|| RoomError::Unauthenticated("no pass of this gateway".to_owned()))
    }

    /// The name that somebody vouches for.
    pub(super) fn subject(&self) -> Option<&str> {
        self.identity.subject.as_deref()
    }

    /// Whether they may take any seat of a broadcast.
    pub(super) fn may_take_over(&self) -> bool {
        self.identity.may_take_over()
    }

    /// To come in, and to see who is there.
    pub(super) fn check_join(&self, room: &BroadcastId) -> Result<(), RoomError> {
        self.check(Action::Read(room), "come into this room")
    }

    /// Whether they may see a room.
    pub(super) fn may_see(&self, room: &BroadcastId) -> bool {
        self.identity.may(Action::Read(room))
    }

    /// To send tracks: a viewer only looks.
    pub(super) fn check_produce(&self) -> Result<(), RoomError> {
        match self.identity.role {
            Role::Viewer => Err(forbidden(self.identity.role, "send tracks")),
            Role::Guest | Role::Studio | Role::Operator => Ok(()),
        }
    }

    /// To end the room, and to bring its programme to platforms.
    pub(super) fn check_direct(&self, room: &BroadcastId) -> Result<(), RoomError> {
        self.check(Action::Change(room), "direct this room")
    }

    fn check(&self, action: Action<'_>, words: &str) -> Result<(), RoomError> {
        if self.identity.may(action) {
            Ok(())
        } else {
            Err(forbidden(self.identity.role, words))
        }
    }
}

fn forbidden(role: Role, what: &str) -> RoomError {
    RoomError::Forbidden(format!(
        "a token of role {} and this scope may not {what}",
        role.as_str()
    ))
}
