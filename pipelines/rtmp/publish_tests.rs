use proptest::prelude::*;

use super::*;
use crate::rtmp::{
    handshake::ServerHandshake,
    receiver::conversation::{Conversation, Event},
};

const KEY: &str = "FB-1-0-Ab?s_bl=1&s_oil=2/x&a=%20b";
const LIMITS: StepLimits = StepLimits {
    handshake: Duration::from_secs(5),
    publish: Duration::from_secs(10),
};

fn endpoint(url: &str) -> Endpoint {
    Endpoint::parse(url, Some(KEY)).unwrap()
}

fn publication(goal: Goal, now: Instant) -> Publication {
    Publication::new(
        endpoint("rtmp://host/live"),
        goal,
        LIMITS,
        &[7; RANDOM_BYTES],
        now,
    )
}

/// What the server does with a publisher.
#[derive(Clone, Copy)]
struct Answers {
    connect: bool,
    publish: bool,
}

/// What came of a talk.
struct Talked {
    /// What the server saw.
    events: Vec<Event>,
    failure: Option<Failure>,
}

/// Lets both sides talk until nobody has anything to say.
fn talk(
    publication: &mut Publication,
    server: &mut Conversation,
    answers: Answers,
    now: Instant,
) -> Talked {
    let mut events = Vec::new();
    while let Some(bytes) = publication.poll_output() {
        server.handle_bytes(&bytes).unwrap();
        while let Some(event) = server.poll_event().unwrap() {
            answer(server, &event, answers);
            events.push(event);
        }
        let bytes = server.poll_output().unwrap_or_default();
        if let Err(failure) = publication.handle_bytes(&bytes, now) {
            return Talked {
                events,
                failure: Some(failure),
            };
        }
    }
    Talked {
        events,
        failure: None,
    }
}

fn answer(server: &mut Conversation, event: &Event, answers: Answers) {
    if matches!(event, Event::Connect { .. }) {
        server.answer_connect(answers.connect);
    } else if matches!(event, Event::Publish { .. }) {
        server.answer_publish(answers.publish);
    }
}

/// A publication that publishes, and its server.
fn live(now: Instant) -> (Publication, Conversation) {
    let mut publication = publication(Goal::Publish, now);
    let mut server = Conversation::new(&[9; RANDOM_BYTES]);
    let answers = Answers {
        connect: true,
        publish: true,
    };
    assert_eq!(
        talk(&mut publication, &mut server, answers, now).failure,
        None
    );
    (publication, server)
}

/// Bytes by which a server that has finished its handshake says `values`.
fn command(values: &[Value]) -> Vec<u8> {
    let header = Header::of_connection(chunk_stream::COMMAND, message_type::COMMAND_AMF0);
    let mut out = Vec::new();
    write_message(&mut out, header, &amf0::encode(values), 4_096);
    out
}

/// Bytes of a control message, before any chunk size was set.
fn control(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let header = Header::of_connection(chunk_stream::CONTROL, kind);
    write_message(&mut out, header, body, INITIAL_CHUNK_BYTES);
    out
}

fn status(level: &str, code: &str) -> Vec<u8> {
    let members = [("level", level), ("code", code)];
    let members = members.map(|(name, text)| (name.to_owned(), Value::string(text)));
    command(&[
        Value::string("onStatus"),
        Value::Number(0.0),
        Value::Null,
        Value::Object(members.into()),
    ])
}

/// The messages in what is to be sent.
fn sent(publication: &mut Publication) -> Vec<(u8, Vec<u8>)> {
    let mut reader = ChunkReader::new(100_000);
    let size = u32::try_from(CHUNK_BYTES).unwrap().to_be_bytes();
    reader.push(&control(message_type::SET_CHUNK_SIZE, &size));
    reader.push(&publication.poll_output().unwrap_or_default());
    std::iter::from_fn(|| reader.next().unwrap())
        .map(|message| (message.kind, message.body.to_vec()))
        .collect()
}

#[test]
fn a_conversation_leads_to_a_stream_and_the_key_arrives_byte_for_byte() {
    let now = Instant::now();
    let mut publication = publication(Goal::Publish, now);
    let mut server = Conversation::new(&[9; RANDOM_BYTES]);

    let answers = Answers {
        connect: true,
        publish: true,
    };
    let events = talk(&mut publication, &mut server, answers, now).events;

    assert_eq!(publication.live_stream(), Some(1));
    assert_eq!(publication.poll_timeout(), None);
    assert!(
        matches!(&events[..], [Event::Connect { application }, Event::Publish { stream_key }]
        if application == "live" && stream_key == KEY)
    );
}

