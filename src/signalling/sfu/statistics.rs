//! The answer to `getConsumerStats`.

use ::rooms::ConsumerStatistics;
use serde_json::{Value, json};

use crate::socketio::{dtls_state, ice_state};

pub(super) fn answer(statistics: &ConsumerStatistics) -> Value {
    json!({
        "stats": [{
            "type": "outbound-rtp",
            "kind": statistics.kind,
            "ssrc": statistics.ssrc,
            "mimeType": statistics.mime_type,
            "packetCount": statistics.packets_sent,
            "byteCount": statistics.bytes_sent,
            "bitrate": statistics.bits_per_second,
            "packetsRetransmitted": statistics.packets_repeated,
            "packetsLost": statistics.packets_lost,
            "pliCount": statistics.keyframe_requests,
            "roundTripTime": statistics.round_trip.map(|time| time.as_secs_f64() * 1000.0),
            "spatialLayer": statistics.spatial_layer,
        }],
        "paused": statistics.paused,
        "closed": false,
        "kind": statistics.kind,
        "producerId": statistics.producer,
        "transportState": {
            "id": statistics.transport,
            "dtlsState": dtls_state(statistics.states.dtls),
            "iceState": ice_state(statistics.states.ice),
        },
        "inboundBytes": statistics.producer_bytes,
    })
}
