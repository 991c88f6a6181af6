//! Daily's documents, as docs.daily.co has them (November 2026), and what its refusals mean.

use std::collections::BTreeSet;

use broadcast::StreamKey;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::hosted::{ProviderError, Refusal, secret};

/// The picture and sound that Daily makes of a room. Its pages disagree about what it takes for granted, so all of it is
/// said.
const PICTURE_WIDTH: u32 = 1920;
const PICTURE_HEIGHT: u32 = 1080;
const PICTURES_PER_SECOND: u32 = 30;
const VIDEO_KBPS: u32 = 5000;
const AUDIO_KBPS: u32 = 160;

/// The most people in a room: who brings the show, who brought it before a reconnection and is not seen to be gone yet, and
/// somebody who has a look.
const PARTICIPANTS_LIMIT: u32 = 3;

/// After how many seconds without picture and sound a live stream ends.
///
/// As long as a contribution is tried again for, and as long again.
pub(super) const IDLE_LIMIT_SECONDS: u64 = 120;

/// A room as it is.
#[derive(Debug, Deserialize)]
pub(super) struct Room {
    /// Daily's own name of it: another room of the same name has another.
    pub(super) id: String,
    pub(super) name: String,
    url: String,
    #[serde(default)]
    pub(super) config: RoomConfig,
}

/// What of a room differs from the rest.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RoomConfig {
    streaming_endpoints: Option<Vec<StreamingEndpoint>>,
}

/// A destination that a room knows.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct StreamingEndpoint {
    pub(super) name: String,
    /// `None` for HLS, which is none of ours.
    pub(super) rtmp_config: Option<RtmpConfig>,
}

/// Where it is.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RtmpConfig {
    /// With the key.
    #[serde(deserialize_with = "secret::deserialize")]
    pub(super) url: StreamKey,
}

impl Room {
    /// Where it is joined.
    pub(super) fn address(&self) -> Result<Url, ProviderError> {
        Url::parse(&self.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host())
            .ok_or_else(|| ProviderError::Protocol("a room has no address".to_owned()))
    }

    /// Its destinations, whether they are sent to or not. Whatever was sent from here has one.
    pub(super) fn endpoints(&self) -> Vec<(String, StreamKey)> {
        let endpoints = self.config.streaming_endpoints.iter().flatten();
        endpoints
            .filter_map(|endpoint| {
                let url = endpoint.rtmp_config.as_ref()?.url.clone();
                Some((endpoint.name.clone(), url))
            })
            .collect()
    }
}

/// A page of rooms, newest first.
#[derive(Debug, Deserialize)]
pub(super) struct RoomPage {
    /// How many there are on all pages.
    pub(super) total_count: usize,
    pub(super) data: Vec<ListedRoom>,
}

/// As little of a room as is needed, since it may be anybody's.
#[derive(Debug, Deserialize)]
pub(super) struct ListedRoom {
    pub(super) id: String,
    pub(super) name: String,
}

/// Who is in a room.
#[derive(Debug, Deserialize)]
pub(super) struct Presence {
    pub(super) data: Vec<Participant>,
}

/// Somebody in a room.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Participant {
    pub(super) user_id: Option<String>,
}

/// The account.
#[derive(Debug, Deserialize)]
pub(super) struct Domain {
    pub(super) domain_id: String,
}

/// An issued token.
#[derive(Debug, Deserialize)]
pub(super) struct Token {
    #[serde(deserialize_with = "secret::deserialize")]
    pub(super) token: StreamKey,
}

/// The room of a broadcast, which nobody stays in after `expires`, in seconds since 1970.
pub(super) fn new_room(name: &str, expires: u64) -> Value {
    json!({
        "name": name,
        "privacy": "private",
        "properties": {
            "exp": expires,
            "eject_at_room_exp": true,
            "max_participants": PARTICIPANTS_LIMIT,
            "enable_chat": false,
            "enable_screenshare": false,
            "start_video_off": false,
            "start_audio_off": false,
        },
    })
}

/// A later end for a room.
pub(super) fn later_end(expires: u64) -> Value {
    json!({ "properties": { "exp": expires } })
}

/// All destinations of a room. These, and no names in other requests, hold keys.
pub(super) fn known_endpoints(endpoints: &[(String, StreamKey)]) -> Value {
    let endpoints: Vec<_> = endpoints
        .iter()
        .map(|(name, url)| {
            json!({ "name": name, "type": "rtmp", "rtmp_config": { "url": url.expose() } })
        })
        .collect();
    json!({ "properties": { "streaming_endpoints": endpoints } })
}

