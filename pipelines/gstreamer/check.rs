//! Tests of the whole synthetic studio: what comes out is decoded and looked at.

use std::{
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use ::gstreamer as gst;
use gst::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use media::{RtpPacket, TrackKind, VideoCodec};

use super::{CUE_PERIOD, Pace, StudioError, StudioOptions, TestStudio};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// More packets than any test makes.
const PACKETS: usize = 20_000;

fn small(pace: Pace) -> StudioOptions {
    StudioOptions {
        width: 320,
        height: 180,
        video_bits_per_second: 400_000,
        encoder_threads: 1,
        pace,
        ..StudioOptions::default()
    }
}

fn start(options: &StudioOptions) -> (TestStudio, Receiver<(TrackKind, RtpPacket)>) {
    let (sender, receiver) = mpsc::sync_channel(PACKETS);
    let studio = TestStudio::start(options, move |kind, packet| {
        let _ = sender.try_send((kind, packet));
    })
    .unwrap();
    (studio, receiver)
}

fn recorded(codec: VideoCodec, length: Duration) -> (Vec<RtpPacket>, Vec<RtpPacket>, [u32; 2]) {
    let options = StudioOptions {
        codec,
        ..small(Pace::Unpaced(length))
    };
    let (studio, packets) = start(&options);
    studio.wait(DEADLINE).unwrap();
    let zero = [TrackKind::Video, TrackKind::Audio].map(|kind| studio.first_timestamp(kind));
    studio.stop();
    let (video, audio): (Vec<_>, Vec<_>) = packets
        .iter()
        .partition(|(kind, _)| *kind == TrackKind::Video);
    let strip = |packets: Vec<(TrackKind, RtpPacket)>| {
        packets.into_iter().map(|(_, packet)| packet).collect()
    };
    (strip(video), strip(audio), zero)
}

/// Whether the packet begins an IDR picture with its parameter sets, as STAP-A or as a bare SPS.
fn starts_keyframe(packet: &RtpPacket) -> bool {
    let nal = |byte: u8| byte & 0x1f;
    match packet.payload.first().copied().map(nal) {
        Some(24) => packet.payload.get(3).copied().map(nal) == Some(7),
        kind => kind == Some(7),
    }
}

#[test]
fn there_is_one_keyframe_when_nobody_asks() {
    let (video, audio, _) = recorded(VideoCodec::H264, Duration::from_secs(3));

    let frames = video.iter().filter(|packet| packet.marker).count();
    assert_eq!(frames, 90);
    // The last block is the encoder's delay, flushed.
    assert_eq!(audio.len(), 149);
    assert_eq!(
        video
            .iter()
            .filter(|packet| starts_keyframe(packet))
            .count(),
        1
    );
    assert!(starts_keyframe(&video[0]));
    for track in [&video, &audio] {
        assert!(
            track
                .windows(2)
                .all(|pair| pair[1].sequence == pair[0].sequence.wrapping_add(1))
        );
        assert!(
            track
                .windows(2)
                .all(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp) <= 3_001)
        );
        assert!(track.iter().all(|packet| packet.payload.len() <= 1_188));
    }
}

#[test]
fn a_keyframe_comes_when_asked_for() {
    let (studio, packets) = start(&small(Pace::RealTime));
    let next_keyframe = |after: usize| {
        packets
            .iter()
            .filter(|(kind, _)| *kind == TrackKind::Video)
            .skip(after)
            .position(|(_, packet)| starts_keyframe(&packet))
            .unwrap()
    };
    assert_eq!(next_keyframe(0), 0);

    skip_pictures(&packets);
    studio.request_keyframe();
    next_keyframe(0);

    assert_eq!(studio.failure(), None);
}

fn skip_pictures(packets: &Receiver<(TrackKind, RtpPacket)>) {
    let pictures = packets
        .iter()
        .filter(|(kind, packet)| *kind == TrackKind::Video && packet.marker)
        .take(10);
    assert_eq!(pictures.count(), 10);
}

/// What the studio can make: `GStreamer` has no payloader for AV1.
const CODECS: [VideoCodec; 3] = [VideoCodec::H264, VideoCodec::Vp8, VideoCodec::Vp9];

#[test]
fn flash_and_beep_start_at_each_whole_second_in_every_codec() {
    for codec in CODECS {
        let (video, audio, [video_zero, audio_zero]) =
            recorded(codec, Duration::from_millis(3_500));

        let flashes = rising_edges(&luma_by_time(codec, &video, video_zero), 160.0);
        let beeps = rising_edges(&level_by_time(&audio, audio_zero), 2_000.0);

        assert_eq!(flashes, [1_000.0, 2_000.0, 3_000.0], "{codec}");
        assert_eq!(beeps.len(), 3, "{codec}");
        for (beep, expected) in beeps.iter().zip(1_u32..) {
            let expected = f64::from(expected) * CUE_PERIOD.as_secs_f64() * 1_000.0;
            assert!((beep - expected).abs() < 1.0, "{codec}: {beeps:?} ms");
        }
    }
}

