use super::*;

#[test]
fn who_comes_is_told_to_the_others_and_sees_all_of_them() {
    let start = Instant::now();
    let mut room = empty_room(RoomLimits::default(), start);

    let anna = join(&mut room, "anna", start).unwrap();
    let bert = join(&mut room, "bert", start + seconds(2)).unwrap();

    let effects = effects(&mut room);
    assert_eq!(told(&effects, bert.place), []);
    let to_anna = told(&effects, anna.place);
    let [RoomEvent::ParticipantJoined(joined)] = &to_anna[..] else {
        unreachable!("{to_anna:?}");
    };
    assert_eq!(joined.id, bert.participant);
    assert_eq!(joined.joined, SystemTime::UNIX_EPOCH + seconds(2));
    let names: Vec<_> = room
        .view()
        .participants
        .into_iter()
        .map(|one| one.id)
        .collect();
    assert_eq!(names, [anna.participant, bert.participant]);
}

#[test]
fn who_leaves_takes_everything_along() {
    let Duet {
        mut room,
        start,
        anna,
        bert,
        ..
    } = duet();

    room.leave(anna, start);

    let effects = effects(&mut room);
    let to_bert = told(&effects, bert);
    assert!(matches!(to_bert[0], RoomEvent::ConsumerClosed { .. }));
    assert!(matches!(to_bert[1], RoomEvent::ProducerClosed(_)));
    assert_eq!(
        to_bert[2],
        RoomEvent::ParticipantLeft(ParticipantId::new("anna"))
    );
    assert_eq!(told(&effects, anna), []);
    assert!(effects.contains(&Effect::Dismiss(anna, None)));
    for name in ["anna sends", "anna receives"] {
        assert!(
            effects.contains(&Effect::CloseTransport(TransportId::new(name))),
            "{name}"
        );
    }
    assert_eq!(
        room.figures(),
        RoomFigures {
            participants: 1,
            transports: 2,
            producers: 0,
            consumers: 0,
        }
    );
    assert_eq!(room.check_place(anna), Err(RoomError::NotJoined));
}

#[test]
fn an_empty_room_is_over_after_a_minute() {
    let start = Instant::now();
    let mut room = empty_room(RoomLimits::default(), start);
    let anna = join(&mut room, "anna", start).unwrap().place;
    let left = start + seconds(100);

    assert!(!room.is_over(left));
    room.leave(anna, left);

    assert_eq!(room.poll_timeout(left), Some(left + EMPTY_ROOM_PATIENCE));
    assert!(!room.is_over(left + seconds(59)));
    assert!(room.is_over(left + seconds(60)));
}

#[test]
fn a_room_that_nobody_comes_into_is_over_after_a_minute() {
    let start = Instant::now();
    let room = empty_room(RoomLimits::default(), start);

    assert!(!room.is_over(start + seconds(59)) && room.is_over(start + seconds(60)));
}

#[test]
fn a_room_whose_programme_goes_out_waits_for_its_people() {
    let start = Instant::now();
    let mut room = empty_room(RoomLimits::default(), start);

    room.set_egress(true, start + seconds(10));
    assert!(!room.is_over(start + seconds(500)));
    assert_eq!(room.poll_timeout(start), None);
    room.set_egress(false, start + seconds(500));

    assert!(!room.is_over(start + seconds(559)));
    assert!(room.is_over(start + seconds(560)));
}

#[test]
fn who_lost_their_connection_keeps_everything_for_fifteen_seconds() {
    let Duet {
        mut room,
        start,
        anna,
        bert,
        ..
    } = duet();

    room.detach(anna, start);

    assert_eq!(effects(&mut room), []);
    assert_eq!(room.poll_timeout(start), Some(start + RECONNECT_PATIENCE));
    room.handle_timeout(start + seconds(14));
    assert_eq!(room.figures().producers, 1);
    room.handle_timeout(start + seconds(15));
    let left = RoomEvent::ParticipantLeft(ParticipantId::new("anna"));
    assert!(told(&effects(&mut room), bert).contains(&left));
    assert_eq!(room.figures().producers, 0);
}

#[test]
fn whose_media_goes_on_keeps_everything_until_it_ends() {
    let Duet {
        mut room,
        start,
        anna,
        bert,
        ..
    } = duet();
    let transport = TransportId::new("anna sends");
    let connected = TransportStates {
        ice: TransportState::Connected,
        dtls: TransportState::Connected,
    };
    room.handle_transport_states(&transport, connected);
    room.detach(anna, start);
    effects(&mut room);

    room.handle_timeout(start + seconds(15));
    room.handle_timeout(start + seconds(30));
    assert_eq!(effects(&mut room), []);
    assert_eq!(room.figures().producers, 1);

    room.handle_transport_ended(&transport, "silent", start + seconds(40));
    assert_eq!(room.figures().producers, 0);
    room.handle_timeout(start + seconds(45));
    let left = RoomEvent::ParticipantLeft(ParticipantId::new("anna"));
    assert!(told(&effects(&mut room), bert).contains(&left));
}

