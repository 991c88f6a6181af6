//! Real pictures, damaged pictures, and a child that is a process.

use std::{fs::File, io, sync::Arc, time::Duration};

use ::gstreamer as gst;
use bytes::Bytes;
use gst::prelude::*;
use gstreamer_app::AppSink;
use media::{AccessUnit, CodecConfig, VideoConfig};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use super::*;
use crate::confinement::Launcher;

/// Not a test: the process that the others start.
#[test]
#[ignore = "is the child of other tests"]
fn child() {
    let output = File::options().write(true).open("/proc/self/fd/3").unwrap();
    child::inspect(&mut io::stdin().lock(), output).unwrap();
}

/// Starts this test program as the child; what the test harness prints is kept apart from the answer.
fn launcher() -> Launcher {
    // The next run finds the list of plugins there.
    let folder = std::env::temp_dir().join("castgate-test-children");
    std::fs::create_dir_all(&folder).unwrap();
    let script =
        "exec \"$0\" --exact inspection::tests::child --ignored --nocapture 3>&1 >/dev/null";
    let this = std::env::current_exe().unwrap();
    Launcher::new("/bin/sh", folder).with_arguments([
        "-c".into(),
        script.into(),
        this.into_os_string(),
    ])
}

/// The keyframes that `GStreamer`'s own source and an encoder make of a pattern.
fn keyframes(
    pattern: &str,
    encoder: &str,
    [width, height]: [u32; 2],
    count: u32,
) -> Vec<AccessUnit> {
    gst::init().unwrap();
    let graph = format!(
        "videotestsrc num-buffers={count} {pattern} ! video/x-raw,width={width},height={height},framerate=25/1 \
         ! videoconvert ! {encoder} ! h264parse \
         ! video/x-h264,stream-format=avc,alignment=au ! appsink name=out sync=false"
    );
    let pipeline = gst::parse::launch(&graph).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("out").unwrap();
    let sink = sink.downcast::<AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut units = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let caps = sample.caps().unwrap().structure(0).unwrap();
        let record = caps.get::<gst::Buffer>("codec_data").unwrap();
        let config = VideoConfig {
            decoder_configuration: Bytes::copy_from_slice(&record.map_readable().unwrap()),
            width,
            height,
        };
        let buffer = sample.buffer().unwrap();
        units.push(AccessUnit {
            timestamp: Duration::ZERO,
            keyframe: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            config: Arc::new(CodecConfig::Avc(config)),
            data: Bytes::copy_from_slice(&buffer.map_readable().unwrap()),
        });
    }
    pipeline.set_state(gst::State::Null).unwrap();
    units.retain(|unit| unit.keyframe);
    units
}

const X264: &str = "x264enc key-int-max=1 bitrate=8000";

fn one(pattern: &str) -> AccessUnit {
    keyframes(pattern, X264, [640, 360], 1).remove(0)
}

#[tokio::test]
async fn black_bars_and_motion_are_told_apart() {
    let inspector = Inspector::new(launcher());

    let black = inspector.inspect(&one("pattern=black")).await.unwrap();
    let bars = inspector.inspect(&one("pattern=smpte75")).await.unwrap();
    let mut looks = Vec::new();
    for keyframe in keyframes("pattern=ball", X264, [640, 360], 3) {
        looks.push(inspector.inspect(&keyframe).await.unwrap());
    }

    assert!(black.mean_luma <= 17 && black.contrast <= 1, "{black:?}");
    assert!((60..160).contains(&bars.mean_luma), "{bars:?}");
    assert!(bars.contrast > 30, "{bars:?}");
    assert!(bars.difference(&black) > 40.0);
    assert!(
        bars.thumbnail[0] > bars.thumbnail[31],
        "white is left of blue"
    );
    assert_eq!(looks.len(), 3);
    assert!(
        looks[0].difference(&looks[1]) > 0.3,
        "{}",
        looks[0].difference(&looks[1])
    );
    assert!(looks[0].difference(&looks[0]) < 0.001);
}

