//! The JSON of a destination, and how it becomes one and back.

use broadcast::{
    AfterCut, BackupMode, DestinationChange, DestinationId, DestinationSpec, Endpoint,
    EndpointError, Platform, Provider, SpecError, StreamKey,
};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::{
    milliseconds,
    rendition::{RenditionBody, RenditionRequest},
};
use crate::{
    broadcasts::{DestinationSnapshot, LineSnapshot},
    http::error::ApiError,
};

/// A text that may hold a key: `Debug` does not show it.
#[derive(Clone, ToSchema)]
#[schema(value_type = String)]
pub(in crate::http) struct Hidden(StreamKey);

impl Hidden {
    /// The text, for parsing and for nothing else.
    pub(in crate::http) fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Hidden")
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(StreamKey::new(text)))
    }
}

/// A destination as it is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct DestinationRequest {
    /// 1 to 64 of `A-Z a-z 0-9 _ -`, once in a broadcast; made up when absent.
    id: Option<String>,
    /// What the host of the show calls it; guessed by the host name when absent.
    #[schema(example = "youtube")]
    platform: Option<String>,
    /// `rtmp://` or `rtmps://`, with the key at its end when `streamKey` is absent.
    #[schema(value_type = String, example = "rtmps://a.rtmps.youtube.com/live2")]
    rtmp_url: Hidden,
    /// The key, byte for byte. Never shown again.
    #[schema(value_type = Option<String>, write_only)]
    stream_key: Option<Hidden>,
    /// Another address, with the same key.
    #[schema(value_type = Option<String>)]
    backup_rtmp_url: Option<Hidden>,
    /// `failover` (when absent): tried in turn with `rtmpUrl` after a loss. `simultaneous`: sent to all the time, with the same timestamps.
    backup_mode: Option<String>,
    /// Whether the show is pointless without it: when it cannot keep up, the studio is asked to send less. False when absent.
    required: Option<bool>,
    /// Whether it is sent to; true when absent.
    enabled: Option<bool>,
    /// Whether it is sent the slate in place of the show, over the same connection; false when absent.
    paused: Option<bool>,
    /// After a cut: `jump` (when absent) to the present, or `catchUp` from where it was cut, at most 30 s back.
    after_cut: Option<String>,
    /// Another picture than the broadcast's, no larger than it; made once for all destinations that ask for the same.
    rendition: Option<RenditionRequest>,
    /// Who is to carry to it, whatever the broadcast's method says: `own`, `daily`, `livekit`, `cloudflare`, `mux` or `restream`.
    provider: Option<String>,
}

/// What may be changed of a destination. What is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct DestinationPatch {
    /// Enables or disables it; enabling a failed one tries it again.
    enabled: Option<bool>,
    /// Pauses it (the slate goes there in place of the show) or resumes it; the connection stays.
    paused: Option<bool>,
    /// Whether the show is pointless without it.
    required: Option<bool>,
    /// `jump` or `catchUp`, for the next cut.
    after_cut: Option<String>,
    /// Another key; an open connection is made anew with it.
    #[schema(value_type = Option<String>, write_only)]
    stream_key: Option<Hidden>,
}

