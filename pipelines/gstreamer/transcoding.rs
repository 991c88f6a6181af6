//! The transcoding process's graph as data: which elements, with which properties, and why.
//!
//! ```text
//! decoder ! convert ! canvas ! between ! encoder ! profile
//! ```

use ::gstreamer as gst;
use media::VideoCodec;

use super::graph::Element;
use crate::{engine::KEYFRAME_PERIOD, transcoder::Canvas};

/// Pixels a second that one thread encodes with room to spare, on a machine that has other work: 1280×720 at 60.
const PIXELS_A_THREAD: u64 = 1_280 * 720 * 60;

/// The most threads of an encoder; each takes a slice of the picture, and slices cost bits.
const THREADS_LIMIT: u64 = 4;

/// Every element that any of these graphs has.
pub(crate) const FACTORIES: [&str; 11] = [
    "appsink",
    "av1dec",
    "avdec_h264",
    "bin",
    "capsfilter",
    "pipeline",
    "queue",
    "videoconvertscale",
    "vp8dec",
    "vp9dec",
    "x264enc",
];

/// The elements of one graph that somebody has to get hold of.
#[derive(Debug)]
pub(crate) struct Elements {
    /// Coded pictures to raw ones.
    pub(crate) decoder: gst::Element,
    /// Raw pictures to the canvas.
    pub(crate) convert: gst::Element,
    /// What shape and colours the encoder is given.
    pub(crate) canvas: gst::Element,
    /// Where decoding and encoding meet.
    pub(crate) between: gst::Element,
    /// Raw pictures to coded ones.
    pub(crate) encoder: gst::Element,
    /// What the encoder is to give.
    pub(crate) profile: gst::Element,
}

/// The name of the first element that is missing.
#[derive(Debug)]
pub(crate) struct Missing;

/// Makes the elements of a graph.
pub(crate) fn elements(codec: VideoCodec, canvas: &Canvas) -> Result<Elements, Missing> {
    let build = |element: Element| element.build().map_err(|_| Missing);
    Ok(Elements {
        decoder: build(decoder(codec))?,
        convert: build(convert())?,
        canvas: build(Element::new("capsfilter"))?,
        between: build(between())?,
        encoder: build(encoder(canvas))?,
        profile: build(profile())?,
    })
}

/// What a decoder is told that its pictures are.
pub(crate) fn coded_caps(codec: VideoCodec, record: Option<gst::Buffer>) -> gst::Caps {
    match codec {
        VideoCodec::H264 => gst::Caps::builder("video/x-h264")
            .field("stream-format", "avc")
            .field("alignment", "au")
            .field_if_some("codec_data", record)
            .build(),
        VideoCodec::Vp8 => gst::Caps::new_empty_simple("video/x-vp8"),
        VideoCodec::Vp9 => gst::Caps::new_empty_simple("video/x-vp9"),
        VideoCodec::Av1 => gst::Caps::builder("video/x-av1")
            .field("stream-format", "obu-stream")
            .field("alignment", "tu")
            .build(),
    }
}

/// What the encoder is given.
pub(crate) fn canvas_caps(canvas: &Canvas, colorimetry: Option<&str>) -> gst::Caps {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", number(canvas.width))
        .field("height", number(canvas.height))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .field_if_some("colorimetry", colorimetry)
        .build()
}

/// libvpx for VP8 and VP9, libaom for AV1, libavcodec for H.264: docs/adr/0009 has the figures.
pub(crate) fn decoder(codec: VideoCodec) -> Element {
    let element = match codec {
        VideoCodec::H264 => Element::new("avdec_h264").with(
            "max-threads",
            &1,
            "more of them hold pictures back, or cost more than they save",
        ),
        VideoCodec::Vp8 => Element::new("vp8dec").with("threads", &1, "as many as are needed"),
        VideoCodec::Vp9 => Element::new("vp9dec").with("threads", &1, "as many as are needed"),
        VideoCodec::Av1 => Element::new("av1dec"),
    };
    element.with(
        "max-errors",
        &-1,
        "a broken picture costs a keyframe, and not the process",
    )
}

/// Raw pictures of any shape to the canvas's, between borders.
pub(crate) fn convert() -> Element {
    Element::new("videoconvertscale")
        .with(
            "add-borders",
            &true,
            "a picture of another shape is never distorted",
        )
        .with("n-threads", &1, "broadcasts share the cores")
}

fn between() -> Element {
    Element::new("queue")
        .with(
            "max-size-buffers",
            &1,
            "one picture is decoded while another is encoded; more would only be older",
        )
        .with("max-size-bytes", &0, "pictures are counted")
        .with("max-size-time", &0, "pictures are counted")
        .with("silent", &true, "nobody listens to its signals")
}

fn encoder(canvas: &Canvas) -> Element {
    let threads = threads(canvas);
    let longest_group = u64::from(canvas.frames_per_second) * KEYFRAME_PERIOD.as_secs() * 2;
    Element::new("x264enc")
        .with(
            "speed-preset",
            canvas.preset.as_str(),
            "what live streams are encoded with",
        )
        .with(
            "tune",
            "zerolatency",
            "a picture leaves as soon as it is encoded",
        )
        .with(
            "pass",
            "cbr",
            "platforms provision for a constant rate; nothing is filled up, since nobody gains by it",
        )
        .with("bitrate", &canvas.kilobits_per_second, "in kbit/s")
        .with(
            "vbv-buf-capacity",
            &1_000,
            "milliseconds; a keyframe may borrow from the second around it, and a player holds more than that",
        )
        .with(
            "key-int-max",
            &longest_group,
            "keyframes are forced by the clock every two seconds; this is for a clock that fails",
        )
        .with(
            "option-string",
            "scenecut=0:open-gop=0",
            "keyframes at the beat and nowhere else, and nothing refers beyond one",
        )
        .with("bframes", &0, "presentation order is decoding order")
        .with("aud", &false, "FLV needs none")
        .with(
            "sliced-threads",
            &(threads > 1),
            "threads that take pictures in turn would hold pictures back",
        )
        .with("threads", &threads, "one where one is enough")
}

fn profile() -> Element {
    Element::new("capsfilter").with(
        "caps",
        "video/x-h264,profile=high,stream-format=avc,alignment=au",
        "main or high is what the platforms ask for, and high costs the same",
    )
}

/// One for each 720p60 begun: two slices cost as much as one, and are ready sooner.
fn threads(canvas: &Canvas) -> u64 {
    let pixels = u64::from(canvas.width) * u64::from(canvas.height);
    (pixels * u64::from(canvas.frames_per_second))
        .div_ceil(PIXELS_A_THREAD)
        .clamp(1, THREADS_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoder_has_a_thread_for_each_720p60_begun() {
        let threads = |width, height, frames_per_second| {
            threads(&Canvas {
                width,
                height,
                frames_per_second,
                ..Canvas::of_size((0, 0), false)
            })
        };

        assert_eq!(threads(1_280, 720, 30), 1);
        assert_eq!(threads(1_280, 720, 60), 1);
        assert_eq!(threads(1_920, 1_080, 30), 2);
        assert_eq!(threads(1_920, 1_080, 60), 3);
        assert_eq!(threads(3_840, 2_160, 30), 4);
        assert_eq!(threads(3_840, 2_160, 60), 4);
    }
}
