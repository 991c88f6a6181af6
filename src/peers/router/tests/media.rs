//! What clients send, as others get it.

use std::{collections::BTreeSet, time::Duration};

use rtc::rtcp::{
    payload_feedbacks::picture_loss_indication::PictureLossIndication,
    receiver_report::ReceiverReport,
    sender_report::SenderReport,
    transport_feedbacks::{
        transport_layer_cc::TransportLayerCc,
        transport_layer_nack::{NackPair, TransportLayerNack, nack_pairs_from_sequence_numbers},
    },
};

use super::{client::*, *};
use crate::router::TransportEvent;

/// The router's payload types of the pair's picture and its repair.
fn router_types(order: &crate::router::ConsumerOrder) -> (u8, u8) {
    (
        order.rtp.codecs[0].payload_type,
        order.rtp.codecs[1].payload_type,
    )
}

fn id_of(order: &crate::router::ConsumerOrder, uri: &str) -> u8 {
    let extension = order.rtp.header_extensions.iter();
    extension
        .filter(|extension| extension.uri == uri)
        .map(|extension| extension.id)
        .next()
        .unwrap()
}

#[tokio::test]
async fn pictures_arrive_by_the_consumers_names_from_a_keyframe_on() {
    let peers = peers(10);
    let (_, mut studio, mut guest) = pair(&peers).await;
    let order = consumer_of("view", &video_order(), 5000, "0");

    studio.send_rtp(&picture(65_533, PICTURE)).await;
    let asked: PictureLossIndication = studio.get_rtcp().await;
    for (sequence, payload) in [(65_534, KEYFRAME), (65_535, PICTURE), (0, PICTURE)] {
        studio.send_rtp(&picture(sequence, payload)).await;
    }
    let mut got = Vec::new();
    for _ in 0..3 {
        got.push(guest.get_rtp().await);
    }

    assert_eq!(asked.media_ssrc, VIDEO_SSRC);
    let payloads: Vec<_> = got.iter().map(|got| got.packet.payload.to_vec()).collect();
    assert_eq!(payloads, [KEYFRAME, PICTURE, PICTURE]);
    let first = got[0].packet.sequence;
    for (place, got) in (0..).zip(&got) {
        assert_eq!(got.payload_type, router_types(&order).0);
        assert_eq!(got.packet.ssrc, 5000);
        assert_eq!(got.packet.sequence, first.wrapping_add(place));
        assert_eq!(extension(got, id_of(&order, MID)).unwrap(), "0");
        assert!(extension(got, id_of(&order, TRANSPORT_SEQUENCE)).is_some());
    }
    studio
        .wait_for_event(|event| *event == TransportEvent::MediaArrived("camera".to_owned()))
        .await;
    peers.shutdown().await;
}

#[tokio::test]
async fn lost_pictures_are_asked_for_and_what_is_repeated_is_forwarded_once() {
    let peers = peers(10);
    let (_, mut studio, mut guest) = pair(&peers).await;
    studio.send_rtp(&picture(10, KEYFRAME)).await;
    studio.send_rtp(&picture(12, PICTURE)).await;

    let asked: TransportLayerNack = studio.get_rtcp().await;
    assert_eq!(asked.media_ssrc, VIDEO_SSRC);
    let missing: Vec<u16> = asked.nacks.iter().flat_map(NackPair::packet_list).collect();
    assert_eq!(missing, [11]);
    let repeated = Rtp {
        payload_type: REPAIR_TYPE,
        ssrc: REPAIR_SSRC,
        payload: [&11_u16.to_be_bytes()[..], b"\x41late"].concat().into(),
        ..picture(500, PICTURE)
    };
    studio.send_rtp(&repeated).await;
    studio
        .send_rtp(&Rtp {
            sequence: 501,
            ..repeated.clone()
        })
        .await;
    studio.send_rtp(&picture(13, PICTURE)).await;

    let mut got = Vec::new();
    for _ in 0..4 {
        got.push(guest.get_rtp().await.packet);
    }
    let first = got[0].sequence;
    let places: Vec<u16> = got
        .iter()
        .map(|got| got.sequence.wrapping_sub(first))
        .collect();
    assert_eq!(places, [0, 2, 1, 3]);
    assert_eq!(&got[2].payload[..], b"\x41late");
    let counters = peers
        .producer_counters(&studio.session, "camera")
        .await
        .unwrap();
    assert_eq!(
        (counters.packets, counters.recovered, counters.lost),
        (4, 1, 0)
    );
    peers.shutdown().await;
}

