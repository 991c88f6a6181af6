//! The JSON of the Broadcast API, and how it becomes a broadcast and back.

use broadcast::{
    AfterCut, BackupMode, BroadcastId, BroadcastSpec, DestinationChange, DestinationId,
    DestinationSpec, Endpoint, EndpointError, Method, Platform, StreamKey,
};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::error::ApiError;
use crate::broadcasts::{DestinationSnapshot, IngestSnapshot, Snapshot};

/// A text that may hold a key: `Debug` does not show it.
#[derive(Clone, ToSchema)]
#[schema(value_type = String)]
pub(super) struct Hidden(StreamKey);

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

/// A broadcast as it is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BroadcastRequest {
    /// 1 to 64 of `A-Z a-z 0-9 _ -`; made up when absent. The same request again finds the same broadcast.
    #[schema(example = "my-show")]
    id: Option<String>,
    /// Who carries it: `gstreamer` or `ffmpeg`, both of which pass H.264 through in this version.
    method: Option<String>,
    /// Whether destinations open as soon as the studio is connected; true when absent.
    auto_start: Option<bool>,
    /// Where it goes, at most 20.
    destinations: Option<Vec<DestinationRequest>>,
}

/// A destination as it is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DestinationRequest {
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
    /// Tried in turn with `rtmpUrl` after a loss, with the same key.
    #[schema(value_type = Option<String>)]
    backup_rtmp_url: Option<Hidden>,
    /// Whether the show is pointless without it; false when absent. Told back, not acted on.
    required: Option<bool>,
    /// Whether it is sent to; true when absent.
    enabled: Option<bool>,
}

/// What may be changed of a destination. What is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DestinationPatch {
    /// Enables or disables it; enabling a failed one tries it again.
    enabled: Option<bool>,
    /// Another key; an open connection is made anew with it.
    #[schema(value_type = Option<String>, write_only)]
    stream_key: Option<Hidden>,
}

impl BroadcastRequest {
    /// Checks everything; `default_method` is for those that name none.
    pub(super) fn into_spec(self, default_method: Method) -> Result<BroadcastSpec, ApiError> {
        let id = match self.id {
            Some(id) => BroadcastId::new(id).map_err(|error| ApiError::invalid("id", error))?,
            None => BroadcastId::new(uuid::Uuid::new_v4().to_string())
                .map_err(|_| ApiError::Internal)?,
        };
        let method = match self.method {
            Some(method) => method
                .parse()
                .map_err(|error| ApiError::invalid("method", error))?,
            None => default_method,
        };
        if !matches!(method, Method::Gstreamer | Method::Ffmpeg) {
            return Err(ApiError::invalid(
                "method",
                "hosted methods are not available in this version",
            ));
        }
        let mut destinations: Vec<DestinationSpec> = Vec::new();
        for (index, destination) in self
            .destinations
            .unwrap_or_default()
            .into_iter()
            .enumerate()
        {
            let path = format!("destinations[{index}].");
            let spec = destination
                .into_spec(&path, |id| destinations.iter().any(|other| other.id == *id))?;
            destinations.push(spec);
        }
        BroadcastSpec::new(id, method, self.auto_start.unwrap_or(true), destinations)
            .map_err(|error| ApiError::invalid("destinations", error))
    }
}

impl DestinationRequest {
    /// Checks everything; `path` stands before the names of fields, `taken` knows the ids that are in use.
    pub(super) fn into_spec(
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
            backup_mode: BackupMode::default(),
            required: self.required.unwrap_or(false),
            enabled: self.enabled.unwrap_or(true),
            paused: false,
            after_cut: AfterCut::default(),
        })
    }
}

impl DestinationPatch {
    /// Checks the key as that of an address would be.
    pub(super) fn into_change(self) -> Result<DestinationChange, ApiError> {
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
        Ok(DestinationChange {
            enabled: self.enabled,
            stream_key,
            ..DestinationChange::default()
        })
    }
}

/// `d1`, `d2`, …: the same request gets the same ids again.
fn first_free(taken: impl Fn(&DestinationId) -> bool) -> Result<DestinationId, ApiError> {
    (1..=u16::MAX)
        .filter_map(|number| DestinationId::new(format!("d{number}")).ok())
        .find(|id| !taken(id))
        .ok_or(ApiError::Internal)
}

