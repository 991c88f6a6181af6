//! Uploaded sound to Opus: packets of 20 ms at 48 kHz, stereo.

use std::{fs::File, io::Seek as _, time::Instant};

use ::gstreamer as gst;
use opus::{Application, Bitrate, Channels, Encoder};

use super::Failure;
use crate::confinement::graph::{Graph, Pulled, capsfilter, make};

const SAMPLE_RATE_HZ: u32 = 48_000;

/// Samples of both channels in 20 ms.
const PACKET_SAMPLES: usize = 2 * 960;

/// What music of any kind sounds good with.
const BITS_PER_SECOND: i32 = 128_000;

/// Room for a packet of this bitrate.
const PACKET_LIMIT_BYTES: usize = 1_276;

/// Codes the first sound track until it ends, `send` says `false`, or it is too late. The last packet ends in silence.
///
/// Sound that breaks off is as good as a shorter one; without any, `send` is not called.
pub(super) fn code(
    mut file: &File,
    deadline: Instant,
    mut send: impl FnMut(&[u8]) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    file.rewind()?;
    let samples = gst::Caps::builder("audio/x-raw")
        .field("format", "S16LE")
        .field("layout", "interleaved")
        .field("rate", SAMPLE_RATE_HZ.cast_signed())
        .field("channels", 2)
        .build();
    let tail = [
        make("audioconvert")?,
        make("audioresample")?,
        capsfilter(&samples)?,
    ];
    let graph = Graph::decoded(file, "audio/x-raw", |_| true, &tail.each_ref())?;
    let mut coder = Coder::new()?;
    let mut waiting = Vec::with_capacity(2 * PACKET_SAMPLES);
    while let Pulled::Sample(sample) = graph.pull(deadline) {
        let buffer = sample.buffer().ok_or(Failure::Coding)?;
        let bytes = buffer.map_readable().map_err(|_| Failure::Coding)?;
        for sample in bytes.chunks_exact(2) {
            waiting.push(i16::from_le_bytes([sample[0], sample[1]]));
            if waiting.len() == PACKET_SAMPLES {
                if !send(&coder.code(&waiting)?)? {
                    return Ok(());
                }
                waiting.clear();
            }
        }
    }
    if !waiting.is_empty() {
        waiting.resize(PACKET_SAMPLES, 0);
        send(&coder.code(&waiting)?)?;
    }
    Ok(())
}

/// Packets without a sound.
pub(super) fn silence(count: usize) -> Result<Vec<Vec<u8>>, Failure> {
    let mut coder = Coder::new()?;
    (0..count)
        .map(|_| coder.code(&[0; PACKET_SAMPLES]))
        .collect()
}

struct Coder(Encoder);

impl Coder {
    fn new() -> Result<Self, Failure> {
        let mut encoder = Encoder::new(SAMPLE_RATE_HZ, Channels::Stereo, Application::Audio)
            .map_err(|_| Failure::Coding)?;
        encoder
            .set_bitrate(Bitrate::Bits(BITS_PER_SECOND))
            .map_err(|_| Failure::Coding)?;
        Ok(Self(encoder))
    }

    fn code(&mut self, samples: &[i16]) -> Result<Vec<u8>, Failure> {
        self.0
            .encode_vec(samples, PACKET_LIMIT_BYTES)
            .map_err(|_| Failure::Coding)
    }
}