#[test]
fn av1_is_refused() {
    let options = StudioOptions {
        codec: VideoCodec::Av1,
        ..StudioOptions::default()
    };

    let refused = TestStudio::start(&options, |_, _| {});

    assert!(matches!(refused, Err(StudioError::Options(_))));
}

#[test]
fn a_sender_report_tells_the_time_of_capture() {
    let (studio, _packets) = start(&small(Pace::RealTime));

    let reports = [TrackKind::Video, TrackKind::Audio].map(|kind| studio.sender_report(kind));

    let media_seconds = |kind: TrackKind, index: usize, clock: f64| {
        let zero: u32 = studio.first_timestamp(kind);
        f64::from(reports[index].rtp_timestamp.wrapping_sub(zero)) / clock
    };
    let started = reports[0].ntp_time.as_secs_f64() - media_seconds(TrackKind::Video, 0, 90_000.0);
    let heard = reports[1].ntp_time.as_secs_f64() - media_seconds(TrackKind::Audio, 1, 48_000.0);
    assert!(
        (started - heard).abs() < 0.001,
        "off by {} s",
        started - heard
    );
}

#[test]
fn impossible_options_are_refused() {
    let options = StudioOptions {
        width: 321,
        ..StudioOptions::default()
    };

    let refused = TestStudio::start(&options, |_, _| {});

    assert!(matches!(refused, Err(StudioError::Options(_))));
}

/// Times in milliseconds at which the value rises over `threshold` after half a second below it.
fn rising_edges(values: &[(f64, f64)], threshold: f64) -> Vec<f64> {
    let mut last_above = f64::NEG_INFINITY;
    let mut edges = Vec::new();
    for &(time, _) in values.iter().filter(|(_, value)| *value > threshold) {
        if time - last_above > 500.0 {
            edges.push(time);
        }
        last_above = time;
    }
    edges
}

/// Mean luma of each picture with its time in milliseconds.
fn luma_by_time(codec: VideoCodec, packets: &[RtpPacket], zero: u32) -> Vec<(f64, f64)> {
    let decoding = match codec {
        VideoCodec::H264 => "rtph264depay ! h264parse ! avdec_h264 max-threads=1",
        VideoCodec::Vp8 => "rtpvp8depay ! vp8dec",
        VideoCodec::Vp9 => "rtpvp9depay ! vp9dec",
        VideoCodec::Av1 => unreachable!("the studio makes none"),
    };
    let decoder = gst::parse::launch(&format!(
        "appsrc name=in format=time caps=application/x-rtp,media=video,clock-rate=90000,encoding-name={codec},payload=96 \
         ! {decoding} ! videoconvert ! video/x-raw,format=I420 ! appsink name=out sync=false",
    ))
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let source = decoder.by_name("in").unwrap().downcast::<AppSrc>().unwrap();
    let sink = decoder
        .by_name("out")
        .unwrap()
        .downcast::<AppSink>()
        .unwrap();
    decoder.set_state(gst::State::Playing).unwrap();
    for packet in packets {
        let ticks = u64::from(packet.timestamp.wrapping_sub(zero));
        let mut buffer = gst::Buffer::from_mut_slice(serialised(packet));
        buffer
            .get_mut()
            .unwrap()
            .set_pts(gst::ClockTime::from_nseconds(
                ticks * 1_000_000_000 / 90_000,
            ));
        source.push_buffer(buffer).unwrap();
    }
    source.end_of_stream().unwrap();

    let mut lumas = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let buffer = sample.buffer().unwrap();
        let time = buffer.pts().unwrap().useconds();
        let picture = buffer.map_readable().unwrap();
        let luma = &picture[..320 * 180];
        let sum: u64 = luma.iter().map(|&value| u64::from(value)).sum();
        #[expect(clippy::cast_precision_loss, reason = "both are far below 2^52")]
        lumas.push((
            (time as f64 / 1_000.0).round(),
            sum as f64 / (320.0 * 180.0),
        ));
    }
    decoder.set_state(gst::State::Null).unwrap();
    lumas
}

/// Absolute sample values with their times in milliseconds.
fn level_by_time(packets: &[RtpPacket], zero: u32) -> Vec<(f64, f64)> {
    let mut decoder = opus::Decoder::new(48_000, opus::Channels::Stereo).unwrap();
    let mut levels = Vec::new();
    for packet in packets {
        let mut samples = [0_i16; 960 * 2];
        let count = decoder
            .decode(&packet.payload, &mut samples, false)
            .unwrap();
        assert_eq!(count, 960);
        let mut time = f64::from(packet.timestamp.wrapping_sub(zero).cast_signed());
        for sample in samples.chunks_exact(2) {
            levels.push((time / 48.0, f64::from(sample[0]).abs()));
            time += 1.0;
        }
    }
    levels
}

fn serialised(packet: &RtpPacket) -> Vec<u8> {
    let mut bytes = vec![0x80, 0x60 | (u8::from(packet.marker) << 7)];
    bytes.extend(packet.sequence.to_be_bytes());
    bytes.extend(packet.timestamp.to_be_bytes());
    bytes.extend(packet.ssrc.to_be_bytes());
    bytes.extend(&packet.payload);
    bytes
}
