//! When an encoder is to make a keyframe: by the times of its pictures alone.

use std::time::Duration;

/// How far keyframes are apart: what the platforms ask for.
pub(crate) const KEYFRAME_PERIOD: Duration = Duration::from_secs(2);

/// When a keyframe is due.
#[derive(Debug, Default)]
pub(crate) struct Keyframes {
    due: Option<Duration>,
    is_wished: bool,
}

impl Keyframes {
    /// The next picture is to be a keyframe.
    pub(crate) fn wish(&mut self) {
        self.is_wished = true;
    }

    /// Whether the picture of this time, which is to be encoded, is to be a keyframe.
    pub(crate) fn take(&mut self, time: Duration, interval: Duration) -> bool {
        let is_due = self.due.is_none_or(|due| time + interval / 2 >= due);
        let is_keyframe = std::mem::take(&mut self.is_wished) || is_due;
        if is_keyframe {
            self.due = Some(time + KEYFRAME_PERIOD);
        }
        is_keyframe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(33);

    fn found(times: impl Iterator<Item = Duration>, wished_at: usize) -> Vec<usize> {
        let mut keyframes = Keyframes::default();
        let numbered = times.enumerate().filter(|(number, time)| {
            if *number == wished_at {
                keyframes.wish();
            }
            keyframes.take(*time, INTERVAL)
        });
        numbered.map(|(number, _)| number).collect()
    }

    #[test]
    fn keyframes_are_two_seconds_apart_or_where_they_are_wished() {
        let times = (0..200).map(|number| Duration::from_secs(7) + INTERVAL * 100 * number / 99);

        assert_eq!(found(times, 70), [0, 60, 70, 130, 190]);
    }

    #[test]
    fn a_source_that_loses_pictures_has_as_many_keyframes() {
        let times = (0..200).map(|number| Duration::from_millis(200) * number);

        assert_eq!(found(times.take(35), usize::MAX), [0, 10, 20, 30]);
    }
}
