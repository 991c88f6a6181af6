use std::{net::SocketAddr, sync::Arc, time::Duration};

use broadcast::Reason;
use bytes::Bytes;
use futures_util::StreamExt;
use media::{AccessUnit, TrackKind};
use tokio::net::TcpListener;

use super::programme::{
    KEY, PICTURES, plain_target, publish_units, recording, until, within_patience,
};
use crate::rtmp::{
    Limits, probe,
    receiver::{Behaviour, Behaviours, Ending, Receiver, ReceiverOptions, StreamId},
};

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

async fn receiver(behaviour: Behaviour) -> Receiver {
    let behaviours = Behaviours {
        default: behaviour,
        ..Behaviours::default()
    };
    let options = ReceiverOptions {
        behaviours,
        receive_buffer_bytes: Some(16 * 1024),
        ..ReceiverOptions::default()
    };
    Receiver::bind_with(loopback(), options).await.unwrap()
}

fn frames(receiver: &Receiver) -> u64 {
    receiver
        .streams()
        .first()
        .map_or(0, |report| report.video.cadence.frames)
}

/// The recording again and again, each unit `repeats` times as long.
fn heavy(repeats: usize) -> Vec<AccessUnit> {
    let heavier = |unit: &AccessUnit| match unit.kind() {
        TrackKind::Audio => unit.clone(),
        TrackKind::Video => AccessUnit {
            data: Bytes::from(unit.data.repeat(repeats)),
            ..unit.clone()
        },
    };
    recording().iter().map(heavier).collect()
}

#[tokio::test]
async fn everything_arrives_in_order_and_the_end_is_said() {
    let receiver = Receiver::bind(loopback()).await.unwrap();
    let target = plain_target(receiver.local_address());

    let published = publish_units(&target, recording(), || frames(&receiver) == PICTURES).await;
    within_patience(until(|| receiver.streams()[0].ending.is_some())).await;

    assert_eq!(published.result, Ok(()));
    let report = &receiver.streams()[0];
    assert_eq!(report.violations, Vec::<String>::new());
    assert_eq!(report.ending, Some(Ending::Deleted));
    assert_eq!(
        (report.application.as_str(), report.stream_key.expose()),
        ("live", KEY)
    );
    assert_eq!(report.encoder.as_deref(), Some("Castgate"));
    assert_eq!((report.video.width, report.video.height), (320, 180));
    assert_eq!(report.video.keyframe_intervals, [Duration::from_secs(1); 2]);
    assert!(report.video.cadence.longest_gap <= Duration::from_millis(34));
    let sounds = recording()
        .iter()
        .filter(|unit| unit.kind() == TrackKind::Audio)
        .count() as u64;
    assert!(
        report.audio.cadence.frames >= sounds - 4,
        "{:?}",
        report.audio
    );
    assert_eq!(
        (report.audio.sample_rate_hz, report.audio.channels),
        (48_000, 2)
    );
    assert!(report.worst_audio_video_offset_ms.unwrap().abs() < 60);
    let counters = &published.counters;
    assert_eq!(
        (counters.frames_sent(), counters.frames_dropped()),
        (PICTURES, 0)
    );
    assert!(counters.bytes_sent() > report.bytes);
    assert_eq!(counters.keyframe_interval(), Some(Duration::from_secs(1)));
    assert!(counters.published_at().is_some());
}

#[tokio::test]
async fn new_parameters_are_announced_and_equal_ones_are_not() {
    let receiver = Receiver::bind(loopback()).await.unwrap();
    let target = plain_target(receiver.local_address());
    let mut units = recording();
    let later: Vec<AccessUnit> = units
        .iter()
        .filter(|unit| unit.kind() == TrackKind::Video)
        .map(|unit| {
            let mut config = (*unit.config).clone();
            if let media::CodecConfig::Avc(video) = &mut config {
                // A decoder takes any bytes after the parameter sets for extensions.
                let mut record = video.decoder_configuration.to_vec();
                record.push(0);
                video.decoder_configuration = Bytes::from(record);
            }
            let timestamp = unit.timestamp + Duration::from_secs(3);
            AccessUnit {
                config: Arc::new(config),
                timestamp,
                ..unit.clone()
            }
        })
        .collect();
    units.extend(later);

    let done = || frames(&receiver) == 2 * PICTURES;
    let published = publish_units(&target, units, done).await;

    assert_eq!(published.result, Ok(()));
    let report = &receiver.streams()[0];
    assert_eq!(report.video.configurations, 2);
    assert_eq!(report.violations, Vec::<String>::new());
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_refused() {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);

    let published = publish_units(&plain_target(address), Vec::new(), || true).await;

    assert_eq!(published.result.unwrap_err().reason, Reason::ConnectRefused);
    assert!(!published.was_live);
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let receiver = Receiver::bind(loopback()).await.unwrap();
    let mut target = plain_target(receiver.local_address());
    let listener = TcpListener::bind(loopback()).await.unwrap();
    target.addresses.insert(0, listener.local_addr().unwrap());
    drop(listener);

    assert_eq!(
        publish_units(&target, Vec::new(), || true).await.result,
        Ok(())
    );
}

#[tokio::test]
async fn a_server_that_says_nothing_fails_the_handshake() {
    let receiver = receiver(Behaviour::Silent).await;
    let mut target = plain_target(receiver.local_address());
    target.limits.handshake = Duration::from_millis(100);

    let published = publish_units(&target, Vec::new(), || true).await;

    assert_eq!(
        published.result.unwrap_err().reason,
        Reason::HandshakeFailed
    );
}

