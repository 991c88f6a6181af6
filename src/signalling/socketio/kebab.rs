//! What happens in a room, in the kebab-case words that Streamlick and nself-chat share.

use ::rooms::RoomEvent;
use serde_json::{Value, json};

use super::{milliseconds, participant, producer};

/// The event and its content; `None` for what these dialects have no word for, or one of their own.
pub fn told(event: &RoomEvent) -> Option<(&'static str, Value)> {
    Some(match event {
        RoomEvent::ParticipantJoined(view) => ("participant-joined", participant(view)),
        RoomEvent::ParticipantLeft(id) => (
            "participant-left",
            json!({ "participantId": id, "userId": id, "peerId": id }),
        ),
        RoomEvent::ProducerAdded(view) => ("new-producer", producer(view)),
        RoomEvent::ProducerPaused(view, true) => ("producer-paused", producer(view)),
        RoomEvent::ProducerPaused(view, false) => ("producer-resumed", producer(view)),
        RoomEvent::ProducerClosed(view) => ("producer-closed", producer(view)),
        RoomEvent::ConsumerPaused {
            consumer,
            participant,
            paused,
        } => (
            if *paused {
                "consumer-paused"
            } else {
                "consumer-resumed"
            },
            json!({ "consumerId": consumer, "participantId": participant }),
        ),
        RoomEvent::ConsumerClosed {
            consumer,
            producer,
            participant,
            kind,
        } => (
            "consumer-closed",
            json!({
                "consumerId": consumer,
                "producerId": producer,
                "participantId": participant,
                "kind": kind,
            }),
        ),
        RoomEvent::LayersChanged { consumer, layers } => (
            "consumer-layers-changed",
            json!({
                "consumerId": consumer,
                "spatialLayer": layers.map(|layers| layers.spatial),
                "temporalLayer": layers.and_then(|layers| layers.temporal),
            }),
        ),
        RoomEvent::TransportClosed(id, reason) => (
            "transport-closed",
            json!({ "transportId": id, "reason": reason }),
        ),
        RoomEvent::ActiveSpeaker(id, time) => (
            "active-speaker",
            json!({ "participantId": id, "timestamp": milliseconds(*time) }),
        ),
        RoomEvent::TransportConnected(_)
        | RoomEvent::Told { .. }
        | RoomEvent::DestinationLive(_)
        | RoomEvent::EgressEnded(_)
        | RoomEvent::Closed(_)
        | _ => return None,
    })
}
