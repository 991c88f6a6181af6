//! What a broadcast looks like from outside at one moment. Holds no key, in no form.

use std::{sync::Arc, time::Duration};

use broadcast::{
    AfterCut, Alarm, BackupMode, BroadcastId, BroadcastSpec, BroadcastState, Change, DestinationId,
    DestinationState, Failure, LineName, Method, Platform, Provider, Rendition, SlateSpec,
    VideoSpec,
};
use egress_providers::{
    BlackBox, ContributionKind, Money,
    hosted::{Brought, ContributionState, SessionState},
};
use jiff::Timestamp;
use media::VideoCodec;
use pipelines::path::{EngineStatus, Showing};

use crate::slates::SlateDescription;

/// A broadcast at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its name.
    pub id: BroadcastId,
    /// Who carries it.
    pub method: Method,
    /// Whether it is marked as one that matters.
    pub production: bool,
    /// What picture it is asked to send.
    pub video: VideoSpec,
    /// How the picture goes out.
    pub egress: EgressSnapshot,
    /// Where it stands.
    pub state: BroadcastState,
    /// Whether destinations are to be open when there is a studio.
    pub started: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When the studio's media first came.
    pub started_at: Option<Timestamp>,
    /// What goes out now.
    pub showing: Showing,
    /// When the broadcast ends unless the studio comes back.
    pub ends_at: Option<Timestamp>,
    /// What stands in for the studio while it is away.
    pub slate: SlateSnapshot,
    /// What is wrong with what the studio sends.
    pub alarms: Vec<AlarmSnapshot>,
    /// What the studio is asked to send at most, in bit/s, because a required destination cannot keep up.
    pub bitrate_limit: Option<u64>,
    /// Whether a studio is connected.
    pub studio_connected: bool,
    /// What comes in, while a studio is connected.
    pub ingest: Option<IngestSnapshot>,
    /// Where it goes, in the order in which they were added.
    pub destinations: Vec<DestinationSnapshot>,
    /// How many changes it already contains.
    pub changes: u64,
    pub(crate) sessions: Vec<SessionSnapshot>,
}

impl Snapshot {
    /// A broadcast of which nothing has been seen yet.
    pub(crate) fn blank(
        spec: &BroadcastSpec,
        slate: SlateDescription,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id: spec.id().clone(),
            method: spec.method(),
            production: spec.production(),
            video: *spec.video(),
            egress: EgressSnapshot {
                is_forwarded: !spec.video().transcode,
                provider: spec.method().provider(),
                ..EgressSnapshot::default()
            },
            state: BroadcastState::Waiting,
            started: spec.auto_start(),
            created_at,
            started_at: None,
            showing: Showing::default(),
            ends_at: None,
            slate: SlateSnapshot {
                spec: spec.slate().clone(),
                description: slate,
            },
            alarms: Vec::new(),
            bitrate_limit: None,
            studio_connected: false,
            ingest: None,
            destinations: Vec::new(),
            changes: 0,
            sessions: Vec::new(),
        }
    }

    /// The destination of this name.
    pub fn destination(&self, id: &str) -> Option<&DestinationSnapshot> {
        self.destinations
            .iter()
            .find(|destination| destination.id.as_str() == id)
    }

    /// The studio session of this unguessable id, if it lives.
    pub fn session(&self, session: &str) -> Option<&SessionSnapshot> {
        self.sessions.iter().find(|known| known.id == session)
    }
}

/// The slate of a broadcast.
#[derive(Debug, Clone)]
pub struct SlateSnapshot {
    /// What was asked for.
    pub spec: SlateSpec,
    /// What it is made of, and how far it is made.
    pub description: SlateDescription,
}

/// An alarm that is raised.
#[derive(Debug, Clone)]
pub struct AlarmSnapshot {
    /// Which one.
    pub alarm: Alarm,
    /// What it means, in words for the show's host.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
}

/// A studio session as WHIP needs to know it.
#[derive(Clone)]
pub struct SessionSnapshot {
    pub(crate) id: String,
    /// Names its ICE session; quoted it is the strong `ETag`.
    pub etag: String,
}

impl std::fmt::Debug for SessionSnapshot {
    /// Does not show the id, which is a capability.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SessionSnapshot")
            .finish_non_exhaustive()
    }
}

/// What comes in from the studio.
#[derive(Debug, Clone, Default)]
pub struct IngestSnapshot {
    /// How media come: `whip`, `rtp`, or `socketio` from a room.
    pub protocol: &'static str,
    /// The picture, if there is one.
    pub video: Option<IngestVideo>,
    /// The sound, if there is some.
    pub audio: Option<IngestAudio>,
    /// Round trip to the studio, once known.
    pub round_trip: Option<Duration>,
    /// Packets that never came.
    pub packets_lost: u64,
    /// Packets that came after all by retransmission.
    pub packets_recovered: u64,
    /// How often a packet was asked for, repeated requests included.
    pub packets_requested: u64,
}

