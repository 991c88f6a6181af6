//! The route of a broadcast's thumbnail: what goes out now, as a small JPEG.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use pipelines::inspection::JPEG_WIDTH_LIMIT;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Face,
    error::{ApiError, Problem},
};

/// The narrowest thumbnail.
const WIDTH_MINIMUM: u32 = 64;

/// How wide it is at most when nothing is asked for.
const WIDTH: u32 = 640;

/// How large.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Choice {
    /// The most pixels across: an even number. A smaller picture is not made larger.
    #[param(minimum = 64, maximum = 1280, default = 640)]
    width: Option<u32>,
}

/// See what goes out now: the newest keyframe as a JPEG, also of the frozen picture and of the slate.
///
/// With `If-None-Match` it is sent only when there is another one.
#[utoipa::path(
    get, path = "/api/v1/broadcasts/{id}/thumbnail.jpg", tag = "broadcasts", params(("id" = String, Path), Choice),
    responses(
        (status = 200, description = "The picture.", body = Vec<u8>, content_type = "image/jpeg", headers(("ETag" = String))),
        (status = 304, description = "It is the one that `If-None-Match` names."),
        (status = 404, description = "There is no such broadcast, or `no_picture`: nothing has gone out yet.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The width is wrong.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`thumbnail_unavailable`: many others want one, or the picture is broken.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn read(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    choice: Result<Query<Choice>, QueryRejection>,
) -> Result<Response, ApiError> {
    let handle = face.find_to_read(&id, &headers).await?;
    let width = choice
        .ok()
        .map(|Query(choice)| choice.width.unwrap_or(WIDTH))
        .filter(|width| (WIDTH_MINIMUM..=JPEG_WIDTH_LIMIT).contains(width) && width % 2 == 0)
        .ok_or_else(|| {
            let words =
                format!("'width' is an even number from {WIDTH_MINIMUM} to {JPEG_WIDTH_LIMIT}");
            ApiError::invalid("width", words)
        })?;
    let sitter = handle.thumbnails().newest().ok_or(ApiError::NoPicture)?;
    let tag = format!("\"{}\"", sitter.tag(width));
    let mut response = if is_known(&headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let jpeg = sitter.jpeg(width).await;
        let jpeg = jpeg.map_err(|_| ApiError::ThumbnailUnavailable)?;
        ([(header::CONTENT_TYPE, "image/jpeg")], jpeg).into_response()
    };
    let tag = HeaderValue::try_from(tag).map_err(|_| ApiError::Internal)?;
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// Whether the client has it already (RFC 9110 § 13.1.2, which compares weakly).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).into_iter();
    let mut entries = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim);
    entries.any(|entry| entry == "*" || entry.strip_prefix("W/").unwrap_or(entry) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_in_a_list_in_a_weak_form_and_by_a_star() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.append(header::IF_NONE_MATCH, value.parse().unwrap());
            is_known(&headers, "\"a-1\"")
        };

        assert!(["\"a-1\"", "\"b\", W/\"a-1\"", "*"].into_iter().all(of));
        assert!(!["\"a-12\"", "a-1", ""].into_iter().any(of));
        assert!(!is_known(&HeaderMap::new(), "\"a-1\""));
    }
}
