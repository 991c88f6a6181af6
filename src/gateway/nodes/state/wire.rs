//! A broadcast as JSON. Fields may be added if they have a default; none may change its meaning.

use std::time::Duration;

use broadcast::{
    AfterCut, BackupMode, BroadcastId, BroadcastSpec, DestinationId, DestinationSpec, Endpoint,
    Platform, Provider, Rendition, SlateSpec, StreamKey, VideoSpec,
};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::{KeptBroadcast, KeptPicture, KeptShow, StateError};

#[derive(Serialize, Deserialize)]
struct Broadcast {
    id: String,
    asked: Asked,
    method: String,
    video: Video,
    destinations: Vec<Destination>,
    started: bool,
    /// Milliseconds since 1970, as all times here.
    created_at: i64,
    show: Option<Show>,
    resume_tokens: Vec<Key>,
}

/// What it was created from.
#[derive(Serialize, Deserialize)]
struct Asked {
    method: String,
    auto_start: bool,
    production: bool,
    video: Video,
    slate: Slate,
    destinations: Vec<Destination>,
}

#[derive(Serialize, Deserialize)]
struct Slate {
    enabled: bool,
    title: String,
    after_milliseconds: u64,
    minutes: u32,
}

#[derive(Serialize, Deserialize)]
struct Video {
    transcode: bool,
    canvas: Option<Shape>,
}

/// Width, height, pictures and kilobits a second.
#[derive(Serialize, Deserialize)]
struct Shape(u32, u32, u32, u32);

#[derive(Serialize, Deserialize)]
struct Destination {
    id: String,
    platform: String,
    endpoint: Address,
    backup: Option<Address>,
    backup_mode: String,
    required: bool,
    enabled: bool,
    paused: bool,
    after_cut: String,
    rendition: Option<Shape>,
    provider: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Address {
    server: String,
    application: Key,
    key: Key,
}

#[derive(Serialize, Deserialize)]
struct Show {
    zero: i64,
    first_live: Option<i64>,
    picture: Option<Picture>,
}

#[derive(Serialize, Deserialize)]
struct Picture {
    width: u32,
    height: u32,
    frames_per_second: Option<u32>,
}

/// A secret, which is sealed with everything else.
struct Key(StreamKey);

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|key| Self(StreamKey::new(key)))
    }
}

pub(super) fn write(kept: &KeptBroadcast) -> Zeroizing<Vec<u8>> {
    // Maps with keys that are no text, and numbers that are none, are what JSON cannot hold.
    Zeroizing::new(serde_json::to_vec(&Broadcast::from(kept)).unwrap_or_default())
}

pub(super) fn read(bytes: &[u8]) -> Result<KeptBroadcast, StateError> {
    // The message would quote what it met, which may be a key.
    let error = |error: serde_json::Error| StateError(format!("{:?} error", error.classify()));
    let broadcast: Broadcast = serde_json::from_slice(bytes).map_err(error)?;
    broadcast.try_into()
}

fn wrong(error: impl std::fmt::Display) -> StateError {
    StateError(error.to_string())
}

fn time(milliseconds: i64) -> Result<Timestamp, StateError> {
    Timestamp::from_millisecond(milliseconds).map_err(wrong)
}

impl From<&KeptBroadcast> for Broadcast {
    fn from(kept: &KeptBroadcast) -> Self {
        let asked = &kept.asked;
        let slate = asked.slate();
        Self {
            id: asked.id().as_str().to_owned(),
            asked: Asked {
                method: asked.method().as_str().to_owned(),
                auto_start: asked.auto_start(),
                production: asked.production(),
                video: asked.video().into(),
                slate: Slate {
                    enabled: slate.enabled(),
                    title: slate.title().to_owned(),
                    after_milliseconds: milliseconds(slate.after()),
                    minutes: u32::try_from(slate.limit().as_secs() / 60).unwrap_or(u32::MAX),
                },
                destinations: asked.destinations().iter().map(Into::into).collect(),
            },
            method: kept.method.as_str().to_owned(),
            video: (&kept.video).into(),
            destinations: kept.destinations.iter().map(Into::into).collect(),
            started: kept.started,
            created_at: kept.created_at.as_millisecond(),
            show: kept.show.map(|show| Show {
                zero: show.zero.as_millisecond(),
                first_live: show.first_live.map(Timestamp::as_millisecond),
                picture: show.picture.map(|picture| Picture {
                    width: picture.width,
                    height: picture.height,
                    frames_per_second: picture.frames_per_second,
                }),
            }),
            resume_tokens: kept.resume_tokens.iter().cloned().map(Key).collect(),
        }
    }
}

impl TryFrom<Broadcast> for KeptBroadcast {
    type Error = StateError;