#[test]
fn who_comes_back_in_time_by_name_finds_everything_and_the_old_place_is_gone() {
    let Duet {
        mut room,
        start,
        anna,
        bert,
        sound,
        ..
    } = duet();
    room.detach(anna, start);

    let back = join(&mut room, "anna", start + seconds(10)).unwrap();

    assert!(back.resumed && back.place != anna);
    assert_eq!(effects(&mut room), []);
    assert!(room.own_producer(back.place, &sound).is_ok());
    room.detach(anna, start + seconds(10));
    room.leave(anna, start + seconds(10));
    assert_eq!(room.poll_timeout(start), None);
    assert_eq!(room.figures().participants, 2);
    room.tell_all(&RoomEvent::EgressEnded("test".to_owned()));
    let effects = effects(&mut room);
    assert_eq!(told(&effects, anna).len(), 0);
    assert_eq!(
        told(&effects, back.place).len() + told(&effects, bert).len(),
        2
    );
}

#[test]
fn who_comes_back_and_begins_anew_loses_what_they_had_in_that_direction() {
    let Duet {
        mut room,
        start,
        anna,
        bert,
        ..
    } = duet();
    room.detach(anna, start);
    let back = join(&mut room, "anna", start).unwrap().place;

    open(&mut room, back, Direction::Send, "anna sends again").unwrap();

    let effects = effects(&mut room);
    assert!(effects.contains(&Effect::CloseTransport(TransportId::new("anna sends"))));
    assert!(matches!(
        told(&effects, bert)[..],
        [
            RoomEvent::ConsumerClosed { .. },
            RoomEvent::ProducerClosed(_)
        ]
    ));
    assert!(
        room.use_transport(back, &TransportId::new("anna receives"))
            .is_ok()
    );
    assert_eq!(room.figures().transports, 4);
}

#[test]
fn who_comes_back_and_goes_on_keeps_what_they_had_also_when_they_add_to_it() {
    let Duet {
        mut room,
        start,
        anna,
        ..
    } = duet();
    room.detach(anna, start);
    let back = join(&mut room, "anna", start).unwrap().place;

    room.use_transport(back, &TransportId::new("anna sends"))
        .unwrap();
    open(&mut room, back, Direction::Send, "another").unwrap();

    assert_eq!(effects(&mut room), []);
    assert_eq!(room.figures().transports, 5);
}

#[test]
fn a_transport_that_one_knows_takes_the_place_back_even_when_the_old_connection_seems_to_live() {
    let Duet {
        mut room,
        anna,
        sound,
        ..
    } = duet();

    let back = room.resume(&TransportId::new("anna sends"), None).unwrap();

    assert!(back.resumed);
    let dismissed = Effect::Dismiss(anna, Some("replaced by a newer connection".to_owned()));
    assert_eq!(effects(&mut room), [dismissed]);
    assert!(room.own_producer(back.place, &sound).is_ok());
    assert_eq!(
        room.resume(&TransportId::new("nobody's"), None),
        Err(RoomError::NoSuchTransport)
    );
    assert_eq!(
        room.resume(&TransportId::new("anna sends"), Some("mallory")),
        Err(RoomError::NoSuchTransport)
    );
}

#[test]
fn a_place_is_not_kept_for_who_has_no_transport_that_lives() {
    let Duet {
        mut room,
        start,
        anna,
        bert,
        ..
    } = duet();
    let loner = join(&mut room, "carl", start).unwrap().place;
    effects(&mut room);

    room.detach(loner, start);
    let without = told(&effects(&mut room), bert);
    room.detach(anna, start);
    room.handle_transport_ended(&TransportId::new("anna sends"), "silent", start);
    let still = told(&effects(&mut room), bert);
    room.handle_transport_ended(&TransportId::new("anna receives"), "silent", start);
    let after = told(&effects(&mut room), bert);

    let left = |name| RoomEvent::ParticipantLeft(ParticipantId::new(name));
    assert_eq!(without, [left("carl")]);
    assert!(!still.contains(&left("anna")));
    assert_eq!(after, [left("anna")]);
}

#[test]
fn a_name_is_taken_unless_the_same_subject_comes_again() {
    let start = Instant::now();
    let mut room = empty_room(RoomLimits::default(), start);
    let name = ParticipantId::new("anna");
    let first = room.join(&name, order(), Some("anna"), start).unwrap();
    open(&mut room, first.place, Direction::Send, "first").unwrap();

    assert_eq!(
        room.join(&name, order(), Some("mallory"), start),
        Err(RoomError::NameTaken)
    );
    assert_eq!(
        room.join(&name, order(), None, start),
        Err(RoomError::NameTaken)
    );
    let second = room.join(&name, order(), Some("anna"), start).unwrap();

    assert!(!second.resumed);
    let effects = effects(&mut room);
    assert!(effects.contains(&Effect::CloseTransport(TransportId::new("first"))));
    assert!(effects.contains(&Effect::Dismiss(
        first.place,
        Some("replaced by a newer connection".to_owned())
    )));
    room.detach(second.place, start);
    assert_eq!(room.figures().participants, 0);
}

#[test]
fn a_lost_place_is_given_back_to_nobody_else() {
    let Duet {
        mut room,
        start,
        anna,
        ..
    } = duet();
    room.detach(anna, start);

    let name = ParticipantId::new("anna");
    assert_eq!(
        room.join(&name, order(), Some("mallory"), start),
        Err(RoomError::NameTaken)
    );
}

#[test]
fn a_room_that_closes_puts_everybody_out_with_the_reason() {
    let Duet {
        mut room,
        start,
        anna,
        bert,
        ..
    } = duet();

    room.close("the room was closed", start);

    let effects = effects(&mut room);
    for place in [anna, bert] {
        let dismissed = Effect::Dismiss(place, Some("the room was closed".to_owned()));
        assert!(effects.contains(&dismissed));
    }
    assert_eq!(room.figures(), RoomFigures::default());
}
