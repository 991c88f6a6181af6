//! Who asks, and whether they may: the way from a request to permission.

use axum::http::HeaderMap;
use broadcast::DestinationSpec;
use signalling::Bearer;

use super::{Face, error::ApiError};
use crate::{
    auth::{Action, AuthError, Identity},
    broadcasts::BroadcastHandle,
};

/// Tells who sent a request.
pub(super) async fn identify(face: &Face, headers: &HeaderMap) -> Result<Identity, ApiError> {
    let token = Bearer::of_request(headers).map_err(AuthError::from)?;
    Ok(face.authenticator.authenticate(token.as_ref()).await?)
}

/// Refuses what somebody may not do.
pub(super) fn allow(identity: &Identity, action: Action<'_>) -> Result<(), ApiError> {
    if identity.may(action) {
        Ok(())
    } else {
        Err(ApiError::Forbidden(format!(
            "the token does not allow to {}",
            action.in_words()
        )))
    }
}

/// Refuses a destination that nobody here carries to, or that could never be connected to; `path` stands before the names of fields.
pub(super) fn check_destination(
    face: &Face,
    destination: &DestinationSpec,
    path: &str,
) -> Result<(), ApiError> {
    let check = |endpoint, field: &str| {
        face.guard
            .check(endpoint)
            .map_err(|failure| ApiError::invalid(format!("{path}{field}"), failure.message))
    };
    if let Some(provider) = destination.provider {
        let checked = face.broadcasts.methods().check_provider(provider);
        checked.map_err(|error| ApiError::invalid(format!("{path}provider"), error))?;
    }
    check(&destination.endpoint, "rtmpUrl")?;
    destination
        .backup
        .as_ref()
        .map_or(Ok(()), |backup| check(backup, "backupRtmpUrl"))
}

/// Refuses a rendition that is larger than the picture that goes out now.
pub(super) fn check_rendition(
    handle: &BroadcastHandle,
    destination: &DestinationSpec,
) -> Result<(), ApiError> {
    let (Some(rendition), Some(live)) = (destination.rendition, handle.live_picture()) else {
        return Ok(());
    };
    live.allow(rendition).map_err(|too_large| {
        let field = format!("rendition.{}", too_large.field);
        ApiError::invalid(
            field,
            format!("the rendition is larger than the picture: {too_large}"),
        )
    })
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing => Self::TokenMissing,
            AuthError::Refused(why) => Self::TokenRefused(why),
            AuthError::Unavailable(why) => Self::AuthenticationUnavailable(why),
        }
    }
}
