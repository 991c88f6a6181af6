//! What the dialects have in common of what they say.

use std::time::{SystemTime, UNIX_EPOCH};

use ::rooms::{ConsumerView, TransportView};
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
