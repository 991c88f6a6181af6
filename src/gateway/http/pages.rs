//! The studio page and its files, which are part of the binary.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::error::ApiError;

/// What the studio page may load: itself, pictures and sounds that it makes, and this gateway.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self' blob:; worker-src 'self' blob:; style-src 'self'; \
     img-src 'self' data: blob:; media-src 'self' blob: mediastream:; font-src 'self'; connect-src 'self'; \
     manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; object-src 'none'";

/// Swagger UI sets styles in attributes.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// Camera, microphone and screen are for the page itself and nobody in a frame.
const PERMISSIONS: &str =
    "camera=(self), microphone=(self), display-capture=(self), autoplay=(self), geolocation=()";

/// Files whose name holds a hash of what is in them.
const HASHED_FOLDER: &str = "assets/";

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
struct Files;

/// Serves a file of the page, or tells that there is none.
pub(super) async fn serve(request: Request) -> Response {
    let known_to_api = ["/api/", "/whip/", "/whep/", "/socket.io/"];
    let path = request.uri().path();
    if known_to_api.iter().any(|prefix| path.starts_with(prefix)) {
        return ApiError::NoSuchRoute.into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return ApiError::NoSuchRoute.into_response();
    }
    match find(request.uri()) {
        Some((name, file)) => answer(&name, &file, &request),
        None => ApiError::NoSuchRoute.into_response(),
    }
}

/// Adds what keeps the readable description of the API safe.
pub(super) async fn protect_docs(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(DOCS_POLICY),
    );
    response
}

fn find(uri: &Uri) -> Option<(String, EmbeddedFile)> {
    let path = uri.path().trim_start_matches('/');
    let name = if path.is_empty() || path.ends_with('/') {
        format!("{path}index.html")
    } else {
        path.to_owned()
    };
    Files::get(&name).map(|file| (name, file))
}

fn answer(name: &str, file: &EmbeddedFile, request: &Request) -> Response {
    let etag = format!(
        "\"{}\"",
        URL_SAFE_NO_PAD.encode(&file.metadata.sha256_hash()[..12])
    );
    let known = request
        .headers()
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|tags| {
            tags.split(',')
                .any(|tag| tag.trim().trim_start_matches("W/") == etag)
        });
    let cache = if name.starts_with(HASHED_FOLDER) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let media_type = HeaderValue::from_str(file.metadata.mimetype())
            .unwrap_or(HeaderValue::from_static("application/octet-stream"));
        (
            [(header::CONTENT_TYPE, media_type)],
            Body::from(file.data.to_vec()),
        )
            .into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(PAGE_POLICY),
    );
    headers.insert("permissions-policy", HeaderValue::from_static(PERMISSIONS));
    response
}
