use super::*;

#[test]
fn a_track_is_told_to_the_others_with_what_the_application_says_of_it() {
    let Duet {
        mut room,
        anna,
        bert,
        ..
    } = duet();

    let picture = produce(&mut room, anna, MediaKind::Video, "picture").unwrap();

    let effects = effects(&mut room);
    assert_eq!(told(&effects, anna), []);
    let to_bert = told(&effects, bert);
    let [RoomEvent::ProducerAdded(added)] = &to_bert[..] else {
        unreachable!("{to_bert:?}");
    };
    assert_eq!((&added.id, added.kind), (&picture, MediaKind::Video));
    assert_eq!(added.app_data, json!({"source": "picture"}));
    let producers: Vec<_> = room
        .view()
        .producers
        .into_iter()
        .map(|one| one.id)
        .collect();
    assert_eq!(producers, [ProducerId::new("sound"), picture]);
}

#[test]
fn a_pause_is_told_once_to_the_others_and_to_those_who_receive_it() {
    let Duet {
        mut room,
        start,
        anna,
        bert,
        sound,
        hears,
    } = duet();

    room.set_producer_paused(&sound, true, start);
    room.set_producer_paused(&sound, true, start);

    let effects = effects(&mut room);
    assert_eq!(told(&effects, anna), []);
    let to_bert = told(&effects, bert);
    assert!(
        matches!(&to_bert[0], RoomEvent::ProducerPaused(view, true) if view.id == sound && view.paused)
    );
    let paused = RoomEvent::ConsumerPaused {
        consumer: hears,
        participant: ParticipantId::new("anna"),
        paused: true,
    };
    assert_eq!(to_bert[1..], [paused]);
}

#[test]
fn a_track_that_ends_takes_its_consumers_with_it() {
    let Duet {
        mut room,
        start,
        anna,
        bert,
        sound,
        hears,
    } = duet();

    room.close_producer(anna, &sound, start).unwrap();

    let effects = effects(&mut room);
    let closed = RoomEvent::ConsumerClosed {
        consumer: hears.clone(),
        producer: sound.clone(),
        participant: ParticipantId::new("anna"),
        kind: MediaKind::Audio,
    };
    let to_bert = told(&effects, bert);
    assert_eq!(to_bert[0], closed);
    assert!(matches!(&to_bert[1..], [RoomEvent::ProducerClosed(view)] if view.id == sound));
    assert!(effects.contains(&Effect::CloseConsumer(
        TransportId::new("bert receives"),
        hears.clone()
    )));
    assert!(effects.contains(&Effect::CloseProducer(
        TransportId::new("anna sends"),
        sound
    )));
    assert_eq!(
        room.own_consumer(bert, &hears).err(),
        Some(RoomError::NoSuchConsumer)
    );
    assert_eq!(room.figures().consumers, 0);
}

#[test]
fn nobody_touches_what_is_anothers() {
    let Duet {
        mut room,
        start,
        anna,
        bert,
        sound,
        hears,
    } = duet();
    let theirs = TransportId::new("anna sends");

    assert_eq!(
        room.close_producer(bert, &sound, start),
        Err(RoomError::NoSuchProducer)
    );
    assert_eq!(
        room.close_consumer(anna, &hears),
        Err(RoomError::NoSuchConsumer)
    );
    assert_eq!(
        room.use_transport(bert, &theirs),
        Err(RoomError::NoSuchTransport)
    );
    assert_eq!(
        room.close_transport(bert, &theirs, start),
        Err(RoomError::NoSuchTransport)
    );
    assert_eq!(effects(&mut room), []);
}

#[test]
fn limits_hold_at_their_bound_and_are_named() {
    let start = Instant::now();
    let limits = RoomLimits {
        participants: 2,
        transports: 2,
        producers: 2,
        consumers: 2,
    };
    let mut room = empty_room(limits, start);
    let anna = join(&mut room, "anna", start).unwrap().place;
    let bert = join(&mut room, "bert", start).unwrap().place;
    open(&mut room, anna, Direction::Send, "one").unwrap();
    open(&mut room, bert, Direction::Both, "two").unwrap();
    open(&mut room, bert, Direction::Both, "three").unwrap();
    let sound = produce(&mut room, anna, MediaKind::Audio, "sound").unwrap();
    produce(&mut room, anna, MediaKind::Video, "picture").unwrap();
    consume(&mut room, bert, &sound, "c1").unwrap();
    consume(&mut room, bert, &sound, "c2").unwrap();

    let refusals = [
        join(&mut room, "carl", start).err(),
        open(&mut room, bert, Direction::Both, "four").err(),
        produce(&mut room, anna, MediaKind::Video, "screen").err(),
        consume(&mut room, bert, &sound, "c3").err(),
    ];

    for refusal in refusals {
        assert!(
            matches!(&refusal, Some(RoomError::LimitReached(words)) if words.starts_with("2 ")),
            "{refusal:?}"
        );
    }
}

