//! A destination's address as `LiveKit` takes it, and as it gives it back: with most of the key left out.

use broadcast::{Endpoint, StreamKey};
use sha2::{Digest as _, Sha256};

/// How many bytes of a digest tell addresses apart; a broadcast has twenty destinations.
const MARK_BYTES: usize = 8;

/// `scheme://host:port/application/key`.
///
/// The port is always spelled out. Without it, `LiveKit` takes `*.contribute.live-video.net/app/KEY` for Twitch and sends
/// the show to the ingest next to itself, whatever was meant.
pub(super) fn address(endpoint: &Endpoint) -> StreamKey {
    let host = endpoint.host();
    let (open, close) = if host.contains(':') {
        ("[", "]")
    } else {
        ("", "")
    };
    StreamKey::new(format!(
        "{}://{open}{host}{close}:{}/{}/{}",
        endpoint.scheme().as_str(),
        endpoint.port(),
        endpoint.application().expose(),
        endpoint.stream_key().expose(),
    ))
}

/// Whether `LiveKit` can parse an address: in Go, a `%` that is not followed by two digits makes it none.
pub(super) fn is_address(address: &StreamKey) -> bool {
    address.expose().split('%').skip(1).all(|rest| {
        rest.as_bytes()
            .get(..2)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// The address as `LiveKit` shows it: of what follows its last `/`, only the first and the last bytes; three of each when
/// it has nine or more, two from six on, one from three on.
pub(super) fn redacted(address: &str) -> String {
    let (path, key) = address.rsplit_once('/').unwrap_or(("", address));
    let shown = match key.len() {
        9.. => 3,
        6.. => 2,
        3.. => 1,
        _ => 0,
    };
    // It cuts bytes; what is no text then is replaced when it makes JSON of it.
    let (first, last) = (
        &key.as_bytes()[..shown],
        &key.as_bytes()[key.len() - shown..],
    );
    format!(
        "{path}/{{{}...{}}}",
        String::from_utf8_lossy(first),
        String::from_utf8_lossy(last)
    )
}

/// What is written down of a shown address: it tells addresses apart, and shows nothing of them.
///
/// An application may be part of the secret, and `LiveKit` does not leave it out.
pub(super) fn mark(redacted: &str) -> String {
    let digest = Sha256::digest(redacted.as_bytes());
    let mut first = [0; MARK_BYTES];
    first.copy_from_slice(&digest[..MARK_BYTES]);
    format!(
        "{:0width$x}",
        u64::from_be_bytes(first),
        width = 2 * MARK_BYTES
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(url: &str) -> StreamKey {
        address(&Endpoint::parse(url, None).unwrap())
    }

    #[test]
    fn an_address_has_its_port_and_its_key_as_it_came() {
        for (url, sent) in [
            ("rtmp://host/live/key", "rtmp://host:1935/live/key"),
            (
                "rtmps://sfo.contribute.live-video.net/app/live_1?bandwidthtest=true",
                "rtmps://sfo.contribute.live-video.net:443/app/live_1?bandwidthtest=true",
            ),
            (
                "rtmp://[2001:db8::1]/a/b/key?x=1&y=%2F",
                "rtmp://[2001:db8::1]:1935/a/b/key?x=1&y=%2F",
            ),
        ] {
            assert_eq!(of(url).expose(), sent);
        }
    }

    #[test]
    fn a_percent_sign_must_begin_an_escape() {
        assert!(is_address(&of("rtmp://host/live/a%2Fb%20")));
        for key in ["a%", "a%2", "a%zz", "100%sure"] {
            assert!(
                !is_address(&of(&format!("rtmp://host/live/{key}"))),
                "{key}"
            );
        }
    }

    /// The vectors are those of `livekit/protocol utils/redact_test.go` and `livekit/egress pkg/config/urls_test.go`,
    /// and the bounds of the rule.
    #[test]
    fn keys_are_left_out_as_livekit_does() {
        for (key, shown) in [
            ("streamkey", "{str...key}"),
            ("12345678", "{12...78}"),
            ("123456", "{12...56}"),
            ("12345", "{1...5}"),
            ("123", "{1...3}"),
            ("12", "{...}"),
            ("", "{...}"),
        ] {
            assert_eq!(
                redacted(&format!("rtmps://localhost:1935/live/{key}")),
                format!("rtmps://localhost:1935/live/{shown}")
            );
        }
    }

    #[test]
    fn a_mark_tells_addresses_apart() {
        let (one, other) = (
            mark("rtmp://a:1935/live/{a...b}"),
            mark("rtmp://a:1935/live/{a...c}"),
        );

        assert_ne!(one, other);
        assert_eq!(one.len(), 2 * MARK_BYTES);
    }

    proptest! {
        #[test]
        fn whatever_the_key_most_of_it_is_left_out(key in "[^/ ]{9,60}") {
            let shown = redacted(&format!("rtmp://host:1935/live/{key}"));

            let left = shown.strip_prefix("rtmp://host:1935/live/");
            prop_assert!(left.is_some_and(|key| key.chars().count() <= 11));
            prop_assert!(!shown.contains(&key));
        }
    }
}
