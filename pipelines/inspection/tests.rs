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

/// Decodes a JPEG with another decoder: its sides, and one pixel's red, green and blue.
fn decoded(jpeg: &[u8], at: [usize; 2]) -> ([usize; 2], [u8; 3]) {
    gst::init().unwrap();
    let graph = "appsrc name=in ! image/jpeg ! jpegparse ! jpegdec ! videoconvert ! video/x-raw,format=RGB \
                 ! appsink name=out sync=false";
    let pipeline = gst::parse::launch(graph).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let source = pipeline.by_name("in").unwrap();
    let source = source.downcast::<gstreamer_app::AppSrc>().unwrap();
    let sink = pipeline.by_name("out").unwrap();
    let sink = sink.downcast::<AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    source
        .push_buffer(gst::Buffer::from_slice(jpeg.to_vec()))
        .unwrap();
    source.end_of_stream().unwrap();
    let sample = sink.pull_sample().unwrap();
    let caps = sample.caps().unwrap().structure(0).unwrap();
    let size =
        ["width", "height"].map(|side| usize::try_from(caps.get::<i32>(side).unwrap()).unwrap());
    let bytes = sample.buffer().unwrap().map_readable().unwrap();
    let place = at[1] * (size[0] * 3).next_multiple_of(4) + at[0] * 3;
    let pixel = bytes[place..place + 3].try_into().unwrap();
    drop(bytes);
    pipeline.set_state(gst::State::Null).unwrap();
    (size, pixel)
}

#[tokio::test]
async fn a_jpeg_has_the_picture_s_ratio_and_colours() {
    let inspector = Inspector::new(launcher());
    let orange = "pattern=solid-color foreground-color=0xffe08020";
    for (size, width, expected) in [
        ([1_920, 1_080], 640, [640, 360]),
        ([1_920, 1_080], 64, [64, 36]),
        ([1_920, 1_080], 1_280, [1_280, 720]),
        ([640, 360], 1_280, [640, 360]),
        ([360, 640], 200, [200, 356]),
        ([322, 182], 640, [322, 182]),
    ] {
        let keyframe = keyframes(orange, X264, size, 1).remove(0);

        let jpeg = inspector.jpeg(&keyframe, width).await.unwrap();

        let (sides, pixel) = decoded(&jpeg, [20, 20]);
        assert_eq!(sides, expected, "{size:?} in {width}");
        let distances = [0xe0_u8, 0x80, 0x20].map(i16::from);
        for (value, expected) in pixel.map(i16::from).into_iter().zip(distances) {
            assert!((value - expected).abs() <= 8, "{size:?}: {pixel:?}");
        }
    }
}

#[tokio::test]
async fn looks_and_jpegs_take_turns_with_one_child() {
    let inspector = Inspector::new(launcher());
    let bars = one("pattern=smpte75");

    let look = inspector.inspect(&bars).await.unwrap();
    let jpeg = inspector.jpeg(&bars, 640).await.unwrap();

    assert_eq!(inspector.inspect(&bars).await.unwrap(), look);
    assert_eq!(inspector.jpeg(&bars, 640).await.unwrap(), jpeg);
    assert_eq!(decoded(&jpeg, [0, 0]).0, [640, 360]);
}

#[tokio::test]
async fn a_few_jpegs_at_once_leave_room_for_looks() {
    let inspector = Inspector::new(launcher());
    let keyframe = one("pattern=white");

    let jpegs = (0..10).map(|_| inspector.jpeg(&keyframe, 64));
    let looks = (0..4).map(|_| inspector.inspect(&keyframe));
    let (jpegs, looks) = futures_util::future::join(
        futures_util::future::join_all(jpegs),
        futures_util::future::join_all(looks),
    )
    .await;

    assert_eq!(jpegs.iter().filter(|jpeg| jpeg.is_ok()).count(), 4);
    assert!(
        jpegs[4..]
            .iter()
            .all(|jpeg| *jpeg == Err(InspectError::Busy))
    );
    assert!(looks.iter().all(Result::is_ok), "{looks:?}");
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

/// Looks until a child has the time to: on a machine that is busy a look may take longer than it is given.
async fn look_in_the_end(inspector: &Inspector, keyframe: &AccessUnit) -> PictureLook {
    loop {
        match inspector.inspect(keyframe).await {
            Ok(look) => return look,
            Err(InspectError::Died | InspectError::Unavailable) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
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
                        Ok(_)
                            | Err(InspectError::Undecodable
                                | InspectError::Died
                                | InspectError::Unavailable)
                    ),
                    "{:?}",
                    outcome
                );
                let outcome = runtime.block_on(inspector.jpeg(&damaged, 640));
                prop_assert!(
                    matches!(
                        outcome,
                        Ok(_)
                            | Err(InspectError::Undecodable
                                | InspectError::Died
                                | InspectError::Unavailable)
                    ),
                    "{:?}",
                    outcome
                );
                let next = runtime.block_on(look_in_the_end(&inspector, &sound));
                prop_assert!(next.mean_luma > 225);
                Ok(())
            },
        )
        .unwrap();
}