#[test]
fn a_closed_conversation_unpublishes_and_deletes() {
    let now = Instant::now();
    let (mut publication, mut server) = live(now);

    publication.close();
    let answers = Answers {
        connect: true,
        publish: true,
    };
    let events = talk(&mut publication, &mut server, answers, now).events;

    assert!(matches!(events[..], [Event::Unpublish, Event::Delete]));
}

#[test]
fn a_probe_gets_a_stream_without_naming_the_key() {
    let now = Instant::now();
    let mut publication = publication(Goal::CreateStream, now);
    let mut server = Conversation::new(&[9; RANDOM_BYTES]);

    let answers = Answers {
        connect: true,
        publish: true,
    };
    let events = talk(&mut publication, &mut server, answers, now).events;
    publication.close();
    let end = talk(&mut publication, &mut server, answers, now).events;

    assert_eq!(publication.live_stream(), None);
    assert!(matches!(events[..], [Event::Connect { .. }]));
    assert!(matches!(end[..], [Event::Delete]));
}

#[test]
fn refusals_name_their_step() {
    for (answers, reason) in [
        (
            Answers {
                connect: false,
                publish: true,
            },
            Reason::AppRefused,
        ),
        (
            Answers {
                connect: true,
                publish: false,
            },
            Reason::KeyRefused,
        ),
    ] {
        let now = Instant::now();
        let mut publication = publication(Goal::Publish, now);
        let mut server = Conversation::new(&[9; RANDOM_BYTES]);

        let failure = talk(&mut publication, &mut server, answers, now)
            .failure
            .unwrap();

        assert_eq!(failure.reason, reason);
        assert!(!failure.message.contains("FB-1"));
    }
}

#[test]
fn a_silent_server_fails_the_handshake_after_five_seconds() {
    let start = Instant::now();
    let mut publication = publication(Goal::Publish, start);
    let due = start + LIMITS.handshake;
    let later = start + Duration::from_millis(4_999);

    assert_eq!(publication.poll_timeout(), Some(due));
    assert_eq!(publication.handle_timeout(later), Ok(()));
    let failure = publication.handle_timeout(due).unwrap_err();

    assert_eq!(failure.reason, Reason::HandshakeFailed);
}

#[test]
fn a_server_that_never_consents_has_ten_seconds_from_the_handshake() {
    let start = Instant::now();
    let mut publication = publication(Goal::Publish, start);
    let mut handshake = ServerHandshake::new(&[9; RANDOM_BYTES]);
    let mut bytes = Vec::new();
    handshake
        .handle_bytes(&publication.poll_output().unwrap(), &mut bytes)
        .unwrap();
    let later = start + Duration::from_secs(4);

    publication.handle_bytes(&bytes, later).unwrap();
    let due = publication.poll_timeout().unwrap();
    let failure = publication.handle_timeout(due).unwrap_err();

    assert_eq!(due, later + LIMITS.publish);
    assert_eq!(failure.reason, Reason::PublishRefused);
}

#[test]
fn a_close_says_at_which_step_it_came() {
    let now = Instant::now();
    let mut in_handshake = publication(Goal::Publish, now);
    let (mut while_live, _) = live(now);

    assert_eq!(
        in_handshake.handle_end(None).reason,
        Reason::HandshakeFailed
    );
    assert_eq!(while_live.handle_end(None).reason, Reason::ClosedByPeer);
}

#[test]
fn pings_are_answered() {
    let now = Instant::now();
    let (mut publication, _) = live(now);

    let ping = control(message_type::USER_CONTROL, &[0, 6, 1, 2, 3, 4]);
    publication.handle_bytes(&ping, now).unwrap();

    let answer = (message_type::USER_CONTROL, vec![0, 7, 1, 2, 3, 4]);
    assert_eq!(sent(&mut publication), [answer]);
}

#[test]
fn received_bytes_are_acknowledged_every_half_window() {
    let now = Instant::now();
    let (mut publication, _) = live(now);
    let window = control(
        message_type::WINDOW_ACKNOWLEDGEMENT_SIZE,
        &20_000_u32.to_be_bytes(),
    );
    publication.handle_bytes(&window, now).unwrap();
    publication.poll_output();
    let before = publication.received_bytes;

    let news = control(message_type::USER_CONTROL, &[0, 0, 0, 0, 0, 1]);
    while publication.received_bytes < before + 10_000 {
        publication.handle_bytes(&news, now).unwrap();
    }

    let answers = sent(&mut publication);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].0, message_type::ACKNOWLEDGEMENT);
}

#[test]
fn a_server_may_end_a_live_stream() {
    let now = Instant::now();
    for (bytes, reason) in [
        (
            status("status", "NetStream.Unpublish.Success"),
            Reason::ClosedByPeer,
        ),
        (
            status("error", "NetStream.Publish.BadName"),
            Reason::KeyRefused,
        ),
        (
            command(&[Value::string("close"), Value::Number(0.0)]),
            Reason::ClosedByPeer,
        ),
    ] {
        let (mut publication, _) = live(now);

        let failure = publication.handle_bytes(&bytes, now).unwrap_err();

        assert_eq!(failure.reason, reason);
    }
}

