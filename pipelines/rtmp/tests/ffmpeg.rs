use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use futures_util::StreamExt;
use tokio::process::Command;

use super::{
    nginx::probe_file,
    programme::{PICTURES, plain_target, publish_units, recording, until, within_patience},
};
use crate::rtmp::receiver::{Ending, Receiver, StreamId};

/// `FFmpeg` publishing the recording, as fast as it can, with both streams as they are.
fn publish_by_ffmpeg(url: &str) -> Command {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("rtmp/tests/picture_and_sound.flv");
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-c", "copy", "-f", "flv", url]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

#[tokio::test]
async fn the_receiver_takes_what_ffmpeg_publishes() {
    let receiver = Receiver::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let url = format!("rtmp://{}/live/key?a=b", receiver.local_address());

    let status = within_patience(publish_by_ffmpeg(&url).status())
        .await
        .unwrap();
    within_patience(until(|| {
        receiver
            .streams()
            .iter()
            .all(|report| report.ending.is_some())
    }))
    .await;

    assert!(status.success());
    let report = &receiver.streams()[0];
    assert_eq!(report.violations, Vec::<String>::new());
    assert_eq!(
        (report.application.as_str(), report.stream_key.expose()),
        ("live", "key?a=b")
    );
    assert_eq!(report.video.cadence.frames, PICTURES);
    assert_eq!(report.ending, Some(Ending::Deleted));
}

#[tokio::test]
async fn ffmpeg_plays_what_a_viewer_is_given() {
    let receiver = Receiver::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let target = plain_target(receiver.local_address());
    let frames = || {
        receiver
            .streams()
            .first()
            .map_or(0, |report| report.video.cadence.frames)
    };
    let watch = async {
        until(|| frames() > 5).await;
        let viewer = receiver.flv(StreamId(1)).unwrap();
        viewer.map(|bytes| bytes.to_vec()).concat().await
    };

    let published = publish_units(&target, recording(), || frames() == PICTURES);
    let (published, seen) = tokio::join!(published, within_patience(watch));
    let file: PathBuf =
        std::env::temp_dir().join(format!("castgate-viewer-{}.flv", std::process::id()));
    std::fs::write(&file, seen).unwrap();
    let probed = probe_file(&file);
    std::fs::remove_file(file).unwrap();

    assert_eq!(published.result, Ok(()));
    assert!(
        probed.contains("codec_name=h264\nwidth=320\nheight=180\n"),
        "{probed}"
    );
    assert!(
        probed.contains(&format!("nb_read_packets={PICTURES}\n")),
        "{probed}"
    );
    assert!(probed.contains("codec_name=aac"), "{probed}");
    assert!(!probed.contains("rror"), "{probed}");
}
