use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn two_who_join_see_each_other_and_one_who_leaves_is_told() {
    let rig = Rig::start().await;

    let mut anna = rig.join("anna").await;
    let bert = rig.join("bert").await;
    let joined = anna.told().await;
    bert.member.leave().await;
    let left = anna.told().await;

    assert_eq!(bert.membership.1.participants.len(), 2);
    let bert = ParticipantId::new("bert");
    assert!(matches!(joined, Some(RoomEvent::ParticipantJoined(view)) if view.id == bert));
    assert_eq!(left, Some(RoomEvent::ParticipantLeft(bert)));
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_those_who_left() {
    let rig = Rig::start().await;
    let anna = rig.join("anna").await;
    let bert = rig.join("bert").await;
    anna.member.create_transport(Direction::Send).await.unwrap();
    let receiving = bert
        .member
        .create_transport(Direction::Receive)
        .await
        .unwrap();
    let sound = anna.produce(MediaKind::Audio).await;
    let order = ConsumeOrder {
        producer: sound,
        capabilities: ortc::router_capabilities(),
        transport: None,
        paused: false,
    };
    bert.member.consume(order).await.unwrap();
    // Figures follow what was asked before.
    bert.member.view().await.unwrap();
    assert_eq!(rig.gateway.rooms().figures()[&show()].consumers, 1);

    anna.member.leave().await;
    bert.member.leave().await;

    let guest = rig.anybody().await;
    let view = rig.service.find(&guest, &show()).await.unwrap();
    assert_eq!((view.participants.len(), view.producers.len()), (0, 0));
    let figures = rig.gateway.rooms().figures();
    assert_eq!(figures[&show()], ::rooms::RoomFigures::default());
    assert_eq!(
        rig.service.resume(&guest, &receiving.id).await.err(),
        Some(RoomError::NoSuchTransport)
    );
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lets_go_of_their_place_gets_it_back_by_a_transport_of_theirs() {
    let rig = Rig::start().await;
    let Person { member, events, .. } = rig.join("anna").await;
    let transport = member.create_transport(Direction::Send).await.unwrap();
    let mut bert = rig.join("bert").await;

    drop((member, events));
    let guest = rig.anybody().await;
    let back = Person::of(rig.service.resume(&guest, &transport.id).await.unwrap());
    let sound = back.produce(MediaKind::Audio).await;

    assert!(back.membership.0, "it is the same place");
    assert_eq!(back.member.participant().as_str(), "anna");
    let told = bert.told().await;
    assert!(matches!(told, Some(RoomEvent::ProducerAdded(view)) if view.id == sound));
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_hold_on_a_place_that_was_taken_back_holds_nothing() {
    let rig = Rig::start().await;
    let mut old = rig.join("anna").await;
    let transport = old.member.create_transport(Direction::Send).await.unwrap();

    let guest = rig.anybody().await;
    let back = Person::of(rig.service.resume(&guest, &transport.id).await.unwrap());

    let told = old.told().await;
    assert!(matches!(told, Some(RoomEvent::Closed(_))), "{told:?}");
    assert_eq!(old.told().await, None);
    assert_eq!(old.member.view().await.err(), Some(RoomError::NotJoined));
    drop(old);
    assert_eq!(back.member.view().await.unwrap().participants.len(), 1);
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_closed_puts_everybody_out_and_may_be_made_anew() {
    let rig = Rig::start().await;
    let mut anna = rig.join("anna").await;
    let guest = rig.anybody().await;

    rig.service.close(&guest, &show()).await.unwrap();

    let told = anna.told().await;
    assert_eq!(
        told,
        Some(RoomEvent::Closed("the room was closed".to_owned()))
    );
    assert_eq!(anna.member.view().await.err(), Some(RoomError::NotJoined));
    let found = rig.service.find(&guest, &show()).await;
    assert_eq!(found.err(), Some(RoomError::NoSuchRoom));
    assert!(rig.service.create(&guest, &show()).await.is_ok());
    let again = rig.service.create(&guest, &show()).await;
    assert_eq!(again.err(), Some(RoomError::RoomExists));
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_rooms_and_participants_as_are_configured_and_no_more() {
    let rig = Rig::with(&[
        ("MAX_ROOMS_PER_INSTANCE", "2"),
        ("MAX_PARTICIPANTS_PER_ROOM", "2"),
    ])
    .await;
    let guest = rig.anybody().await;
    let room = |name: &str| BroadcastId::new(name).unwrap();

    let people = (rig.join("anna").await, rig.join("bert").await);
    let third = rig.service.join(&guest, order("carl")).await;
    rig.service.create(&guest, &room("second")).await.unwrap();
    let too_many = rig.service.create(&guest, &room("third")).await;

    let words = "2 participants in a room".to_owned();
    assert_eq!(third.err(), Some(RoomError::LimitReached(words)));
    assert!(matches!(too_many, Err(RoomError::NodeFull(_))));
    rig.service.close(&guest, &room("second")).await.unwrap();
    assert!(rig.service.create(&guest, &room("third")).await.is_ok());
    drop(people);
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_room_lets_nobody_in() {
    // Fifty participants and nothing else, if nothing else used this process's cores.
    let rig = Rig::with(&[
        ("NODE_CAPACITY_CORES", "0.1"),
        ("MAX_PARTICIPANTS_PER_ROOM", "1000"),
    ])
    .await;
    let guest = rig.anybody().await;
    let mut people = Vec::new();
    let refused = loop {
        let name = format!("p{}", people.len());
        match rig.service.join(&guest, order(&name)).await {
            Ok(membership) => people.push(membership),
            Err(error) => break error,
        }
    };

    let taken = rig.gateway.broadcasts().admission().figures().reserved;
    assert!(people.len() <= 50, "{}", people.len());
    assert!(matches!(refused, RoomError::NodeFull(_)), "{refused:?}");
    assert_eq!(taken, crate::admission::Cost::participants(people.len()));
    drop(people);
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_put_out() {
    let rig = Rig::start().await;
    let mut deaf = rig.join("deaf").await;
    let mut anna = rig.join("anna").await;

    for number in 0..=super::super::task::EVENTS_LIMIT {
        anna.member.tell("chat", json!(number)).await.unwrap();
    }

    let left = RoomEvent::ParticipantLeft(ParticipantId::new("deaf"));
    assert_eq!(anna.told().await, Some(left));
    let mut told = 0;
    while deaf.told().await.is_some() {
        told += 1;
    }
    assert_eq!(told, super::super::task::EVENTS_LIMIT);
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_its_room_only_and_is_counted() {
    let rig = Rig::start().await;
    let guest = rig.anybody().await;
    let mut anna = rig.join("anna").await;
    let other = BroadcastId::new("other").unwrap();
    rig.service.create(&guest, &other).await.unwrap();

    let room = rig.gateway.rooms().find(&show()).unwrap();
    let broken: Result<(), _> = room.ask(|_| Box::pin(async { panic!("asked to") })).await;

    assert_eq!(broken, Err(RoomError::NoSuchRoom));
    assert_eq!(anna.told().await, None);
    assert!(rig.service.find(&guest, &other).await.is_ok());
    // It is counted a moment after the room's places are gone.
    let counted = async {
        while rig.gateway.metrics().panics() != 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, counted).await.unwrap();
    let again = rig.join("anna").await;
    assert!(!again.membership.0);
    drop(again);
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rooms_are_listed_that_the_guest_may_see() {
    let rig = Rig::start().await;
    let guest = rig.anybody().await;
    let anna = rig.join("anna").await;
    let other = BroadcastId::new("another").unwrap();
    rig.service.capabilities(&guest, &other).await.unwrap();

    let rooms = rig.service.list(&guest).await.unwrap();

    let names: Vec<_> = rooms.iter().map(|room| room.room.as_str()).collect();
    assert_eq!(names, ["another", "show"]);
    assert_eq!(rooms[1].participants.len(), 1);
    drop(anna);
    rig.gateway.shutdown().await;
}