#[tokio::test]
async fn what_a_guest_misses_is_repeated_to_it() {
    const PACKETS: u16 = 300;
    let peers = peers(10);
    let (_, mut studio, mut guest) = pair(&peers).await;
    let (media, repair) = router_types(&consumer_of("view", &video_order(), 5000, "0"));
    guest.loses = Some(10);
    let mut seen = BTreeSet::new();
    let mut first = None;
    let mut highest = 0;
    for sequence in 0..PACKETS {
        let payload = if sequence == 0 { KEYFRAME } else { PICTURE };
        studio.send_rtp(&picture(sequence, payload)).await;
        let mut missing = Vec::new();
        while let Some(got) = guest.get(Duration::from_millis(2)).await {
            let Got::Rtp(arrived) = got else { continue };
            let number = if arrived.payload_type == repair {
                u16::from_be_bytes([arrived.packet.payload[0], arrived.packet.payload[1]])
            } else {
                assert_eq!(arrived.payload_type, media);
                arrived.packet.sequence
            };
            let place = number.wrapping_sub(*first.get_or_insert(number));
            assert!(seen.insert(place), "{place} came twice");
            missing.extend(
                (highest + 1..place).map(|lost: u16| lost.wrapping_add(first.unwrap_or(0))),
            );
            highest = highest.max(place);
        }
        if !missing.is_empty() {
            guest
                .send_rtcp(vec![Box::new(TransportLayerNack {
                    sender_ssrc: 1,
                    media_ssrc: 5000,
                    nacks: nack_pairs_from_sequence_numbers(&missing),
                })])
                .await;
        }
    }

    // One of ten is lost, and one of ten of the repetitions; nothing asks again for those here.
    let repaired = seen.len();
    assert!(repaired > usize::from(PACKETS) * 97 / 100, "{repaired}");
    let counters = peers
        .consumer_counters(&guest.session, "view")
        .await
        .unwrap();
    assert!(counters.repeated >= 20, "{counters:?}");
    peers.shutdown().await;
}

#[tokio::test]
async fn a_sender_is_told_what_came_by_stream_and_by_transport() {
    let peers = peers(10);
    let (_, mut studio, _guest) = pair(&peers).await;
    for sequence in [1, 2, 4] {
        studio.send_rtp(&picture(sequence, KEYFRAME)).await;
    }

    let told: TransportLayerCc = studio.get_rtcp().await;
    assert_eq!(
        (told.base_sequence_number, told.packet_status_count),
        (1, 4)
    );
    let report: ReceiverReport = loop {
        let report: ReceiverReport = studio.get_rtcp().await;
        if !report.reports.is_empty() {
            break report;
        }
    };
    assert_eq!(report.reports[0].ssrc, VIDEO_SSRC);
    assert_eq!(report.reports[0].total_lost, 1);
    assert_eq!(report.reports[0].last_sequence_number & 0xffff, 4);
    peers.shutdown().await;
}

#[tokio::test]
async fn a_guest_is_told_the_senders_clock() {
    let peers = peers(10);
    let (_, mut studio, mut guest) = pair(&peers).await;
    studio
        .send_rtcp(vec![Box::new(SenderReport {
            ssrc: VIDEO_SSRC,
            ntp_time: 3_900_000_000 << 32,
            rtp_time: 30_000,
            ..SenderReport::default()
        })])
        .await;
    studio.send_rtp(&picture(10, KEYFRAME)).await;
    let first = guest.get_rtp().await;

    let told: SenderReport = guest.get_rtcp().await;

    assert_eq!(told.ssrc, 5000);
    assert!(told.packet_count >= 1);
    // The picture was taken when the report was made.
    let behind = told.rtp_time.wrapping_sub(first.packet.timestamp);
    assert!(behind < 90_000 * 5, "{behind}");
    peers.shutdown().await;
}