impl DestinationRequest {
    /// Checks everything; `path` stands before the names of fields, `taken` knows the ids that are in use.
    pub(in crate::http) fn into_spec(
        self,
        path: &str,
        taken: impl Fn(&DestinationId) -> bool,
    ) -> Result<DestinationSpec, ApiError> {
        let at = |field: &str| format!("{path}{field}");
        let id = match self.id {
            Some(id) => {
                DestinationId::new(id).map_err(|error| ApiError::invalid(at("id"), error))?
            }
            None => first_free(taken)?,
        };
        let key = self.stream_key.as_ref().map(|Hidden(key)| key.expose());
        let endpoint = Endpoint::parse(self.rtmp_url.0.expose(), key).map_err(|error| {
            let field = if error == EndpointError::Key {
                "streamKey"
            } else {
                "rtmpUrl"
            };
            ApiError::invalid(at(field), error)
        })?;
        let backup = match self.backup_rtmp_url {
            Some(Hidden(url)) => Some(
                Endpoint::parse(url.expose(), key.or(Some(endpoint.stream_key().expose())))
                    .map_err(|error| ApiError::invalid(at("backupRtmpUrl"), error))?,
            ),
            None => None,
        };
        let platform = match self.platform {
            Some(platform) => {
                Platform::new(platform).map_err(|error| ApiError::invalid(at("platform"), error))?
            }
            None => Platform::of_host(endpoint.host()),
        };
        Ok(DestinationSpec {
            id,
            platform,
            endpoint,
            backup,
            backup_mode: match self.backup_mode {
                Some(word) => read_word(&word, BackupMode::ALL, BackupMode::as_str)
                    .map_err(|message| ApiError::invalid(at("backupMode"), message))?,
                None => BackupMode::default(),
            },
            required: self.required.unwrap_or(false),
            enabled: self.enabled.unwrap_or(true),
            paused: self.paused.unwrap_or(false),
            after_cut: match self.after_cut {
                Some(word) => read_word(&word, AfterCut::ALL, AfterCut::as_str)
                    .map_err(|message| ApiError::invalid(at("afterCut"), message))?,
                None => AfterCut::default(),
            },
            rendition: self
                .rendition
                .map(|rendition| rendition.into_rendition(&at("rendition")))
                .transpose()?,
            provider: match self.provider {
                Some(word) => Some(
                    word.parse()
                        .map_err(|error: SpecError| ApiError::invalid(at("provider"), error))?,
                ),
                None => None,
            },
        })
    }
}

impl DestinationPatch {
    /// Checks the key as that of an address would be.
    pub(in crate::http) fn into_change(self) -> Result<DestinationChange, ApiError> {
        let stream_key = match self.stream_key {
            Some(Hidden(key)) => {
                let invalid = |error| ApiError::invalid("streamKey", error);
                if key.is_empty() {
                    return Err(invalid(EndpointError::Key));
                }
                Endpoint::parse("rtmp://host/application", Some(key.expose())).map_err(invalid)?;
                Some(key)
            }
            None => None,
        };
        let after_cut = self
            .after_cut
            .map(|word| read_word(&word, AfterCut::ALL, AfterCut::as_str))
            .transpose()
            .map_err(|message| ApiError::invalid("afterCut", message))?;
        Ok(DestinationChange {
            enabled: self.enabled,
            paused: self.paused,
            required: self.required,
            after_cut,
            stream_key,
        })
    }
}

/// Finds what a word of the contract stands for, or says which words there are.
fn read_word<T: Copy, const COUNT: usize>(
    word: &str,
    all: [T; COUNT],
    as_str: impl Fn(T) -> &'static str,
) -> Result<T, String> {
    let known = all.map(&as_str);
    all.into_iter()
        .find(|each| as_str(*each) == word)
        .ok_or_else(|| format!("it is one of {}", known.join(", ")))
}

/// `d1`, `d2`, …: the same request gets the same ids again.
fn first_free(taken: impl Fn(&DestinationId) -> bool) -> Result<DestinationId, ApiError> {
    (1..=u16::MAX)
        .filter_map(|number| DestinationId::new(format!("d{number}")).ok())
        .find(|id| !taken(id))
        .ok_or(ApiError::Internal)
}

/// A destination as it is shown: never with its key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct DestinationBody {
    id: String,
    platform: String,
    required: bool,
    enabled: bool,
    /// Whether it is sent the slate in place of the show.
    paused: bool,
    /// `jump` or `catchUp`.
    after_cut: &'static str,
    /// Its own picture, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    rendition: Option<RenditionBody>,
    /// Who carries to it, or did so last; absent before anybody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'static str>,
    /// `failover` or `simultaneous`; absent without a backup address.
    #[serde(skip_serializing_if = "Option::is_none")]
    backup_mode: Option<&'static str>,
    /// The address in use, or to be used next: `primary` or `backup`.
    using: &'static str,
    #[serde(flatten)]
    primary: LineBody,
    /// The second of two simultaneous connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<LineBody>,
}