#[test]
fn what_is_too_large_is_refused_and_what_just_fits_is_told() {
    let Duet {
        mut room,
        start,
        anna,
        bert,
        ..
    } = duet();
    let text = |length: usize| Value::String("x".repeat(length - 2));

    assert!(matches!(
        room.tell(anna, "chat", text(4097)),
        Err(RoomError::Malformed(_))
    ));
    room.tell(anna, "chat", text(4096)).unwrap();
    assert!(matches!(
        join(&mut room, "", start),
        Err(RoomError::Malformed(_))
    ));
    assert!(matches!(
        join(&mut room, &"n".repeat(129), start),
        Err(RoomError::Malformed(_))
    ));
    assert!(join(&mut room, &"n".repeat(128), start).is_ok());
    let chatty = JoinOrder {
        details: text(4097),
        ..order()
    };
    let refused = room.join(&ParticipantId::new("carl"), chatty, None, start);
    assert!(matches!(refused, Err(RoomError::Malformed(_))));

    let effects = effects(&mut room);
    assert!(matches!(
        told(&effects, bert)[0],
        RoomEvent::Told { topic: "chat", .. }
    ));
    assert!(
        told(&effects, anna)
            .iter()
            .all(|event| !matches!(event, RoomEvent::Told { .. }))
    );
}

#[test]
fn a_track_finds_the_transport_that_is_meant_for_it() {
    let start = Instant::now();
    let mut room = empty_room(RoomLimits::default(), start);
    let anna = join(&mut room, "anna", start).unwrap().place;

    assert_eq!(
        room.choose_transport(anna, Direction::Send),
        Err(RoomError::NoTransport)
    );
    let receives = open(&mut room, anna, Direction::Receive, "receives").unwrap();
    assert_eq!(
        room.choose_transport(anna, Direction::Send),
        Err(RoomError::NoTransport)
    );
    let both = open(&mut room, anna, Direction::Both, "both").unwrap();
    assert_eq!(room.choose_transport(anna, Direction::Send), Ok(both));
    assert_eq!(
        room.choose_transport(anna, Direction::Receive),
        Ok(receives)
    );
}

#[test]
fn every_consumer_of_a_transport_has_its_own_section_and_every_one_of_a_room_its_own_ssrcs() {
    let Duet {
        mut room,
        anna,
        bert,
        sound,
        hears,
        ..
    } = duet();
    let order = ConsumeOrder {
        producer: sound,
        capabilities: RtpCapabilities::default(),
        transport: None,
        paused: false,
    };
    room.close_consumer(bert, &hears).unwrap();

    let mut seen = Vec::new();
    let mut sections = Vec::new();
    for place in [bert, anna, bert] {
        let plan = room.plan_consume(place, &order).unwrap();
        seen.extend([plan.ssrc, plan.rtx_ssrc]);
        sections.push(plan.mid);
    }

    assert_eq!(sections, ["1", "0", "2"]);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 6);
}

#[test]
fn a_transport_that_connects_or_ends_is_told_to_its_owner_only() {
    let Duet {
        mut room,
        start,
        anna,
        bert,
        ..
    } = duet();
    let id = TransportId::new("bert receives");
    let connected = TransportStates {
        ice: TransportState::Connected,
        dtls: TransportState::Connected,
    };

    room.handle_transport_states(&id, connected);
    room.handle_transport_states(&id, connected);
    room.handle_transport_ended(&id, "silent", start);
    room.handle_transport_ended(&id, "silent", start);

    let effects = effects(&mut room);
    assert_eq!(told(&effects, anna), []);
    let closed = RoomEvent::TransportClosed(id.clone(), "silent".to_owned());
    assert_eq!(
        told(&effects, bert),
        [RoomEvent::TransportConnected(id), closed]
    );
    assert_eq!(room.figures().consumers, 0);
}

#[test]
fn who_speaks_is_told_to_all_and_who_is_paused_does_not_speak() {
    let Duet {
        mut room,
        start,
        anna,
        bert,
        sound,
        ..
    } = duet();
    let later = start + Duration::from_millis(150);

    room.handle_audio_level(&sound, 10, start);
    room.handle_timeout(later);
    let spoke = effects(&mut room);
    room.set_producer_paused(&sound, true, later);
    room.handle_audio_level(&sound, 10, later);
    room.handle_timeout(later + seconds(1));
    let paused = effects(&mut room);

    let speaker = |who: Option<&str>, at| {
        let who = who.map(ParticipantId::new);
        RoomEvent::ActiveSpeaker(who, SystemTime::UNIX_EPOCH + at)
    };
    let first = speaker(Some("anna"), Duration::from_millis(150));
    assert_eq!(told(&spoke, anna), std::slice::from_ref(&first));
    assert_eq!(told(&spoke, bert), [first]);
    let silence = speaker(None, Duration::from_millis(1150));
    assert_eq!(told(&paused, anna), [silence]);
}
