//! The running graph: a coded picture goes in by a call, and what becomes of it is written to the parent.

use std::{
    collections::VecDeque,
    io::{self, Write as _},
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ::gstreamer as gst;
use gst::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks};
use media::VideoCodec;

use super::{
    super::{
        Canvas,
        message::{
            BITRATE_LIMIT_KBPS, Configuration, PICTURE_HEAD_BYTES, PictureHead, answer, head,
            slices,
        },
    },
    rate::{Bitrate, Rate},
};
use crate::{
    engine::Keyframes,
    gstreamer::transcoding::{Elements, canvas_caps, coded_caps, elements},
};

/// The most pixels of a picture: 8192 × 4320.
const PIXELS_LIMIT: i64 = 36_000_000;

/// What VP8 pictures are always in (RFC 6386 § 9.2), which the decoder does not tell.
const VP8_COLOURS: &str = "bt601";

/// Pictures between decoder and encoder that are to be keyframes; the queue holds fewer.
const MARKED_LIMIT: usize = 16;

/// A graph at work. Dropping it ends it.
pub(super) struct Codec {
    source: VideoCodec,
    pipeline: gst::Pipeline,
    /// Where coded pictures go in.
    entrance: gst::Pad,
    record: Option<Vec<u8>>,
    has_caps: bool,
    shared: Arc<Shared>,
}

/// What the graph's threads share.
struct Shared {
    canvas: Canvas,
    codec: VideoCodec,
    state: Mutex<State>,
    output: Mutex<Output>,
}

struct State {
    rate: Rate,
    keyframes: Keyframes,
    bitrate: Bitrate,
    /// The picture in work is for those that refer to it.
    skip: bool,
    has_come_out: bool,
    is_too_large: bool,
    /// What all pictures are said to be in: as the first was.
    colours: Option<String>,
    /// Times of pictures on their way to the encoder that are to be keyframes.
    marked: VecDeque<gst::ClockTime>,
}

struct Output {
    socket: UnixStream,
    record: Vec<u8>,
}

impl Codec {
    /// Starts decoder and encoder. The answers go to `socket`.
    pub(super) fn start(configuration: Configuration, socket: UnixStream) -> io::Result<Self> {
        let Configuration { codec, canvas } = configuration;
        let shared = Arc::new(Shared {
            canvas,
            codec,
            state: Mutex::new(State {
                rate: Rate::new(canvas.frames_per_second),
                keyframes: Keyframes::default(),
                bitrate: Bitrate::new(canvas.kilobits_per_second, canvas.frames_per_second),
                skip: false,
                has_come_out: false,
                is_too_large: false,
                colours: None,
                marked: VecDeque::new(),
            }),
            output: Mutex::new(Output {
                socket,
                record: Vec::new(),
            }),
        });
        let elements = elements(codec, &canvas).map_err(|_| io::ErrorKind::Unsupported)?;
        let sink = sink(&shared);
        let pipeline = gst::Pipeline::new();
        let row = [
            &elements.decoder,
            &elements.convert,
            &elements.canvas,
            &elements.between,
            &elements.encoder,
            &elements.profile,
            sink.upcast_ref(),
        ];
        pipeline.add_many(row).map_err(io::Error::other)?;
        gst::Element::link_many(row).map_err(io::Error::other)?;
        watch_decoder(&elements, &shared)?;
        watch_encoder(&elements, &shared)?;
        let entrance = gst::Pad::builder(gst::PadDirection::Src)
            .name("entrance")
            .build();
        entrance.set_active(true).map_err(io::Error::other)?;
        entrance
            .link(&pad(&elements.decoder, "sink")?)
            .map_err(io::Error::other)?;
        pipeline
            .set_state(gst::State::Playing)
            .map_err(io::Error::other)?;
        Ok(Self {
            source: codec,
            pipeline,
            entrance,
            record: None,
            has_caps: false,
            shared,
        })
    }

    /// Sets the parameters of the pictures from here on.
    pub(super) fn set_record(&mut self, record: Vec<u8>) {
        self.record = Some(record);
        self.has_caps = false;
    }

    /// Changes the bitrate.
    pub(super) fn set_bitrate(&self, body: &[u8]) {
        if let Some(bitrate) = body.first_chunk() {
            let bitrate = u32::from_be_bytes(*bitrate).clamp(1, BITRATE_LIMIT_KBPS);
            self.shared.state().bitrate.set(bitrate);
        }
    }

