//! Keeps pages of strangers away from a gateway that asks for no token.
//!
//! A page can point a name of its own at 127.0.0.1 (DNS rebinding) and then read what its browser may read there. Its
//! requests carry that name in `Host`. An address or `localhost` cannot be pointed anywhere.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{Face, error::ApiError};

/// Refuses names that are neither `localhost` nor the public URL's, while a gateway on loopback takes anybody.
pub(super) async fn refuse_strange_names(
    State(face): State<Arc<Face>>,
    request: Request,
    next: Next,
) -> Response {
    let concerned = face.authenticator.is_anonymous() && face.local_address.ip().is_loopback();
    if concerned && !host_of(&request).is_none_or(|host| is_ours(&host, face.public_url.as_deref()))
    {
        return ApiError::StrangeHost.into_response();
    }
    next.run(request).await
}

/// The name that the request was sent to; every browser tells.
fn host_of(request: &Request) -> Option<String> {
    let authority = request.uri().authority().cloned().or_else(|| {
        request
            .headers()
            .get(header::HOST)?
            .to_str()
            .ok()?
            .parse::<Authority>()
            .ok()
    });
    match authority {
        Some(authority) => Some(authority.host().to_owned()),
        // A Host that cannot be parsed is nobody's name.
        None => request.headers().get(header::HOST).map(|_| String::new()),
    }
}

fn is_ours(host: &str, public_url: Option<&str>) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let public = public_url.and_then(|url| url.parse::<Uri>().ok()?.host().map(str::to_owned));
    bare.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || public.is_some_and(|public| public.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn addresses_localhost_and_the_public_name_are_ours() {
        for host in [
            "127.0.0.1",
            "[::1]",
            "localhost",
            "LocalHost",
            "studio.example",
        ] {
            assert!(is_ours(host, Some("https://studio.example/x")), "{host}");
        }
    }

    #[test]
    fn a_name_that_anybody_can_point_here_is_not_ours() {
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
        ] {
            assert!(!is_ours(host, None), "{host}");
        }
    }
}