#[tokio::test]
async fn any_encoder_s_keyframe_of_any_size_is_seen() {
    let inspector = Inspector::new(launcher());
    let high = "x264enc key-int-max=1 ! video/x-h264,profile=high";
    let deep = "video/x-raw,format=I420_10LE ! x264enc key-int-max=1";
    for (encoder, size) in [
        ("openh264enc", [640, 360]),
        (high, [1_920, 1_080]),
        (deep, [320, 180]),
        (X264, [16, 16]),
        (X264, [1_080, 1_920]),
        (X264, [322, 182]),
    ] {
        let keyframe = keyframes("pattern=white", encoder, size, 1).remove(0);

        let look = inspector.inspect(&keyframe).await.unwrap();

        assert!(look.mean_luma > 225, "{encoder} {size:?}: {look:?}");
        assert!(look.contrast < 5, "{encoder} {size:?}: {look:?}");
    }
}

#[tokio::test]
async fn what_is_no_keyframe_is_not_looked_at() {
    let inspector = Inspector::new(Launcher::new("/nonexistent", "/nonexistent"));
    let keyframe = one("pattern=white");
    let follower = AccessUnit {
        keyframe: false,
        ..keyframe.clone()
    };

    assert_eq!(
        inspector.inspect(&follower).await,
        Err(InspectError::NoKeyframe)
    );
    assert_eq!(
        inspector.inspect(&keyframe).await,
        Err(InspectError::Unavailable)
    );
}

#[tokio::test]
async fn a_child_that_dies_is_replaced() {
    let inspector = Inspector::new(launcher());
    let keyframe = one("pattern=white");
    inspector.inspect(&keyframe).await.unwrap();
    inspector.kill_child().await;

    assert_eq!(inspector.inspect(&keyframe).await, Err(InspectError::Died));
    assert!(inspector.inspect(&keyframe).await.unwrap().mean_luma > 225);
}

#[tokio::test]
async fn many_wishes_at_once_are_not_kept() {
    let inspector = Inspector::new(launcher());
    let keyframe = one("pattern=white");

    let looks = (0..20).map(|_| inspector.inspect(&keyframe));
    let outcomes = futures_util::future::join_all(looks).await;

    let seen = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let busy = outcomes
        .iter()
        .filter(|outcome| **outcome == Err(InspectError::Busy))
        .count();
    assert_eq!((seen, busy), (8, 12));
}

#[test]
fn damaged_keyframes_break_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let inspector = {
        let _runtime = runtime.enter();
        Inspector::new(launcher())
    };
    let sound = one("pattern=white");
    let CodecConfig::Avc(config) = sound.config.as_ref().clone() else {
        panic!("no H.264");
    };
    let mut runner = TestRunner::new(Config::with_cases(60));

    runner
        .run(
            &(
                prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
                prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
                prop::option::of(any::<prop::sample::Index>()),
            ),
            |(flips, flip_of_config, cut)| {
                let mut data = sound.data.to_vec();
                for (place, value) in flips {
                    let place = place.index(data.len());
                    data[place] ^= value;
                }
                if let Some(cut) = cut {
                    data.truncate(cut.index(data.len()));
                }
                let mut record = config.decoder_configuration.to_vec();
                if let Some((place, value)) = flip_of_config {
                    let place = place.index(record.len());
                    record[place] ^= value;
                }
                let damaged = AccessUnit {
                    config: Arc::new(CodecConfig::Avc(VideoConfig {
                        decoder_configuration: record.into(),
                        ..config.clone()
                    })),
                    data: data.into(),
                    ..sound.clone()
                };

                let outcome = runtime.block_on(inspector.inspect(&damaged));

                prop_assert!(
                    matches!(
                        outcome,
                        Ok(_) | Err(InspectError::Undecodable | InspectError::Died)
                    ),
                    "{:?}",
                    outcome
                );
                let next = runtime.block_on(inspector.inspect(&sound)).unwrap();
                prop_assert!(next.mean_luma > 225);
                Ok(())
            },
        )
        .unwrap();
}