#[tokio::test]
async fn a_keyframe_that_a_guest_wants_is_asked_of_the_sender() {
    let peers = peers(10);
    let (_, mut studio, mut guest) = pair(&peers).await;
    let _for_the_beginning: PictureLossIndication = studio.get_rtcp().await;
    studio.send_rtp(&picture(1, KEYFRAME)).await;
    guest.get_rtp().await;

    guest
        .send_rtcp(vec![Box::new(PictureLossIndication {
            sender_ssrc: 1,
            media_ssrc: 5000,
        })])
        .await;

    let asked: PictureLossIndication = studio.get_rtcp().await;
    assert_eq!(asked.media_ssrc, VIDEO_SSRC);
    peers.shutdown().await;
}

#[tokio::test]
async fn sound_is_forwarded_and_its_loudness_told() {
    let peers = peers(10);
    let router = peers.open_router("room").await;
    let mut speaker = Client::connected(&peers, router).await;
    let mut listener = Client::connected(&peers, router).await;
    let order = audio_order();
    peers
        .produce(&speaker.session, order.clone())
        .await
        .unwrap();
    let consumer = consumer_of("ear", &order, 6000, "a");
    let level = id_of(&consumer, AUDIO_LEVEL);
    peers.consume(&listener.session, consumer).await.unwrap();

    speaker.send_rtp(&sound(7, 0xa1)).await;

    let got = listener.get_rtp().await;
    assert_eq!(&got.packet.payload[..], b"sound");
    assert_eq!(got.packet.ssrc, 6000);
    assert_eq!(&extension(&got, level).unwrap()[..], [0xa1]);
    speaker
        .wait_for_event(|event| *event == TransportEvent::AudioLevel("microphone".to_owned(), 33))
        .await;
    // Nothing comes any more: that is silence.
    speaker
        .wait_for_event(|event| *event == TransportEvent::AudioLevel("microphone".to_owned(), 127))
        .await;
    peers.shutdown().await;
}

