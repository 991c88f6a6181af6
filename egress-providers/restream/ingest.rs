//! Where shows come in at such a server.

use std::fmt;

use broadcast::{Endpoint, EndpointError, StreamKey};

use crate::hosted::ProviderError;

/// An ingest address: `rtmp[s]://host[:port]/application[?query]`. The query, in which some servers want credentials,
/// goes behind the stream's name.
#[derive(Clone)]
pub(super) struct Ingest {
    server: String,
    query: StreamKey,
}

impl Ingest {
    pub(super) fn parse(text: &str) -> Result<Self, EndpointError> {
        let (server, query) = text
            .split_once('?')
            .map_or((text, String::new()), |(server, query)| {
                (server, format!("?{query}"))
            });
        let ingest = Self {
            server: server.to_owned(),
            query: StreamKey::new(query),
        };
        ingest.with_key("name").map(|_| ingest)
    }

    /// The path of a stream at the server: `application/name`; of no name, the folder of all of them.
    pub(super) fn path(&self, name: &str) -> String {
        let application = self.with_key("name").map_or_else(
            |_| String::new(),
            |endpoint| endpoint.application().expose().to_owned(),
        );
        format!("{application}/{name}")
    }

    /// Where a stream is published, under the server's key for it or else under its name.
    pub(super) fn endpoint(
        &self,
        key: Option<&StreamKey>,
        name: &str,
    ) -> Result<Endpoint, ProviderError> {
        self.with_key(key.map_or(name, StreamKey::expose))
            .map_err(|error| {
                ProviderError::Protocol(format!("its stream key cannot be used: {error}"))
            })
    }

    fn with_key(&self, key: &str) -> Result<Endpoint, EndpointError> {
        let key = format!("{key}{}", self.query.expose());
        Endpoint::parse(&self.server, Some(&key))
    }
}

impl fmt::Debug for Ingest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.with_key("name").map(|endpoint| endpoint.to_string());
        write!(formatter, "Ingest({})", server.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_behind_the_name_and_are_not_shown() {
        let ingest = Ingest::parse("rtmp://mtx.example/live?user=castgate&pass=canary").unwrap();

        let endpoint = ingest.endpoint(None, "show").unwrap();

        assert_eq!(ingest.path("show"), "live/show");
        assert_eq!(endpoint.application().expose(), "live");
        let key = endpoint.stream_key().expose();
        assert_eq!(key, "show?user=castgate&pass=canary");
        assert_eq!(format!("{ingest:?}"), "Ingest(rtmp://mtx.example:1935)");
    }

    #[test]
    fn all_streams_are_in_one_folder() {
        let ingest = Ingest::parse("rtmps://mtx.example/live").unwrap();

        assert_eq!(ingest.path("show"), "live/show");
        assert_eq!(ingest.path(""), "live/");
    }

    #[test]
    fn an_address_that_nothing_can_be_published_to_is_refused() {
        for wrong in [
            "",
            "https://a.example/live",
            "rtmp://a.example",
            "rtmp://a b/live",
        ] {
            assert!(Ingest::parse(wrong).is_err(), "{wrong}");
        }
    }
}
