//! Where a destination is: the address that may be shown and the key that may not.

use std::fmt;

use crate::StreamKey;

/// The protocol of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// RTMP over TCP, default port 1935.
    Rtmp,
    /// RTMP over TLS, default port 443.
    Rtmps,
}

impl Scheme {
    /// The scheme as it stands in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Rtmps => "rtmps",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Rtmp => 1935,
            Self::Rtmps => 443,
        }
    }
}

/// Why a URL is not a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// Another scheme than `rtmp` and `rtmps`.
    #[error("the URL must start with rtmp:// or rtmps://")]
    Scheme,
    /// No host, or one with characters that no host has.
    #[error("the URL has no valid host")]
    Host,
    /// A port that is none.
    #[error("the port must be a number from 1 to 65535")]
    Port,
    /// No application path, such as `/live2`.
    #[error("the URL needs an application path, such as /live2")]
    Application,
    /// User and password in a URL are not supported.
    #[error("user and password in the URL are not supported")]
    Credentials,
    /// Neither a key of its own nor one at the end of the URL.
    #[error("a stream key is missing")]
    Key,
    /// Control characters or blanks.
    #[error("the URL and the key must not hold blanks or control characters")]
    Characters,
    /// Too long to be meant.
    #[error("the URL and the key may have 2048 bytes each")]
    Length,
}

/// The longest URL and the longest key, in bytes; real ones stay below 300.
const LONGEST_BYTES: usize = 2048;

/// A parsed destination address.
///
/// `Debug` and `Display` show scheme, host and port only: a key may stand anywhere in path and query.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    scheme: Scheme,
    host: String,
    port: u16,
    application: StreamKey,
    stream_key: StreamKey,
}

impl Endpoint {
    /// Parses `rtmp[s]://host[:port]/application[/key]`, keeping `?`, `&` and `/` of the key byte for byte.
    ///
    /// With `stream_key` the whole path and query is the application; without one the key is what
    /// follows the application's last `/` before any `?` (the query stays with the key).
    pub fn parse(url: &str, stream_key: Option<&str>) -> Result<Self, EndpointError> {
        if url.len() > LONGEST_BYTES || stream_key.is_some_and(|key| key.len() > LONGEST_BYTES) {
            return Err(EndpointError::Length);
        }
        let hostile = |text: &str| text.chars().any(|c| c.is_control() || c.is_whitespace());
        if hostile(url) || stream_key.is_some_and(hostile) {
            return Err(EndpointError::Characters);
        }
        let (scheme, rest) = split_scheme(url)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(EndpointError::Credentials);
        }
        let (host, port) = split_authority(authority, scheme)?;
        let (application, key) = match stream_key.filter(|key| !key.is_empty()) {
            Some(key) => (path.trim_end_matches('/'), key),
            None => split_key(path)?,
        };
        if application.is_empty() {
            return Err(EndpointError::Application);
        }
        Ok(Self {
            scheme,
            host,
            port,
            application: StreamKey::new(application),
            stream_key: StreamKey::new(key),
        })
    }

    /// Puts an address together from what it shows of itself (`scheme://host:port`) and what it does not, byte for byte.
    pub fn from_parts(
        server: &str,
        application: StreamKey,
        stream_key: StreamKey,
    ) -> Result<Self, EndpointError> {
        let (scheme, authority) = split_scheme(server)?;
        let (host, port) = split_authority(authority, scheme)?;
        if application.is_empty() {
            return Err(EndpointError::Application);
        }
        if stream_key.is_empty() {
            return Err(EndpointError::Key);
        }
        Ok(Self {
            scheme,
            host,
            port,
            application,
            stream_key,
        })
    }

    /// The protocol.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host name or address, without brackets, lower case.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The application, which some platforms make part of the secret.
    pub const fn application(&self) -> &StreamKey {
        &self.application
    }

    /// The stream key.
    pub const fn stream_key(&self) -> &StreamKey {
        &self.stream_key
    }

    /// The same address with another key.
    #[must_use]
    pub fn with_stream_key(mut self, stream_key: StreamKey) -> Self {
        self.stream_key = stream_key;
        self
    }
}

impl fmt::Display for Endpoint {
    /// Writes `scheme://host:port`, which is all that may be shown.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') {
            ("[", "]")
        } else {
            ("", "")
        };
        write!(
            formatter,
            "{}://{open}{}{close}:{}",
            self.scheme.as_str(),
            self.host,
            self.port
        )
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Endpoint({self})")
    }
}