#[test]
fn a_flood_of_pings_ends_the_conversation() {
    let now = Instant::now();
    let (mut publication, _) = live(now);
    let pings = control(message_type::USER_CONTROL, &[0, 6, 1, 2, 3, 4]).repeat(1_000);

    let flooded = (0..100).find_map(|_| publication.handle_bytes(&pings, now).err());

    assert_eq!(flooded.unwrap().reason, Reason::ClosedByPeer);
    assert!(publication.output.len() <= OUTPUT_LIMIT + 100);
}

#[test]
fn the_address_names_a_port_only_when_it_is_not_the_schemes_own() {
    let address = |url| super::address(&endpoint(url));

    assert_eq!(address("rtmp://Host:1935/app?x=1"), "rtmp://host/app?x=1");
    assert_eq!(address("rtmps://host/rtmp/"), "rtmps://host/rtmp");
    assert_eq!(address("rtmps://[::1]:1935/app"), "rtmps://[::1]:1935/app");
}

proptest! {
    #[test]
    fn no_bytes_from_a_server_make_a_publisher_panic(
        was_live in any::<bool>(),
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..12),
    ) {
        let now = Instant::now();
        let mut publication = if was_live { live(now).0 } else { publication(Goal::Publish, now) };
        if !was_live {
            publication.handle_bytes(&[3; 3_073], now).unwrap();
        }
        for piece in pieces {
            if publication.handle_bytes(&piece, now).is_err() {
                break;
            }
        }
        publication.close();
    }

    #[test]
    fn damaged_answers_do_not_make_a_publisher_panic(
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let now = Instant::now();
        let mut publication = publication(Goal::Publish, now);
        let mut server = Conversation::new(&[9; RANDOM_BYTES]);
        for _ in 0..6 {
            server.handle_bytes(&publication.poll_output().unwrap_or_default()).unwrap();
            while let Ok(Some(event)) = server.poll_event() {
                answer(&mut server, &event, Answers { connect: true, publish: true });
            }
            let mut bytes = server.poll_output().unwrap_or_default();
            if publication.state != State::Handshake {
                for (place, byte) in &places {
                    if !bytes.is_empty() {
                        let place = place.index(bytes.len());
                        bytes[place] = *byte;
                    }
                }
            }
            if publication.handle_bytes(&bytes, now).is_err() {
                break;
            }
        }
    }
}

#[test]
fn the_steps_are_told_with_the_servers_words() {
    let now = Instant::now();
    let (mut publication, _) = live(now);

    let steps = publication.take_steps();

    let told: Vec<_> = steps.iter().map(|step| (step.what, &*step.words)).collect();
    let success = "NetConnection.Connect.Success, Connection succeeded.";
    assert_eq!(
        told,
        [
            (What::Handshake, ""),
            (What::ConnectReply, success),
            (What::CreateStream, ""),
            (What::Publish, "NetStream.Publish.Start, Publishing."),
        ]
    );
    assert!(publication.take_steps().is_empty());
}

#[test]
fn a_server_that_repeats_the_key_is_told_without_it() {
    let now = Instant::now();
    let mut publication = publication(Goal::Publish, now);
    let mut server = Conversation::new(&[9; RANDOM_BYTES]);
    while let Some(bytes) = publication.poll_output() {
        server.handle_bytes(&bytes).unwrap();
        while let Some(event) = server.poll_event().unwrap() {
            if matches!(event, Event::Connect { .. }) {
                server.answer_connect(true);
            }
        }
        let bytes = server.poll_output().unwrap_or_default();
        publication.handle_bytes(&bytes, now).unwrap();
    }
    let description = format!("{KEY}\u{7} and {KEY} are taken{}", "!".repeat(1_000));
    let members = [
        ("level", "error"),
        ("code", KEY),
        ("description", &description),
    ];
    let members = members.map(|(name, text)| (name.to_owned(), Value::string(text)));
    let words = command(&[
        Value::string("onStatus"),
        Value::Number(0.0),
        Value::Null,
        Value::Object(members.into()),
    ]);

    let failure = publication.handle_bytes(&words, now).unwrap_err();

    let steps = publication.take_steps();
    let step = steps.last().unwrap();
    assert_eq!(step.what, What::Publish);
    for text in [&step.words, &failure.message] {
        assert!(
            !text.contains("FB-1") && text.contains("(hidden)"),
            "{text}"
        );
        assert!(text.chars().count() < 300 && !text.contains('\u{7}'));
    }
}
