//! VP8 and VP9 of the synthetic studio, as Chrome sends them: real time, no layers, keyframes only when asked.

use super::{
    graph::{Chain, Element, RtpNumbers},
    studio::StudioOptions,
};

/// VP8 with picture identifiers of 15 bits.
pub(super) fn vp8_chain(options: &StudioOptions, rtp: &RtpNumbers) -> Chain {
    Chain {
        elements: vec![encoder("vp8enc", options), payloader("rtpvp8pay", rtp)],
    }
}

/// VP9, profile 0, with picture identifiers of 15 bits.
pub(super) fn vp9_chain(options: &StudioOptions, rtp: &RtpNumbers) -> Chain {
    let encoder = encoder("vp9enc", options)
        .with("row-mt", &true, "more than one thread for a small picture")
        .with(
            "frame-parallel-decoding",
            &false,
            "as WebRTC: costs bits and serves files only",
        );
    Chain {
        elements: vec![encoder, payloader("rtpvp9pay", rtp)],
    }
}

fn encoder(factory: &'static str, options: &StudioOptions) -> Element {
    let keyframe_interval = options
        .keyframe_interval_frames
        .map_or_else(|| i32::MAX.to_string(), |frames| frames.to_string());
    Element::new(factory)
        .with("deadline", &1, "microseconds: real time")
        .with(
            "cpu-used",
            &8,
            "as WebRTC on a busy machine; the flash's edges stay",
        )
        .with("end-usage", "cbr", "as WebRTC")
        .with("target-bitrate", &options.video_bits_per_second, "in bit/s")
        .with(
            "keyframe-max-dist",
            &keyframe_interval,
            "browsers make no keyframes unless asked",
        )
        .with(
            "keyframe-mode",
            if options.keyframe_interval_frames.is_some() {
                "auto"
            } else {
                "disabled"
            },
            "a flash must not become a keyframe that nobody asked for",
        )
        .with(
            "lag-in-frames",
            &0,
            "a picture leaves as soon as it is coded",
        )
        .with(
            "error-resilient",
            "default",
            "as WebRTC: no picture leans on one that is not its predecessor",
        )
        .with("buffer-size", &1_000, "milliseconds, as WebRTC")
        .with("buffer-initial-size", &500, "milliseconds, as WebRTC")
        .with("buffer-optimal-size", &600, "milliseconds, as WebRTC")
        .with(
            "threads",
            &options.encoder_threads,
            "0 is the library's choice",
        )
}

fn payloader(factory: &'static str, rtp: &RtpNumbers) -> Element {
    rtp.apply(Element::new(factory).with(
        "picture-id-mode",
        "15-bit",
        "as Chrome; a loss shows between two pictures of one packet",
    ))
}
