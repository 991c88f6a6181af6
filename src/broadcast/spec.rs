//! What somebody asks for: a broadcast and its destinations, within limits.

use std::{collections::HashSet, fmt, str::FromStr};

use crate::{
    BroadcastId, DestinationId, Endpoint, Provider, Rendition, SlateSpec, SlateSpecError, StreamKey,
};

/// The most destinations of one broadcast.
///
/// Each costs a connection and a window of media; the platforms that matter are fewer.
pub const DESTINATIONS_LIMIT: usize = 20;

/// How many characters the name of a platform may have.
const LONGEST_PLATFORM: usize = 32;

/// Who carries a broadcast, chosen for each broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    /// This process, with `GStreamer` where something must be transcoded.
    #[default]
    Gstreamer,
    /// This process, with `FFmpeg` where something must be transcoded.
    Ffmpeg,
    /// Daily.
    Daily,
    /// `LiveKit`.
    Livekit,
    /// Cloudflare Stream.
    Cloudflare,
    /// Mux.
    Mux,
    /// A server of one's own, or another service, that takes RTMP and is told targets.
    Restream,
    /// Several of them, by rule.
    Hybrid,
}

impl Method {
    /// Every method, in the order of the public contract.
    pub const ALL: [Self; 8] = [
        Self::Gstreamer,
        Self::Ffmpeg,
        Self::Daily,
        Self::Livekit,
        Self::Cloudflare,
        Self::Mux,
        Self::Restream,
        Self::Hybrid,
    ];

    /// The word of the public contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gstreamer => "gstreamer",
            Self::Ffmpeg => "ffmpeg",
            Self::Daily => "daily",
            Self::Livekit => "livekit",
            Self::Cloudflare => "cloudflare",
            Self::Mux => "mux",
            Self::Restream => "restream",
            Self::Hybrid => "hybrid",
        }
    }

    /// The one provider that carries broadcasts of this method; `None` where a rule chooses.
    pub const fn provider(self) -> Option<Provider> {
        match self {
            Self::Gstreamer | Self::Ffmpeg => Some(Provider::Own),
            Self::Daily => Some(Provider::Daily),
            Self::Livekit => Some(Provider::Livekit),
            Self::Cloudflare => Some(Provider::Cloudflare),
            Self::Mux => Some(Provider::Mux),
            Self::Restream => Some(Provider::Restream),
            Self::Hybrid => None,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Method {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        Self::ALL
            .into_iter()
            .find(|method| method.as_str() == text)
            .ok_or(SpecError::Method)
    }
}

/// A platform's name as the host of the show knows it: `youtube`, `twitch`, `custom`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Platform(String);

impl Platform {
    /// Takes 1 to 32 characters of `A-Z a-z 0-9 _ -`.
    pub fn new(text: impl Into<String>) -> Result<Self, SpecError> {
        let text = text.into();
        let valid = (1..=LONGEST_PLATFORM).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if valid {
            Ok(Self(text))
        } else {
            Err(SpecError::Platform)
        }
    }

    /// Names the platform that owns a host, `custom` when none is known.
    pub fn of_host(host: &str) -> Self {
        const KNOWN: [(&str, &str); 6] = [
            ("youtube.com", "youtube"),
            ("twitch.tv", "twitch"),
            ("facebook.com", "facebook"),
            ("linkedin.com", "linkedin"),
            ("kick.com", "kick"),
            ("global-contribute.live-video.net", "twitch"),
        ];
        let belongs = |domain: &str| {
            host.strip_suffix(domain)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let name = KNOWN
            .iter()
            .find(|(domain, _)| belongs(domain))
            .map_or("custom", |(_, name)| name);
        Self(name.to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One place to send a broadcast to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationSpec {
    /// Its name within the broadcast.
    pub id: DestinationId,
    /// What the host of the show calls the other end.
    pub platform: Platform,
    /// Where it is.
    pub endpoint: Endpoint,
    /// Where else it is.
    pub backup: Option<Endpoint>,
    /// What the backup is for.
    pub backup_mode: BackupMode,
    /// Whether the show is pointless without it: the studio is asked to send less when it cannot keep up.
    pub required: bool,
    /// Whether it is to be sent to at all.
    pub enabled: bool,
    /// Whether it is sent a stand-in in place of the show, over the same connection.
    pub paused: bool,
    /// Where it goes on after its connection was cut.
    pub after_cut: AfterCut,
    /// What picture it is sent; `None`: that of the broadcast.
    pub rendition: Option<Rendition>,
    /// Who is to carry to it, whatever the broadcast's method says; `None`: as that says.
    pub provider: Option<Provider>,
}

/// What a destination's second address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BackupMode {
    /// Tried in turn with the first one after a loss.
    #[default]
    Failover,
    /// Sent to all the time, beside the first, with the same timestamps.
    Simultaneous,
}

impl BackupMode {
    /// Every mode.
    pub const ALL: [Self; 2] = [Self::Failover, Self::Simultaneous];

    /// The word of the public contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Simultaneous => "simultaneous",
        }
    }
}

/// Where a destination goes on after its connection was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AfterCut {
    /// At the newest keyframe: viewers are back in the present, and miss what happened meanwhile.
    #[default]
    Jump,
    /// Where it was cut, faster than real time until it has caught up; at most 30 s back.
    CatchUp,
}

impl AfterCut {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::Jump, Self::CatchUp];

    /// The word of the public contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jump => "jump",
            Self::CatchUp => "catchUp",
        }
    }
}

