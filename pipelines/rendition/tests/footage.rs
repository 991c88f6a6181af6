//! Pictures with numbers in them, coded and decoded, and sound.

use std::{ops::Range, sync::Arc, time::Duration};

use ::gstreamer as gst;
use bytes::Bytes;
use gst::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use media::{AccessUnit, AudioConfig, CodecConfig, VideoConfig};

/// The number of a picture, as so many black and white columns.
const BITS: usize = 12;

/// What a studio sends.
#[derive(Debug, Clone, Copy)]
pub(in crate::rendition) struct Footage {
    pub(in crate::rendition) size: [usize; 2],
    pub(in crate::rendition) frames_per_second: u32,
    /// Pictures from one keyframe to the next.
    pub(in crate::rendition) group: u32,
}

impl Default for Footage {
    fn default() -> Self {
        Self {
            size: [640, 360],
            frames_per_second: 30,
            group: 30,
        }
    }
}

impl Footage {
    /// Where a picture is on the timeline.
    pub(in crate::rendition) fn place(self, number: u32) -> Duration {
        Duration::from_secs(1) * number / self.frames_per_second
    }
}

/// A picture's luma and chroma, grey apart from its number.
fn drawn(number: u32, [width, height]: [usize; 2]) -> Vec<u8> {
    let row: Vec<u8> = (0..width)
        .map(|column| match number >> (column * BITS / width) & 1 {
            0 => 16,
            _ => 235,
        })
        .collect();
    let mut planes = row.repeat(height);
    planes.resize(width * height * 3 / 2, 128);
    planes
}

fn number_in(luma: &[u8], width: usize) -> u32 {
    (0..BITS).fold(0, |number, bit| {
        let column = (2 * bit + 1) * width / (2 * BITS);
        number | u32::from(luma[column] > 125) << bit
    })
}

/// Runs buffers through a graph, and looks at each that comes out.
fn run<T>(
    graph: &str,
    caps: &gst::Caps,
    buffers: Vec<gst::Buffer>,
    look: impl Fn(&gst::Sample) -> T,
) -> Vec<T> {
    gst::init().unwrap();
    let graph =
        format!("appsrc name=in format=time max-bytes=0 ! {graph} ! appsink name=out sync=false");
    let pipeline = gst::parse::launch(&graph).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let source = pipeline.by_name("in").unwrap();
    let source = source.downcast::<AppSrc>().unwrap();
    let sink = pipeline.by_name("out").unwrap();
    let sink = sink.downcast::<AppSink>().unwrap();
    source.set_caps(Some(caps));
    pipeline.set_state(gst::State::Playing).unwrap();
    for buffer in buffers {
        source.push_buffer(buffer).unwrap();
    }
    source.end_of_stream().unwrap();
    let mut seen = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        seen.push(look(&sample));
    }
    pipeline.set_state(gst::State::Null).unwrap();
    seen
}

fn buffer(bytes: Vec<u8>, timestamp: Duration) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    let place = gst::ClockTime::from_nseconds(u64::try_from(timestamp.as_nanos()).unwrap());
    buffer.get_mut().unwrap().set_pts(place);
    buffer
}