fn split_scheme(url: &str) -> Result<(Scheme, &str), EndpointError> {
    let (scheme, rest) = url.split_once("://").ok_or(EndpointError::Scheme)?;
    if scheme.eq_ignore_ascii_case("rtmp") {
        Ok((Scheme::Rtmp, rest))
    } else if scheme.eq_ignore_ascii_case("rtmps") {
        Ok((Scheme::Rtmps, rest))
    } else {
        Err(EndpointError::Scheme)
    }
}

fn split_authority(authority: &str, scheme: Scheme) -> Result<(String, u16), EndpointError> {
    let (host, port) = if let Some(bracketed) = authority.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']').ok_or(EndpointError::Host)?;
        host.parse::<std::net::Ipv6Addr>()
            .map_err(|_| EndpointError::Host)?;
        match rest {
            "" => (host, None),
            _ => (
                host,
                Some(rest.strip_prefix(':').ok_or(EndpointError::Host)?),
            ),
        }
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || host.len() > 253 || !host.chars().all(valid) {
        return Err(EndpointError::Host);
    }
    let port = match port {
        None => scheme.default_port(),
        Some(text) => text
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or(EndpointError::Port)?,
    };
    Ok((host.to_ascii_lowercase(), port))
}

fn split_key(path: &str) -> Result<(&str, &str), EndpointError> {
    let query = path.find('?').unwrap_or(path.len());
    let slash = path[..query].rfind('/').ok_or(if path.is_empty() {
        EndpointError::Application
    } else {
        EndpointError::Key
    })?;
    let (application, key) = (&path[..slash], &path[slash + 1..]);
    if key.is_empty() {
        Err(EndpointError::Key)
    } else {
        Ok((application, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_put_together_as_it_was_taken_apart() {
        for (url, key) in [
            ("rtmp://host/live/key?a=b/c", None),
            ("rtmps://[2001:db8::1]:444/a//b", Some("x?y/z")),
            ("rtmp://host/live//key", None),
        ] {
            let endpoint = Endpoint::parse(url, key).unwrap();

            let again = Endpoint::from_parts(
                &endpoint.to_string(),
                endpoint.application().clone(),
                endpoint.stream_key().clone(),
            );

            assert_eq!(again, Ok(endpoint));
        }
    }

    #[test]
    fn a_key_keeps_its_question_marks_ampersands_and_slashes() {
        let key = "FB-1-0-Ab?s_bl=1&s_oil=2/x&a=%20b";
        let endpoint = Endpoint::parse("rtmps://live-api-s.facebook.com:443/rtmp/", Some(key));

        let endpoint = endpoint.expect("a valid destination");

        assert_eq!(endpoint.stream_key().expose(), key);
        assert_eq!(endpoint.application().expose(), "rtmp");
        assert_eq!(
            (endpoint.host(), endpoint.port()),
            ("live-api-s.facebook.com", 443)
        );
    }

    #[test]
    fn without_a_key_the_end_of_the_path_is_the_key() {
        let endpoint = Endpoint::parse("rtmp://host/live/inner/key?a=b/c", None).expect("valid");

        assert_eq!(endpoint.application().expose(), "live/inner");
        assert_eq!(endpoint.stream_key().expose(), "key?a=b/c");
    }

    #[test]
    fn only_scheme_host_and_port_are_shown() {
        let endpoint = Endpoint::parse("rtmp://[::1]:1936/live/secret", None).expect("valid");

        assert_eq!(
            format!("{endpoint} {endpoint:?}"),
            "rtmp://[::1]:1936 Endpoint(rtmp://[::1]:1936)"
        );
    }

    #[test]
    fn each_mistake_has_its_own_error() {
        let error = |url: &str| Endpoint::parse(url, None).err();

        assert_eq!(error("http://host/live/key"), Some(EndpointError::Scheme));
        assert_eq!(error("rtmp:///live/key"), Some(EndpointError::Host));
        assert_eq!(error("rtmp://host:0/live/key"), Some(EndpointError::Port));
        assert_eq!(error("rtmp://host"), Some(EndpointError::Application));
        assert_eq!(error("rtmp://host/live"), Some(EndpointError::Key));
        assert_eq!(
            error("rtmp://user:pw@host/live/key"),
            Some(EndpointError::Credentials)
        );
        assert_eq!(
            error("rtmp://host/live/a b"),
            Some(EndpointError::Characters)
        );
        assert_eq!(
            error(&format!("rtmp://host/live/{}", "k".repeat(2048))),
            Some(EndpointError::Length)
        );
    }
}