/// What may be changed of a destination that exists. `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DestinationChange {
    /// Enables or disables it; enabling a failed one tries it again.
    pub enabled: Option<bool>,
    /// Pauses or resumes it; the connection stays.
    pub paused: Option<bool>,
    /// Whether the show is pointless without it.
    pub required: Option<bool>,
    /// Where it goes on after the next cut.
    pub after_cut: Option<AfterCut>,
    /// Another key, for the backup address too; an open connection is made anew with it.
    pub stream_key: Option<StreamKey>,
}

/// What picture a broadcast sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VideoSpec {
    /// Whether it is made anew even where the studio's could be forwarded.
    pub transcode: bool,
    /// What is made; `None`: the shape of the studio's, at a usual bitrate.
    pub canvas: Option<Rendition>,
}

/// What may be changed of a broadcast that exists. `None` leaves it as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BroadcastChange {
    /// Who carries it.
    pub method: Option<Method>,
    /// What picture it sends.
    pub video: Option<VideoSpec>,
}

/// A broadcast as somebody asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BroadcastSpec {
    id: BroadcastId,
    method: Method,
    auto_start: bool,
    destinations: Vec<DestinationSpec>,
    slate: SlateSpec,
    video: VideoSpec,
    production: bool,
}

impl BroadcastSpec {
    /// Asks for a broadcast; with `auto_start` its destinations open as soon as the studio is connected.
    pub fn new(
        id: BroadcastId,
        method: Method,
        auto_start: bool,
        destinations: Vec<DestinationSpec>,
    ) -> Result<Self, SpecError> {
        if destinations.len() > DESTINATIONS_LIMIT {
            return Err(SpecError::TooManyDestinations);
        }
        let mut seen = HashSet::new();
        if let Some(twice) = destinations
            .iter()
            .find(|destination| !seen.insert(&destination.id))
        {
            return Err(SpecError::DestinationExists(twice.id.clone()));
        }
        Ok(Self {
            id,
            method,
            auto_start,
            destinations,
            slate: SlateSpec::default(),
            video: VideoSpec::default(),
            production: false,
        })
    }

    /// The same broadcast, marked as one that matters: rules for hybrid broadcasts may ask for it.
    #[must_use]
    pub const fn with_production(mut self, production: bool) -> Self {
        self.production = production;
        self
    }

    /// Whether it is marked as one that matters.
    pub const fn production(&self) -> bool {
        self.production
    }

    /// The same broadcast with another slate.
    #[must_use]
    pub fn with_slate(mut self, slate: SlateSpec) -> Self {
        self.slate = slate;
        self
    }

