//! AAC-LC encoding by libxaac.

use std::{
    cell::RefCell,
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use xaac_rs::{Encoder, EncoderConfig, OutputFormat, Profile};

use super::{CHANNELS, FRAME_SAMPLES, SAMPLE_RATE_HZ};

/// Why there is no AAC frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncoderError {
    /// The library refused the settings.
    #[error("the AAC encoder did not start: {0}")]
    Start(String),
    /// The library refused the samples.
    #[error("the AAC encoder failed: {0}")]
    Encode(String),
    /// The library gave another number of samples a frame than AAC-LC has.
    #[error("the AAC encoder wants {0} samples a frame")]
    FrameLength(usize),
}

/// Turns blocks of [`FRAME_SAMPLES`] into AAC-LC frames.
pub trait AacEncoder: Send {
    /// Encodes [`FRAME_SAMPLES`] interleaved stereo samples to one raw frame.
    fn encode(&mut self, samples: &[i16]) -> Result<Bytes, EncoderError>;

    /// Returns the `AudioSpecificConfig` of the frames.
    fn audio_specific_config(&mut self) -> Result<Bytes, EncoderError>;

    /// Returns how many samples later than it went in a sound comes out of a decoder.
    fn delay(&self) -> usize;
}

/// libxaac, 48 kHz stereo at a constant bitrate.
///
/// The library's handle must stay on one thread, so it is made by the first call on a thread and kept there.
/// A value that moves to another thread starts anew with the next frame. Handles are used again and never freed before
/// their thread ends: a free would make the allocator fill the next one's 57 MB, of which 1 % is used, with zeros.
#[derive(Debug)]
pub struct XaacEncoder {
    bits_per_second: u32,
    /// Names the handle, and tells it whether it is still wanted.
    key: Arc<u64>,
}

/// Input to decoder output in samples, measured with an impulse (see the tests).
const DELAY_SAMPLES: usize = 1_600;

/// Frames of silence after which nothing is left in an encoder of what it was used for before.
const FLUSH_FRAMES: usize = 4;

thread_local! {
    static HANDLES: RefCell<Handles> = RefCell::default();
}

/// The handles of a thread.
#[derive(Default)]
struct Handles {
    taken: HashMap<u64, Handle>,
    idle: Vec<Handle>,
}

struct Handle {
    /// Dead when the owner was dropped on another thread.
    owner: Weak<u64>,
    bits_per_second: u32,
    encoder: Encoder,
}

impl Handles {
    fn encoder(
        &mut self,
        owner: &Arc<u64>,
        bits_per_second: u32,
    ) -> Result<&mut Encoder, EncoderError> {
        if !self.taken.contains_key(&**owner) {
            self.idle.extend(
                self.taken
                    .extract_if(|_, handle| handle.owner.strong_count() == 0)
                    .map(|(_, handle)| handle),
            );
        }
        let handle = match self.taken.entry(**owner) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let idle = self
                    .idle
                    .iter()
                    .position(|handle| handle.bits_per_second == bits_per_second);
                let encoder = match idle {
                    Some(place) => flushed(self.idle.swap_remove(place).encoder)?,
                    None => start(bits_per_second)?,
                };
                entry.insert(Handle {
                    owner: Arc::downgrade(owner),
                    bits_per_second,
                    encoder,
                })
            }
        };
        Ok(&mut handle.encoder)
    }

    fn give_back(&mut self, owner: u64) {
        self.idle.extend(self.taken.remove(&owner));
    }
}

impl XaacEncoder {
    /// An encoder that writes `bits_per_second`; 160,000 cuts at 16 kHz and 192,000 at 20 kHz.
    pub fn new(bits_per_second: u32) -> Self {
        static NEXT_KEY: AtomicU64 = AtomicU64::new(0);
        Self {
            bits_per_second,
            key: Arc::new(NEXT_KEY.fetch_add(1, Ordering::Relaxed)),
        }
    }

    fn with_handle<T>(
        &self,
        work: impl FnOnce(&mut Encoder) -> Result<T, EncoderError>,
    ) -> Result<T, EncoderError> {
        HANDLES.with_borrow_mut(|handles| work(handles.encoder(&self.key, self.bits_per_second)?))
    }
}

impl AacEncoder for XaacEncoder {
    fn encode(&mut self, samples: &[i16]) -> Result<Bytes, EncoderError> {
        self.with_handle(|handle| {
            let packet = handle
                .encode_i16_interleaved(samples)
                .map_err(|error| EncoderError::Encode(error.to_string()))?;
            Ok(Bytes::from(packet.data))
        })
    }

    fn audio_specific_config(&mut self) -> Result<Bytes, EncoderError> {
        self.with_handle(|handle| Ok(Bytes::copy_from_slice(handle.audio_specific_config())))
    }

    fn delay(&self) -> usize {
        DELAY_SAMPLES
    }
}

impl Drop for XaacEncoder {
    fn drop(&mut self) {
        // The thread may be ending, and its handles with it.
        let _ = HANDLES.try_with(|handles| handles.borrow_mut().give_back(*self.key));
    }
}

fn flushed(mut encoder: Encoder) -> Result<Encoder, EncoderError> {
    for _ in 0..FLUSH_FRAMES {
        encoder
            .encode_i16_interleaved(&[0; FRAME_SAMPLES * CHANNELS])
            .map_err(|error| EncoderError::Encode(error.to_string()))?;
    }
    Ok(encoder)
}

fn start(bits_per_second: u32) -> Result<Encoder, EncoderError> {
    let handle = Encoder::new(EncoderConfig {
        profile: Profile::AacLc,
        sample_rate: SAMPLE_RATE_HZ,
        channels: 2,
        bitrate: bits_per_second,
        output_format: OutputFormat::Raw,
        full_bandwidth: false,
        ..EncoderConfig::default()
    })
    .map_err(|error| EncoderError::Start(error.to_string()))?;
    if handle.input_frame_bytes() != FRAME_SAMPLES * CHANNELS * size_of::<i16>() {
        return Err(EncoderError::FrameLength(
            handle.input_samples_per_channel(),
        ));
    }
    Ok(handle)
}

#[cfg(test)]
#[path = "aac_tests.rs"]
mod tests;
