//! The synthetic studio's graph as data: which elements, with which properties, and why.

use ::gstreamer as gst;
use gst::prelude::*;
use media::VideoCodec;

use super::{
    studio::{StudioError, StudioOptions},
    vpx,
};

/// Largest RTP packet in bytes; with SRTP, UDP and IPv6 headers it fits every path that Chrome's own packets fit.
const RTP_PACKET_BYTES: u32 = 1_200;

/// A chain of linked elements from an `appsrc` to an `appsink`, which are made by the studio.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) elements: Vec<Element>,
}

/// One element and what is not left at its default.
#[derive(Debug)]
pub(crate) struct Element {
    factory: &'static str,
    properties: Vec<Property>,
}

#[derive(Debug)]
struct Property {
    name: &'static str,
    value: String,
    #[expect(dead_code, reason = "it is for the reader")]
    reason: &'static str,
}

impl Element {
    pub(super) fn new(factory: &'static str) -> Self {
        Self {
            factory,
            properties: Vec::new(),
        }
    }

    pub(super) fn with(
        mut self,
        name: &'static str,
        value: &(impl ToString + ?Sized),
        reason: &'static str,
    ) -> Self {
        self.properties.push(Property {
            name,
            value: value.to_string(),
            reason,
        });
        self
    }

    /// Makes the element. A missing plugin or property is an error.
    pub(crate) fn build(&self) -> Result<gst::Element, StudioError> {
        let missing = || StudioError::MissingElement(self.factory);
        let element = gst::ElementFactory::make(self.factory)
            .build()
            .map_err(|_| missing())?;
        for property in &self.properties {
            if element.find_property(property.name).is_none() {
                return Err(missing());
            }
            element.set_property_from_str(property.name, &property.value);
        }
        Ok(element)
    }
}

/// The picture as a browser sends it in the codec that was agreed upon.
pub(super) fn video_chain(options: &StudioOptions, rtp: &RtpNumbers) -> Result<Chain, StudioError> {
    match options.codec {
        VideoCodec::H264 => Ok(h264_chain(options, rtp)),
        VideoCodec::Vp8 => Ok(vpx::vp8_chain(options, rtp)),
        VideoCodec::Vp9 => Ok(vpx::vp9_chain(options, rtp)),
        VideoCodec::Av1 => Err(StudioError::Options(
            "the installed GStreamer cannot packetise AV1",
        )),
    }
}

/// H.264 as Chrome sends it: constrained baseline, no B-frames, keyframes only when asked.
fn h264_chain(options: &StudioOptions, rtp: &RtpNumbers) -> Chain {
    let keyframe_interval = options
        .keyframe_interval_frames
        .map_or_else(|| i32::MAX.to_string(), |frames| frames.to_string());
    let encoder = Element::new("x264enc")
        .with(
            "speed-preset",
            "veryfast",
            "the cheapest preset that keeps the flash's edges",
        )
        .with(
            "tune",
            "zerolatency",
            "a picture leaves as soon as it is coded",
        )
        .with(
            "bitrate",
            &(options.video_bits_per_second / 1_000),
            "in kbit/s",
        )
        .with(
            "vbv-buf-capacity",
            &500,
            "milliseconds; a keyframe may be ten times a picture's share",
        )
        .with(
            "key-int-max",
            &keyframe_interval,
            "browsers make no keyframes unless asked",
        )
        .with(
            "option-string",
            "scenecut=0",
            "a flash must not become a keyframe that nobody asked for",
        )
        .with("bframes", &0, "constrained baseline has none")
        .with("cabac", &false, "constrained baseline has none")
        .with("dct8x8", &false, "constrained baseline has none")
        .with("aud", &false, "browsers send none")
        .with("threads", &options.encoder_threads, "0 is one per core");
    let profile = Element::new("capsfilter").with(
        "caps",
        "video/x-h264,profile=constrained-baseline,stream-format=avc,alignment=au",
        "what 42e01f promises",
    );
    let payloader = rtp.apply(
        Element::new("rtph264pay")
            .with(
                "aggregate-mode",
                "zero-latency",
                "parameter sets ride in one STAP-A, as with Chrome",
            )
            .with(
                "config-interval",
                &-1,
                "parameter sets in band before each keyframe",
            ),
    );
    Chain {
        elements: vec![encoder, profile, payloader],
    }
}

/// Opus as a browser sends it when the answer asks for stereo music.
pub(super) fn audio_chain(options: &StudioOptions, rtp: &RtpNumbers) -> Chain {
    let encoder = Element::new("opusenc")
        .with("bitrate", &options.audio_bits_per_second, "in bit/s")
        .with(
            "bitrate-type",
            "cbr",
            "silence costs as much as sound, so that a bench has a steady load",
        )
        .with("frame-size", &20, "milliseconds; what browsers use")
        .with(
            "inband-fec",
            &true,
            "the decoder can repair one lost packet",
        )
        .with(
            "packet-loss-percentage",
            &1,
            "with 0 the encoder leaves the repair data out",
        );
    Chain {
        elements: vec![encoder, rtp.apply(Element::new("rtpopuspay"))],
    }
}

/// Where a track's RTP numbers begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct RtpNumbers {
    pub(super) ssrc: u32,
    pub(super) first_sequence: u16,
    /// RTP timestamp of time zero.
    pub(super) first_timestamp: u32,
}

impl RtpNumbers {
    pub(super) fn apply(&self, payloader: Element) -> Element {
        payloader
            .with("mtu", &RTP_PACKET_BYTES, "whole RTP packet in bytes")
            .with("ssrc", &self.ssrc, "chosen by us")
            .with("seqnum-offset", &self.first_sequence, "chosen by us")
            .with(
                "timestamp-offset",
                &self.first_timestamp,
                "the sender reports need to know it",
            )
            .with(
                "perfect-rtptime",
                &false,
                "timestamps follow the capture time and nothing else",
            )
    }
}
