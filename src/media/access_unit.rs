//! One coded picture or one block of coded sound, ready for any container.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

/// Picture or sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TrackKind {
    /// Picture.
    Video,
    /// Sound.
    Audio,
}

/// What a decoder must know before the first H.264 picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoConfig {
    /// `AVCDecoderConfigurationRecord` (ISO 14496-15) with 4-byte lengths.
    pub decoder_configuration: Bytes,
    /// Cropped picture width in pixels.
    pub width: u32,
    /// Cropped picture height in pixels.
    pub height: u32,
}

/// What a decoder must know before the first AAC frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioConfig {
    /// `AudioSpecificConfig` (ISO 14496-3).
    pub audio_specific_config: Bytes,
    /// Samples a second.
    pub sample_rate_hz: u32,
    /// 1 or 2.
    pub channels: u8,
}

/// The codec parameters in force for an access unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodecConfig {
    /// H.264.
    Avc(VideoConfig),
    /// AAC-LC.
    Aac(AudioConfig),
}

/// One coded picture (length-prefixed NAL units) or one AAC frame, on the broadcast's timeline.
///
/// Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessUnit {
    /// Presentation time since the broadcast's timeline began; there are no B-frames, so it is the decoding time too.
    pub timestamp: Duration,
    /// Whether a decoder can begin here. Sound: always.
    pub keyframe: bool,
    /// The parameters in force; the same [`Arc`] until they change.
    pub config: Arc<CodecConfig>,
    /// H.264: NAL units, each behind a 4-byte length, parameter sets left out. AAC: one raw frame.
    pub data: Bytes,
}

impl AccessUnit {
    /// Picture or sound.
    pub fn kind(&self) -> TrackKind {
        match *self.config {
            CodecConfig::Avc(_) => TrackKind::Video,
            CodecConfig::Aac(_) => TrackKind::Audio,
        }
    }
}