    /// The same broadcast with another picture.
    #[must_use]
    pub const fn with_video(mut self, video: VideoSpec) -> Self {
        self.video = video;
        self
    }

    /// What picture it sends.
    pub const fn video(&self) -> &VideoSpec {
        &self.video
    }

    /// What happens while the studio is away.
    pub const fn slate(&self) -> &SlateSpec {
        &self.slate
    }

    /// The broadcast's name.
    pub const fn id(&self) -> &BroadcastId {
        &self.id
    }

    /// Who carries it.
    pub const fn method(&self) -> Method {
        self.method
    }

    /// Whether its destinations open without a start command.
    pub const fn auto_start(&self) -> bool {
        self.auto_start
    }

    /// Where it goes, at most [`DESTINATIONS_LIMIT`], each id once.
    pub fn destinations(&self) -> &[DestinationSpec] {
        &self.destinations
    }
}

/// Why a broadcast cannot be as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// More than [`DESTINATIONS_LIMIT`].
    #[error("a broadcast has at most {DESTINATIONS_LIMIT} destinations")]
    TooManyDestinations,
    /// The id is taken within this broadcast.
    #[error("there is a destination '{0}' already")]
    DestinationExists(DestinationId),
    /// Nobody by this id in this broadcast.
    #[error("there is no destination '{0}'")]
    NoSuchDestination(DestinationId),
    /// No method of this name.
    #[error(
        "the method is one of gstreamer, ffmpeg, daily, livekit, cloudflare, mux, restream, hybrid"
    )]
    Method,
    /// No provider of this name.
    #[error("the provider is one of own, daily, livekit, cloudflare, mux, restream")]
    Provider,
    /// Not a platform's name.
    #[error("a platform has 1 to 32 characters of A-Z, a-z, 0-9, '_' and '-'")]
    Platform,
    /// The broadcast has ended.
    #[error("the broadcast has ended")]
    Ended,
    /// The slate cannot be as asked.
    #[error(transparent)]
    Slate(#[from] SlateSpecError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(id: &str) -> DestinationSpec {
        let endpoint = Endpoint::parse("rtmp://host/live/key", None).unwrap();
        DestinationSpec {
            id: DestinationId::new(id).unwrap(),
            platform: Platform::of_host(endpoint.host()),
            endpoint,
            backup: None,
            backup_mode: BackupMode::default(),
            required: false,
            enabled: true,
            paused: false,
            after_cut: AfterCut::default(),
            rendition: None,
            provider: None,
        }
    }

    fn broadcast(destinations: Vec<DestinationSpec>) -> Result<BroadcastSpec, SpecError> {
        BroadcastSpec::new(show(), Method::default(), true, destinations)
    }

    fn show() -> BroadcastId {
        BroadcastId::new("show").unwrap()
    }

    #[test]
    fn a_broadcast_has_at_most_twenty_destinations() {
        let many = |count: usize| {
            (0..count)
                .map(|number| destination(&format!("d{number}")))
                .collect()
        };

        assert!(broadcast(many(20)).is_ok());
        assert_eq!(broadcast(many(21)), Err(SpecError::TooManyDestinations));
    }

    #[test]
    fn a_destination_id_is_there_once() {
        let twice = broadcast(vec![destination("a"), destination("a")]);

        assert_eq!(
            twice,
            Err(SpecError::DestinationExists(
                DestinationId::new("a").unwrap()
            ))
        );
    }

    #[test]
    fn a_platform_is_known_by_its_host_and_nobody_elses() {
        assert_eq!(Platform::of_host("a.rtmp.youtube.com").as_str(), "youtube");
        assert_eq!(Platform::of_host("live.twitch.tv").as_str(), "twitch");
        assert_eq!(Platform::of_host("notyoutube.com").as_str(), "custom");
    }

    #[test]
    fn every_method_is_read_back_from_its_word() {
        for method in Method::ALL {
            assert_eq!(method.as_str().parse(), Ok(method));
        }
        assert_eq!("vlc".parse::<Method>(), Err(SpecError::Method));
    }
}
