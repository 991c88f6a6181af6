//! The sound of a broadcast: one unbroken row of AAC frames onto which each source's packets are placed.
#![expect(
    clippy::cast_possible_wrap,
    reason = "lengths of a few packets or frames"
)]

use std::{sync::Arc, time::Duration};

use media::{AccessUnit, AudioConfig, CodecConfig};

use super::{loudness::Loudness, slate_player::LoopedSound};
use crate::audio::{
    AacEncoder, CHANNELS, EncoderError, FRAME_SAMPLES, OpusDecoder, SAMPLE_RATE_HZ,
};

/// A place on the timeline in samples.
pub(super) type Samples = i64;

/// Deviations of a packet's timestamp up to 10 ms are jitter of the sender's and leave its sound where it is.
const DEVIATION_LIMIT: Samples = 480;

/// How long a gap libopus makes sound up for; beyond it there is silence.
const CONCEALMENT_LIMIT: usize = 9_600;

/// A gap of 5 s is jumped over rather than filled: silence would have been made all along if anyone were watching.
const FILL_LIMIT: Samples = 5 * SAMPLE_RATE_HZ as Samples;

/// libopus, which is in every browser, delays sound by 6.5 ms against its timestamps.
const OPUS_LOOKAHEAD: Samples = 312;

/// What happened to the sound, ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SoundCounters {
    /// Samples made up for packets that did not come or were broken.
    pub(super) concealed_samples: u64,
    /// AAC frames of silence, where no source gave any sound.
    pub(super) silent_frames: u64,
}

/// Turns placed Opus packets into AAC access units.
pub(super) struct Sound {
    decoder: Option<OpusDecoder>,
    encoder: Box<dyn AacEncoder>,
    config: Option<Arc<CodecConfig>>,
    /// Where the next sample goes; nothing before the first.
    head: Option<Samples>,
    /// Samples before `head` that do not fill a frame.
    pending: Vec<i16>,
    /// Whether this source has given sound, so that a decoder has something to go on from.
    has_history: bool,
    /// Samples dropped in a row because they came too late.
    late: Samples,
    counters: SoundCounters,
    loudness: Loudness,
    /// Access units in order.
    ready: Vec<AccessUnit>,
}

/// An Opus packet in its place.
#[derive(Debug)]
pub(super) struct PlacedPacket<'a> {
    pub(super) payload: &'a [u8],
    pub(super) place: Samples,
    /// Whether packets before this one were lost.
    pub(super) follows_loss: bool,
}

impl Sound {
    pub(super) fn new(encoder: Box<dyn AacEncoder>) -> Self {
        Self {
            decoder: None,
            encoder,
            config: None,
            head: None,
            pending: Vec::new(),
            has_history: false,
            late: 0,
            counters: SoundCounters::default(),
            loudness: Loudness::default(),
            ready: Vec::new(),
        }
    }

    /// A new source begins; the row of frames goes on.
    pub(super) fn begin_source(&mut self) {
        self.decoder = None;
        self.has_history = false;
        self.late = 0;
    }

    /// Where the next sample goes.
    pub(super) fn head(&self) -> Option<Samples> {
        self.head
    }

    /// How far the head must be ahead for an access unit of that time to be complete.
    pub(super) fn lead(&self) -> Samples {
        self.delay() + FRAME_SAMPLES as Samples
    }

    /// How much earlier than its samples went in an access unit is to be played.
    fn delay(&self) -> Samples {
        self.encoder.delay() as Samples + OPUS_LOOKAHEAD
    }

    pub(super) fn counters(&self) -> SoundCounters {
        self.counters
    }

    /// How loud the studio's sound is.
    pub(super) fn loudness(&mut self) -> &mut Loudness {
        &mut self.loudness
    }

    /// How many samples in a row have come too late.
    pub(super) fn late(&self) -> Samples {
        self.late
    }