/// One connection of a destination.
///
/// What was sent is known where the gateway sends it itself. A hosted provider does not tell; what is brought there is in
/// `egress.hosted`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LineBody {
    /// Scheme, host and port.
    #[schema(example = "rtmps://a.rtmps.youtube.com:443")]
    server: String,
    /// `pending`, `connecting`, `live`, `retrying`, `failed` or `stopped`.
    state: &'static str,
    /// When it came to be in this state.
    since: String,
    /// Whether it waits for longer than usual: its connections were short, and each becomes a video on most platforms.
    held_back: bool,
    /// Absent where a hosted provider sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_sent: Option<u64>,
    /// Absent where a hosted provider sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    bitrate_kbps: Option<u64>,
    /// Media that the server has not acknowledged, including what it is behind. Absent where a hosted provider sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_ms: Option<u64>,
    /// Whether it is sent what it missed, faster than real time.
    catching_up: bool,
    /// Absent where a hosted provider sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    frames_sent: Option<u64>,
    /// Absent where a hosted provider sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    frames_dropped: Option<u64>,
    reconnects: u64,
    keyframe_interval_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<FailureBody>,
}

/// Why a destination was last lost.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct FailureBody {
    /// Stable reason code.
    #[schema(example = "key_refused")]
    code: &'static str,
    message: String,
    /// `studio`, `destination` or `gateway`.
    fault: &'static str,
    /// `never` or `backoff`.
    retry: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
}

impl DestinationBody {
    pub(in crate::http) fn new(destination: &DestinationSnapshot) -> Self {
        let is_ours = destination
            .provider
            .is_none_or(|provider| provider == Provider::Own);
        let backup = destination.backup.as_ref();
        Self {
            id: destination.id.to_string(),
            platform: destination.platform.as_str().to_owned(),
            required: destination.required,
            enabled: destination.enabled,
            paused: destination.paused,
            after_cut: destination.after_cut.as_str(),
            rendition: destination.rendition.map(RenditionBody::new),
            provider: destination.provider.map(Provider::as_str),
            backup_mode: destination.backup_mode.map(BackupMode::as_str),
            using: destination.using.as_str(),
            primary: LineBody::new(&destination.primary, is_ours),
            backup: backup.map(|line| LineBody::new(line, is_ours)),
        }
    }
}

impl LineBody {
    /// `is_ours`: the gateway itself sends there.
    fn new(line: &LineSnapshot, is_ours: bool) -> Self {
        let known = |figure: u64| is_ours.then_some(figure);
        Self {
            server: line.server.clone(),
            state: line.state.as_str(),
            since: line.since.to_string(),
            held_back: line.held_back,
            bytes_sent: known(line.bytes_sent),
            bitrate_kbps: known(line.bits_per_second / 1000),
            queue_ms: known(milliseconds(line.queued)),
            catching_up: line.catching_up,
            frames_sent: known(line.frames_sent),
            frames_dropped: known(line.frames_dropped),
            reconnects: line.reconnects,
            keyframe_interval_ms: line.keyframe_interval.map(milliseconds),
            last_error: line
                .last_failure
                .as_ref()
                .map(|(failure, at)| FailureBody::new(failure, Some(at.to_string()))),
        }
    }
}

impl FailureBody {
    pub(in crate::http) fn new(failure: &broadcast::Failure, at: Option<String>) -> Self {
        Self {
            code: failure.reason.code(),
            message: failure.message.clone(),
            fault: failure.fault().as_str(),
            retry: failure.retry().as_str(),
            at,
        }
    }
}