/// Codes numbered pictures as a browser would. The first is a keyframe.
pub(in crate::rendition) fn coded(footage: Footage, numbers: Range<u32>) -> Vec<AccessUnit> {
    gst::init().unwrap();
    let [width, height] = footage.size;
    let side = |side: usize| i32::try_from(side).unwrap();
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", side(width))
        .field("height", side(height))
        .field(
            "framerate",
            gst::Fraction::new(i32::try_from(footage.frames_per_second).unwrap(), 1),
        )
        .build();
    let group = footage.group;
    let graph = format!(
        "x264enc tune=zerolatency speed-preset=ultrafast bitrate=4000 key-int-max={group} threads=1 \
         option-string=scenecut=0 ! video/x-h264,profile=constrained-baseline ! h264parse \
         ! video/x-h264,stream-format=avc,alignment=au"
    );
    let first = footage.place(numbers.start);
    let pictures = numbers.map(|number| {
        buffer(
            drawn(number, footage.size),
            footage.place(number).saturating_sub(first),
        )
    });
    let mut config: Option<Arc<CodecConfig>> = None;
    let units = run(&graph, &caps, pictures.collect(), |sample| {
        let caps = sample.caps().unwrap().structure(0).unwrap();
        let record = caps.get::<gst::Buffer>("codec_data").unwrap();
        let record = Bytes::copy_from_slice(&record.map_readable().unwrap());
        let buffer = sample.buffer().unwrap();
        let data = Bytes::copy_from_slice(&buffer.map_readable().unwrap());
        let keyframe = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let place = Duration::from_nanos(buffer.pts().unwrap().nseconds());
        (record, data, keyframe, place)
    });
    // The clock of this encoder begins later than its source's.
    let begin = units[0].3;
    units
        .into_iter()
        .map(|(record, data, keyframe, place)| {
            let config = config.get_or_insert_with(|| {
                Arc::new(CodecConfig::Avc(VideoConfig {
                    decoder_configuration: record,
                    width: u32::try_from(width).unwrap(),
                    height: u32::try_from(height).unwrap(),
                }))
            });
            AccessUnit {
                timestamp: first + place.saturating_sub(begin),
                keyframe,
                config: Arc::clone(config),
                data,
            }
        })
        .collect()
}

/// A picture that a viewer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rendition) struct Seen {
    pub(in crate::rendition) timestamp: Duration,
    pub(in crate::rendition) number: u32,
    pub(in crate::rendition) size: [usize; 2],
}

/// Decodes pictures, which have the parameters of the first.
pub(in crate::rendition) fn decoded(units: &[AccessUnit]) -> Vec<Seen> {
    gst::init().unwrap();
    let CodecConfig::Avc(config) = &*units[0].config else {
        panic!("sound");
    };
    let record = gst::Buffer::from_slice(config.decoder_configuration.to_vec());
    let caps = gst::Caps::builder("video/x-h264")
        .field("stream-format", "avc")
        .field("alignment", "au")
        .field("codec_data", record)
        .build();
    let buffers = units
        .iter()
        .map(|unit| buffer(unit.data.to_vec(), unit.timestamp));
    let graph = "h264parse ! avdec_h264 max-threads=1 ! videoconvert ! video/x-raw,format=I420";
    run(graph, &caps, buffers.collect(), |sample| {
        let caps = sample.caps().unwrap().structure(0).unwrap();
        let pixels = |name| usize::try_from(caps.get::<i32>(name).unwrap()).unwrap();
        let size = [pixels("width"), pixels("height")];
        let buffer = sample.buffer().unwrap();
        let luma = buffer.map_readable().unwrap();
        let row = size[0].next_multiple_of(4) * (size[1] / 2);
        Seen {
            timestamp: Duration::from_nanos(buffer.pts().unwrap().nseconds()),
            number: number_in(&luma[row..], size[0]),
            size,
        }
    })
}

/// Sound from one time to another, 1024 samples each.
pub(in crate::rendition) fn sound(from: Duration, to: Duration) -> Vec<AccessUnit> {
    let config = Arc::new(CodecConfig::Aac(AudioConfig {
        audio_specific_config: Bytes::from_static(&[0x11, 0x90]),
        sample_rate_hz: 48_000,
        channels: 2,
    }));
    let place = |number: u32| Duration::from_secs(1_024) * number / 48_000;
    (0..)
        .map(place)
        .skip_while(|timestamp| *timestamp < from)
        .take_while(|timestamp| *timestamp < to)
        .map(|timestamp| AccessUnit {
            timestamp,
            keyframe: true,
            config: Arc::clone(&config),
            data: Bytes::from(timestamp.as_nanos().to_be_bytes().to_vec()),
        })
        .collect()
}