    /// Decodes a picture, which begins at an offset of `body`, and has it encoded.
    ///
    /// An error means that this process is of no more use.
    pub(super) fn transcode(
        &mut self,
        head: PictureHead,
        body: Vec<u8>,
        offset: usize,
    ) -> io::Result<()> {
        if !self.has_caps {
            self.announce();
        }
        let is_shown = self.source != VideoCodec::Vp8 || is_shown(body.get(offset));
        {
            let mut state = self.shared.state();
            state.skip = head.skip;
            state.has_come_out = false;
            if head.force_keyframe {
                state.keyframes.wish();
            }
        }
        let size = body.len();
        let mut buffer = gst::Buffer::from_mut_slice(body);
        if let Some(buffer) = buffer.get_mut() {
            buffer.resize(offset..size).map_err(io::Error::other)?;
            let time = gst::ClockTime::try_from(head.timestamp).map_err(io::Error::other)?;
            buffer.set_pts(time);
            buffer.set_dts(time);
            if !head.keyframe {
                buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        let pushed = self.entrance.push(buffer);
        let errors = [gst::MessageType::Error];
        let bus = self.pipeline.bus();
        if bus.is_some_and(|bus| bus.pop_filtered(&errors).is_some()) {
            return Err(io::Error::other("the graph has failed"));
        }
        let decoded = pushed.is_ok() && (self.shared.state().has_come_out || !is_shown);
        self.shared
            .output()
            .write(answer::DONE, &[&[u8::from(decoded)]])
    }

    /// Tells the decoder what it gets.
    fn announce(&mut self) {
        let record = self.record.clone().map(gst::Buffer::from_mut_slice);
        let caps = coded_caps(self.source, record);
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        // These are kept by the pad, and what they answer says nothing about the pictures that follow.
        if self
            .entrance
            .sticky_event::<gst::event::StreamStart>(0)
            .is_none()
        {
            let _ = self
                .entrance
                .push_event(gst::event::StreamStart::new("studio"));
        }
        let _ = self.entrance.push_event(gst::event::Caps::new(&caps));
        if self
            .entrance
            .sticky_event::<gst::event::Segment>(0)
            .is_none()
        {
            let _ = self.entrance.push_event(gst::event::Segment::new(&segment));
        }
        self.has_caps = true;
    }
}

impl Drop for Codec {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a decoded picture is encoded.
    fn admits(&self, time: Option<gst::ClockTime>) -> bool {
        let Some(time) = time else { return false };
        let mut state = self.state();
        if state.is_too_large {
            return false;
        }
        state.has_come_out = true;
        let place = Duration::from_nanos(time.nseconds());
        if state.skip || !state.rate.admits(place) {
            return false;
        }
        let interval = Duration::from_secs(1) / self.canvas.frames_per_second.max(1);
        if state.keyframes.take(place, interval) && state.marked.len() < MARKED_LIMIT {
            state.marked.push_back(time);
        }
        true
    }

    /// Says of all pictures that they are in the first one's colours, so that the encoder never starts anew.
    fn relabel(&self, caps: &gst::CapsRef) -> Option<gst::Caps> {
        let structure = caps.structure(0)?;
        let side = |name| structure.get::<i32>(name).map_or(i64::MAX, i64::from);
        let mut state = self.state();
        state.is_too_large = side("width").saturating_mul(side("height")) > PIXELS_LIMIT;
        let own = structure.get::<&str>("colorimetry").ok();
        let colours = state.colours.get_or_insert_with(|| {
            let own = own.filter(|_| self.codec != VideoCodec::Vp8);
            own.unwrap_or(VP8_COLOURS).to_owned()
        });
        let mut caps = caps.to_owned();
        let rate = i32::try_from(self.canvas.frames_per_second).unwrap_or(i32::MAX);
        caps.make_mut()
            .set("framerate", gst::Fraction::new(rate, 1));
        // From one range to another pixels have to change; an unlabelled picture's matrix is a guess by its size.
        if own.is_none_or(|own| is_full_range(own) == is_full_range(colours)) {
            caps.make_mut().set("colorimetry", colours.as_str());
        }
        Some(caps)
    }
}

/// Whether black is 0 and not 16, of a name that `GStreamer` gives to colours.
fn is_full_range(colours: &str) -> bool {
    colours.starts_with("1:") || colours == "sRGB"
}

/// Whether a VP8 frame is to be seen (RFC 6386 § 9.1).
fn is_shown(first: Option<&u8>) -> bool {
    first.is_none_or(|first| first & 0x10 != 0)
}

fn pad(element: &gst::Element, name: &str) -> io::Result<gst::Pad> {
    element
        .static_pad(name)
        .ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// Chooses among the decoder's pictures.
fn watch_decoder(elements: &Elements, shared: &Arc<Shared>) -> io::Result<()> {
    let shared = Arc::clone(shared);
    let canvas = elements.canvas.clone();
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad(&elements.decoder, "src")?.add_probe(mask, move |_, info| {
        if let Some(buffer) = info.buffer() {
            return if shared.admits(buffer.pts()) {
                gst::PadProbeReturn::Ok
            } else {
                gst::PadProbeReturn::Drop
            };
        }
        let relabelled = info.event().and_then(|event| {
            let gst::EventView::Caps(caps) = event.view() else {
                return None;
            };
            shared.relabel(caps.caps())
        });
        if let Some(caps) = relabelled {
            let colours = shared.state().colours.clone();
            canvas.set_property("caps", canvas_caps(&shared.canvas, colours.as_deref()));
            info.data = Some(gst::PadProbeData::Event(gst::event::Caps::new(&caps)));
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// Asks the encoder for keyframes.
fn watch_encoder(elements: &Elements, shared: &Arc<Shared>) -> io::Result<()> {
    let shared = Arc::clone(shared);
    let (element, encoder) = (elements.encoder.clone(), pad(&elements.encoder, "src")?);
    let mask = gst::PadProbeType::BUFFER;
    pad(&elements.encoder, "sink")?.add_probe(mask, move |_, info| {
        let time = info.buffer().and_then(|buffer| buffer.pts());
        let (is_marked, bitrate) = {
            let mut state = shared.state();
            let bitrate = time.and_then(|time| {
                let time = Duration::from_nanos(time.nseconds());
                state.bitrate.tell(time)
            });
            while state.marked.front().copied() < time && !state.marked.is_empty() {
                state.marked.pop_front();
            }
            let is_marked = time.is_some() && state.marked.front().copied() == time;
            if is_marked {
                state.marked.pop_front();
            }
            (is_marked, bitrate)
        };
        if let Some(bitrate) = bitrate {
            element.set_property("bitrate", bitrate);
        }
        if is_marked {
            let request = gst::Structure::builder("GstForceKeyUnit")
                .field("running-time", gst::ClockTime::NONE)
                .field("all-headers", false)
                .field("count", 0_u32)
                .build();
            encoder.send_event(gst::event::CustomUpstream::new(request));
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// The end of the graph, which writes what comes to the parent.
fn sink(shared: &Arc<Shared>) -> AppSink {
    let shared = Arc::clone(shared);
    let sink = AppSink::builder()
        .sync(false)
        .enable_last_sample(false)
        .build();
    let new_sample = move |sink: &AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let mut output = shared.output();
        output.put(&sample).ok_or(gst::FlowError::Error)?;
        Ok(gst::FlowSuccess::Ok)
    };
    sink.set_callbacks(AppSinkCallbacks::builder().new_sample(new_sample).build());
    sink
}

impl Output {
    /// Writes an access unit, and its parameters where they are new.
    fn put(&mut self, sample: &gst::Sample) -> Option<()> {
        let record = sample.caps()?.structure(0)?;
        let record = record.get::<gst::Buffer>("codec_data").ok()?;
        let record = record.map_readable().ok()?;
        if self.record != record.as_slice() {
            self.write(answer::RECORD, &[record.as_slice()]).ok()?;
            self.record = record.to_vec();
        }
        let buffer = sample.buffer()?;
        let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
        let time = segment.to_running_time(buffer.pts()?)?;
        let picture = slices(buffer.map_readable().ok()?.as_slice())?;
        let head = PictureHead {
            keyframe: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            skip: false,
            force_keyframe: false,
            timestamp: Duration::from_nanos(time.nseconds()),
        };
        let head: [u8; PICTURE_HEAD_BYTES] = head.to_bytes();
        self.write(answer::UNIT, &[&head, &picture]).ok()
    }

    fn write(&mut self, tag: u8, parts: &[&[u8]]) -> io::Result<()> {
        let length = parts.iter().map(|part| part.len()).sum();
        let mut message = Vec::with_capacity(length + head(tag, length).len());
        message.extend(head(tag, length));
        for part in parts {
            message.extend(*part);
        }
        self.socket.write_all(&message)
    }
}
