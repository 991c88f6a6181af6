use ::rooms::{TransportId, TransportState};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_transport_is_what_a_client_of_mediasoup_needs() {
    let rig = Rig::start().await;
    let anna = rig.join("anna").await;

    let view = anna.member.create_transport(Direction::Both).await.unwrap();
    let states = anna.member.transport_states(&view.id).await.unwrap();
    let restarted = anna.member.restart_ice(&view.id).await.unwrap();

    assert!(view.ice_parameters.ice_lite);
    assert!(!view.ice_candidates.is_empty());
    assert!(!view.dtls_parameters.fingerprints.is_empty());
    assert_eq!(
        (states.ice, states.dtls),
        (TransportState::New, TransportState::New)
    );
    assert_ne!(
        restarted.username_fragment,
        view.ice_parameters.username_fragment
    );
    anna.member.close_transport(&view.id).await.unwrap();
    let gone = anna.member.transport_states(&view.id).await;
    assert_eq!(gone, Err(RoomError::NoSuchTransport));
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_is_received_with_the_routers_payload_types_on_the_receivers_transport() {
    let rig = Rig::start().await;
    let anna = rig.join("anna").await;
    let mut bert = rig.join("bert").await;
    anna.member.create_transport(Direction::Send).await.unwrap();
    bert.member.create_transport(Direction::Send).await.unwrap();
    let receiving = bert
        .member
        .create_transport(Direction::Receive)
        .await
        .unwrap();

    let picture = anna.produce(MediaKind::Video).await;
    let added = bert.told().await;
    let capabilities = ortc::router_capabilities();
    let order = ConsumeOrder {
        producer: picture.clone(),
        capabilities: capabilities.clone(),
        transport: None,
        paused: true,
    };
    let view = bert.member.consume(order).await.unwrap();
    let statistics = bert.member.consumer_statistics(&view.id).await.unwrap();

    assert!(matches!(added, Some(RoomEvent::ProducerAdded(added)) if added.id == picture));
    assert_eq!(view.transport.id, receiving.id);
    assert_eq!(view.producer_participant.as_str(), "anna");
    let codec = &view.rtp.codecs[0];
    assert!(codec.mime_type.eq_ignore_ascii_case("video/h264"));
    assert!(capabilities.codecs.iter().any(|known| {
        known.preferred_payload_type == Some(codec.payload_type)
            && known.mime_type.eq_ignore_ascii_case(&codec.mime_type)
    }));
    assert_ne!(view.rtp.encodings[0].ssrc, Some(1_271_755_168));
    assert!(view.paused && !view.producer_paused);
    assert_eq!((statistics.packets_sent, statistics.paused), (0, true));
    assert_eq!(Some(statistics.ssrc), view.rtp.encodings[0].ssrc);
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_in_words_of_its_own() {
    let rig = Rig::start().await;
    let anna = rig.join("anna").await;
    let produce = |kind, rtp| ProduceOrder {
        transport: None,
        kind,
        rtp,
        app_data: json!({}),
        is_screen: false,
        paused: false,
    };
    let homeless = anna
        .member
        .produce(produce(MediaKind::Audio, sent(MediaKind::Audio)))
        .await;
    anna.member.create_transport(Direction::Both).await.unwrap();
    let mut exotic = sent(MediaKind::Video);
    "video/H266".clone_into(&mut exotic.codecs[0].mime_type);
    let unsupported = anna.member.produce(produce(MediaKind::Video, exotic)).await;
    let swapped = anna
        .member
        .produce(produce(MediaKind::Video, sent(MediaKind::Audio)))
        .await;
    let sound = anna.produce(MediaKind::Audio).await;
    let consume = |producer: &str, capabilities, transport: Option<&str>| ConsumeOrder {
        producer: ProducerId::new(producer),
        capabilities,
        transport: transport.map(TransportId::new),
        paused: false,
    };
    let can = ortc::router_capabilities();
    let nobody = anna
        .member
        .consume(consume("nobody's", can.clone(), None))
        .await;
    let elsewhere = anna
        .member
        .consume(consume(sound.as_str(), can, Some("nowhere")))
        .await;
    let incapable = ortc::RtpCapabilities::default();
    let incapable = anna
        .member
        .consume(consume(sound.as_str(), incapable, None))
        .await;

    assert_eq!(homeless.err(), Some(RoomError::NoTransport));
    assert!(
        matches!(unsupported, Err(RoomError::Unsupported(_))),
        "{unsupported:?}"
    );
    assert!(
        matches!(swapped, Err(RoomError::Malformed(_))),
        "{swapped:?}"
    );
    assert_eq!(nobody.err(), Some(RoomError::NoSuchProducer));
    assert_eq!(elsewhere.err(), Some(RoomError::NoSuchTransport));
    assert_eq!(incapable.err(), Some(RoomError::CannotConsume));
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pausing_and_closing_reach_those_who_receive() {
    let rig = Rig::start().await;
    let anna = rig.join("anna").await;
    let mut bert = rig.join("bert").await;
    anna.member.create_transport(Direction::Send).await.unwrap();
    bert.member
        .create_transport(Direction::Receive)
        .await
        .unwrap();
    let sound = anna.produce(MediaKind::Audio).await;
    let order = ConsumeOrder {
        producer: sound.clone(),
        capabilities: ortc::router_capabilities(),
        transport: None,
        paused: false,
    };
    let consumer = bert.member.consume(order).await.unwrap().id;
    bert.member.pause_consumer(&consumer, true).await.unwrap();
    bert.member.pause_consumer(&consumer, false).await.unwrap();

    anna.member.pause_producer(&sound, true).await.unwrap();
    anna.member.close_producer(&sound).await.unwrap();

    let mut told = Vec::new();
    for _ in 0..5 {
        told.extend(bert.told().await);
    }
    assert!(matches!(told[0], RoomEvent::ProducerAdded(_)));
    assert!(matches!(told[1], RoomEvent::ProducerPaused(_, true)));
    assert!(matches!(
        told[2],
        RoomEvent::ConsumerPaused { paused: true, .. }
    ));
    assert!(
        matches!(&told[3], RoomEvent::ConsumerClosed { consumer: closed, .. } if *closed == consumer)
    );
    assert!(matches!(told[4], RoomEvent::ProducerClosed(_)));
    let gone = bert.member.pause_consumer(&consumer, true).await;
    assert_eq!(gone, Err(RoomError::NoSuchConsumer));
    rig.gateway.shutdown().await;
}

/// What Chromium offers for a canvas with sound, turned round.
fn viewers_offer() -> String {
    include_str!("../../../peers/fixtures/chrome-offer.sdp").replace("a=sendonly", "a=recvonly")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_track_is_watched_by_whep_and_its_viewers_end_with_it() {
    let rig = Rig::start().await;
    let anna = rig.join("anna").await;
    anna.member.create_transport(Direction::Send).await.unwrap();
    let picture = anna.produce(MediaKind::Video).await;
    let client = reqwest::Client::new();
    let base = format!("http://{}/whep/show", rig.gateway.http_address());
    let watch = |producer: &str| {
        client
            .post(format!("{base}?producer={producer}"))
            .header("content-type", "application/sdp")
            .body(viewers_offer())
            .timeout(PATIENCE)
            .send()
    };

    let answer = watch(picture.as_str()).await.unwrap();
    let second = watch(picture.as_str()).await.unwrap();
    let nobody = watch("nobody's").await.unwrap();

    assert_eq!(
        (answer.status(), second.status()),
        (201.try_into().unwrap(), answer.status())
    );
    assert!(
        answer.headers()["location"]
            .to_str()
            .unwrap()
            .contains("/whep/show/")
    );
    assert_eq!(nobody.status(), 404);
    let viewers = || rig.gateway.peers().viewers();
    assert_eq!(viewers(), 2);
    anna.member.close_producer(&picture).await.unwrap();
    let end = async {
        while viewers() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, end).await.unwrap();
    assert_eq!(watch(picture.as_str()).await.unwrap().status(), 404);
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_nobody_watches_any_more_is_watched_anew() {
    let rig = Rig::start().await;
    let anna = rig.join("anna").await;
    anna.member.create_transport(Direction::Send).await.unwrap();
    let sound = anna.produce(MediaKind::Audio).await;

    let (first, lease) = rig.gateway.rooms().watch(&show(), &sound).await.unwrap();
    let (same, another) = rig.gateway.rooms().watch(&show(), &sound).await.unwrap();
    drop(lease);
    let (still, third) = rig.gateway.rooms().watch(&show(), &sound).await.unwrap();
    drop((another, third));
    let (anew, _lease) = rig.gateway.rooms().watch(&show(), &sound).await.unwrap();

    assert_eq!((first, first), (same, still));
    assert_ne!(first, anew);
    rig.gateway.shutdown().await;
}