/// Waits until so many packets of the camera have come.
pub(super) async fn came(peers: &Peers, studio: &Client, packets: u64) {
    let deadline = std::time::Instant::now() + DEADLINE;
    loop {
        let counters = peers.producer_counters(&studio.session, "camera").await;
        if counters.unwrap().packets == packets {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "they never came");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_paused_is_not_forwarded() {
    let peers = peers(10);
    let (_, mut studio, mut guest) = pair(&peers).await;
    studio.send_rtp(&picture(1, KEYFRAME)).await;
    let first = guest.get_rtp().await.packet;

    peers
        .pause_producer(&studio.session, "camera", true)
        .await
        .unwrap();
    studio.send_rtp(&picture(2, KEYFRAME)).await;
    came(&peers, &studio, 2).await;
    peers
        .pause_producer(&studio.session, "camera", false)
        .await
        .unwrap();
    studio.send_rtp(&picture(3, KEYFRAME)).await;
    let second = guest.get_rtp().await.packet;
    peers
        .pause_consumer(&guest.session, "view", true)
        .await
        .unwrap();
    studio.send_rtp(&picture(4, KEYFRAME)).await;
    came(&peers, &studio, 4).await;
    peers
        .pause_consumer(&guest.session, "view", false)
        .await
        .unwrap();
    studio.send_rtp(&picture(5, KEYFRAME)).await;
    let third = guest.get_rtp().await.packet;

    assert_eq!(second.sequence, first.sequence.wrapping_add(1));
    assert_eq!(third.sequence, second.sequence.wrapping_add(1));
    assert!(third.timestamp.wrapping_sub(first.timestamp) < 90_000 * 20);
    peers.shutdown().await;
}

#[tokio::test]
async fn a_closed_producer_takes_its_consumers_with_it() {
    let peers = peers(10);
    let (_, mut studio, mut guest) = pair(&peers).await;
    studio.send_rtp(&picture(1, KEYFRAME)).await;
    guest.get_rtp().await;

    peers
        .close_producer(&studio.session, "camera")
        .await
        .unwrap();

    assert!(
        peers
            .consumer_counters(&guest.session, "view")
            .await
            .is_err()
    );
    assert!(
        peers
            .producer_counters(&studio.session, "camera")
            .await
            .is_err()
    );
    let order = video_order();
    peers.produce(&studio.session, order.clone()).await.unwrap();
    let consumer = consumer_of("view", &order, 7000, "1");
    peers.consume(&guest.session, consumer).await.unwrap();
    studio.send_rtp(&picture(2, KEYFRAME)).await;
    assert_eq!(guest.get_rtp().await.packet.ssrc, 7000);
    peers.shutdown().await;
}

#[tokio::test]
async fn layers_are_known_by_their_names_and_repaired_by_them() {
    let peers = peers(10);
    let router = peers.open_router("room").await;
    let mut studio = Client::connected(&peers, router).await;
    let mut guest = Client::connected(&peers, router).await;
    let order = producer("camera", MediaKind::Video, layered_parameters());
    peers.produce(&studio.session, order.clone()).await.unwrap();
    let consumer = consumer_of("view", &order, 5000, "0");
    peers.consume(&guest.session, consumer).await.unwrap();
    let small = |sequence: u16, payload: &'static [u8]| {
        let mut packet = picture(sequence, payload);
        packet.ssrc = 70;
        packet.extensions.push((STREAM_ID_ID, b"q".to_vec()));
        packet
    };
    studio.send_rtp(&small(1, KEYFRAME)).await;
    studio.send_rtp(&small(3, PICTURE)).await;
    let asked: TransportLayerNack = studio.get_rtcp().await;
    assert_eq!(asked.media_ssrc, 70);

    let mut repeated = small(900, PICTURE);
    repeated.payload_type = REPAIR_TYPE;
    repeated.ssrc = 71;
    repeated.payload = [&2_u16.to_be_bytes()[..], b"\x41late"].concat().into();
    repeated.extensions.pop();
    repeated.extensions.push((REPAIRED_ID, b"q".to_vec()));
    studio.send_rtp(&repeated).await;

    let mut got = Vec::new();
    for _ in 0..3 {
        got.push(guest.get_rtp().await.packet.payload.to_vec());
    }
    assert_eq!(got, [KEYFRAME, PICTURE, b"\x41late"]);
    peers.shutdown().await;
}

#[tokio::test]
async fn everybody_hears_everybody() {
    const GUESTS: u32 = 4;
    let peers = peers(10);
    let router = peers.open_router("room").await;
    let mut clients = Vec::new();
    for number in 0..GUESTS {
        let client = Client::connected(&peers, router).await;
        let mut order = audio_order();
        order.id = format!("microphone {number}");
        peers.produce(&client.session, order.clone()).await.unwrap();
        clients.push((client, order));
    }
    for listener in 0..clients.len() {
        for speaker in (0..clients.len()).filter(|speaker| *speaker != listener) {
            let ssrc = 6000 + 2 * u32::try_from(speaker).unwrap();
            let mid = speaker.to_string();
            let order = consumer_of(&mid, &clients[speaker].1, ssrc, &mid);
            peers
                .consume(&clients[listener].0.session, order)
                .await
                .unwrap();
        }
    }

    for (client, _) in &mut clients {
        client.send_rtp(&sound(1, 40)).await;
    }

    for (listener, (client, _)) in clients.iter_mut().enumerate() {
        let mut heard = BTreeSet::new();
        for _ in 1..GUESTS {
            heard.insert((client.get_rtp().await.packet.ssrc - 6000) / 2);
        }
        let others: BTreeSet<u32> = (0..GUESTS)
            .filter(|speaker| usize::try_from(*speaker) != Ok(listener))
            .collect();
        assert_eq!(heard, others);
    }
    peers.shutdown().await;
}

#[tokio::test]
async fn nobody_is_asked_for_keyframes_that_nobody_needs() {
    let peers = peers(10);
    let (_, mut studio, mut guest) = pair(&peers).await;
    let mut asked = 0;
    for sequence in 0..90 {
        let payload = if sequence == 0 { KEYFRAME } else { PICTURE };
        studio.send_rtp(&picture(sequence, payload)).await;
        guest.get_rtp().await;
        while let Some(got) = studio.get(Duration::from_millis(33)).await {
            if let Got::Rtcp(packets) = got {
                let of_any = packets.iter().map(|packet| packet.as_any());
                asked += of_any
                    .filter(|any| any.is::<PictureLossIndication>())
                    .count();
            }
        }
    }

    assert!(asked <= 1, "{asked} requests");
    peers.shutdown().await;
}
