//! `LiveKit`'s documents, as far as they matter. It answers with `snake_case`, and its webhooks are in `camelCase`; what
//! has its default value may be absent or null, and a newer server may have words that we do not know.

use broadcast::StreamKey;
use serde::{Deserialize, Deserializer};

/// Reads an enum's value by its name or its number; absence is the first one.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($value:ident = $word:literal),+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum $name {
            $($value,)+
            Unknown,
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                const WORDS: &[(&str, $name)] = &[$(($word, $name::$value)),+];
                let found = match NameOrNumber::deserialize(deserializer)? {
                    NameOrNumber::Name(name) => WORDS.iter().find(|(word, _)| *word == name),
                    NameOrNumber::Number(number) => {
                        usize::try_from(number).ok().and_then(|nth| WORDS.get(nth))
                    }
                    NameOrNumber::Nothing(()) => WORDS.first(),
                };
                Ok(found.map_or(Self::Unknown, |(_, value)| *value))
            }
        }

        impl Default for $name {
            fn default() -> Self {
                const FIRST: &[$name] = &[$($name::$value),+];
                FIRST[0]
            }
        }
    };
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NameOrNumber {
    Name(String),
    Number(i64),
    Nothing(()),
}

words!(
    /// How an egress is.
    EgressPhase {
        Starting = "EGRESS_STARTING",
        Active = "EGRESS_ACTIVE",
        Ending = "EGRESS_ENDING",
        Complete = "EGRESS_COMPLETE",
        Failed = "EGRESS_FAILED",
        Aborted = "EGRESS_ABORTED",
        LimitReached = "EGRESS_LIMIT_REACHED"
    }
);

words!(
    /// How one stream of an egress is.
    StreamPhase {
        Active = "ACTIVE",
        Finished = "FINISHED",
        Failed = "FAILED"
    }
);

words!(
    /// How an ingress is.
    IngressPhase {
        Inactive = "ENDPOINT_INACTIVE",
        Buffering = "ENDPOINT_BUFFERING",
        Publishing = "ENDPOINT_PUBLISHING",
        Error = "ENDPOINT_ERROR",
        Complete = "ENDPOINT_COMPLETE"
    }
);

impl EgressPhase {
    /// Whether it sends nothing any more.
    pub(super) const fn is_over(self) -> bool {
        matches!(
            self,
            Self::Complete | Self::Failed | Self::Aborted | Self::LimitReached
        )
    }
}

/// A room.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Room {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) name: String,
}

/// A door into a room.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Ingress {
    #[serde(rename = "ingress_id", alias = "ingressId")]
    pub(super) id: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) name: String,
    #[serde(default, alias = "streamKey", deserialize_with = "secret")]
    pub(super) stream_key: Option<StreamKey>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) url: String,
    #[serde(default, alias = "roomName", deserialize_with = "or_default")]
    pub(super) room_name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) state: IngressState,
}

/// What comes in by it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct IngressState {
    #[serde(default)]
    pub(super) status: IngressPhase,
}

/// A way out of a room.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Egress {
    #[serde(rename = "egress_id", alias = "egressId")]
    pub(super) id: String,
    #[serde(default, alias = "roomName", deserialize_with = "or_default")]
    pub(super) room_name: String,
    #[serde(default)]
    pub(super) status: EgressPhase,
    #[serde(default, alias = "streamResults", deserialize_with = "or_default")]
    pub(super) stream_results: Vec<Stream>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) error: String,
}

/// One address that an egress sends to. They stand in the order in which they were added, the ended ones among them.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Stream {
    /// With most of the key left out.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) url: String,
    #[serde(default)]
    pub(super) status: StreamPhase,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) error: String,
}

/// One page of a listing.
#[derive(Debug, Clone, Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
pub(super) struct Page<T> {
    /// Rooms stand under a name of their own.
    #[serde(default, alias = "rooms", deserialize_with = "or_default")]
    pub(super) items: Vec<T>,
    #[serde(default, alias = "nextPageToken")]
    pub(super) next_page_token: Option<PageToken>,
}

/// Where a listing goes on.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct PageToken {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) token: String,
}

/// What a webhook tells.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Event {
    #[serde(default, rename = "event", deserialize_with = "or_default")]
    pub(super) kind: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) id: String,
    pub(super) room: Option<Room>,
    #[serde(alias = "egress_info", rename = "egressInfo")]
    pub(super) egress_info: Option<Egress>,
    #[serde(alias = "ingress_info", rename = "ingressInfo")]
    pub(super) ingress_info: Option<Ingress>,
}

/// What is absent or null has its default value.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<StreamKey>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(StreamKey::new))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn both_spellings_are_read() {
        let snake = json!({
            "egress_id": "EG_1", "room_name": "show", "status": "EGRESS_ACTIVE",
            "stream_results": [{ "url": "rtmp://h/a/{k...y}", "status": "FAILED", "error": "refused", "started_at": "7" }],
        });
        let camel = json!({
            "egressId": "EG_1", "roomName": "show", "status": 1,
            "streamResults": [{ "url": "rtmp://h/a/{k...y}", "status": 2, "error": "refused", "startedAt": 7 }],
        });

        for document in [snake, camel] {
            let egress: Egress = serde_json::from_value(document).unwrap();
            assert_eq!(egress.id, "EG_1");
            assert_eq!(egress.room_name, "show");
            assert_eq!(egress.status, EgressPhase::Active);
            assert_eq!(egress.stream_results[0].status, StreamPhase::Failed);
            assert_eq!(egress.stream_results[0].error, "refused");
        }
    }

    #[test]
    fn what_is_absent_or_null_is_the_default() {
        for document in [
            json!({ "egress_id": "EG_1" }),
            json!({ "egress_id": "EG_1", "status": null, "stream_results": null, "error": null }),
        ] {
            let egress: Egress = serde_json::from_value(document).unwrap();
            assert_eq!(egress.status, EgressPhase::Starting);
            assert!(egress.stream_results.is_empty());
        }
        let ingress: Ingress =
            serde_json::from_value(json!({ "ingress_id": "IN_1", "state": null })).unwrap();
        assert_eq!(ingress.state.status, IngressPhase::Inactive);
        assert_eq!(ingress.stream_key, None);
    }

    #[test]
    fn a_newer_servers_words_are_no_error() {
        for status in [json!("EGRESS_PAUSED"), json!(99), json!(-1)] {
            let document = json!({ "egress_id": "EG_1", "status": status });
            let egress: Egress = serde_json::from_value(document).unwrap();
            assert_eq!(egress.status, EgressPhase::Unknown);
        }
    }

    #[test]
    fn a_stream_key_is_not_shown() {
        let document = json!({ "ingress_id": "IN_1", "stream_key": "canary" });
        let ingress: Ingress = serde_json::from_value(document).unwrap();

        assert!(!format!("{ingress:?}").contains("canary"));
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(serde_json::from_slice::<Page<Egress>>(&bytes));
            drop(serde_json::from_slice::<Event>(&bytes));
        }
    }
}
