//! How a studio is asked for less and how it says goodbye, against the async `webrtc` stack.

use std::{net::SocketAddr, time::Duration};

use media::{TrackKind, VideoCodec};
use tokio::{net::UdpSocket, sync::mpsc, task::JoinSet, time::timeout};

use super::{
    DEADLINE, KEYFRAME, Seen, Studio, next, offering, packet, studio, tapped, until, workers,
};
use crate::{PeerEvent, client::ClientEvent};

/// Longer than the DTLS and ICE of a test take, much shorter than the expiry of consent.
const SOON: Duration = Duration::from_mins(1);

/// Between two packets of a studio.
const PACKET_INTERVAL: Duration = Duration::from_millis(20);

/// What the studio hears of limits, while it sends.
async fn next_limit(studio: &mut Studio, sequence: &mut u16) -> u64 {
    let hearing = async {
        loop {
            *sequence += 1;
            let packet = packet(*sequence, &KEYFRAME);
            studio.peer.send(TrackKind::Video, packet).await.unwrap();
            match timeout(PACKET_INTERVAL, studio.events.recv()).await {
                Ok(Some(ClientEvent::BitrateLimited(limit))) => return limit,
                Ok(None) => panic!("the connection ended"),
                Ok(Some(_)) | Err(_) => {}
            }
        }
    };
    timeout(DEADLINE, hearing).await.unwrap()
}

#[tokio::test]
async fn a_limit_is_told_to_the_studio_and_to_the_one_after_it_and_lifted() {
    let peers = workers(1, 10);
    let (sink, _seen) = tapped(&peers).await;
    peers.limit_bitrate(sink, Some(1_000_000)).await;
    let mut first = studio(&peers, sink).await;
    let mut sequence = 0;

    assert_eq!(next_limit(&mut first, &mut sequence).await, 1_000_000);
    peers.limit_bitrate(sink, Some(1_700_000)).await;
    assert_eq!(next_limit(&mut first, &mut sequence).await, 1_700_000);

    let mut second = studio(&peers, sink).await;
    let mut sequence = 0;
    assert_eq!(next_limit(&mut second, &mut sequence).await, 1_700_000);
    peers.limit_bitrate(sink, None).await;
    assert!(next_limit(&mut second, &mut sequence).await >= 100_000_000);
    peers.shutdown().await;
    assert_eq!(peers.panics(), 0);
}

#[tokio::test]
async fn received_packets_are_counted() {
    let peers = workers(1, 10);
    let (sink, _seen) = tapped(&peers).await;
    let mut studio = studio(&peers, sink).await;
    until(&mut studio.published.events, |event| {
        matches!(event, PeerEvent::Connected)
    })
    .await;
    while next(&mut studio.events).await != ClientEvent::Connected {}
    for sequence in 1..=50 {
        studio
            .peer
            .send(TrackKind::Video, packet(sequence, &KEYFRAME))
            .await
            .unwrap();
    }

    let counted = until(
        &mut studio.published.events,
        |event| matches!(event, PeerEvent::Statistics(statistics) if statistics.packets_received == 50),
    );

    counted.await;
}

#[tokio::test]
async fn a_studio_that_says_goodbye_is_gone_at_once() {
    let peers = workers(1, 10);
    let (sink, _seen) = tapped(&peers).await;
    let mut studio = studio(&peers, sink).await;
    until(&mut studio.published.events, |event| {
        matches!(event, PeerEvent::Connected)
    })
    .await;
    while next(&mut studio.events).await != ClientEvent::Connected {}

    studio.peer.close().await.unwrap();

    let ended = until(&mut studio.published.events, |event| {
        matches!(event, PeerEvent::Ended(_))
    });
    let ended = timeout(SOON, ended).await.unwrap();
    assert!(
        matches!(&ended, PeerEvent::Ended(reason) if reason == "the studio closed the connection"),
        "{ended:?}"
    );
    assert_eq!(peers.sessions(), 0);
}

/// Carries datagrams between a studio and `server`, and adds those that it is told to add to the studio's.
async fn man_in_the_middle(server: SocketAddr) -> (u16, mpsc::Sender<Vec<u8>>, JoinSet<()>) {
    let (near, far) = (
        UdpSocket::bind("127.0.0.1:0").await.unwrap(),
        UdpSocket::bind("127.0.0.1:0").await.unwrap(),
    );
    let port = near.local_addr().unwrap().port();
    let (forge, mut forged) = mpsc::channel::<Vec<u8>>(8);
    let mut carrying = JoinSet::new();
    carrying.spawn(async move {
        let (mut up, mut down) = ([0; 2048], [0; 2048]);
        let mut client = None;
        loop {
            tokio::select! {
                received = near.recv_from(&mut up) => {
                    let (length, from) = received.unwrap();
                    client = Some(from);
                    far.send_to(&up[..length], server).await.unwrap();
                }
                received = far.recv(&mut down) => {
                    if let Some(client) = client {
                        near.send_to(&down[..received.unwrap()], client).await.unwrap();
                    }
                }
                datagram = forged.recv() => match datagram {
                    Some(datagram) => drop(far.send_to(&datagram, server).await.unwrap()),
                    None => return,
                },
            }
        }
    });
    (port, forge, carrying)
}

#[tokio::test]
async fn a_forged_goodbye_is_not_believed_and_the_true_one_is() {
    let peers = workers(1, 10);
    let (sink, mut seen) = tapped(&peers).await;
    let (port, forge, _carrying) = man_in_the_middle(peers.local_address()).await;
    let (peer, offer, mut events) = offering().await;
    let mut published = peers.publish(sink, &offer, &VideoCodec::ALL).await.unwrap();
    let detour = published.answer.replace(
        &format!(" {} typ host", peers.local_address().port()),
        &format!(" {port} typ host"),
    );
    let detour: Vec<&str> = detour
        .lines()
        .filter(|line| !line.contains("tcptype"))
        .collect();
    peer.accept_answer(&(detour.join("\r\n") + "\r\n"))
        .await
        .unwrap();
    while next(&mut events).await != ClientEvent::Connected {}

    let plain = [21, 254, 253, 0, 0, 0, 0, 0, 0, 9, 9, 0, 2, 1, 0];
    let mut garbled = vec![21, 254, 253, 0, 1, 0, 0, 0, 0, 9, 9, 0, 26];
    garbled.extend([0x5a; 26]);
    let mut hidden = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 9, 8, 0, 1, 0];
    hidden.extend(plain);
    for datagram in [plain.to_vec(), garbled, hidden] {
        forge.send(datagram).await.unwrap();
    }

    let arriving = async {
        // The first packets come before the track is known.
        for sequence in 1.. {
            let packet = packet(sequence, &KEYFRAME);
            peer.send(TrackKind::Video, packet).await.unwrap();
            if let Ok(Some(Seen::Packet(..))) = timeout(PACKET_INTERVAL, seen.recv()).await {
                return;
            }
        }
    };
    timeout(DEADLINE, arriving).await.unwrap();
    assert_eq!(peers.sessions(), 1);
    peer.close().await.unwrap();
    let ended = until(&mut published.events, |event| {
        matches!(event, PeerEvent::Ended(_))
    });
    timeout(SOON, ended).await.unwrap();
    assert_eq!(peers.panics(), 0);
}
