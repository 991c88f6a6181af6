//! How a studio is asked for less and how it says goodbye, against the async `webrtc` stack.

use std::time::Duration;

use media::TrackKind;

use super::{KEYFRAME, Studio, next, packet, studio, tapped, until, workers};
use crate::{PeerEvent, client::ClientEvent};

/// Longer than the DTLS and ICE of a test take, much shorter than the expiry of consent.
const SOON: Duration = Duration::from_secs(10);

/// What the studio hears of limits, while it sends.
async fn next_limit(studio: &mut Studio, sequence: &mut u16) -> u64 {
    loop {
        *sequence += 1;
        studio
            .peer
            .send(TrackKind::Video, packet(*sequence, &KEYFRAME))
            .await
            .unwrap();
        let event = tokio::time::timeout(Duration::from_millis(20), studio.events.recv()).await;
        match event {
            Ok(Some(ClientEvent::BitrateLimited(limit))) => return limit,
            Ok(None) => panic!("the connection ended"),
            Ok(Some(_)) | Err(_) => {}
        }
    }
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
    let ended = tokio::time::timeout(SOON, ended).await.unwrap();
    assert!(
        matches!(&ended, PeerEvent::Ended(reason) if reason == "the studio closed the connection"),
        "{ended:?}"
    );
    assert_eq!(peers.sessions(), 0);
}
