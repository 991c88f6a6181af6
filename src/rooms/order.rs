//! What participants ask for.

use broadcast::{BroadcastId, DestinationSpec};
use ortc::{MediaKind, RtpCapabilities, RtpParameters};
use serde_json::Value;

use crate::{ParticipantId, ProducerId, TransportId};

/// To come into a room.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinOrder {
    /// Which one; it is made when there is none.
    pub room: BroadcastId,
    /// As whom. `None`: a new name is made.
    pub participant: Option<ParticipantId>,
    /// What others are to read, if anything.
    pub display_name: Option<String>,
    /// What the dialect wants to tell others of them, as it came; at most 4 KiB as JSON.
    pub details: Value,
}

/// Which way a transport carries media, seen from the participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// They send.
    Send,
    /// They receive.
    Receive,
    /// Both, since the dialect does not say.
    Both,
}

/// To send a track.
#[derive(Debug, Clone, PartialEq)]
pub struct ProduceOrder {
    /// On which transport; `None`: the only one that can send.
    pub transport: Option<TransportId>,
    /// Picture or sound.
    pub kind: MediaKind,
    /// How.
    pub rtp: RtpParameters,
    /// What the application says of it, as it came, for others to read; at most 4 KiB as JSON.
    pub app_data: Value,
    /// Whether it is a screen and not a camera or a microphone.
    pub is_screen: bool,
    /// Whether it begins paused.
    pub paused: bool,
}

/// To receive a track.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsumeOrder {
    /// Which one.
    pub producer: ProducerId,
    /// What the participant can take.
    pub capabilities: RtpCapabilities,
    /// On which transport; `None`: the one that was made for receiving, else any that can.
    pub transport: Option<TransportId>,
    /// Whether it begins paused. If not, media flows once the transport is connected.
    pub paused: bool,
}

/// Which layers of a track with several a consumer is to get at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layers {
    /// From 0, the smallest picture.
    pub spatial: u8,
    /// From 0, the lowest frame rate; `None`: all.
    pub temporal: Option<u8>,
}

/// To bring a room's programme to platforms.
#[derive(Debug, Clone, PartialEq)]
pub struct EgressOrder {
    /// Where to; not empty.
    pub destinations: Vec<RoomDestination>,
    /// The composed picture.
    pub video: Option<ProducerId>,
    /// The mixed sound.
    pub audio: Option<ProducerId>,
}

/// A destination, by the name that the dialect gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomDestination {
    /// What the client calls it.
    pub label: String,
    /// What it is.
    pub spec: DestinationSpec,
}