    fn try_from(broadcast: Broadcast) -> Result<Self, StateError> {
        let Asked {
            method,
            auto_start,
            production,
            video,
            slate,
            destinations,
        } = broadcast.asked;
        let slate = SlateSpec::new(
            Some(slate.enabled),
            Some(slate.title),
            Some(slate.after_milliseconds),
            Some(slate.minutes),
        );
        let asked = BroadcastSpec::new(
            BroadcastId::new(broadcast.id).map_err(wrong)?,
            method.parse().map_err(wrong)?,
            auto_start,
            specs(destinations)?,
        );
        let asked = asked
            .map_err(wrong)?
            .with_production(production)
            .with_video(video.try_into()?)
            .with_slate(slate.map_err(wrong)?);
        let show = broadcast.show.map(KeptShow::try_from).transpose()?;
        Ok(Self {
            asked,
            method: broadcast.method.parse().map_err(wrong)?,
            video: broadcast.video.try_into()?,
            destinations: specs(broadcast.destinations)?,
            started: broadcast.started,
            created_at: time(broadcast.created_at)?,
            show,
            resume_tokens: broadcast
                .resume_tokens
                .into_iter()
                .map(|Key(key)| key)
                .collect(),
        })
    }
}

impl TryFrom<Show> for KeptShow {
    type Error = StateError;

    fn try_from(show: Show) -> Result<Self, StateError> {
        Ok(Self {
            zero: time(show.zero)?,
            first_live: show.first_live.map(time).transpose()?,
            picture: show.picture.map(|picture| KeptPicture {
                width: picture.width,
                height: picture.height,
                frames_per_second: picture.frames_per_second,
            }),
        })
    }
}

fn specs(destinations: Vec<Destination>) -> Result<Vec<DestinationSpec>, StateError> {
    destinations.into_iter().map(TryInto::try_into).collect()
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<&DestinationSpec> for Destination {
    fn from(spec: &DestinationSpec) -> Self {
        Self {
            id: spec.id.as_str().to_owned(),
            platform: spec.platform.as_str().to_owned(),
            endpoint: (&spec.endpoint).into(),
            backup: spec.backup.as_ref().map(Into::into),
            backup_mode: spec.backup_mode.as_str().to_owned(),
            required: spec.required,
            enabled: spec.enabled,
            paused: spec.paused,
            after_cut: spec.after_cut.as_str().to_owned(),
            rendition: spec.rendition.map(Into::into),
            provider: spec.provider.map(|provider| provider.as_str().to_owned()),
        }
    }
}

impl TryFrom<Destination> for DestinationSpec {
    type Error = StateError;

    fn try_from(destination: Destination) -> Result<Self, StateError> {
        let backup_mode = BackupMode::ALL
            .into_iter()
            .find(|mode| mode.as_str() == destination.backup_mode);
        let after_cut = AfterCut::ALL
            .into_iter()
            .find(|choice| choice.as_str() == destination.after_cut);
        let provider = destination.provider.as_deref();
        let provider = provider.map(str::parse::<Provider>).transpose();
        Ok(Self {
            id: DestinationId::new(destination.id).map_err(wrong)?,
            platform: Platform::new(destination.platform).map_err(wrong)?,
            endpoint: destination.endpoint.try_into()?,
            backup: destination.backup.map(TryInto::try_into).transpose()?,
            backup_mode: backup_mode.ok_or_else(|| wrong("a backup's mode"))?,
            required: destination.required,
            enabled: destination.enabled,
            paused: destination.paused,
            after_cut: after_cut.ok_or_else(|| wrong("where to go on after a cut"))?,
            rendition: destination.rendition.map(TryInto::try_into).transpose()?,
            provider: provider.map_err(wrong)?,
        })
    }
}

impl From<&Endpoint> for Address {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            server: endpoint.to_string(),
            application: Key(endpoint.application().clone()),
            key: Key(endpoint.stream_key().clone()),
        }
    }
}

impl TryFrom<Address> for Endpoint {
    type Error = StateError;

    fn try_from(address: Address) -> Result<Self, StateError> {
        let Address {
            server,
            application: Key(application),
            key: Key(key),
        } = address;
        Self::from_parts(&server, application, key).map_err(wrong)
    }
}

impl From<Rendition> for Shape {
    fn from(rendition: Rendition) -> Self {
        Self(
            rendition.width(),
            rendition.height(),
            rendition.frames_per_second(),
            rendition.kilobits_per_second(),
        )
    }
}

impl TryFrom<Shape> for Rendition {
    type Error = StateError;

    fn try_from(Shape(width, height, rate, bitrate): Shape) -> Result<Self, StateError> {
        Self::new(width, height, rate, bitrate).map_err(wrong)
    }
}

impl From<&VideoSpec> for Video {
    fn from(spec: &VideoSpec) -> Self {
        Self {
            transcode: spec.transcode,
            canvas: spec.canvas.map(Into::into),
        }
    }
}

impl TryFrom<Video> for VideoSpec {
    type Error = StateError;

    fn try_from(video: Video) -> Result<Self, StateError> {
        Ok(Self {
            transcode: video.transcode,
            canvas: video.canvas.map(TryInto::try_into).transpose()?,
        })
    }
}
