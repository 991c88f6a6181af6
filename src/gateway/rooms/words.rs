//! What goes wrong elsewhere, as rooms tell it.

use broadcast::{Failure, SpecError};
use ortc::OrtcError;
use peers::router::RouterError;
use rooms::RoomError;

use crate::{
    auth::AuthError,
    broadcasts::{CommandError, CreateError, PublishError},
    nodes::ClaimRefusal,
};

/// Our own fault is told to us and not to the participant.
pub(super) fn of_router(error: RouterError) -> RoomError {
    match error {
        RouterError::NoSuchTransport => RoomError::NoSuchTransport,
        RouterError::NoSuchProducer => RoomError::NoSuchProducer,
        RouterError::NoSuchConsumer => RoomError::NoSuchConsumer,
        RouterError::AlreadyConnected => RoomError::AlreadyConnected,
        RouterError::Malformed(why) => RoomError::Malformed(why),
        RouterError::Full => RoomError::NodeFull("no session is free".to_owned()),
        RouterError::NoSuchRouter => RoomError::NoSuchRoom,
        error @ (RouterError::NoSuchSink | RouterError::Internal(_) | _) => {
            tracing::error!(%error, fault = "gateway", "a router failed");
            RoomError::Internal
        }
    }
}

pub(super) fn of_ortc(error: &OrtcError) -> RoomError {
    match error {
        OrtcError::Unsupported(_) => RoomError::Unsupported(error.to_string()),
        OrtcError::Malformed(_) | _ => RoomError::Malformed(error.to_string()),
    }
}

pub(super) fn of_auth(error: AuthError) -> RoomError {
    match error {
        AuthError::Missing => RoomError::Unauthenticated("a token is needed".to_owned()),
        AuthError::Refused(why) => RoomError::Unauthenticated(why),
        AuthError::Unavailable(_) => RoomError::Unauthenticated(error.to_string()),
    }
}

pub(super) fn of_guard(failure: &Failure) -> RoomError {
    RoomError::Egress(failure.message.clone())
}

pub(super) fn of_create(error: &CreateError) -> RoomError {
    match error {
        CreateError::Full | CreateError::NoRoom(_) | CreateError::Draining => {
            RoomError::NodeFull(error.to_string())
        }
        CreateError::Elsewhere(url) => RoomError::Elsewhere(url.clone()),
        CreateError::Different | CreateError::Orphaned | CreateError::RegistryUnavailable => {
            RoomError::Egress(error.to_string())
        }
    }
}

pub(super) fn of_claim(refusal: ClaimRefusal) -> RoomError {
    match refusal {
        ClaimRefusal::Elsewhere(node) => RoomError::Elsewhere(node.url),
        ClaimRefusal::Orphaned => RoomError::Unavailable("its node has died".to_owned()),
        ClaimRefusal::Registry(error) => {
            tracing::warn!(%error, "a room could not be claimed");
            RoomError::Unavailable("the registry does not answer".to_owned())
        }
    }
}

pub(super) fn of_command(error: &CommandError) -> RoomError {
    match error {
        CommandError::NoRoom(no_room) => RoomError::NodeFull(no_room.to_string()),
        CommandError::Gone(_) | CommandError::Spec(_) => RoomError::Egress(error.to_string()),
    }
}

pub(super) fn of_spec(error: &SpecError) -> RoomError {
    RoomError::Egress(error.to_string())
}

pub(super) fn of_publish(error: &PublishError) -> RoomError {
    match error {
        PublishError::NoRoom(_) => RoomError::NodeFull(error.to_string()),
        PublishError::Timeout => RoomError::Timeout,
        PublishError::Router(RouterError::Internal(_)) => {
            tracing::error!(%error, fault = "gateway", "a programme could not be composed");
            RoomError::Internal
        }
        PublishError::Gone(_)
        | PublishError::Taken
        | PublishError::ResumeTokenRefused
        | PublishError::Offer(_)
        | PublishError::UnsupportedCodec(_)
        | PublishError::Router(_) => RoomError::Egress(error.to_string()),
    }
}
