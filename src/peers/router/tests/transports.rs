//! How transports come, prove themselves and go.

use std::time::Duration;

use ortc::{DtlsRole, MediaKind};

use super::{client::*, *};
use crate::router::{RouterError, TransportEvent, TransportProgress};

#[tokio::test]
async fn a_client_that_waits_for_us_to_begin_is_connected_too() {
    let peers = peers(10);
    let router = peers.open_router("room").await;
    let (mut client, open) = Client::open(&peers, router).await;
    assert!(open.ice.ice_lite);
    assert_eq!(open.dtls.role, DtlsRole::Auto);
    client.prove(&open.ice).await;
    client.wait_for(TransportProgress::Reachable).await;
    client.await_greeting(&open.dtls);
    let dtls = client.parameters(DtlsRole::Server);

    peers
        .connect_transport(&client.session, dtls)
        .await
        .unwrap();
    client.shake_hands().await;

    client.wait_for(TransportProgress::Connected).await;
    assert_eq!(
        peers.transport_progress(&client.session).await,
        Ok(TransportProgress::Connected)
    );
    peers.shutdown().await;
}

#[tokio::test]
async fn a_hello_before_the_fingerprint_is_not_lost() {
    let peers = peers(10);
    let router = peers.open_router("room").await;
    let (mut client, open) = Client::open(&peers, router).await;
    client.prove(&open.ice).await;
    client.greet(&open.dtls);
    client.send_flight().await;
    client.wait_for(TransportProgress::Reachable).await;

    let dtls = client.parameters(DtlsRole::Client);
    peers
        .connect_transport(&client.session, dtls.clone())
        .await
        .unwrap();
    client.shake_hands().await;

    client.wait_for(TransportProgress::Connected).await;
    assert_eq!(
        peers.connect_transport(&client.session, dtls).await,
        Ok(()),
        "the same again"
    );
    let other = Client::open(&peers, router).await.0;
    let other = other.parameters(DtlsRole::Client);
    assert_eq!(
        peers.connect_transport(&client.session, other).await,
        Err(RouterError::AlreadyConnected)
    );
    peers.shutdown().await;
}

#[tokio::test]
async fn a_certificate_that_was_not_told_never_connects() {
    let peers = peers(10);
    let router = peers.open_router("room").await;
    let (mut client, open) = Client::open(&peers, router).await;
    client.prove(&open.ice).await;
    client.greet(&open.dtls);
    let other = Client::open(&peers, router).await.0;
    let dtls = other.parameters(DtlsRole::Client);
    peers
        .connect_transport(&client.session, dtls)
        .await
        .unwrap();

    for _ in 0..5 {
        client.send_flight().await;
        client.hear_for(Duration::from_millis(50)).await;
    }

    assert_eq!(
        peers.transport_progress(&client.session).await,
        Ok(TransportProgress::Handshaking)
    );
    client
        .wait_for_event(|event| {
            *event == TransportEvent::Ended("the DTLS handshake failed".to_owned())
        })
        .await;
    assert_eq!(
        peers.transport_progress(&client.session).await,
        Err(RouterError::NoSuchTransport)
    );
    peers.shutdown().await;
}

#[tokio::test]
async fn new_credentials_take_the_place_of_the_old_ones_and_media_go_on() {
    let peers = peers(10);
    let (_, mut studio, mut guest) = pair(&peers).await;
    studio.send_rtp(&picture(1, KEYFRAME)).await;
    guest.get_rtp().await;

    let ice = peers.restart_transport(&guest.session).await.unwrap();
    guest.move_elsewhere().await;
    guest.prove(&ice).await;
    studio.send_rtp(&picture(2, PICTURE)).await;

    let moved = guest.get_rtp().await;
    assert_eq!(&moved.packet.payload[..], PICTURE);
    peers.shutdown().await;
}

#[tokio::test]
async fn media_go_by_tcp_where_udp_does_not() {
    const PACKETS: u16 = 100;
    let peers = peers(10);
    let router = peers.open_router("room").await;
    let mut studio = Client::connected_by_tcp(&peers, router).await;
    let mut guest = Client::connected_by_tcp(&peers, router).await;
    let order = video_order();
    peers.produce(&studio.session, order.clone()).await.unwrap();
    let consumer = consumer_of("view", &order, 5000, "0");
    peers.consume(&guest.session, consumer).await.unwrap();

    for sequence in 0..PACKETS {
        studio.send_rtp(&picture(sequence, KEYFRAME)).await;
    }

    let first = guest.get_rtp().await.packet.sequence;
    for sequence in 1..PACKETS {
        let got = guest.get_rtp().await.packet.sequence;
        assert_eq!(got, first.wrapping_add(sequence));
    }
    peers.shutdown().await;
}

#[tokio::test]
async fn a_good_bye_ends_a_transport_and_gives_its_place_back() {
    let peers = peers(2);
    let (router, mut studio, _guest) = pair(&peers).await;
    assert_eq!(peers.transports(), 2);
    assert!(matches!(
        peers.open_transport(router).await,
        Err(RouterError::Full)
    ));

    studio.say_goodbye().await;

    studio
        .wait_for_event(|event| {
            *event == TransportEvent::Ended("the client closed the connection".to_owned())
        })
        .await;
    assert_eq!(studio.events.recv().await, None);
    assert_eq!(peers.transports(), 1);
    assert!(peers.open_transport(router).await.is_ok());
    peers.shutdown().await;
}

