//! Writes the answers of WHIP: the new session and the restarted ICE session.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use broadcast::BroadcastId;

use super::{
    IceRestart, Publication, RESUME_TOKEN_HEADER, WhipError,
    routes::{FRAGMENT, SDP},
};
use crate::entity_tag::quoted;

pub(super) const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// 201 with everything that RFC 9725 wants.
pub(super) fn created(
    public_url: Option<&str>,
    broadcast: &BroadcastId,
    publication: Publication,
) -> Result<Response, WhipError> {
    let base = public_url.unwrap_or_default().trim_end_matches('/');
    let location = format!("{base}/whip/{broadcast}/{}", publication.session);
    let location = HeaderValue::try_from(location).map_err(|_| WhipError::Internal)?;
    let mut resume = HeaderValue::try_from(publication.resume_token.expose())
        .map_err(|_| WhipError::Internal)?;
    resume.set_sensitive(true);
    let mut response = (StatusCode::CREATED, Body::from(publication.answer)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SDP));
    headers.insert(header::LOCATION, location);
    headers.insert(
        header::ETAG,
        quoted(&publication.etag).ok_or(WhipError::Internal)?,
    );
    headers.insert(ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT));
    headers.insert(RESUME_TOKEN_HEADER, resume);
    for link in publication
        .ice_servers
        .iter()
        .flat_map(crate::IceServer::links)
    {
        headers.append(header::LINK, link);
    }
    Ok(response)
}

/// 200 with the new credentials and the new tag.
pub(super) fn restarted(restart: IceRestart) -> Result<Response, WhipError> {
    let etag = quoted(&restart.etag).ok_or(WhipError::Internal)?;
    let mut response = restart.fragment.into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(FRAGMENT));
    response.headers_mut().insert(header::ETAG, etag);
    Ok(response)
}
