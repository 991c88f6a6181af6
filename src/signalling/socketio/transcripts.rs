//! Conversations with each dialect, as they stand in `tests/fixtures/dialects/*.jsonl`, and what is wrong if they differ.
//!
//! One step a line, a client's first with its `token` and `query`: `{"client": "ada", "says": [event, …], "answer": …}`, `{"client": "ada", "hears": [event, …]}`,
//! `{"client": "ada", "drops": true}` or `{"client": "ada", "goes": true}`, `{"fails": [error, …]}`,
//! `{"room": "r", "to": "ada", "happens": [event, …]}`, `{"room": "r", "loses": transport}`. `"*"` stands for anything; an object with `"…"` may have more fields.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::SystemTime};

use ::rooms::{ConsumerId, Layers, ParticipantId, ProducerId, RoomError, RoomEvent, TransportId};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{Duration, Instant, timeout},
};

use super::{
    Ack, Caller, Gone, Handshake, Outbox,
    choice::Hint,
    counts::Counters,
    inbox::Inbox,
    session::{Line, Session},
    waiting::Waiting,
};
use crate::{Bearer, rooms::Rooms as _, stand_in::StandInRooms};

/// More than enough for anything that happens in memory; time stands still while there is something to do.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Step {
    client: Option<String>,
    token: Option<String>,
    query: BTreeMap<String, String>,
    says: Option<Value>,
    answer: Option<Value>,
    hears: Option<Value>,
    drops: bool,
    goes: bool,
    fails: Option<Vec<String>>,
    room: Option<String>,
    to: Option<String>,
    loses: Option<String>,
    happens: Option<Vec<Value>>,
    ordered: Option<Vec<String>>,
    note: Option<String>,
}

struct Client {
    inbox: Inbox,
    line: watch::Sender<Line>,
    heard: mpsc::Receiver<Value>,
    session: JoinSet<()>,
}

struct Ear(mpsc::Sender<Value>);

impl Outbox for Ear {
    fn emit(&self, event: &str, content: Option<Value>) -> Result<(), Gone> {
        let mut said = vec![Value::from(event)];
        said.extend(content);
        self.0.try_send(said.into()).map_err(|_| Gone)
    }
}

#[tokio::test(start_paused = true)]
async fn the_dialects_say_what_their_servers_said() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/dialects");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "jsonl")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());

    for file in files {
        play(&file).await;
    }
}

async fn play(file: &Path) {
    let text = fs::read_to_string(file).unwrap();
    let rooms = StandInRooms::default();
    let waiting: Arc<Waiting> = Arc::default();
    let mut clients: BTreeMap<String, Client> = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let at = format!("{}:{}", file.display(), index + 1);
        if line.trim().is_empty() {
            continue;
        }
        let step: Step = serde_json::from_str(line).unwrap_or_else(|error| panic!("{at}: {error}"));
        take(&rooms, &waiting, &mut clients, step, &at).await;
    }
    for (name, client) in &mut clients {
        let rest = client.heard.try_recv();
        assert!(
            rest.is_err(),
            "{}: {name} hears {rest:?} too",
            file.display()
        );
    }
}

async fn take(
    rooms: &StandInRooms,
    waiting: &Arc<Waiting>,
    clients: &mut BTreeMap<String, Client>,
    step: Step,
    at: &str,
) {
    assert!(
        step.note.is_some() || step.client.is_some() || step.fails.is_some() || step.room.is_some(),
        "{at}: nothing is to be done"
    );
    if let Some(error) = step.fails {
        rooms.fail_next(error_of(&error, at));
    }
    if let (Some(room), Some(event)) = (&step.room, step.happens) {
        settle().await;
        rooms.tell(room, step.to.as_deref(), &event_of(&event, at));
    }
    if let (Some(room), Some(transport)) = (&step.room, &step.loses) {
        rooms.lose_transport(room, transport);
    }
    let Some(name) = step.client else {
        return;
    };
    if !clients.contains_key(&name) {
        let client = connect(rooms, waiting, step.token.as_deref(), step.query).await;
        clients.insert(name.clone(), client);
    }
    if step.drops || step.goes {
        let mut client = clients.remove(&name).expect("it was made");
        client
            .line
            .send_replace(if step.goes { Line::Left } else { Line::Broken });
        while client.session.join_next().await.is_some() {}
        let rest = client.heard.try_recv();
        assert!(rest.is_err(), "{at}: {name} hears {rest:?} too");
        return;
    }
    let client = clients.get_mut(&name).expect("it was made");
    if let Some(event) = step.says {
        let (ack, answer) = match step.answer {
            Some(expected) => {
                let (sender, receiver) = oneshot::channel();
                let ack = Ack::new(move |content| {
                    let _ = sender.send(content);
                });
                (Some(ack), Some((expected, receiver)))
            }
            None => (None, None),
        };
        client
            .inbox
            .offer(event.to_string(), ack, Instant::now())
            .unwrap();
        if let Some((expected, receiver)) = answer {
            let answer = timeout(PATIENCE, receiver).await;
            let answer = answer
                .unwrap_or_else(|_| panic!("{at}: no answer"))
                .unwrap();
            assert!(fits(&expected, &answer), "{at}: the answer is {answer:#}");
        }
        settle().await;
    }
    if let Some(expected) = step.hears {
        let heard = timeout(PATIENCE, client.heard.recv()).await;
        let heard = heard.unwrap_or_else(|_| panic!("{at}: nothing is heard"));
        let heard = heard.expect("it is connected");
        assert!(fits(&expected, &heard), "{at}: {heard:#} is heard");
    }
    if let Some(expected) = step.ordered {
        assert_eq!(rooms.orders(), expected, "{at}");
    }
}

