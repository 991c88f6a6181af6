//! That nothing a client says breaks a session, and that every question has one answer.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Duration, Instant, timeout},
};

use super::{
    Ack, Caller, Gone, Handshake, Outbox,
    choice::Hint,
    counts::Counters,
    inbox::Inbox,
    session::{Line, Session},
};
use crate::{rooms::Rooms as _, sfu, stand_in::StandInRooms};

/// The events of Streamlick and nself-chat, and some of nobody.
const EVENTS: [&str; 20] = [
    "create-transport",
    "connect-transport",
    "produce",
    "consume",
    "start-rtmp",
    "stop-rtmp",
    "join-room",
    "pause-producer",
    "resume-producer",
    "close-producer",
    "pause-consumer",
    "resume-consumer",
    "close-consumer",
    "set-preferred-layers",
    "restart-ice",
    "leave-room",
    "ready",
    "create-webrtc-transport",
    "",
    "constructor",
];

/// A client that does not listen.
struct Deaf;

impl Outbox for Deaf {
    fn emit(&self, _: &str, _: Option<Value>) -> Result<(), Gone> {
        Err(Gone)
    }
}

fn event() -> impl Strategy<Value = String> {
    let camel = prop::sample::select(sfu::EVENTS.to_vec());
    let kebab = prop::sample::select(EVENTS.to_vec());
    prop_oneof![camel, kebab].prop_map(str::to_owned)
}

/// What may stand in a field, often what fits there.
fn value() -> impl Strategy<Value = Value> {
    let fit = prop::sample::select(vec![
        json!("r"),
        json!("transport-1"),
        json!("transport-2"),
        json!("producer-2"),
        json!("producer-3"),
        json!("consumer-4"),
        json!("audio"),
        json!("send"),
        json!(true),
        json!({ "role": "client", "fingerprints": [] }),
        json!({ "codecs": [{ "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000 }] }),
        json!({ "codecs": [{ "kind": "audio", "mimeType": "audio/opus", "clockRate": 48000 }] }),
        json!([{ "rtmpUrl": "rtmp://a/b", "streamKey": "c" }]),
        json!({ "videoProducerId": "producer-3" }),
    ]);
    let unfit = prop_oneof![
        Just(Value::Null),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::collection::vec(any::<u8>().prop_map(Value::from), 0..4).prop_map(Value::from),
    ];
    prop_oneof![4 => fit, 1 => unfit]
}

fn payload() -> impl Strategy<Value = Value> {
    let field = prop::sample::select(vec![
        "roomId",
        "peerId",
        "userId",
        "participantId",
        "broadcastId",
        "direction",
        "transportId",
        "producerId",
        "consumerId",
        "kind",
        "dtlsParameters",
        "rtpParameters",
        "rtpCapabilities",
        "appData",
        "destinations",
        "compositeProducers",
        "audioLevel",
        "spatialLayer",
        "producing",
    ]);
    prop_oneof![
        8 => prop::collection::btree_map(field, value(), 0..8).prop_map(|fields| {
            Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
        }),
        1 => value(),
    ]
}

async fn play(events: Vec<(String, Option<Value>, bool)>) {
    let rooms = StandInRooms::default();
    let counters: Arc<Counters> = Arc::default();
    let (inbox, queue) = Inbox::new(Arc::clone(&counters));
    let (line, line_of_session) = watch::channel(Line::Open);
    let caller = Caller {
        guest: rooms.admit(None).await.unwrap(),
        rooms: Arc::new(rooms.clone()),
        handshake: Handshake::default(),
        outbox: Arc::new(Deaf),
    };
    let mut session = JoinSet::new();
    let waiting = Arc::default();
    let new = Session::new(
        caller,
        Hint::Nothing,
        queue,
        line_of_session,
        counters,
        waiting,
    );
    session.spawn(new.run());
    let (sender, mut answers) = mpsc::channel(64);
    let mut asked = 0;

    for (name, payload, answered) in events {
        let mut said = vec![Value::from(name)];
        said.extend(payload);
        let sender = sender.clone();
        let ack = answered.then(|| Ack::new(move |answer| sender.try_send(answer).unwrap()));
        asked += usize::from(answered);
        let text = Value::from(said).to_string();
        inbox.offer(text, ack, Instant::now()).unwrap();
    }

    for _ in 0..asked {
        let answer = timeout(Duration::from_secs(10), answers.recv()).await;
        assert!(
            answer
                .expect("an answer in time")
                .expect("an answer")
                .is_object()
        );
    }
    assert!(session.try_join_next().is_none(), "the session goes on");
    line.send_replace(Line::Left);
    session
        .join_next()
        .await
        .expect("a session")
        .expect("no panic");
    assert!(answers.try_recv().is_err(), "each is answered once");
    assert_eq!(rooms.participants("r"), []);
}

proptest! {
    #[test]
    fn nothing_that_a_client_says_breaks_its_session(
        events in prop::collection::vec((event(), prop::option::of(payload()), any::<bool>()), 1..16)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(play(events));
    }
}