#[tokio::test]
async fn a_router_that_closes_ends_all_of_it() {
    let peers = peers(10);
    let (router, mut studio, mut guest) = pair(&peers).await;

    peers.close_router(router).await;

    for client in [&mut studio, &mut guest] {
        client
            .wait_for_event(|event| {
                *event == TransportEvent::Ended("the room has ended".to_owned())
            })
            .await;
    }
    assert_eq!(peers.transports(), 0);
    assert!(matches!(
        peers.open_transport(router).await,
        Err(RouterError::NoSuchRouter)
    ));
    peers.shutdown().await;
}

#[tokio::test]
async fn more_than_the_limits_is_refused() {
    let peers = peers(10);
    let router = peers.open_router("room").await;
    let client = Client::connected(&peers, router).await;
    let plain = |number: u32| {
        let mut rtp = audio_parameters();
        rtp.mid = Some(number.to_string());
        rtp.encodings[0].ssrc = Some(10_000 + number);
        producer(&format!("producer {number}"), MediaKind::Audio, rtp)
    };
    for number in 0..64 {
        peers.produce(&client.session, plain(number)).await.unwrap();
    }
    assert!(matches!(
        peers.produce(&client.session, plain(64)).await,
        Err(RouterError::Malformed(_))
    ));

    for number in 0..256 {
        let order = consumer_of(
            &format!("consumer {number}"),
            &plain(0),
            50_000 + 2 * number,
            &number.to_string(),
        );
        peers.consume(&client.session, order).await.unwrap();
    }
    let more = consumer_of("consumer 256", &plain(0), 90_000, "256");
    assert!(matches!(
        peers.consume(&client.session, more).await,
        Err(RouterError::Malformed(_))
    ));
    peers.shutdown().await;
}

#[tokio::test]
async fn what_clashes_is_refused() {
    let peers = peers(10);
    let (router, studio, guest) = pair(&peers).await;
    let malformed = |result: Result<(), RouterError>| {
        assert!(
            matches!(result, Err(RouterError::Malformed(_))),
            "{result:?}"
        );
    };
    let order = video_order();
    malformed(peers.produce(&guest.session, order.clone()).await);
    let again = |change: fn(&mut crate::router::ProducerOrder)| {
        let mut order = video_order();
        order.id = "another".to_owned();
        order.rtp.mid = Some("9".to_owned());
        order.rtp.encodings[0].ssrc = Some(9);
        order.rtp.encodings[0].rtx = None;
        change(&mut order);
        peers.produce(&studio.session, order)
    };
    malformed(again(|order| order.rtp.mid = Some("0".to_owned())).await);
    malformed(again(|order| order.rtp.encodings[0].ssrc = Some(REPAIR_SSRC)).await);
    malformed(again(|order| order.rtp.codecs.clear()).await);
    malformed(again(|order| order.rtp.codecs[0].mime_type = "video/H265".to_owned()).await);
    malformed(again(|order| order.rtp.codecs[0].clock_rate = 0).await);
    assert_eq!(again(|_| {}).await, Ok(()));

    let mut clash = consumer_of("view 2", &order, 5000, "1");
    malformed(peers.consume(&guest.session, clash.clone()).await);
    clash.rtp.encodings.clear();
    malformed(peers.consume(&guest.session, clash).await);
    let mut of_nobody = consumer_of("view 3", &order, 7000, "1");
    of_nobody.producer = "nobody".to_owned();
    assert_eq!(
        peers.consume(&guest.session, of_nobody).await,
        Err(RouterError::NoSuchProducer)
    );
    peers.close_router(router).await;
    peers.shutdown().await;
}

#[tokio::test]
async fn hostile_datagrams_from_a_proven_path_harm_nobody() {
    let peers = peers(10);
    let (_, mut studio, mut guest) = pair(&peers).await;
    for first in 0..=255_u8 {
        for length in [1, 2, 11, 12, 13, 40, 1400] {
            let mut datagram = vec![first.wrapping_mul(7); length];
            datagram[0] = first;
            studio.send_raw(&datagram).await;
        }
    }
    // Authentic, but nonsense: it is whose client it is that is harmed at most.
    for sequence in 0..50_u16 {
        let nonsense = Rtp {
            payload_type: u8::try_from(sequence % 128).unwrap(),
            sequence,
            ssrc: u32::from(sequence),
            extensions: vec![(MID_ID, vec![0xff; 4]), (TRANSPORT_ID, vec![1])],
            ..Rtp::default()
        };
        studio.send_rtp(&nonsense).await;
    }

    studio.send_rtp(&picture(1, KEYFRAME)).await;

    assert_eq!(&guest.get_rtp().await.packet.payload[..], KEYFRAME);
    assert_eq!(peers.panics(), 0);
    peers.shutdown().await;
}