async fn connect(
    rooms: &StandInRooms,
    waiting: &Arc<Waiting>,
    token: Option<&str>,
    query: BTreeMap<String, String>,
) -> Client {
    let token = token.map(|token| Bearer::new(token).unwrap());
    let counters: Arc<Counters> = Arc::default();
    let (inbox, events) = Inbox::new(Arc::clone(&counters));
    let (line, line_of_session) = watch::channel(Line::Open);
    let (ear, heard) = mpsc::channel(64);
    let caller = Caller {
        guest: rooms.admit(token.as_ref()).await.unwrap(),
        rooms: Arc::new(rooms.clone()),
        handshake: Handshake {
            query,
            ..Handshake::default()
        },
        outbox: Arc::new(Ear(ear)),
    };
    let mut session = JoinSet::new();
    let waiting = Arc::clone(waiting);
    session.spawn(
        Session::new(
            caller,
            Hint::Nothing,
            events,
            line_of_session,
            counters,
            waiting,
        )
        .run(),
    );
    Client {
        inbox,
        line,
        heard,
        session,
    }
}

/// Lets everything happen that can.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn fits(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::String(any), _) if any == "*" => true,
        (Value::Object(expected), Value::Object(actual)) => {
            let open = expected.contains_key("…");
            let known = |name: &String| open || expected.contains_key(name);
            actual.keys().all(known)
                && expected
                    .iter()
                    .filter(|(name, _)| *name != "…")
                    .all(|(name, value)| actual.get(name).is_some_and(|other| fits(value, other)))
        }
        (Value::Array(expected), Value::Array(actual)) => {
            expected.len() == actual.len()
                && expected
                    .iter()
                    .zip(actual)
                    .all(|(one, other)| fits(one, other))
        }
        (expected, actual) => expected == actual,
    }
}

fn error_of(words: &[String], at: &str) -> RoomError {
    let text = words.get(1).cloned().unwrap_or_default();
    match words[0].as_str() {
        "Unauthenticated" => RoomError::Unauthenticated(text),
        "Forbidden" => RoomError::Forbidden(text),
        "NoSuchRoom" => RoomError::NoSuchRoom,
        "NameTaken" => RoomError::NameTaken,
        "NotJoined" => RoomError::NotJoined,
        "TransportFailed" => RoomError::TransportFailed,
        "LimitReached" => RoomError::LimitReached(text),
        "NodeFull" => RoomError::NodeFull(text),
        "Egress" => RoomError::Egress(text),
        "Timeout" => RoomError::Timeout,
        "Internal" => RoomError::Internal,
        other => panic!("{at}: {other} is no error"),
    }
}

fn event_of(words: &[Value], at: &str) -> RoomEvent {
    let text = |index: usize| words[index].as_str().unwrap_or_default().to_owned();
    let number = |index: usize| {
        words[index]
            .as_u64()
            .and_then(|number| u8::try_from(number).ok())
    };
    match text(0).as_str() {
        "TransportConnected" => RoomEvent::TransportConnected(TransportId::new(text(1))),
        "TransportClosed" => RoomEvent::TransportClosed(TransportId::new(text(1)), text(2)),
        "ConsumerPaused" => RoomEvent::ConsumerPaused {
            consumer: ConsumerId::new(text(1)),
            participant: ParticipantId::new(text(2)),
            paused: words[3] == Value::Bool(true),
        },
        "ConsumerClosed" => RoomEvent::ConsumerClosed {
            consumer: ConsumerId::new(text(1)),
            producer: ProducerId::new(text(2)),
            participant: ParticipantId::new(text(3)),
            kind: serde_json::from_value(words[4].clone()).unwrap(),
        },
        "LayersChanged" => RoomEvent::LayersChanged {
            consumer: ConsumerId::new(text(1)),
            layers: number(2).map(|spatial| Layers {
                spatial,
                temporal: number(3),
            }),
        },
        "ActiveSpeaker" => RoomEvent::ActiveSpeaker(
            words[1].as_str().map(ParticipantId::new),
            SystemTime::UNIX_EPOCH + Duration::from_secs(5),
        ),
        "DestinationLive" => RoomEvent::DestinationLive(text(1)),
        "EgressEnded" => RoomEvent::EgressEnded(text(1)),
        "Closed" => RoomEvent::Closed(text(1)),
        other => panic!("{at}: {other} is no event"),
    }
}
