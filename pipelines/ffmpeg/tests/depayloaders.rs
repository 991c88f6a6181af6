//! `GStreamer` puts our packets together again, as `FFmpeg` does in all the other tests here.

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use media::VideoCodec;

use super::{coded, recording};
use crate::{
    engine::SourcePicture,
    packetise::{Coded, NETWORK_PAYLOAD_BYTES, Packetiser, Stream, nal_units},
};

fn put_together(codec: VideoCodec, depayloader: &str, pictures: &[SourcePicture]) -> Vec<Vec<u8>> {
    gst::init().unwrap();
    let pipeline = gst::parse::launch(&format!(
        "appsrc name=in format=time caps=application/x-rtp,media=video,clock-rate=90000,encoding-name={codec},payload=96 \
         ! {depayloader} ! appsink name=out sync=false"
    ));
    let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
    let source: AppSrc = pipeline.by_name("in").unwrap().downcast().unwrap();
    let sink: AppSink = pipeline.by_name("out").unwrap().downcast().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let stream = Stream {
        ssrc: 1,
        payload_type: 96,
        sequence: 65_530,
        payload_bytes: NETWORK_PAYLOAD_BYTES,
    };
    let mut packetiser = Packetiser::new(codec, stream).unwrap();
    for (place, picture) in (0..).zip(pictures) {
        let whole = Coded {
            rtp_timestamp: place * 3_000,
            keyframe: picture.keyframe,
            config: picture.config.as_deref(),
            data: &picture.data,
        };
        packetiser.packetise(&whole, |packet| {
            let mut buffer = gst::Buffer::from_slice(packet.to_vec());
            let time = gst::ClockTime::from_mseconds(33) * u64::from(place);
            buffer.get_mut().unwrap().set_pts(time);
            source.push_buffer(buffer).unwrap();
        });
    }
    source.end_of_stream().unwrap();
    let mut frames = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let map = sample.buffer().unwrap().map_readable().unwrap();
        frames.push(map.to_vec());
    }
    pipeline.set_state(gst::State::Null).unwrap();
    frames
}

fn frames(pictures: &[SourcePicture]) -> Vec<Bytes> {
    let frames = pictures.iter().map(|picture| picture.data.clone());
    frames.collect()
}

#[test]
fn h264_comes_back_slice_for_slice() {
    let pictures = recording(1);
    let slices = |data: &[u8]| -> Vec<Vec<u8>> {
        let units = nal_units(data).filter(|unit| matches!(unit[0] & 0x1f, 1..=5));
        units.map(<[u8]>::to_vec).collect()
    };

    let depayloader = "rtph264depay ! video/x-h264,stream-format=avc,alignment=au";
    let back = put_together(VideoCodec::H264, depayloader, &pictures);

    let sent: Vec<_> = pictures
        .iter()
        .map(|picture| slices(&picture.data))
        .collect();
    let back: Vec<_> = back.iter().map(|frame| slices(frame)).collect();
    assert_eq!(back.len(), sent.len());
    assert!(back == sent, "other slices");
}

#[test]
fn vp8_and_vp9_come_back_frame_for_frame() {
    for (codec, encoder, depayloader) in [
        (VideoCodec::Vp8, "libvpx", "rtpvp8depay"),
        (VideoCodec::Vp9, "libvpx-vp9", "rtpvp9depay"),
    ] {
        let pictures = coded(codec, encoder);

        let back = put_together(codec, depayloader, &pictures);

        assert_eq!(back.len(), pictures.len(), "{codec}");
        assert!(back == frames(&pictures), "other frames of {codec}");
    }
}
