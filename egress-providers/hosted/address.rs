//! How a provider is told where a destination is: the server by one field, the key by another.

use broadcast::{Endpoint, Scheme, StreamKey};

/// A destination's `scheme://host[:port]/application`, without the key; some platforms make the application part of the
/// secret, so all of it is one.
pub(crate) fn server_url(endpoint: &Endpoint) -> StreamKey {
    let host = endpoint.host();
    let (open, close) = if host.contains(':') {
        ("[", "]")
    } else {
        ("", "")
    };
    let port = match (endpoint.scheme(), endpoint.port()) {
        // RTMP's own; spelled out for RTMPS, where servers' documentation does so.
        (Scheme::Rtmp, 1935) => String::new(),
        (_, port) => format!(":{port}"),
    };
    StreamKey::new(format!(
        "{}://{open}{host}{close}{port}/{}",
        endpoint.scheme().as_str(),
        endpoint.application().expose()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_told_without_the_key() {
        for (url, server) in [
            ("rtmp://host/live/key", "rtmp://host/live"),
            (
                "rtmps://a.rtmps.youtube.com/live2/key",
                "rtmps://a.rtmps.youtube.com:443/live2",
            ),
            (
                "rtmp://[2001:db8::1]:1936/a/b/key?token=1",
                "rtmp://[2001:db8::1]:1936/a/b",
            ),
        ] {
            let endpoint = Endpoint::parse(url, None).unwrap();

            assert_eq!(server_url(&endpoint).expose(), server);
        }
    }

    #[test]
    fn an_application_keeps_its_query() {
        let endpoint = Endpoint::parse("rtmps://host/app?auth=a&b=c", Some("k?x=1")).unwrap();

        assert_eq!(
            server_url(&endpoint).expose(),
            "rtmps://host:443/app?auth=a&b=c"
        );
    }
}