/// A broadcast as it is shown: never with a key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BroadcastBody {
    #[schema(example = "my-show")]
    id: String,
    /// `waiting`, `live`, `slate` or `ended`.
    state: &'static str,
    /// Who carries it.
    method: &'static str,
    /// The node that it is on.
    node: String,
    /// Whether destinations are to be open when there is a studio.
    started: bool,
    created_at: String,
    /// When the studio's media first came.
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    /// Where the studio publishes to (RFC 9725).
    whip_url: String,
    /// Where the studio's picture can be watched; in a later version.
    whep_url: String,
    /// What comes in, while a studio is connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    ingest: Option<IngestBody>,
    egress: EgressBody,
    destinations: Vec<DestinationBody>,
    /// None in this version.
    recordings: [String; 0],
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct IngestBody {
    /// `whip`.
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    video: Option<VideoBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<AudioBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_ms: Option<u64>,
    packets_lost: u64,
    packets_recovered: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct VideoBody {
    /// `h264`.
    codec: &'static str,
    width: Option<u32>,
    height: Option<u32>,
    frames_per_second: Option<f64>,
    bitrate_kbps: u64,
    keyframe_interval_ms: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AudioBody {
    /// `opus`.
    codec: &'static str,
    channels: Option<u8>,
    bitrate_kbps: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EgressBody {
    /// `passthrough` or `transcode`.
    video: &'static str,
    /// `aac`.
    audio_codec: &'static str,
}

/// A destination as it is shown: never with its key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DestinationBody {
    id: String,
    platform: String,
    /// Scheme, host and port.
    #[schema(example = "rtmps://a.rtmps.youtube.com:443")]
    server: String,
    required: bool,
    enabled: bool,
    /// `pending`, `connecting`, `live`, `retrying`, `failed` or `stopped`.
    state: &'static str,
    /// When it came to be in this state.
    since: String,
    bytes_sent: u64,
    bitrate_kbps: u64,
    frames_sent: u64,
    frames_dropped: u64,
    reconnects: u64,
    keyframe_interval_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<FailureBody>,
}

/// Why a destination was last lost.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct FailureBody {
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

/// All broadcasts of this node.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BroadcastList {
    pub(super) broadcasts: Vec<BroadcastBody>,
}

impl BroadcastBody {
    /// Shows a broadcast; `base` is what this node is called, without a slash at the end.
    pub(super) fn new(snapshot: &Snapshot, base: &str, node: &str) -> Self {
        Self {
            id: snapshot.id.to_string(),
            state: snapshot.state.as_str(),
            method: snapshot.method.as_str(),
            node: node.to_owned(),
            started: snapshot.started,
            created_at: snapshot.created_at.to_string(),
            started_at: snapshot.started_at.map(|at| at.to_string()),
            whip_url: format!("{base}/whip/{}", snapshot.id),
            whep_url: format!("{base}/whep/{}", snapshot.id),
            ingest: snapshot.ingest.as_ref().map(IngestBody::new),
            egress: EgressBody {
                video: "passthrough",
                audio_codec: "aac",
            },
            destinations: snapshot
                .destinations
                .iter()
                .map(DestinationBody::new)
                .collect(),
            recordings: [],
        }
    }
}

impl IngestBody {
    fn new(ingest: &IngestSnapshot) -> Self {
        Self {
            protocol: "whip",
            video: ingest.video.as_ref().map(|video| VideoBody {
                codec: "h264",
                width: video.width,
                height: video.height,
                frames_per_second: video
                    .frames_per_second
                    .map(|rate| (rate * 10.0).round() / 10.0),
                bitrate_kbps: video.bits_per_second / 1000,
                keyframe_interval_ms: video.keyframe_interval.map(milliseconds),
            }),
            audio: ingest.audio.as_ref().map(|audio| AudioBody {
                codec: "opus",
                channels: audio.channels,
                bitrate_kbps: audio.bits_per_second / 1000,
            }),
            round_trip_ms: ingest.round_trip.map(milliseconds),
            packets_lost: ingest.packets_lost,
            packets_recovered: ingest.packets_recovered,
        }
    }
}

impl DestinationBody {
    pub(super) fn new(destination: &DestinationSnapshot) -> Self {
        Self {
            id: destination.id.to_string(),
            platform: destination.platform.as_str().to_owned(),
            server: destination.server.clone(),
            required: destination.required,
            enabled: destination.enabled,
            state: destination.state.as_str(),
            since: destination.since.to_string(),
            bytes_sent: destination.bytes_sent,
            bitrate_kbps: destination.bits_per_second / 1000,
            frames_sent: destination.frames_sent,
            frames_dropped: destination.frames_dropped,
            reconnects: destination.reconnects,
            keyframe_interval_ms: destination.keyframe_interval.map(milliseconds),
            last_error: destination
                .last_failure
                .as_ref()
                .map(|(failure, at)| FailureBody::new(failure, Some(at.to_string()))),
        }
    }
}

impl FailureBody {
    pub(super) fn new(failure: &broadcast::Failure, at: Option<String>) -> Self {
        Self {
            code: failure.reason.code(),
            message: failure.message.clone(),
            fault: failure.fault().as_str(),
            retry: failure.retry().as_str(),
            at,
        }
    }
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