    /// Takes the finished access units.
    pub(super) fn drain(&mut self) -> std::vec::Drain<'_, AccessUnit> {
        self.ready.drain(..)
    }

    /// Appends a packet: fills the gap before it, or cuts what lies before the head.
    pub(super) fn place(&mut self, packet: &PlacedPacket<'_>) -> Result<(), SoundError> {
        let mut decoder = match self.decoder.take() {
            Some(decoder) => decoder,
            None => OpusDecoder::new().map_err(SoundError::Decoder)?,
        };
        let result = self.place_with(&mut decoder, packet);
        self.decoder = Some(decoder);
        result
    }

    fn place_with(
        &mut self,
        decoder: &mut OpusDecoder,
        packet: &PlacedPacket<'_>,
    ) -> Result<(), SoundError> {
        let head = *self.head.get_or_insert(packet.place);
        let gap = packet.place - head;
        if gap >= DEVIATION_LIMIT || (packet.follows_loss && gap > 0) {
            self.bridge(decoder, packet, gap)?;
        }
        let output = decoder.decode(packet.payload);
        let count = output.samples.len() / CHANNELS;
        if output.concealed {
            self.counters.concealed_samples += count as u64;
        } else {
            self.loudness.hear(output.samples);
        }
        let cut = if gap <= -DEVIATION_LIMIT {
            usize::try_from(-gap).unwrap_or(count).min(count)
        } else {
            0
        };
        self.late = if cut > 0 {
            self.late + cut as Samples
        } else {
            0
        };
        self.has_history = true;
        self.append(&output.samples[cut * CHANNELS..])
    }

    /// Fills a gap: made-up sound first, then silence, then what error correction restores of the packet just before.
    fn bridge(
        &mut self,
        decoder: &mut OpusDecoder,
        packet: &PlacedPacket<'_>,
        gap: Samples,
    ) -> Result<(), SoundError> {
        if gap > FILL_LIMIT || !self.has_history {
            return self.fill_silence(packet.place);
        }
        let gap = usize::try_from(gap).unwrap_or(0);
        let restored = if packet.follows_loss && gap >= decoder.packet_samples() {
            decoder.packet_samples()
        } else {
            0
        };
        let concealed = (gap - restored).min(CONCEALMENT_LIMIT);
        let end = self.head.unwrap_or(packet.place) + (gap - restored) as Samples;
        let mut left = concealed;
        while left > 0 {
            let made = decoder.conceal(left).samples;
            if made.is_empty() {
                break;
            }
            left -= made.len() / CHANNELS;
            self.append(made)?;
        }
        self.append_silence(end)?;
        if restored > 0 {
            let made = decoder.recover(packet.payload, restored).samples;
            self.append(made)?;
        }
        self.counters.concealed_samples += gap as u64;
        Ok(())
    }

    /// Makes silence up to `until`, where no source gives any sound. The first silence begins the row there.
    pub(super) fn fill_silence(&mut self, until: Samples) -> Result<(), SoundError> {
        self.jump_to(until);
        let before = self.ready.len();
        self.append_silence(until)?;
        self.counters.silent_frames += (self.ready.len() - before) as u64;
        Ok(())
    }

    /// Goes on with a slate's sound up to `until`, where no source gives any.
    pub(super) fn fill_loop(
        &mut self,
        until: Samples,
        sound: &mut LoopedSound,
    ) -> Result<(), SoundError> {
        self.jump_to(until);
        while let Some(left) = self.head.map(|head| until - head).filter(|&left| left > 0) {
            let count = usize::try_from(left).unwrap_or(FRAME_SAMPLES);
            self.append(sound.take(count))?;
        }
        Ok(())
    }

    /// Leaves out whole frames when far too much would have to be filled.
    fn jump_to(&mut self, until: Samples) {
        let head = *self.head.get_or_insert(until);
        if until - head > FILL_LIMIT {
            // Completes the frame, then goes on with the frame that holds `until`.
            let frames = (until - head) / FRAME_SAMPLES as Samples;
            self.head = Some(head + frames * FRAME_SAMPLES as Samples);
        }
    }

    fn append_silence(&mut self, until: Samples) -> Result<(), SoundError> {
        const SILENCE: [i16; FRAME_SAMPLES * CHANNELS] = [0; FRAME_SAMPLES * CHANNELS];
        while let Some(left) = self.head.map(|head| until - head).filter(|&left| left > 0) {
            let count = usize::try_from(left)
                .unwrap_or(FRAME_SAMPLES)
                .min(FRAME_SAMPLES);
            self.append(&SILENCE[..count * CHANNELS])?;
        }
        Ok(())
    }

    /// Appends interleaved samples at the head and encodes each frame that becomes full.
    fn append(&mut self, samples: &[i16]) -> Result<(), SoundError> {
        const FRAME: usize = FRAME_SAMPLES * CHANNELS;
        let mut rest = samples;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(FRAME - self.pending.len()));
            self.pending.extend_from_slice(now);
            rest = later;
            let head = self.head.unwrap_or(0) + (now.len() / CHANNELS) as Samples;
            self.head = Some(head);
            if self.pending.len() == FRAME {
                let start = head - self.lead();
                let encoded = self.encoder.encode(&self.pending);
                self.pending.clear();
                let data = encoded?;
                // What would have to be heard before the timeline began is only the codecs' run-up.
                if let (false, Ok(start)) = (data.is_empty(), u64::try_from(start)) {
                    let config = self.config()?;
                    self.ready.push(AccessUnit {
                        timestamp: timestamp(start),
                        keyframe: true,
                        config,
                        data,
                    });
                }
            }
        }
        Ok(())
    }

    fn config(&mut self) -> Result<Arc<CodecConfig>, SoundError> {
        if let Some(config) = &self.config {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(CodecConfig::Aac(AudioConfig {
            audio_specific_config: self.encoder.audio_specific_config()?,
            sample_rate_hz: SAMPLE_RATE_HZ,
            channels: 2,
        }));
        Ok(Arc::clone(self.config.insert(config)))
    }
}

/// Why there is no sound.
#[derive(Debug, thiserror::Error)]
pub(super) enum SoundError {
    /// The Opus decoder did not start.
    #[error("the Opus decoder did not start: {0}")]
    Decoder(opus::Error),
    /// The AAC encoder failed.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
}

/// Returns the place of a time in nanoseconds.
pub(super) fn samples(place: i64) -> Samples {
    // 48,000 / 10^9, reduced; a place is less than centuries away.
    place.saturating_mul(6) / 125_000
}

/// Returns the time of a place in nanoseconds.
pub(super) fn nanoseconds_of_samples(place: Samples) -> i64 {
    place.saturating_mul(125_000) / 6
}

fn timestamp(place: u64) -> Duration {
    Duration::from_nanos(place.saturating_mul(125_000) / 6)
}

#[cfg(test)]
#[path = "sound_tests.rs"]
mod tests;
