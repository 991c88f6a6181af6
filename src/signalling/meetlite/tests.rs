//! What no conversation of `tests/fixtures/dialects` can show: that nothing a client says breaks either generation.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::MeetLite;
use crate::{
    meetlite2::MeetLite2,
    rooms::Rooms as _,
    socketio::{Ack, Caller, Dialect, Gone, Handled, Handshake, Outbox},
    stand_in::StandInRooms,
};

const EVENTS: [&str; 38] = [
    "join-room",
    "create-webrtc-transport",
    "connect-webrtc-transport",
    "set-rtp-capabilities",
    "create-producer",
    "pause-producer",
    "resume-producer",
    "close-producer",
    "resume-consumer",
    "pause-consumer",
    "resume-all-consumers",
    "get-participant-stats",
    "media-state-change",
    "ready",
    "mediasoup:create-room",
    "mediasoup:join-room",
    "mediasoup:leave-room",
    "user-left",
    "mediasoup:create-transport",
    "mediasoup:connect-transport",
    "mediasoup:create-producer",
    "mediasoup:producer-pause",
    "mediasoup:producer-resume",
    "mediasoup:create-consumer",
    "media:set-layers",
    "media:restart-ice",
    "screen-share-started",
    "screen-share-stopped",
    "screen-share-ready",
    "mediasoup:participant-activity",
    "recording:start",
    "recording:stop",
    "recording:finalize",
    "recording:status",
    "recording:chunk",
    "chat:message",
    "",
    "error",
];

/// A client that does not listen.
struct Deaf;

impl Outbox for Deaf {
    fn emit(&self, _: &str, _: Option<Value>) -> Result<(), Gone> {
        Ok(())
    }
}

async fn caller(rooms: &StandInRooms) -> Caller {
    Caller {
        rooms: Arc::new(rooms.clone()),
        guest: rooms.admit(None).await.unwrap(),
        handshake: Handshake::default(),
        outbox: Arc::new(Deaf),
    }
}

/// Something in the place of a value, often what fits somewhere.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z0-9/-]{0,12}".prop_map(Value::from),
        Just(json!("r")),
        Just(json!("send")),
        Just(json!("audio")),
        Just(json!("screen")),
        Just(json!("transport-2")),
        Just(json!("producer-3")),
        Just(json!({ "fingerprints": [{ "algorithm": "sha-256", "value": "AA" }] })),
        Just(json!({ "codecs": [{
            "kind": "audio",
            "mimeType": "audio/opus",
            "payloadType": 111,
            "clockRate": 48000,
        }] })),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("screen|source|mediaType|x", inner, 0..3)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

fn payload() -> impl Strategy<Value = Value> {
    let fields = "roomId|direction|dtlsParameters|rtpCapabilities|kind|rtpParameters|appData\
                  |consumerId|producerId|transportId|mediaState|audioEnabled|spatialLayer";
    let object = prop::collection::hash_map(fields, value(), 0..7)
        .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into());
    prop_oneof![4 => object, 1 => value()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_a_client_says_is_answered_once_and_known(
        second in any::<bool>(),
        said in prop::collection::vec((0..EVENTS.len(), payload()), 1..24),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();

        runtime.block_on(async {
            let rooms = StandInRooms::default();
            let caller = caller(&rooms).await;
            let mut dialect: Box<dyn Dialect> = if second {
                Box::new(MeetLite2::new(caller))
            } else {
                Box::new(MeetLite::new(caller))
            };
            let first = if second { "ready" } else { "join-room" };
            dialect.handle(first, vec![json!({ "roomId": "r" })], None).await;
            for (index, payload) in said {
                let (sender, answers) = std::sync::mpsc::channel();
                let ack = Ack::new(move |content| sender.send(content).unwrap());
                let handled = dialect.handle(EVENTS[index], vec![payload], Some(ack)).await;
                let answered = answers.try_iter().count();
                assert_eq!(answered, usize::from(handled == Handled::Known), "{}", EVENTS[index]);
            }
        });
    }
}