/// A live stream to destinations that the room knows, which ends by itself after so many seconds.
///
/// The layout is that of everybody with a picture, cut down to one: it finds who brings the show by itself, also after they
/// have joined again, where `single-participant` goes on with a session that is over.
pub(super) fn live_stream(instance: &str, names: &BTreeSet<String>, longest_seconds: u64) -> Value {
    json!({
        "instanceId": instance,
        "endpoints": references(names),
        "width": PICTURE_WIDTH,
        "height": PICTURE_HEIGHT,
        "fps": PICTURES_PER_SECOND,
        "videoBitrate": VIDEO_KBPS,
        "audioBitrate": AUDIO_KBPS,
        "minIdleTimeOut": IDLE_LIMIT_SECONDS,
        "maxDuration": longest_seconds,
        "layout": { "preset": "default", "max_cam_streams": 1 },
    })
}

/// Destinations to be added to a live stream, or removed from it.
pub(super) fn some_endpoints(instance: &str, names: &BTreeSet<String>) -> Value {
    json!({ "instanceId": instance, "endpoints": references(names) })
}

fn references(names: &BTreeSet<String>) -> Vec<Value> {
    names
        .iter()
        .map(|name| json!({ "endpoint": name }))
        .collect()
}

/// A request for a token.
pub(super) fn new_token(room: &str, user: &str, expires: u64) -> Value {
    json!({
        "properties": { "room_name": room, "exp": expires, "user_name": user, "user_id": user },
    })
}

/// Daily says in `error` what is wrong, in a word that stays, and in `info` why; the status says less.
pub(super) fn refusal(refusal: &Refusal<'_>) -> Option<ProviderError> {
    let word = refusal.document?["error"].as_str()?;
    match word {
        // A missing header is told as 400.
        "authentication-error" | "authorization-header-error" => Some(ProviderError::Auth),
        "forbidden-error" => Some(ProviderError::Forbidden(refusal.words())),
        "not-found" => Some(ProviderError::NotFound(refusal.thing)),
        "rate-limit-error" => Some(ProviderError::RateLimited {
            retry_after: refusal.retry_after,
        }),
        "invalid-request-error" => {
            let words = refusal.words();
            let there_is_one = ["already", "active stream"];
            Some(if there_is_one.iter().any(|part| words.contains(part)) {
                ProviderError::Conflict(words)
            } else {
                ProviderError::Invalid(words)
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn told(status: u16, document: &Value) -> Option<ProviderError> {
        refusal(&Refusal {
            status,
            document: Some(document),
            retry_after: Some(Duration::from_secs(2)),
            thing: "room",
        })
    }

    #[test]
    fn each_word_has_its_error() {
        let words = |info: &str| json!({ "error": "invalid-request-error", "info": info });
        for (status, document, error) in [
            (
                400,
                json!({ "error": "authorization-header-error" }),
                Some(ProviderError::Auth),
            ),
            (
                401,
                json!({ "error": "authentication-error" }),
                Some(ProviderError::Auth),
            ),
            (
                403,
                json!({ "error": "forbidden-error", "info": "no streaming" }),
                Some(ProviderError::Forbidden("no streaming".to_owned())),
            ),
            (
                404,
                json!({ "error": "not-found" }),
                Some(ProviderError::NotFound("room")),
            ),
            (
                429,
                json!({ "error": "rate-limit-error" }),
                Some(ProviderError::RateLimited {
                    retry_after: Some(Duration::from_secs(2)),
                }),
            ),
            (
                400,
                words("a room named bc already exists"),
                Some(ProviderError::Conflict(
                    "a room named bc already exists".to_owned(),
                )),
            ),
            (
                400,
                words("unknown property"),
                Some(ProviderError::Invalid("unknown property".to_owned())),
            ),
            (500, json!({ "error": "server-error" }), None),
            (400, json!([]), None),
        ] {
            assert_eq!(told(status, &document), error, "{document}");
        }
    }

    #[test]
    fn a_room_is_read_as_documented() {
        let room: Room = serde_json::from_value(json!({
            "id": "d61cd7b2-a273-42b4-89bd-be763fd562c1",
            "name": "bc-7f3k2",
            "api_created": true,
            "privacy": "private",
            "url": "https://DOMAIN.daily.co/bc-7f3k2",
            "created_at": "2026-11-21T09:00:00.000Z",
            "config": {
                "exp": 1_763_753_600,
                "streaming_endpoints": [
                    { "name": "hls", "type": "hls", "hls_config": {} },
                    { "name": "a", "type": "rtmp", "rtmp_config": { "url": "rtmp://h/a/SECRET" } },
                ],
            },
        }))
        .unwrap();

        assert_eq!(
            room.endpoints(),
            [("a".to_owned(), StreamKey::new("rtmp://h/a/SECRET"))]
        );
        assert_eq!(
            room.address().unwrap().as_str(),
            "https://domain.daily.co/bc-7f3k2"
        );
        assert!(!format!("{room:?}").contains("SECRET"));
    }
}
