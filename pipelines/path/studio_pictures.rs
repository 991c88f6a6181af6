//! The studio's packets to whole pictures, whatever they are coded as.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use media::{CodecConfig, RtpPacket, VideoCodec};

use super::h264;
use crate::depacketise;

/// A whole picture, in order.
#[derive(Debug, Clone)]
pub(super) struct StudioPicture {
    /// In the track's clock, wraps.
    pub(super) rtp_timestamp: u32,
    pub(super) keyframe: bool,
    /// H.264 only.
    pub(super) config: Option<Arc<CodecConfig>>,
    /// Of the latest keyframe, in pixels.
    pub(super) size: (u32, u32),
    pub(super) data: Bytes,
    /// When its first packet came.
    pub(super) first_arrival: Instant,
    /// When its last packet came.
    pub(super) last_arrival: Instant,
}

/// The depacketiser for what the studio sends.
#[derive(Debug)]
pub(super) struct StudioPictures {
    codec: VideoCodec,
    kind: Kind,
    /// Of those for other codecs before.
    dropped: u64,
}

#[derive(Debug)]
enum Kind {
    H264(h264::Depacketiser),
    Other(depacketise::Depacketiser, (u32, u32)),
}

impl Default for StudioPictures {
    fn default() -> Self {
        Self {
            codec: VideoCodec::H264,
            kind: Kind::H264(h264::Depacketiser::default()),
            dropped: 0,
        }
    }
}

macro_rules! delegate {
    ($self:ident, $depacketiser:ident => $what:expr) => {
        match &$self.kind {
            Kind::H264($depacketiser) => $what,
            Kind::Other($depacketiser, _) => $what,
        }
    };
    (mut $self:ident, $depacketiser:ident => $what:expr) => {
        match &mut $self.kind {
            Kind::H264($depacketiser) => $what,
            Kind::Other($depacketiser, _) => $what,
        }
    };
}

impl StudioPictures {
    /// What comes from now on is coded in this way.
    pub(super) fn begin(&mut self, codec: VideoCodec) {
        if self.codec != codec {
            self.dropped = self.dropped();
            self.codec = codec;
            self.kind = match codec {
                VideoCodec::H264 => Kind::H264(h264::Depacketiser::default()),
                VideoCodec::Vp8 | VideoCodec::Vp9 | VideoCodec::Av1 => {
                    Kind::Other(depacketise::Depacketiser::new(codec), (0, 0))
                }
            };
        }
    }

    pub(super) fn codec(&self) -> VideoCodec {
        self.codec
    }

    pub(super) fn handle_packet(&mut self, packet: &RtpPacket, arrival: Instant) {
        delegate!(mut self, depacketiser => depacketiser.handle_packet(packet, arrival));
    }

    /// Packets are missing before the next one.
    pub(super) fn handle_loss(&mut self) {
        delegate!(mut self, depacketiser => depacketiser.handle_loss());
    }

    /// Nothing comes out until the next keyframe.
    pub(super) fn require_keyframe(&mut self) {
        delegate!(mut self, depacketiser => depacketiser.require_keyframe());
    }

    /// The sender began anew.
    pub(super) fn reset(&mut self) {
        delegate!(mut self, depacketiser => depacketiser.reset());
    }

    /// Takes the wish for a keyframe, raised once per loss.
    pub(super) fn take_keyframe_wish(&mut self) -> bool {
        delegate!(mut self, depacketiser => depacketiser.take_keyframe_wish())
    }

    /// Whether nothing comes out until a keyframe does.
    pub(super) fn waits_for_keyframe(&self) -> bool {
        delegate!(self, depacketiser => depacketiser.waits_for_keyframe())
    }

    /// Whether the picture in the making is of this time.
    pub(super) fn is_within(&self, rtp_timestamp: u32) -> bool {
        delegate!(self, depacketiser => depacketiser.is_within(rtp_timestamp))
    }

    /// Pictures that were begun and not handed over, ever.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped + delegate!(self, depacketiser => depacketiser.dropped())
    }

    /// Whether a keyframe begins with this payload.
    pub(super) fn begins_keyframe(&self, payload: &Bytes) -> bool {
        match self.codec {
            VideoCodec::H264 => h264::begins_anew(payload),
            codec @ (VideoCodec::Vp8 | VideoCodec::Vp9 | VideoCodec::Av1) => {
                depacketise::begins_keyframe(codec, payload)
            }
        }
    }

    /// Returns the next whole picture.
    pub(super) fn poll(&mut self) -> Option<StudioPicture> {
        match &mut self.kind {
            Kind::H264(depacketiser) => {
                let picture = depacketiser.poll()?;
                let size = match &*picture.config {
                    CodecConfig::Avc(config) => (config.width, config.height),
                    CodecConfig::Aac(_) => (0, 0),
                };
                Some(StudioPicture {
                    rtp_timestamp: picture.rtp_timestamp,
                    keyframe: picture.keyframe,
                    config: Some(picture.config),
                    size,
                    data: picture.data,
                    first_arrival: picture.first_arrival,
                    last_arrival: picture.last_arrival,
                })
            }
            Kind::Other(depacketiser, size) => {
                let picture = depacketiser.poll()?;
                *size = picture.size.unwrap_or(*size);
                Some(StudioPicture {
                    rtp_timestamp: picture.rtp_timestamp,
                    keyframe: picture.keyframe,
                    config: None,
                    size: *size,
                    data: picture.data,
                    first_arrival: picture.first_arrival,
                    last_arrival: picture.last_arrival,
                })
            }
        }
    }
}
