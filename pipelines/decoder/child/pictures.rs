//! H.264 to pictures in the canvas's shape.

use std::{io, sync::Arc, time::Duration};

use ::gstreamer as gst;
use gst::prelude::*;
use media::VideoCodec;

use super::{
    super::message::{Canvas, UnitHead},
    feed::{Feed, pad, place},
    pacer::Stage,
};
use crate::{
    confinement::graph::make,
    gstreamer::transcoding::{coded_caps, convert, decoder},
    transcoder::child::rate::Rate,
};

/// The most pixels of a picture: 8192 × 4320.
const PIXELS_LIMIT: i64 = 36_000_000;

/// A decoder of pictures.
pub(super) struct Pictures {
    feed: Feed,
    stage: Arc<Stage>,
    record: Option<Vec<u8>>,
    is_new: bool,
}

impl Pictures {
    pub(super) fn start(canvas: Canvas, stage: &Arc<Stage>) -> io::Result<Self> {
        let missing = |_| io::Error::from(io::ErrorKind::Unsupported);
        let decoder = decoder(VideoCodec::H264).build().map_err(missing)?;
        let shape = make("capsfilter").map_err(|_| io::ErrorKind::Unsupported)?;
        shape.set_property("caps", shape_caps(canvas));
        let taken = Arc::clone(stage);
        let row = [decoder, convert().build().map_err(missing)?, shape];
        choose(&row[0], canvas)?;
        let feed = Feed::start(&row, move |sample| {
            let picture = sample
                .buffer_owned()
                .map(gst::Buffer::into_mapped_buffer_readable);
            if let (Some(time), Some(Ok(picture))) = (place(sample), picture) {
                taken.put_picture(time, picture);
            }
        })?;
        Ok(Self {
            feed,
            stage: Arc::clone(stage),
            record: None,
            is_new: true,
        })
    }

    /// Sets the parameters of the pictures from here on.
    pub(super) fn set_record(&mut self, record: Vec<u8>) {
        self.record = Some(record);
        self.is_new = true;
    }

    pub(super) fn decode(&mut self, head: UnitHead, body: Vec<u8>) -> io::Result<()> {
        if std::mem::take(&mut self.is_new) {
            let record = self.record.clone().map(gst::Buffer::from_mut_slice);
            self.feed.announce(&coded_caps(VideoCodec::H264, record));
        }
        if !self.feed.decode(head, body)? {
            self.stage.note_broken();
        }
        Ok(())
    }
}

/// Lets as many pictures come to the scaler as the canvas takes, and none that is too large for it.
fn choose(decoder: &gst::Element, canvas: Canvas) -> io::Result<()> {
    let mut rate = Rate::new(canvas.frames_per_second());
    let rate = std::sync::Mutex::new(move |time: Duration| rate.admits(time));
    let mask = gst::PadProbeType::BUFFER;
    pad(decoder, "src")?.add_probe(mask, move |pad, info| {
        let time = info.buffer().and_then(|buffer| buffer.pts());
        let caps = pad.current_caps();
        let structure = caps.as_ref().and_then(|caps| caps.structure(0));
        let side = |name| structure.and_then(|structure| structure.get::<i32>(name).ok());
        let pixels = side("width")
            .zip(side("height"))
            .map_or(i64::MAX, |(width, height)| {
                i64::from(width) * i64::from(height)
            });
        let admits = time.is_some_and(|time| {
            let mut rate = rate
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            rate(Duration::from(time))
        });
        if admits && pixels <= PIXELS_LIMIT {
            gst::PadProbeReturn::Ok
        } else {
            gst::PadProbeReturn::Drop
        }
    });
    Ok(())
}

fn shape_caps(canvas: Canvas) -> gst::Caps {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", number(canvas.width()))
        .field("height", number(canvas.height()))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build()
}
