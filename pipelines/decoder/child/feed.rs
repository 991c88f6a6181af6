//! A decoder with what comes behind it: coded units go in by a call, and what becomes of them has come out when it returns.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use ::gstreamer as gst;
use gst::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks};

use super::super::message::UnitHead;

/// Elements in a row, at work. Dropping it ends them.
pub(super) struct Feed {
    pipeline: gst::Pipeline,
    entrance: gst::Pad,
    has_come_out: Arc<AtomicBool>,
}

impl Feed {
    /// Starts a decoder and what comes behind it. `take` is given what comes out, on the thread that decodes.
    pub(super) fn start(
        row: &[gst::Element],
        mut take: impl FnMut(&gst::Sample) + Send + 'static,
    ) -> io::Result<Self> {
        let sink = AppSink::builder()
            .sync(false)
            .enable_last_sample(false)
            .build();
        let new_sample = move |sink: &AppSink| {
            take(&sink.pull_sample().map_err(|_| gst::FlowError::Eos)?);
            Ok(gst::FlowSuccess::Ok)
        };
        sink.set_callbacks(AppSinkCallbacks::builder().new_sample(new_sample).build());
        let pipeline = gst::Pipeline::new();
        let mut all = row.to_vec();
        all.push(sink.upcast());
        pipeline.add_many(&all).map_err(io::Error::other)?;
        gst::Element::link_many(&all).map_err(io::Error::other)?;
        let has_come_out = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&has_come_out);
        pad(&all[0], "src")?.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            seen.store(true, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });
        let entrance = gst::Pad::builder(gst::PadDirection::Src)
            .name("entrance")
            .build();
        entrance.set_active(true).map_err(io::Error::other)?;
        entrance
            .link(&pad(&all[0], "sink")?)
            .map_err(io::Error::other)?;
        pipeline
            .set_state(gst::State::Playing)
            .map_err(io::Error::other)?;
        Ok(Self {
            pipeline,
            entrance,
            has_come_out,
        })
    }

    /// Tells the decoder what it gets from here on.
    pub(super) fn announce(&self, caps: &gst::Caps) {
        // These are kept by the pad, and what they answer says nothing about what follows.
        if self
            .entrance
            .sticky_event::<gst::event::StreamStart>(0)
            .is_none()
        {
            let _ = self
                .entrance
                .push_event(gst::event::StreamStart::new("show"));
        }
        let _ = self.entrance.push_event(gst::event::Caps::new(caps));
        if self
            .entrance
            .sticky_event::<gst::event::Segment>(0)
            .is_none()
        {
            let segment = gst::FormattedSegment::<gst::ClockTime>::new();
            let _ = self.entrance.push_event(gst::event::Segment::new(&segment));
        }
    }

    /// Decodes a unit, which begins behind its head in `body`. Tells whether something came of it.
    ///
    /// An error means that this process is of no more use.
    pub(super) fn decode(&self, head: UnitHead, body: Vec<u8>) -> io::Result<bool> {
        self.has_come_out.store(false, Ordering::Relaxed);
        let size = body.len();
        let mut buffer = gst::Buffer::from_mut_slice(body);
        if let Some(buffer) = buffer.get_mut() {
            buffer
                .resize(UnitHead::BYTES..size)
                .map_err(io::Error::other)?;
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
        Ok(pushed.is_ok() && self.has_come_out.load(Ordering::Relaxed))
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

pub(super) fn pad(element: &gst::Element, name: &str) -> io::Result<gst::Pad> {
    element
        .static_pad(name)
        .ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// Where a sample belongs on the timeline.
pub(super) fn place(sample: &gst::Sample) -> Option<std::time::Duration> {
    let time = sample.buffer()?.pts()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    Some(segment.to_running_time(time)?.into())
}
