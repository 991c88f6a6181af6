//! What goes out in place of a studio that is away: coded once, shown as often as it takes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::CodecConfig;

/// A loop of coded pictures, and perhaps of sound, that costs nothing while it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandIn {
    /// H.264 parameters of the pictures.
    pub config: Arc<CodecConfig>,
    /// The loop, at least one picture; the first is a keyframe, and each can follow the last.
    pub pictures: Vec<StandInPicture>,
    /// Time between two pictures.
    pub picture_interval: Duration,
    /// Opus packets of 20 ms each, 48 kHz stereo, looped on their own; none is silence.
    pub sound: Vec<Bytes>,
}

/// One picture of a [`StandIn`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandInPicture {
    /// Whether a decoder can begin here.
    pub keyframe: bool,
    /// NAL units, each behind a 4-byte length, parameter sets left out.
    pub data: Bytes,
}
