//! How loud the studio's sound is.

use std::time::{Duration, Instant};

use super::status::SoundLevel;

/// Below this level nothing is to be heard, in decibels of full scale.
const QUIET: f64 = -60.0;

/// What digital silence counts as, in decibels of full scale.
const SILENCE: f64 = -120.0;

/// Measures the sound between two readings.
#[derive(Debug, Default)]
pub(super) struct Loudness {
    squares: u64,
    samples: u64,
    quiet_since: Option<Instant>,
}

impl Loudness {
    /// Hears samples of any number of channels.
    pub(super) fn hear(&mut self, samples: &[i16]) {
        // A packet of 120 ms has 11,520 samples, so a sum of 64 bits lasts for weeks.
        self.squares += samples
            .iter()
            .map(|&sample| u64::from(sample.unsigned_abs()).pow(2))
            .sum::<u64>();
        self.samples += samples.len() as u64;
    }

    /// Forgets what was heard: it was another studio's.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Returns the level since the reading before, which was at `since`; without any sound it is silence.
    #[expect(clippy::cast_precision_loss, reason = "sums of about a second")]
    pub(super) fn read(&mut self, since: Instant, now: Instant) -> SoundLevel {
        let power = self.squares as f64 / self.samples.max(1) as f64 / 32_768_f64.powi(2);
        let decibels = (10.0 * power.log10()).max(SILENCE);
        (self.squares, self.samples) = (0, 0);
        self.quiet_since = if decibels < QUIET {
            self.quiet_since.or(Some(since))
        } else {
            None
        };
        let quiet_for = self
            .quiet_since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        SoundLevel {
            decibels,
            quiet_for,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_level_is_of_the_time_since_the_reading_before() {
        let start = Instant::now();
        let mut loudness = Loudness::default();
        loudness.hear(&[i16::MIN; 960]);
        loudness.hear(&[i16::MIN; 960]);
        assert!(loudness.read(start, start + SECOND).decibels.abs() < 0.01);

        loudness.hear(&[328; 960]);
        let level = loudness.read(start + SECOND, start + 2 * SECOND);

        assert!((level.decibels + 40.0).abs() < 0.1, "{level:?}");
        assert_eq!(level.quiet_for, Duration::ZERO);
    }

    #[test]
    fn quiet_lasts_from_the_first_quiet_second_to_the_next_sound() {
        let start = Instant::now();
        let mut loudness = Loudness::default();
        let mut quiet = Vec::new();
        for (second, sample) in (0..).zip([9_000, 20, 20, 0, 9_000]) {
            loudness.hear(&[sample; 960]);
            let since = start + SECOND * second;
            quiet.push(loudness.read(since, since + SECOND).quiet_for.as_secs());
        }
        assert_eq!(quiet, [0, 1, 2, 3, 0]);

        let nothing = loudness.read(start, start + SECOND);
        assert!(nothing.decibels <= SILENCE);
    }
}
