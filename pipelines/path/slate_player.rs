//! Plays a slate: its pictures round and round, and its sound where no other sound is.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use media::{CodecConfig, StandIn, StandInPicture};

use super::rhythm;
use crate::audio::{CHANNELS, OpusDecoder};

/// A slate that is shown.
#[derive(Debug)]
pub(super) struct SlatePlayer {
    slate: Arc<StandIn>,
    /// The next picture.
    next: usize,
    sound: Option<LoopedSound>,
}

impl SlatePlayer {
    /// Begins at the beginning. `None` for a slate that cannot be shown: no picture, no keyframe to begin with, not H.264.
    pub(super) fn new(slate: &Arc<StandIn>) -> Option<Self> {
        let is_fit = matches!(*slate.config, CodecConfig::Avc(_))
            && slate.pictures.first().is_some_and(|first| first.keyframe);
        is_fit.then(|| Self {
            slate: Arc::clone(slate),
            next: 0,
            sound: LoopedSound::new(slate),
        })
    }

    /// Whether the next picture is the loop's first.
    pub(super) fn is_at_beginning(&self) -> bool {
        self.next == 0
    }

    /// Returns the next picture.
    pub(super) fn next(&mut self) -> StandInPicture {
        let picture = self.slate.pictures[self.next].clone();
        self.next = (self.next + 1) % self.slate.pictures.len();
        picture
    }

    pub(super) fn config(&self) -> Arc<CodecConfig> {
        Arc::clone(&self.slate.config)
    }

    pub(super) fn interval(&self) -> Duration {
        rhythm::bounded(self.slate.picture_interval)
    }

    /// Its sound, unless it is silent.
    pub(super) fn sound(&mut self) -> Option<&mut LoopedSound> {
        self.sound.as_mut()
    }
}

/// A slate's sound, decoded as it is needed.
pub(super) struct LoopedSound {
    slate: Arc<StandIn>,
    decoder: OpusDecoder,
    /// The packet that is decoded next.
    next: usize,
    /// The packet that goes out next as it is.
    next_whole: usize,
    samples: Vec<i16>,
    /// How many of `samples` are used up.
    used: usize,
}

impl fmt::Debug for LoopedSound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LoopedSound")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl LoopedSound {
    fn new(slate: &Arc<StandIn>) -> Option<Self> {
        if slate.sound.is_empty() {
            return None;
        }
        let decoder = OpusDecoder::new()
            .inspect_err(|error| tracing::error!(%error, fault = "gateway", "a slate has no sound"))
            .ok()?;
        Some(Self {
            slate: Arc::clone(slate),
            decoder,
            next: 0,
            next_whole: 0,
            samples: Vec::new(),
            used: 0,
        })
    }

    /// Returns the next packet as it is, in a count of its own.
    pub(super) fn next_packet(&mut self) -> Bytes {
        let packet = self.slate.sound[self.next_whole].clone();
        self.next_whole = (self.next_whole + 1) % self.slate.sound.len();
        packet
    }

    /// Returns the next interleaved samples: at least one a channel, at most `count`, which is not 0.
    pub(super) fn take(&mut self, count: usize) -> &[i16] {
        if self.used == self.samples.len() {
            let decoded = self.decoder.decode(&self.slate.sound[self.next]);
            self.samples.clear();
            self.samples.extend_from_slice(decoded.samples);
            self.used = 0;
            self.next = (self.next + 1) % self.slate.sound.len();
        }
        let start = self.used;
        self.used = self.samples.len().min(start + count * CHANNELS);
        &self.samples[start..self.used]
    }
}
