//! The synthetic studio's sound: a beep at each cue, silence between.

use std::f32::consts::TAU;

use super::cue;

/// Samples a second; Opus runs at no other rate inside.
pub(super) const SAMPLE_RATE_HZ: u32 = 48_000;

/// Left and right.
pub(super) const CHANNELS: u32 = 2;

/// Pitch of the beep.
const BEEP_HZ: f32 = 1_000.0;

/// Half of full scale: loud enough to find, far from clipping after two codecs.
const BEEP_AMPLITUDE: f32 = 16_384.0;

/// Samples of one period of the beep.
const BEEP_PERIOD_SAMPLES: u64 = 48;

/// Interleaved 16-bit little-endian stereo, from `first_sample` on.
pub(super) fn block(first_sample: u64, samples: u64) -> Vec<u8> {
    (first_sample..first_sample + samples)
        .flat_map(|sample| {
            let [low, high] = value(sample).to_le_bytes();
            [low, high, low, high]
        })
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the phase is below 48 and the amplitude below 2^15"
)]
fn value(sample: u64) -> i16 {
    if !cue::is_on(cue::time_of(sample, SAMPLE_RATE_HZ)) {
        return 0;
    }
    let phase = (sample % BEEP_PERIOD_SAMPLES) as f32 / SAMPLE_RATE_HZ as f32 * BEEP_HZ;
    ((phase * TAU).sin() * BEEP_AMPLITUDE) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beep_starts_on_the_first_sample_of_a_second() {
        let loud = |sample| value(sample).unsigned_abs() > 1_000;

        assert!((47_000..48_000).all(|sample| value(sample) == 0));
        assert!(loud(48_001));
        assert!(loud(48_000 + 4_790));
        assert!((52_800..96_000).all(|sample| value(sample) == 0));
    }

    #[test]
    fn both_channels_carry_the_same_sample() {
        let bytes = block(48_000, 960);

        assert_eq!(bytes.len(), 960 * 4);
        assert!(bytes.chunks(4).all(|frame| frame[..2] == frame[2..]));
    }
}
