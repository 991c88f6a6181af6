//! Small graphs of elements, pulled from at the end until they are dry.

use std::{fs::File, os::fd::AsRawFd as _, time::Instant};

use ::gstreamer as gst;
use gst::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

/// Why there is no graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GraphError {
    /// `GStreamer` does not have an element of this name.
    Missing(&'static str),
    /// It does not begin.
    Broken,
}

/// How often a graph that brings nothing forth is asked whether it has failed.
const POLL: gst::ClockTime = gst::ClockTime::from_mseconds(50);

/// Buffers that may wait at the end of a graph.
const WAITING_LIMIT: u32 = 4;

/// Makes an element.
pub(crate) fn make(factory: &'static str) -> Result<gst::Element, GraphError> {
    gst::ElementFactory::make(factory)
        .build()
        .map_err(|_| GraphError::Missing(factory))
}

/// Makes an element with these properties; a property that it does not have is a missing element.
pub(crate) fn make_with(
    factory: &'static str,
    properties: &[(&str, &str)],
) -> Result<gst::Element, GraphError> {
    let element = make(factory)?;
    for (name, value) in properties {
        if element.find_property(name).is_none() {
            return Err(GraphError::Missing(factory));
        }
        element.set_property_from_str(name, value);
    }
    Ok(element)
}

pub(crate) fn capsfilter(caps: &gst::Caps) -> Result<gst::Element, GraphError> {
    let filter = make("capsfilter")?;
    filter.set_property("caps", caps);
    Ok(filter)
}

/// Reads a file that is open.
pub(crate) fn source(file: &File) -> Result<gst::Element, GraphError> {
    let source = make("fdsrc")?;
    source.set_property("fd", file.as_raw_fd());
    Ok(source)
}

/// What a graph brought forth next.
pub(crate) enum Pulled {
    Sample(gst::Sample),
    End,
    /// It failed, or it is too late.
    Broken,
}

/// A running graph with an [`AppSink`] at its end. Dropping it ends it.
pub(crate) struct Graph {
    pipeline: gst::Pipeline,
    sink: AppSink,
}

impl Graph {
    /// Runs elements in a row.
    pub(crate) fn row(elements: &[&gst::Element]) -> Result<Self, GraphError> {
        let sink = end()?;
        let mut row = elements.to_vec();
        row.push(sink.upcast_ref());
        let pipeline = gst::Pipeline::new();
        pipeline.add_many(&row).map_err(|_| GraphError::Broken)?;
        gst::Element::link_many(&row).map_err(|_| GraphError::Broken)?;
        Self::begin(pipeline, sink)
    }

    /// Runs a file through whichever decoders it takes, and its first track of this media type (`video/x-raw`,
    /// `audio/x-raw`) through `tail`.
    pub(crate) fn decoded(
        file: &File,
        media_type: &'static str,
        is_fit: fn(&gst::StructureRef) -> bool,
        tail: &[&gst::Element],
    ) -> Result<Self, GraphError> {
        let (source, decoder, sink) = (source(file)?, make("decodebin")?, end()?);
        let pipeline = gst::Pipeline::new();
        let mut row = tail.to_vec();
        row.push(sink.upcast_ref());
        pipeline
            .add_many([&source, &decoder])
            .and_then(|()| pipeline.add_many(&row))
            .map_err(|_| GraphError::Broken)?;
        source.link(&decoder).map_err(|_| GraphError::Broken)?;
        gst::Element::link_many(&row).map_err(|_| GraphError::Broken)?;
        let head = row[0].static_pad("sink").ok_or(GraphError::Broken)?;
        let waiting = head.clone();
        decoder.connect_no_more_pads(move |decoder| {
            // Nothing would ever come, not even an end.
            if !waiting.is_linked() {
                gst::element_error!(decoder, gst::StreamError::WrongType, ["no such track"]);
            }
        });
        decoder.connect_pad_added(move |decoder, pad| {
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            let Some(structure) = caps.structure(0) else {
                return;
            };
            if structure.name() != media_type || head.is_linked() {
                return;
            }
            if !is_fit(structure) || pad.link(&head).is_err() {
                gst::element_error!(decoder, gst::StreamError::Format, ["refused"]);
            }
        });
        pipeline.connect_deep_element_added(|_, _, element| {
            if element.find_property("max-threads").is_some() {
                element.set_property_from_str("max-threads", "1");
            }
        });
        Self::begin(pipeline, sink)
    }

    fn begin(pipeline: gst::Pipeline, sink: AppSink) -> Result<Self, GraphError> {
        let graph = Self { pipeline, sink };
        graph
            .pipeline
            .set_state(gst::State::Playing)
            .map_err(|_| GraphError::Broken)?;
        Ok(graph)
    }

    /// Waits for what comes next.
    pub(crate) fn pull(&self, deadline: Instant) -> Pulled {
        while Instant::now() < deadline {
            if let Some(sample) = self.sink.try_pull_sample(POLL) {
                return Pulled::Sample(sample);
            }
            if self.has_failed() {
                return Pulled::Broken;
            }
            if self.sink.is_eos() {
                return Pulled::End;
            }
        }
        Pulled::Broken
    }

    /// Returns what has come, without waiting.
    pub(crate) fn pull_ready(&self) -> Option<gst::Sample> {
        self.sink.try_pull_sample(gst::ClockTime::ZERO)
    }

    pub(crate) fn has_failed(&self) -> bool {
        let errors = [gst::MessageType::Error];
        let bus = self.pipeline.bus();
        bus.is_some_and(|bus| bus.pop_filtered(&errors).is_some())
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn end() -> Result<AppSink, GraphError> {
    let sink = make("appsink")?
        .downcast::<AppSink>()
        .map_err(|_| GraphError::Missing("appsink"))?;
    sink.set_property("sync", false);
    sink.set_max_buffers(WAITING_LIMIT);
    Ok(sink)
}

/// An element that is fed by hand. It waits while more than a few buffers are under way.
pub(crate) fn feeder(caps: &gst::Caps) -> Result<AppSrc, GraphError> {
    let source = make("appsrc")?
        .downcast::<AppSrc>()
        .map_err(|_| GraphError::Missing("appsrc"))?;
    source.set_caps(Some(caps));
    source.set_format(gst::Format::Time);
    source.set_max_buffers(u64::from(WAITING_LIMIT));
    source.set_block(true);
    Ok(source)
}

/// The bytes of a plane whose rows have room at their ends.
pub(crate) const fn row_bytes(width: usize) -> usize {
    width.next_multiple_of(4)
}
