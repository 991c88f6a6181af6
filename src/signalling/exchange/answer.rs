//! Writes the answers: the new session and the restarted ICE session.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use broadcast::BroadcastId;

use super::{FRAGMENT, IceRestart, NewSession, SDP, SignallingError};
use crate::entity_tag::quoted;

pub(super) const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// 201 with everything that RFC 9725 wants, at `{public_url}/{dialect}/{broadcast}/{session}`.
pub(crate) fn created(
    public_url: Option<&str>,
    dialect: &str,
    broadcast: &BroadcastId,
    session: NewSession,
) -> Result<Response, SignallingError> {
    let base = public_url.unwrap_or_default().trim_end_matches('/');
    let location = format!("{base}/{dialect}/{broadcast}/{}", session.id);
    let location = HeaderValue::try_from(location).map_err(|_| SignallingError::Internal)?;
    let mut response = (StatusCode::CREATED, Body::from(session.answer)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SDP));
    headers.insert(header::LOCATION, location);
    headers.insert(
        header::ETAG,
        quoted(&session.etag).ok_or(SignallingError::Internal)?,
    );
    headers.insert(ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT));
    for link in session.ice_servers.iter().flat_map(crate::IceServer::links) {
        headers.append(header::LINK, link);
    }
    Ok(response)
}

/// 200 with the new credentials and the new tag.
pub(super) fn restarted(restart: IceRestart) -> Result<Response, SignallingError> {
    let etag = quoted(&restart.etag).ok_or(SignallingError::Internal)?;
    let mut response = restart.fragment.into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(FRAGMENT));
    response.headers_mut().insert(header::ETAG, etag);
    Ok(response)
}
