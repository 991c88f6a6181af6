//! Finds where the beep begins in decoded sound.

#![expect(
    clippy::cast_precision_loss,
    reason = "a recording has less than 2^52 samples"
)]

use std::{f64::consts::TAU, time::Duration};

/// The pitch that every studio of ours beeps at.
const BEEP_HZ: f64 = 1_000.0;

/// Length of what is looked at in one go: whole periods of the beep.
const WINDOW: Duration = Duration::from_millis(5);

/// Step from one window to the next, and so the precision.
const HOP: Duration = Duration::from_millis(1);

/// Quieter than this is silence: −40 dB of full scale.
const AUDIBLE: f64 = 0.01;

/// How long it must have been quiet before a beep is another one.
const QUIET: Duration = Duration::from_millis(300);

/// A decoded sound frame's place in the samples and in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    /// Index of its first sample.
    pub(super) first_sample: usize,
    /// When that is presented.
    pub(super) at: Duration,
}

/// When each beep begins: where it reaches half of the loudest.
pub(super) fn beeps(samples: &[f32], segments: &[Segment], rate_hz: u32) -> Vec<Duration> {
    let in_samples = |length: Duration| length.as_millis() as usize * rate_hz as usize / 1_000;
    let (window, hop, quiet) = (
        in_samples(WINDOW),
        in_samples(HOP).max(1),
        in_samples(QUIET),
    );
    if window == 0 || samples.len() < window {
        return Vec::new();
    }
    let loudness: Vec<f64> = (0..=samples.len() - window)
        .step_by(hop)
        .map(|start| amplitude(&samples[start..start + window], rate_hz))
        .collect();
    let threshold = loudness.iter().copied().fold(0.0, f64::max) / 2.0;
    if threshold < AUDIBLE {
        return Vec::new();
    }
    let mut beeps = Vec::new();
    let mut last_loud = None;
    for (index, _) in loudness
        .iter()
        .enumerate()
        .filter(|(_, loudness)| **loudness >= threshold)
    {
        let middle = index * hop + window / 2;
        if last_loud.is_none_or(|last| middle - last > quiet) {
            beeps.push(time_of(middle, segments, rate_hz));
        }
        last_loud = Some(middle);
    }
    beeps
}

/// How strong the beep's pitch is in the window (Goertzel's algorithm); 1.0 is full scale.
fn amplitude(window: &[f32], rate_hz: u32) -> f64 {
    let coefficient = 2.0 * (TAU * BEEP_HZ / f64::from(rate_hz)).cos();
    let (mut last, mut before) = (0.0, 0.0);
    for &sample in window {
        (last, before) = (f64::from(sample) + coefficient * last - before, last);
    }
    let power = last * last + before * before - coefficient * last * before;
    2.0 * power.max(0.0).sqrt() / window.len() as f64
}

fn time_of(sample: usize, segments: &[Segment], rate_hz: u32) -> Duration {
    let index = segments.partition_point(|segment| segment.first_sample <= sample);
    let Some(segment) = index.checked_sub(1).map(|index| segments[index]) else {
        return Duration::ZERO;
    };
    segment.at
        + Duration::from_secs_f64((sample - segment.first_sample) as f64 / f64::from(rate_hz))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE_HZ: u32 = 48_000;

    #[expect(clippy::cast_possible_truncation, reason = "a sample needs no more")]
    fn sound(seconds: u32, pitch_hz: f64, on: impl Fn(f64) -> bool) -> Vec<f32> {
        (0..seconds * RATE_HZ)
            .map(|index| f64::from(index) / f64::from(RATE_HZ))
            .map(|time| {
                if on(time) {
                    (TAU * pitch_hz * time).sin() as f32 * 0.5
                } else {
                    0.0
                }
            })
            .collect()
    }

    fn near(time: Duration, seconds: f64) -> bool {
        (time.as_secs_f64() - seconds).abs() <= 0.002
    }

    #[test]
    fn a_beep_is_found_where_it_begins() {
        let samples = sound(3, BEEP_HZ, |time| (0.7..0.8).contains(&time.fract()));
        let segments = [Segment {
            first_sample: 0,
            at: Duration::from_secs(10),
        }];

        let beeps = beeps(&samples, &segments, RATE_HZ);

        assert_eq!(beeps.len(), 3);
        assert!(near(beeps[0], 10.7) && near(beeps[2], 12.7), "{beeps:?}");
    }

    #[test]
    fn a_jump_of_the_timestamps_moves_the_beeps_behind_it() {
        let samples = sound(2, BEEP_HZ, |time| (0.7..0.8).contains(&time.fract()));
        let segments = [
            Segment {
                first_sample: 0,
                at: Duration::ZERO,
            },
            Segment {
                first_sample: 48_000,
                at: Duration::from_millis(1_060),
            },
        ];

        let beeps = beeps(&samples, &segments, RATE_HZ);

        assert!(near(beeps[0], 0.7) && near(beeps[1], 1.76), "{beeps:?}");
    }

    #[test]
    fn another_pitch_and_silence_are_no_beep() {
        let segments = [Segment {
            first_sample: 0,
            at: Duration::ZERO,
        }];

        assert!(beeps(&sound(1, 3_000.0, |_| true), &segments, RATE_HZ).is_empty());
        assert!(beeps(&sound(1, BEEP_HZ, |_| false), &segments, RATE_HZ).is_empty());
    }
}
