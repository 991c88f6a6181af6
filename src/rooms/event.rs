//! What participants are told without having asked.

use std::time::SystemTime;

use ortc::MediaKind;
use serde_json::Value;

use crate::{
    ConsumerId, Layers, ParticipantId, ParticipantView, ProducerId, ProducerView, TransportId,
};

/// Something that happened in the room. A participant is told of what others do, and of what happens to their own
/// transports and consumers; never of what they did themselves.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RoomEvent {
    /// Somebody came.
    ParticipantJoined(ParticipantView),
    /// Somebody left.
    ParticipantLeft(ParticipantId),
    /// Somebody sends a track.
    ProducerAdded(ProducerView),
    /// A track is paused (`true`) or goes on, by its sender.
    ProducerPaused(ProducerView, bool),
    /// A track has ended.
    ProducerClosed(ProducerView),
    /// The sender of what this consumer receives paused it (`true`) or goes on.
    ConsumerPaused {
        /// Which one.
        consumer: ConsumerId,
        /// Whose track.
        participant: ParticipantId,
        /// Whether it is paused.
        paused: bool,
    },
    /// What this consumer receives has ended, and so has it.
    ConsumerClosed {
        /// Which one.
        consumer: ConsumerId,
        /// Of what.
        producer: ProducerId,
        /// Whose track.
        participant: ParticipantId,
        /// Picture or sound.
        kind: MediaKind,
    },
    /// This consumer gets other layers now; `None`: nothing, for want of bandwidth.
    LayersChanged {
        /// Which one.
        consumer: ConsumerId,
        /// What it gets.
        layers: Option<Layers>,
    },
    /// One's own transport works.
    TransportConnected(TransportId),
    /// One's own transport has ended, for the reason in words.
    TransportClosed(TransportId, String),
    /// Somebody speaks more than the others; `None`: nobody does.
    ActiveSpeaker(Option<ParticipantId>, SystemTime),
    /// Somebody told something that only the dialect understands.
    Told {
        /// Who.
        participant: ParticipantId,
        /// What it is about, in the dialect's words.
        topic: &'static str,
        /// What.
        content: Value,
    },
    /// A destination of the room's programme works, by its label; told to all.
    DestinationLive(String),
    /// The room's programme goes out no more, for the reason in words; told to all.
    EgressEnded(String),
    /// The room has ended, or the participant was replaced by their own new connection. The last event.
    Closed(String),
}