/// How the picture goes out.
#[derive(Debug, Clone, Default)]
pub struct EgressSnapshot {
    /// Whether it is the studio's own coding.
    pub is_forwarded: bool,
    /// Who makes it, once there was a picture.
    pub engine: Option<EngineStatus>,
    /// Width and height in pixels, once known.
    pub size: Option<(u32, u32)>,
    /// Who carries it to most of the destinations that are open; before that, who is to, if that is known.
    pub provider: Option<Provider>,
    /// How it is at hosted providers that carry it, or did so before.
    pub hosted: Vec<HostedSnapshot>,
}

/// How a broadcast is at a hosted provider.
#[derive(Debug, Clone)]
pub struct HostedSnapshot {
    /// Which.
    pub provider: Provider,
    /// Where it is on its way; `None`: it has ended.
    pub state: Option<SessionState>,
    /// Since when.
    pub since: Timestamp,
    /// How the show gets there.
    pub contribution: ContributionKind,
    /// Whether it does, as the provider says.
    pub arrival: ContributionState,
    /// What was brought there.
    pub brought: Brought,
    /// What it costs; `None`: no prices are known.
    pub cost: Option<Expense>,
}

/// What something costs, by the operator's prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expense {
    /// As it runs now.
    pub per_hour: Money,
    /// Since the broadcast began.
    pub so_far: Money,
}

/// The studio's picture.
#[derive(Debug, Clone)]
pub struct IngestVideo {
    /// How it is coded.
    pub codec: VideoCodec,
    /// Width in pixels, once known.
    pub width: Option<u32>,
    /// Height in pixels, once known.
    pub height: Option<u32>,
    /// Over the last second or so.
    pub frames_per_second: Option<f64>,
    /// Over the last second.
    pub bits_per_second: u64,
    /// Between the last two keyframes.
    pub keyframe_interval: Option<Duration>,
}

/// The studio's sound.
#[derive(Debug, Clone, Default)]
pub struct IngestAudio {
    /// 1 or 2, once known.
    pub channels: Option<u8>,
    /// Over the last second.
    pub bits_per_second: u64,
}

/// A destination at one moment.
#[derive(Debug, Clone)]
pub struct DestinationSnapshot {
    /// Its name within the broadcast.
    pub id: DestinationId,
    /// What the host of the show calls the other end.
    pub platform: Platform,
    /// Whether the show is pointless without it.
    pub required: bool,
    /// Whether it is to be sent to at all.
    pub enabled: bool,
    /// Whether it is sent a stand-in in place of the show.
    pub paused: bool,
    /// Where it goes on after a cut.
    pub after_cut: AfterCut,
    /// Its own picture, if it has one.
    pub rendition: Option<Rendition>,
    /// Who carries to it, or did so last; `None` before anybody did.
    pub provider: Option<Provider>,
    /// What its backup is for, if it has one.
    pub backup_mode: Option<BackupMode>,
    /// The address that the first line uses or will use next.
    pub using: LineName,
    /// Its first or only connection.
    pub primary: LineSnapshot,
    /// Its second connection, when both addresses are sent to at the same time.
    pub backup: Option<LineSnapshot>,
}

impl DestinationSnapshot {
    /// Its connections.
    pub fn lines(&self) -> impl Iterator<Item = &LineSnapshot> {
        std::iter::once(&self.primary).chain(&self.backup)
    }
}

/// One connection of a destination at one moment.
#[derive(Debug, Clone)]
pub struct LineSnapshot {
    /// `scheme://host:port`, which is all of the address that may be shown.
    pub server: String,
    /// Where it stands.
    pub state: DestinationState,
    /// When it came to stand there.
    pub since: Timestamp,
    /// Whether it waits for longer than usual, because its connections were short.
    pub held_back: bool,
    /// How often it was opened again after a loss.
    pub reconnects: u64,
    /// Bytes handed to the network, over all its connections.
    pub bytes_sent: u64,
    /// Over the last second or so.
    pub bits_per_second: u64,
    /// Media that the server has not acknowledged.
    pub queued: Duration,
    /// Whether it is sent what it missed, faster than real time.
    pub catching_up: bool,
    /// Pictures.
    pub frames_sent: u64,
    /// Pictures that were left out because the destination was too slow.
    pub frames_dropped: u64,
    /// Between the last two keyframes that went out.
    pub keyframe_interval: Option<Duration>,
    /// The latest loss and when it was.
    pub last_failure: Option<(Failure, Timestamp)>,
    /// What is told of its last minute, once it was opened.
    pub black_box: Option<Arc<BlackBox>>,
}

/// One change of state, numbered and dated.
#[derive(Debug, Clone)]
pub struct DatedChange {
    /// Counts up by one with every change of this broadcast.
    pub number: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What changed.
    pub change: Change,
    /// What the broadcast looks like with it.
    pub snapshot: Arc<Snapshot>,
}
