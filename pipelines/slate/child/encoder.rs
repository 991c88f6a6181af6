//! Raw pictures to H.264 whose groups of pictures stand alone: constrained baseline, one keyframe each two seconds.

use std::time::{Duration, Instant};

use ::gstreamer as gst;
use gst::prelude::*;
use gstreamer_app::AppSrc;

use super::Failure;
use crate::confinement::graph::{Graph, Pulled, capsfilter, feeder, make_with};
use crate::decoder_configuration::parameter_sets;
use crate::slate::{Geometry, answer::tag};

/// The most bits a second, over any second.
const BITRATE_KBPS: &str = "2500";

/// How coarse pictures are (x264's constant rate factor) while that is within the bitrate.
const QUALITY: &str = "21";

/// How much work is spent on each picture.
#[derive(Debug, Clone, Copy)]
pub(super) enum Effort {
    /// Few pictures, which are seen for long.
    Still,
    /// Many.
    Moving,
}

/// What raw pictures of this shape are called. Without a colorimetry they keep what they came with.
pub(super) fn raw_caps(geometry: Geometry, format: &str) -> gst::Caps {
    let side = |side: u32| i32::try_from(side).unwrap_or(i32::MAX);
    gst::Caps::builder("video/x-raw")
        .field("format", format)
        .field("width", side(geometry.width))
        .field("height", side(geometry.height))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build()
}

/// [`raw_caps`] in the colours of a slate.
pub(super) fn coloured_caps(geometry: Geometry, format: &str) -> gst::Caps {
    let mut caps = raw_caps(geometry, format);
    caps.make_mut().set("colorimetry", "bt709");
    caps
}

/// What the encoder takes.
pub(super) fn picture_caps(geometry: Geometry) -> gst::Caps {
    let mut caps = coloured_caps(geometry, "I420");
    let rate = i32::try_from(geometry.frames_per_second).unwrap_or(i32::MAX);
    caps.make_mut()
        .set("framerate", gst::Fraction::new(rate, 1));
    caps
}

/// Codes pictures of one shape and hands over records of the answer, in whole groups of pictures.
pub(super) struct Encoder<S> {
    graph: Graph,
    source: AppSrc,
    picture_interval: Duration,
    group: usize,
    pushed: u32,
    /// Pictures of a group that is not whole, coded.
    waiting: Vec<Vec<u8>>,
    sent: u32,
    has_parameters: bool,
    send: S,
}

impl<S: FnMut(u8, &[u8]) -> Result<(), Failure>> Encoder<S> {
    pub(super) fn new(geometry: Geometry, effort: Effort, send: S) -> Result<Self, Failure> {
        let group = geometry.group_pictures().to_string();
        let source = feeder(&picture_caps(geometry))?;
        let properties = [
            (
                "speed-preset",
                match effort {
                    Effort::Still => "veryfast",
                    Effort::Moving => "superfast",
                },
            ),
            ("pass", "qual"),
            ("quantizer", QUALITY),
            // With a quality these are limits.
            ("bitrate", BITRATE_KBPS),
            ("vbv-buf-capacity", "1000"),
            ("key-int-max", &group),
            // No keyframe but at the beat, and no picture that needs one of another group.
            ("option-string", "scenecut=0:open-gop=0:force-cfr=1"),
            ("bframes", "0"),
            ("cabac", "false"),
            ("dct8x8", "false"),
            ("aud", "false"),
            ("threads", "1"),
            ("sliced-threads", "false"),
        ];
        let encoder = make_with("x264enc", &properties)?;
        let profile = gst::Caps::builder("video/x-h264")
            .field("profile", "constrained-baseline")
            .field("stream-format", "avc")
            .field("alignment", "au")
            .build();
        let graph = Graph::row(&[source.upcast_ref(), &encoder, &capsfilter(&profile)?])?;
        Ok(Self {
            graph,
            source,
            picture_interval: geometry.picture_interval(),
            group: geometry.group_pictures() as usize,
            pushed: 0,
            waiting: Vec::new(),
            sent: 0,
            has_parameters: false,
            send,
        })
    }

    /// Takes the next picture; bytes that are shared are not copied.
    pub(super) fn push(&mut self, picture: &gst::BufferRef) -> Result<(), Failure> {
        let mut buffer = picture.copy();
        let time = |number: u32| {
            gst::ClockTime::try_from(self.picture_interval * number).map_err(|_| Failure::Coding)
        };
        let (start, end) = (time(self.pushed)?, time(self.pushed + 1)?);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(start);
            buffer.set_duration(end - start);
        }
        self.pushed += 1;
        self.source
            .push_buffer(buffer)
            .map_err(|_| Failure::Coding)?;
        while let Some(sample) = self.graph.pull_ready() {
            self.take(&sample)?;
        }
        if self.graph.has_failed() {
            return Err(Failure::Coding);
        }
        Ok(())
    }

    /// Codes what is left. Returns how many pictures were sent; those that make no whole group are not.
    pub(super) fn finish(mut self, deadline: Instant) -> Result<u32, Failure> {
        self.source.end_of_stream().map_err(|_| Failure::Coding)?;
        loop {
            match self.graph.pull(deadline) {
                Pulled::Sample(sample) => self.take(&sample)?,
                Pulled::End if self.sent > 0 => return Ok(self.sent),
                Pulled::End | Pulled::Broken => return Err(Failure::Coding),
            }
        }
    }

    /// Pictures that were taken.
    pub(super) const fn pushed(&self) -> u32 {
        self.pushed
    }

    fn take(&mut self, sample: &gst::Sample) -> Result<(), Failure> {
        if !self.has_parameters {
            self.has_parameters = true;
            let [sequence, picture] = parameters(sample).ok_or(Failure::Coding)?;
            (self.send)(tag::SEQUENCE, &sequence)?;
            (self.send)(tag::PICTURE_SET, &picture)?;
        }
        let buffer = sample.buffer().ok_or(Failure::Coding)?;
        let bytes = buffer.map_readable().map_err(|_| Failure::Coding)?;
        self.waiting.push(slices(&bytes).ok_or(Failure::Coding)?);
        if self.waiting.len() == self.group {
            for picture in self.waiting.drain(..) {
                self.sent += 1;
                (self.send)(tag::PICTURE, &picture)?;
            }
        }
        Ok(())
    }
}

/// The two parameter sets of the `AVCDecoderConfigurationRecord` that comes with a picture.
fn parameters(sample: &gst::Sample) -> Option<[Vec<u8>; 2]> {
    let record = sample
        .caps()?
        .structure(0)?
        .get::<gst::Buffer>("codec_data")
        .ok()?;
    let record = record.map_readable().ok()?;
    let (sequences, pictures) = parameter_sets(&record)?;
    Some([sequences.first()?.to_vec(), pictures.first()?.to_vec()])
}

/// Leaves out what is no slice.
fn slices(picture: &[u8]) -> Option<Vec<u8>> {
    let mut rest = picture;
    let mut slices = Vec::with_capacity(picture.len());
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (nal, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        if matches!(nal.first()? & 0x1f, 1 | 5) {
            slices.extend(length);
            slices.extend(nal);
        }
        rest = tail;
    }
    Some(slices)
}
