//! What the dialects have in common of what they say.

use std::time::{SystemTime, UNIX_EPOCH};

use ::rooms::{ConsumerView, ParticipantView, ProducerView, TransportState, TransportView};
use ortc::MediaKind;
use serde_json::{Value, json};

/// Milliseconds since 1970, as JavaScript counts; 0 before.
pub fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What `Device.createSendTransport` and `createRecvTransport` take.
pub fn transport(view: &TransportView) -> Value {
    json!({
        "id": view.id,
        "iceParameters": view.ice_parameters,
        "iceCandidates": view.ice_candidates,
        "dtlsParameters": view.dtls_parameters,
    })
}

/// What `Transport.consume` takes, by all the names that dialects have for it, and the transport that it is on.
pub fn consumer(view: &ConsumerView) -> Value {
    json!({
        "id": view.id,
        "consumerId": view.id,
        "producerId": view.producer,
        "participantId": view.producer_participant,
        "kind": view.kind,
        "rtpParameters": view.rtp,
        "paused": view.paused,
        "producerPaused": view.producer_paused,
        "appData": view.app_data,
        "transportId": view.transport.id,
        "iceParameters": view.transport.ice_parameters,
        "iceCandidates": view.transport.ice_candidates,
        "dtlsParameters": view.transport.dtls_parameters,
    })
}

/// A track of somebody's, by all the names that dialects have for it.
pub fn producer(view: &ProducerView) -> Value {
    let said = |name: &str| view.app_data.get(name).cloned();
    let source = said("source").unwrap_or_else(|| {
        let source = match (view.kind, view.is_screen) {
            (MediaKind::Audio, false) => "microphone",
            (MediaKind::Video, false) => "webcam",
            (MediaKind::Audio | MediaKind::Video, true) => "screen",
        };
        source.into()
    });
    json!({
        "id": view.id,
        "producerId": view.id,
        "kind": view.kind,
        "participantId": view.participant,
        "peerId": view.participant,
        "userId": view.participant,
        "paused": view.paused,
        "source": source,
        "mediaType": said("mediaType").unwrap_or_else(|| json!(view.kind)),
        "appData": view.app_data,
    })
}

/// Somebody, by all the names that dialects have for it.
pub fn participant(view: &ParticipantView) -> Value {
    json!({
        "participantId": view.id,
        "peerId": view.id,
        "userId": view.id,
        "displayName": view.display_name,
        "userInfo": view.details,
        "joinedAt": milliseconds(view.joined),
    })
}

/// How far a transport's way is, as mediasoup says it.
pub const fn ice_state(state: TransportState) -> &'static str {
    match state {
        TransportState::New | TransportState::Connecting => "new",
        TransportState::Connected => "completed",
        TransportState::Failed => "disconnected",
        TransportState::Closed => "closed",
    }
}

/// How far a transport's encryption is, as mediasoup says it.
pub const fn dtls_state(state: TransportState) -> &'static str {
    match state {
        TransportState::New => "new",
        TransportState::Connecting => "connecting",
        TransportState::Connected => "connected",
        TransportState::Failed => "failed",
        TransportState::Closed => "closed",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_is_told_in_milliseconds() {
        assert_eq!(milliseconds(UNIX_EPOCH + Duration::from_secs(2)), 2000);
        assert_eq!(milliseconds(UNIX_EPOCH - Duration::from_secs(2)), 0);
    }
}
