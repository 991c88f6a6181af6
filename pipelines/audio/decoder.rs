//! Opus decoding by libopus, with concealment of what is missing or broken.

use opus::{Channels, Decoder};

use super::{CHANNELS, SAMPLE_RATE_HZ};

/// The longest Opus packet: 120 ms.
const PACKET_SAMPLES_LIMIT: usize = 5_760;

/// Concealment comes in steps of 2.5 ms.
const CONCEALMENT_STEP: usize = 120;

/// What a packet that cannot be decoded is taken for, until one has been decoded: 20 ms, what all browsers send.
const USUAL_PACKET_SAMPLES: usize = 960;

/// Turns Opus packets of one source into 48 kHz stereo. Mono comes out on both channels.
#[derive(Debug)]
pub struct OpusDecoder {
    decoder: Decoder,
    samples: Vec<i16>,
    /// Samples in the latest good packet.
    packet_samples: usize,
}

/// What a packet became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// Interleaved stereo.
    pub samples: &'a [i16],
    /// Whether the packet was broken, and the samples are made up.
    pub concealed: bool,
}

impl OpusDecoder {
    /// Fails when libopus has no memory.
    pub fn new() -> Result<Self, opus::Error> {
        Ok(Self {
            decoder: Decoder::new(SAMPLE_RATE_HZ, Channels::Stereo)?,
            samples: vec![0; PACKET_SAMPLES_LIMIT * CHANNELS],
            packet_samples: USUAL_PACKET_SAMPLES,
        })
    }

    /// Returns samples a channel in the latest good packet.
    pub fn packet_samples(&self) -> usize {
        self.packet_samples
    }

    /// Decodes a packet; a broken or empty one is concealed.
    pub fn decode(&mut self, payload: &[u8]) -> Decoded<'_> {
        let decoded = match payload {
            [] => None,
            _ => self
                .decoder
                .decode(payload, &mut self.samples, false)
                .ok()
                .filter(|&count| count > 0),
        };
        match decoded {
            Some(count) => {
                self.packet_samples = count;
                Decoded {
                    samples: &self.samples[..count * CHANNELS],
                    concealed: false,
                }
            }
            None => Decoded {
                concealed: true,
                ..self.conceal(self.packet_samples)
            },
        }
    }

    /// Makes up about `count` samples a channel for what did not come: rounded down to 2.5 ms, at most 120 ms.
    pub fn conceal(&mut self, count: usize) -> Decoded<'_> {
        self.make_up(&[], count)
    }

    /// Reconstructs the packet before `next` from the forward error correction in `next`, as far as there is any.
    pub fn recover(&mut self, next: &[u8], count: usize) -> Decoded<'_> {
        self.make_up(next, count)
    }

    fn make_up(&mut self, next: &[u8], count: usize) -> Decoded<'_> {
        let count = count.min(PACKET_SAMPLES_LIMIT) / CONCEALMENT_STEP * CONCEALMENT_STEP;
        let length = count * CHANNELS;
        if length > 0 {
            let made = self
                .decoder
                .decode(next, &mut self.samples[..length], !next.is_empty())
                .unwrap_or(0);
            self.samples[made.min(count) * CHANNELS..length].fill(0);
        }
        Decoded {
            samples: &self.samples[..length],
            concealed: true,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "test signals are small"
    )]

    use opus::{Application, Encoder};
    use proptest::prelude::*;

    use super::*;

    fn tone(start: usize, count: usize) -> Vec<i16> {
        (start..start + count)
            .flat_map(|index| {
                let value =
                    (index as f32 * 440.0 * std::f32::consts::TAU / 48_000.0).sin() * 10_000.0;
                [value as i16; 2]
            })
            .collect()
    }

    #[test]
    fn mono_comes_out_on_both_channels() {
        let mut studio = Encoder::new(48_000, Channels::Mono, Application::Audio).unwrap();
        let mono: Vec<i16> = tone(0, 960).chunks(2).map(|pair| pair[0]).collect();
        let packet = studio.encode_vec(&mono, 1_500).unwrap();
        let mut decoder = OpusDecoder::new().unwrap();

        let output = decoder.decode(&packet);

        assert_eq!(output.samples.len(), 1_920);
        assert!(output.samples.chunks(2).all(|pair| pair[0] == pair[1]));
        assert!(output.samples.iter().any(|&sample| sample > 1_000));
    }

    #[test]
    fn a_broken_packet_is_concealed_with_the_length_of_the_one_before() {
        let mut studio = Encoder::new(48_000, Channels::Stereo, Application::Audio).unwrap();
        let packet = studio.encode_vec(&tone(0, 480), 1_500).unwrap();
        let mut decoder = OpusDecoder::new().unwrap();
        decoder.decode(&packet);

        // Code 3 with a frame count of zero.
        let output = decoder.decode(&[0xff, 0x00]);

        assert!(output.concealed);
        assert_eq!(output.samples.len(), 960);
    }

    #[test]
    fn forward_error_correction_restores_more_than_concealment() {
        let mut studio = Encoder::new(48_000, Channels::Stereo, Application::Voip).unwrap();
        studio.set_inband_fec(true).unwrap();
        studio.set_packet_loss_perc(30).unwrap();
        studio.set_bitrate(opus::Bitrate::Bits(24_000)).unwrap();
        // A tone that begins in the lost packet, so that nothing before tells of it.
        let packets: Vec<Vec<u8>> = (0..12)
            .map(|index| {
                let block = if index < 10 {
                    vec![0; 1_920]
                } else {
                    tone(index * 960, 960)
                };
                studio.encode_vec(&block, 1_500).unwrap()
            })
            .collect();
        let energy = |samples: &[i16]| {
            samples
                .iter()
                .map(|&sample| f64::from(sample).powi(2))
                .sum::<f64>()
        };
        let mut decoders = [OpusDecoder::new().unwrap(), OpusDecoder::new().unwrap()];
        for decoder in &mut decoders {
            for packet in &packets[..10] {
                decoder.decode(packet);
            }
        }

        let recovered = energy(decoders[0].recover(&packets[11], 960).samples);
        let concealed = energy(decoders[1].conceal(960).samples);

        assert!(
            recovered > 100.0 * concealed.max(1.0),
            "{recovered} against {concealed}"
        );
    }

    proptest! {
        #[test]
        fn any_payload_gives_samples_and_never_a_panic(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1_500), 1..8),
            counts in prop::collection::vec(0..20_000_usize, 8),
        ) {
            let mut decoder = OpusDecoder::new().unwrap();
            for (payload, count) in payloads.iter().zip(counts) {
                let output = decoder.decode(payload);
                prop_assert!(!output.samples.is_empty());
                prop_assert_eq!(output.samples.len() % 2, 0);
                prop_assert!(decoder.recover(payload, count).samples.len() <= count * 2);
                prop_assert!(decoder.conceal(count).samples.len() <= count * 2);
            }
        }
    }
}
