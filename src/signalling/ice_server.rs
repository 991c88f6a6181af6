//! STUN and TURN servers, as they are handed to clients.

use std::fmt::{self, Write as _};

use axum::http::HeaderValue;

/// One server and, for TURN, the credentials of one client.
#[derive(Clone, PartialEq, Eq)]
pub struct IceServer {
    /// `stun:` or `turn:` URLs.
    pub urls: Vec<String>,
    /// TURN user name, if the server wants one.
    pub username: Option<String>,
    /// TURN password, if the server wants one. Not shown by `Debug`.
    pub credential: Option<String>,
}

impl IceServer {
    /// Writes one `Link` header value for each URL, by RFC 9725, section 4.6.
    pub fn links(&self) -> Vec<HeaderValue> {
        self.urls.iter().filter_map(|url| self.link(url)).collect()
    }

    fn link(&self, url: &str) -> Option<HeaderValue> {
        let quotable = |text: &str| !text.contains(['"', '\\', '<', '>']);
        let mut link = format!("<{url}>; rel=\"ice-server\"");
        if let (Some(username), Some(credential)) = (&self.username, &self.credential) {
            if !quotable(username) || !quotable(credential) {
                return None;
            }
            write!(link, "; username=\"{username}\"; credential=\"{credential}\"; credential-type=\"password\"").ok()?;
        }
        let mut value = HeaderValue::try_from(link).ok().filter(|_| quotable(url))?;
        value.set_sensitive(self.credential.is_some());
        Some(value)
    }
}

impl fmt::Debug for IceServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("IceServer")
            .field("urls", &self.urls)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_url_has_a_link_of_its_own() {
        let server = IceServer {
            urls: vec![
                "turn:t.example:3478?transport=udp".into(),
                "turns:t.example:5349".into(),
            ],
            username: Some("1700000000:show".into()),
            credential: Some("c2VjcmV0".into()),
        };

        let links = server.links();

        assert_eq!(links.len(), 2);
        assert_eq!(
            links[0],
            "<turn:t.example:3478?transport=udp>; rel=\"ice-server\"; username=\"1700000000:show\"; credential=\"c2VjcmV0\"; credential-type=\"password\""
        );
        assert!(!format!("{server:?} {links:?}").contains("c2VjcmV0"));
    }

    #[test]
    fn a_stun_server_needs_no_credentials() {
        let server = IceServer {
            urls: vec!["stun:s.example".into()],
            username: None,
            credential: None,
        };

        assert_eq!(server.links(), ["<stun:s.example>; rel=\"ice-server\""]);
    }
}
