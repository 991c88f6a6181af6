//! The JSON of the Broadcast API, and how it becomes a broadcast and back.

mod destination;
mod hosted;
mod rendition;

use broadcast::{
    BroadcastChange, BroadcastId, BroadcastSpec, DestinationSpec, Method, Provider, SlateSpec,
    SlateSpecError, SpecError,
};
use pipelines::engine::EngineState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(super) use self::destination::{
    DestinationBody, DestinationPatch, DestinationRequest, FailureBody, Hidden,
};
use self::{
    hosted::HostedBody,
    rendition::{VideoChoiceBody, VideoRequest},
};
use super::{error::ApiError, slate::SlateBody};
use crate::broadcasts::{AlarmSnapshot, EgressSnapshot, IngestSnapshot, Snapshot};

/// A broadcast as it is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BroadcastRequest {
    /// 1 to 64 of `A-Z a-z 0-9 _ -`; made up when absent. The same request again finds the same broadcast.
    #[schema(example = "my-show")]
    id: Option<String>,
    /// Who carries it. `gstreamer`: H.264 is forwarded as it is, everything else transcoded by `GStreamer`. `ffmpeg`: all
    /// pictures go through `FFmpeg`, copied where they can be. `daily`, `livekit`, `cloudflare`, `mux`, `restream`: that
    /// hosted provider, if this node has it. `hybrid`: one of them, by the node's rules.
    method: Option<String>,
    /// Whether it matters more than a rehearsal: rules for `hybrid` may ask for it. False when absent.
    production: Option<bool>,
    /// What picture it sends.
    video: Option<VideoRequest>,
    /// Whether destinations open as soon as the studio is connected; true when absent.
    auto_start: Option<bool>,
    /// Where it goes, at most 20.
    destinations: Option<Vec<DestinationRequest>>,
    /// What happens while the studio is away.
    slate: Option<SlateRequest>,
}

/// What may be changed of a broadcast, also while it is live. What is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BroadcastPatch {
    /// Who carries it. Between `gstreamer` and `ffmpeg` destinations notice nothing of the change. From or to a hosted
    /// provider each destination is closed before it is opened by the other one: one key has one publisher at a time.
    method: Option<String>,
    /// What picture it sends; replaces all that was asked for before.
    video: Option<VideoRequest>,
}

impl BroadcastPatch {
    /// Checks everything.
    pub(super) fn into_change(self) -> Result<BroadcastChange, ApiError> {
        Ok(BroadcastChange {
            method: self.method.map(|word| read_method(&word)).transpose()?,
            video: self.video.map(VideoRequest::into_spec).transpose()?,
        })
    }
}

fn read_method(word: &str) -> Result<Method, ApiError> {
    word.parse()
        .map_err(|error: SpecError| ApiError::invalid("method", error))
}

/// What happens while the studio is away, as it is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SlateRequest {
    /// Whether anything stands in for the studio; true when absent. Without, destinations are closed after a minute.
    enabled: Option<bool>,
    /// What the default card says, at most 80 characters.
    #[schema(example = "Friday night live")]
    title: Option<String>,
    /// How long the last picture stands before the slate comes, 0 to 60000; 2000 when absent.
    after_ms: Option<u64>,
    /// How long the studio may stay away before the broadcast ends, 1 to 720; 10 when absent.
    max_minutes: Option<u32>,
}

impl SlateRequest {
    fn into_spec(self) -> Result<SlateSpec, ApiError> {
        SlateSpec::new(self.enabled, self.title, self.after_ms, self.max_minutes).map_err(|error| {
            let field = match error {
                SlateSpecError::Title => "slate.title",
                SlateSpecError::After => "slate.afterMs",
                SlateSpecError::Minutes | _ => "slate.maxMinutes",
            };
            ApiError::invalid(field, error)
        })
    }
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
            Some(word) => read_method(&word)?,
            None => default_method,
        };
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
        let slate = self.slate.map(SlateRequest::into_spec).transpose()?;
        let video = self.video.map(VideoRequest::into_spec).transpose()?;
        BroadcastSpec::new(id, method, self.auto_start.unwrap_or(true), destinations)
            .map(|spec| spec.with_slate(slate.unwrap_or_default()))
            .map(|spec| spec.with_video(video.unwrap_or_default()))
            .map(|spec| spec.with_production(self.production.unwrap_or(false)))
            .map_err(|error| ApiError::invalid("destinations", error))
    }
}