#[tokio::test]
async fn refusals_of_application_and_key_are_told_apart() {
    for (behaviour, reason) in [
        (Behaviour::RefuseConnect, Reason::AppRefused),
        (Behaviour::RefusePublish, Reason::KeyRefused),
    ] {
        let receiver = receiver(behaviour).await;
        let target = plain_target(receiver.local_address());

        let failure = publish_units(&target, Vec::new(), || true)
            .await
            .result
            .unwrap_err();

        assert_eq!(failure.reason, reason);
        assert!(!failure.message.contains("FB-1"), "{failure}");
        assert!(receiver.streams().is_empty());
    }
}

#[tokio::test]
async fn behaviours_are_by_application() {
    let receiver = Receiver::bind(loopback()).await.unwrap();
    let by_application = [("bad".to_owned(), Behaviour::RefuseConnect)].into();
    receiver.set_behaviours(Behaviours {
        by_application,
        ..Behaviours::default()
    });
    let address = receiver.local_address();

    let black_box = crate::rtmp::BlackBox::default();
    let good = probe(&plain_target(address), false, &black_box).await;
    let bad = super::programme::target(&format!("rtmp://{address}/bad"), KEY, address);
    let bad = probe(&bad, false, &black_box).await;

    assert_eq!(good, Ok(()));
    assert_eq!(bad.unwrap_err().reason, Reason::AppRefused);
    assert!(receiver.streams().is_empty());
}

#[tokio::test]
async fn a_peer_that_closes_is_noticed() {
    let receiver = receiver(Behaviour::CloseAfter(40_000)).await;
    let target = plain_target(receiver.local_address());

    let published = publish_units(&target, recording(), || false).await;

    assert_eq!(published.result.unwrap_err().reason, Reason::ClosedByPeer);
    assert!(published.was_live);
    within_patience(until(|| receiver.streams()[0].ending == Some(Ending::Cut))).await;
}

#[tokio::test]
async fn a_peer_that_stops_reading_is_a_stall() {
    let receiver = receiver(Behaviour::StallAfter(100_000)).await;
    let mut target = plain_target(receiver.local_address());
    target.limits.stall_window = Duration::from_millis(200);

    let published = publish_units(&target, heavy(100), || false).await;

    assert_eq!(published.result.unwrap_err().reason, Reason::WriteStalled);
}

#[tokio::test]
async fn a_quiet_studio_is_not_a_stall() {
    let receiver = receiver(Behaviour::Accept).await;
    let mut target = plain_target(receiver.local_address());
    target.limits.stall_window = Duration::from_millis(20);
    let began = std::time::Instant::now();
    let quiet = Duration::from_millis(400);

    let done = || began.elapsed() > quiet;
    let published = publish_units(&target, recording()[..4].to_vec(), done).await;

    assert_eq!(published.result, Ok(()));
}

#[tokio::test]
async fn a_viewer_begins_at_a_keyframe_behind_the_parameters() {
    let receiver = Receiver::bind(loopback()).await.unwrap();
    let target = plain_target(receiver.local_address());
    let watch = async {
        until(|| frames(&receiver) > 40).await;
        let mut viewer = receiver.flv(StreamId(1)).unwrap();
        let mut seen = viewer.next().await.unwrap().to_vec();
        while seen.len() < 30_000 {
            seen.extend(viewer.next().await.unwrap());
        }
        seen
    };

    let published = publish_units(&target, recording(), || frames(&receiver) == PICTURES);
    let (published, seen) = tokio::join!(published, within_patience(watch));

    assert_eq!(published.result, Ok(()));
    assert_eq!(&seen[..3], b"FLV");
    let mut tags = Vec::new();
    let mut rest = &seen[13..];
    while rest.len() > 13 {
        let length = usize::from(rest[2]) << 8 | usize::from(rest[3]);
        let time = usize::from(rest[5]) << 8 | usize::from(rest[6]);
        tags.push((rest[0], time, rest[11], rest[12]));
        rest = rest.get(length + 15..).unwrap_or_default();
    }
    assert_eq!(tags[0].0, 18);
    assert_eq!(
        &tags[1..4],
        [(9, 0, 0x17, 0), (8, 0, 0xAF, 0), (9, 0, 0x17, 1)]
    );
}

#[tokio::test]
async fn a_recording_of_the_receiver_holds_what_was_sent() {
    let folder = std::env::temp_dir().join(format!("castgate-receiver-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let options = ReceiverOptions {
        recordings: Some(folder.clone()),
        ..ReceiverOptions::default()
    };
    let receiver = Receiver::bind_with(loopback(), options).await.unwrap();
    let target = plain_target(receiver.local_address());

    let published = publish_units(&target, recording(), || frames(&receiver) == PICTURES).await;
    within_patience(receiver.shutdown()).await;

    assert_eq!(published.result, Ok(()));
    let probed = super::nginx::probe_file(&folder.join("1.flv"));
    assert!(
        probed.contains("codec_name=h264") && probed.contains("codec_name=aac"),
        "{probed}"
    );
    assert!(
        probed.contains(&format!("nb_read_packets={PICTURES}")),
        "{probed}"
    );
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn stopping_before_the_connection_stands_is_no_failure() {
    let receiver = receiver(Behaviour::Silent).await;
    let target = plain_target(receiver.local_address());
    let limits = Limits::default();
    let fanout = media::Fanout::new(Duration::from_secs(1));
    let hints = crate::rtmp::MediaHints::default();
    let programme = crate::rtmp::Programme::new(fanout.subscriber(), hints, Arc::default());

    let stop = tokio::time::sleep(Duration::from_millis(50));
    let began = std::time::Instant::now();
    let ended = crate::rtmp::publish(&target, &programme, || (), stop).await;

    assert_eq!(ended, Ok(()));
    assert!(began.elapsed() < limits.handshake);
}
