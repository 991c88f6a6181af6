//! What can be said in each dialect, and how each refuses it.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// A dialect's events.
pub(super) struct Dialect {
    pub(super) name: &'static str,
    /// By which one comes into a room, or asks for what a room has.
    pub(super) entering: &'static [&'static str],
    /// About something that has a name, which must be there.
    pub(super) naming: &'static [&'static str],
    /// Which may be said at any time.
    pub(super) harmless: &'static [&'static str],
    /// Whether errors are told by an event, too.
    pub(super) pushes: bool,
}

pub(super) const DIALECTS: [Dialect; 5] = [
    Dialect {
        name: "sfu",
        entering: &[
            "joinRoom",
            "createWebRtcTransport",
            "getProducers",
            "enableActiveSpeakerDetection",
            "reportAudioLevel",
        ],
        naming: &[
            "connectTransport",
            "produce",
            "consume",
            "pauseProducer",
            "resumeProducer",
            "closeProducer",
            "pauseConsumer",
            "resumeConsumer",
            "closeConsumer",
            "setPreferredLayers",
            "getTransportState",
            "getConsumerStats",
            "restartIce",
            "nonsense",
        ],
        harmless: &["getRouterRtpCapabilities", "leaveRoom"],
        pushes: false,
    },
    Dialect {
        name: "nself",
        entering: &["join-room", "create-transport"],
        naming: &[
            "connect-transport",
            "produce",
            "consume",
            "pause-producer",
            "resume-producer",
            "close-producer",
            "pause-consumer",
            "resume-consumer",
            "close-consumer",
            "set-preferred-layers",
            "restart-ice",
            "nonsense",
        ],
        harmless: &["leave-room"],
        pushes: false,
    },
    Dialect {
        name: "streamlick",
        entering: &["stop-rtmp"],
        naming: &[
            "connect-transport",
            "produce",
            "consume",
            "start-rtmp",
            "nonsense",
        ],
        harmless: &[],
        pushes: false,
    },
    Dialect {
        name: "meetlite",
        entering: &[
            "join-room",
            "pause-producer",
            "resume-producer",
            "close-producer",
            "resume-all-consumers",
            "get-participant-stats",
            "media-state-change",
        ],
        naming: &[
            "create-webrtc-transport",
            "connect-webrtc-transport",
            "set-rtp-capabilities",
            "create-producer",
            "resume-consumer",
            "pause-consumer",
        ],
        harmless: &["nonsense"],
        pushes: true,
    },
    Dialect {
        name: "meetlite2",
        entering: &["ready", "mediasoup:create-room", "mediasoup:join-room"],
        naming: &[
            "mediasoup:connect-transport",
            "mediasoup:create-producer",
            "mediasoup:producer-pause",
            "mediasoup:producer-resume",
            "mediasoup:create-consumer",
            "media:restart-ice",
            "media:set-layers",
        ],
        harmless: &["mediasoup:leave-room", "recording:start", "nonsense"],
        pushes: true,
    },
];

/// What is tried with what belongs to somebody else or is wrong otherwise, and how the SFU, nself-chat, Streamlick and the
/// second `MeetLite` refuse it.
pub(super) const TRESPASSES: [(&str, [&str; 4]); 10] = [
    (
        "connect",
        [
            "Transport not found",
            "the transport was not found",
            "Failed to connect transport",
            "Failed to connect transport",
        ],
    ),
    (
        "connectAgain",
        [
            "Failed to connect transport",
            "the transport is connected already",
            "Failed to connect transport",
            "Failed to connect transport",
        ],
    ),
    ("produce", produce("the transport was not found")),
    (
        "consume",
        [
            "Specified transport not found",
            "the transport was not found",
            "Failed to consume",
            "Failed to create consumer",
        ],
    ),
    (
        "consumeNothing",
        [
            "Producer not found",
            "the producer was not found",
            "Cannot consume",
            "Failed to create consumer",
        ],
    ),
    ("sameMid", produce("another producer has the same MID")),
    ("otherKind", produce("the kind is not that of the codecs")),
    ("manyCodecs", produce("more than 64 codecs")),
    (
        "hugeNumber",
        produce("rtpParameters: invalid value: integer `1099511627776`, expected u32"),
    ),
    ("largeAppData", produce("appData: is larger than 4 KiB")),
];

const fn produce(reason: &'static str) -> [&'static str; 4] {
    [
        "Failed to produce",
        reason,
        "Failed to produce",
        "Failed to create producer",
    ]
}

impl Dialect {
    /// How somebody comes into a room.
    pub(super) fn enter(&self, room: &str, name: &str) -> Value {
        match self.name {
            "sfu" => json!(["joinRoom", { "roomId": room, "peerId": name }]),
            "nself" => json!(["join-room", { "roomId": room, "userId": name }]),
            "streamlick" => {
                json!(["create-transport", { "broadcastId": room, "direction": "send" }])
            }
            "meetlite" => json!(["join-room", { "roomId": room }]),
            _ => json!(["mediasoup:join-room", { "roomId": room }]),
        }
    }
}

/// Arguments that no event takes, each with a name.
pub(super) fn nonsense() -> Vec<(&'static str, Value)> {
    let fields = [
        "roomId",
        "broadcastId",
        "peerId",
        "userId",
        "participantId",
        "transportId",
        "producerId",
        "consumerId",
        "kind",
        "direction",
        "rtpParameters",
        "rtpCapabilities",
        "dtlsParameters",
        "destinations",
        "compositeProducers",
        "spatialLayer",
    ];
    let all = |value: Value| -> Value {
        let entries = fields
            .iter()
            .map(|field| ((*field).to_owned(), value.clone()));
        let object: serde_json::Map<String, Value> = entries.collect();
        json!([object])
    };
    vec![
        ("nothing", json!([])),
        ("null", json!([null])),
        ("number", json!([7])),
        ("text", json!(["text"])),
        ("array", json!([[{ "roomId": "room" }]])),
        ("empty", json!([{}])),
        ("many", json!([1, { "roomId": "room" }, null, "more"])),
        ("numbers", all(json!(7))),
        ("negative", all(json!(-1e300))),
        (
            "objects",
            all(json!({ "codecs": 7, "fingerprints": [null] })),
        ),
        ("arrays", all(json!([[[]]]))),
        ("no-name", all(json!("../../etc/passwd\u{0}"))),
        ("huge", all(json!("x".repeat(4000)))),
    ]
}

/// That an answer has the shape by which a dialect refuses.
pub(super) fn refused(dialect: &str, event: &str, answer: &Value) -> Result<()> {
    let text = |name: &str| {
        let text = answer.get(name).and_then(Value::as_str);
        text.is_some_and(|text| !text.is_empty())
    };
    ensure!(text("error"), "{event}: {answer}");
    let bare = ["unknown event", "Missing roomId or peerId"];
    let fields = answer.as_object().map_or(0, serde_json::Map::len);
    if bare.iter().any(|words| answer["error"] == *words) {
        ensure!(fields == 1, "{event}: {answer}");
    } else if ["sfu", "streamlick"].contains(&dialect) {
        ensure!(text("reason") && fields == 2, "{event}: {answer}");
    } else {
        ensure!(fields == 1, "{event}: {answer}");
    }
    Ok(())
}