/// A broadcast as it is shown: never with a key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BroadcastBody {
    #[schema(example = "my-show")]
    id: String,
    /// `waiting`, `live`, `slate` or `ended`.
    state: &'static str,
    /// What goes out now: `nothing`, `studio`, `freeze` (the studio's last picture) or `slate`.
    showing: &'static str,
    /// When it ends unless the studio comes back; absent while the studio is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
    /// Who carries it.
    method: &'static str,
    /// Whether it is marked as one that matters.
    production: bool,
    /// What picture it is asked to send.
    video: VideoChoiceBody,
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
    /// Where what the studio sends can be watched.
    whep_url: String,
    /// What comes in, while a studio is connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    ingest: Option<IngestBody>,
    egress: EgressBody,
    slate: SlateBody,
    /// What is wrong with what the studio sends.
    alarms: Vec<AlarmBody>,
    destinations: Vec<DestinationBody>,
    /// None in this version.
    recordings: [String; 0],
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct IngestBody {
    /// `whip`, or `rtp` for plain RTP.
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    video: Option<VideoBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<AudioBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_ms: Option<u64>,
    packets_lost: u64,
    packets_recovered: u64,
    /// How often a packet was asked for, repeated requests included.
    packets_requested: u64,
    /// What the studio is asked to send at most, because a required destination cannot keep up.
    #[serde(skip_serializing_if = "Option::is_none")]
    bitrate_limit_kbps: Option<u64>,
}

/// An alarm that is raised.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AlarmBody {
    /// Stable code.
    #[schema(example = "frame_rate_collapsed")]
    code: &'static str,
    /// A sentence for the show's host.
    message: String,
    since: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct VideoBody {
    /// `h264`, `vp8`, `vp9` or `av1`.
    codec: String,
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
    /// `passthrough` (the studio's own coding) or `transcode`.
    video: &'static str,
    /// Who makes the pictures: `passthrough`, `gstreamer` or `ffmpeg`; absent before a studio with a picture was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<&'static str>,
    /// `starting`, `running` or `failing`.
    #[serde(skip_serializing_if = "Option::is_none")]
    engine_state: Option<&'static str>,
    /// How often a process of the engine was replaced.
    engine_restarts: u64,
    /// Of the picture that goes out, in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    /// `aac`.
    audio_codec: &'static str,
    /// Who carries it to most destinations: `own`, `daily`, `livekit`, `cloudflare`, `mux` or `restream`; absent for `hybrid`
    /// before one was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'static str>,
    /// How it is at each hosted provider that carries it, or did so before.
    hosted: Vec<HostedBody>,
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
            showing: snapshot.showing.as_str(),
            ends_at: snapshot.ends_at.map(|at| at.to_string()),
            method: snapshot.method.as_str(),
            production: snapshot.production,
            video: VideoChoiceBody::new(&snapshot.video),
            node: node.to_owned(),
            started: snapshot.started,
            created_at: snapshot.created_at.to_string(),
            started_at: snapshot.started_at.map(|at| at.to_string()),
            whip_url: format!("{base}/whip/{}", snapshot.id),
            whep_url: format!("{base}/whep/{}", snapshot.id),
            ingest: snapshot
                .ingest
                .as_ref()
                .map(|ingest| IngestBody::new(ingest, snapshot.bitrate_limit)),
            egress: EgressBody::new(&snapshot.egress),
            slate: SlateBody::of(&snapshot.slate.spec, snapshot.slate.description),
            alarms: snapshot.alarms.iter().map(AlarmBody::new).collect(),
            destinations: snapshot
                .destinations
                .iter()
                .map(DestinationBody::new)
                .collect(),
            recordings: [],
        }
    }
}

impl EgressBody {
    fn new(egress: &EgressSnapshot) -> Self {
        let engine = egress.engine.as_ref();
        Self {
            video: if egress.is_forwarded {
                "passthrough"
            } else {
                "transcode"
            },
            engine: engine.map(|engine| engine.kind.as_str()),
            engine_state: engine.map(|engine| match engine.state {
                EngineState::Starting => "starting",
                EngineState::Running => "running",
                EngineState::Failing(_) => "failing",
            }),
            engine_restarts: engine.map_or(0, |engine| engine.restarts),
            width: egress.size.map(|(width, _)| width),
            height: egress.size.map(|(_, height)| height),
            audio_codec: "aac",
            provider: egress.provider.map(Provider::as_str),
            hosted: egress.hosted.iter().map(HostedBody::new).collect(),
        }
    }
}

impl AlarmBody {
    fn new(alarm: &AlarmSnapshot) -> Self {
        Self {
            code: alarm.alarm.code(),
            message: alarm.message.clone(),
            since: alarm.since.to_string(),
        }
    }
}

impl IngestBody {
    fn new(ingest: &IngestSnapshot, bitrate_limit: Option<u64>) -> Self {
        Self {
            protocol: ingest.protocol,
            video: ingest.video.as_ref().map(|video| VideoBody {
                codec: video.codec.as_str().to_ascii_lowercase(),
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
            packets_requested: ingest.packets_requested,
            bitrate_limit_kbps: bitrate_limit.map(|limit| limit / 1000),
        }
    }
}

pub(super) fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
